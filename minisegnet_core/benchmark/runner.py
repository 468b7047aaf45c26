"""Run a benchmark: each case in a fresh process, and how much the cases agree with a reference."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import minisegnet_core
from minisegnet_core.benchmark.child import Task
from minisegnet_core.benchmark.jitter import measure_jitter
from minisegnet_core.benchmark.machine import describe_machine, network_gflop, peak_gflops
from minisegnet_core.benchmark.plan import BenchmarkConfig, Case, plan_cases
from minisegnet_core.classes import ClassSet
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.inference.agreement import LabelledPair
from minisegnet_core.inference.engines.base import PRECISIONS, ImageSize
from minisegnet_core.inference.engines.onnx_metadata import width_of
from minisegnet_core.inference.sample_images import labelled_images
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.inference.selection import classes_of_model, default_threads, find_model, shipped_models
from minisegnet_core.metrics import ConfusionMatrix
from minisegnet_core.processor import has_nvidia_gpu

REFERENCES = (('torch', 'float32'), ('onnxruntime', 'float32'), ('openvino', 'float32'))
"""Engine and precision of the reference; the first that was measured is used."""

Row = dict[str, Any]
"""One row of the report; its keys are those of the JSON output."""


def add_accuracy(
    rows: Sequence[Row],
    labels: Mapping[int, NDArray[np.uint8]],
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
) -> None:
    """Add ``mean_iou``, ``reference``, ``label_agreement`` and ``iou_drop`` to the rows that were measured.

    Rows are compared with the reference of the same size.

    Args:
        rows: rows of the report, changed in place.
        labels: (N, h, w) uint8 label images by the index of their row.
        pairs: the N images with their ground truth, at any size.
        classes: classes of the models.
    """
    for size in dict.fromkeys(row['size'] for row in rows):
        _add_accuracy_of_size([index for index in labels if rows[index]['size'] == size], rows, labels, pairs, classes)


def _add_accuracy_of_size(
    indices: Sequence[int],
    rows: Sequence[Row],
    labels: Mapping[int, NDArray[np.uint8]],
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
) -> None:
    by_kind = {(rows[index]['engine'], rows[index]['precision']): index for index in reversed(indices)}
    reference = next((by_kind[kind] for kind in REFERENCES if kind in by_kind), None)
    for index in indices:
        row = rows[index]
        row['mean_iou'] = _mean_iou(labels[index], row['size'], pairs, classes)
        row['reference'] = None if reference is None else '{engine} {precision}'.format(**rows[reference])
        row['label_agreement'] = None if reference is None else float((labels[index] == labels[reference]).mean())
    for index in indices:
        own, other = rows[index]['mean_iou'], None if reference is None else rows[reference]['mean_iou']
        rows[index]['iou_drop'] = None if own is None or other is None else other - own


def _mean_iou(labels: NDArray[np.uint8], size: str, pairs: Sequence[LabelledPair], classes: ClassSet) -> float | None:
    """Return the mean IoU of label images on the label grid; None without ground truth."""
    width, height = (int(part) for part in size.split('x'))
    confusion = ConfusionMatrix(len(classes))
    for pair, predicted in zip(pairs, labels, strict=True):
        truth = resized(pair, (width, height))[1]
        if truth is not None:
            confusion.add(reduce_labels(truth, classes), predicted)
    mean = confusion.mean_iou()
    return None if math.isnan(mean) else mean


def resized(pair: LabelledPair, size: ImageSize) -> LabelledPair:
    """Return a pair resized to (width, height): the image by area, its labels by nearest neighbour."""
    image, labels = pair
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if labels is not None:
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return image, labels


CHILD = 'minisegnet_core.benchmark.child'
TIME_LIMIT = 900.0
"""Seconds. A case is stopped when it takes this much longer than its measurements."""

Progress = Callable[[Sequence[Case]], Iterable[Case]]
"""Wraps the cases to display the progress."""


def run_benchmark(config: BenchmarkConfig, progress: Progress = iter) -> dict[str, Any]:
    """Measure all cases of a configuration.

    Returns:
        ``machine``: see :func:`~minisegnet_core.benchmark.machine.describe_machine`, with ``peak_gflops`` by precision.
        ``results``: one row for each case with ``engine, precision, size, model, threads, device, latency_ms_p50,
        latency_ms_p95, latency_ms_p99, throughput_fps, gflops, start_ms, rss_mb, label_agreement, mean_iou, iou_drop``
        and more. A row that could not be measured has ``error`` instead.
        ``jitter``, if requested: see :func:`~minisegnet_core.benchmark.jitter.measure_jitter`.

    Raises:
        ModelError: a model is missing, or there is nothing to measure.
        DatasetError: the classes of the data set differ from the first model's.
    """
    threads = config.threads or default_threads()
    models = [find_model(name) for name in config.models] or shipped_models()
    cases = plan_cases(models, config.engines, config.precisions or PRECISIONS, config.sizes)
    classes = classes_of_model(cases[0].model)
    pairs = labelled_images(config.images, config.count, classes)
    report: dict[str, Any] = {'machine': {**describe_machine(threads), 'peak_gflops': peak_gflops(threads)}}
    rows, labels = _measure_all(cases, config, threads, pairs, progress)
    add_accuracy(rows, labels, pairs, classes)
    report['results'] = rows
    if config.jitter:
        report['jitter'] = _jitter_beside_fastest(cases, rows, config, threads, pairs[0][0])
    return report


def _measure_all(
    cases: Sequence[Case], config: BenchmarkConfig, threads: int, pairs: Sequence[LabelledPair], progress: Progress
) -> tuple[list[Row], dict[int, NDArray[np.uint8]]]:
    """Return a row for each case, and the label images of the rows that were measured, by their index."""
    rows: list[Row] = []
    labels: dict[int, NDArray[np.uint8]] = {}
    with tempfile.TemporaryDirectory(prefix='minisegnet-benchmark-') as folder:
        for case in progress(cases):
            images = Path(folder) / f'{case.size_text}.npz'
            if not images.exists():
                np.savez(images, images=np.stack([resized(pair, case.size)[0] for pair in pairs]))
            labels_path = Path(folder) / 'labels.npz'
            row = _measure(case, config, threads, images, labels_path)
            if 'error' not in row:
                with np.load(labels_path) as file:
                    labels[len(rows)] = file['labels']
            rows.append(row)
    return rows, labels


def _measure(case: Case, config: BenchmarkConfig, threads: int, images: Path, labels: Path) -> Row:
    row: Row = {
        'engine': case.engine,
        'precision': case.precision,
        'size': case.size_text,
        'model': case.model.name,
        'threads': threads,
    }
    on_cpu = config.device != 'gpu' and not has_nvidia_gpu()
    if on_cpu and config.precisions is None and case.is_emulated:
        return {
            **row,
            'error': f'PyTorch would emulate it on this CPU; add --precisions {case.precision} to measure it',
        }
    streams = threads if config.streams is None else config.streams
    task = Task(
        case.segmenter_config(threads, config.device), streams, config.duration, time.time(), str(images), str(labels)
    )
    row |= _run_child(task)
    if 'error' not in row:
        gflop = network_gflop(*case.size, width_mult=width_mult_of(case.model))
        row['gflops'] = gflop / row['latency_ms_p50'] * 1e3
        row['emulated'] = row['device'] == 'CPU' and case.is_emulated
    return row


def _run_child(task: Task) -> Row:
    root = str(Path(minisegnet_core.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get('PYTHONPATH', '')) if part)
    try:
        done = subprocess.run(
            [sys.executable, '-m', CHILD],
            input=task.to_json(),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, 'PYTHONPATH': path},
            timeout=TIME_LIMIT + 2 * task.duration,
        )
    except subprocess.TimeoutExpired:
        return {'error': f'the case took more than {TIME_LIMIT:.0f} s'}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'the process ended with exit code {done.returncode}']
        return {'error': last[0]}
    # Libraries may write to standard output too; the row is the last line.
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


@lru_cache(maxsize=8)
def width_mult_of(model: Path) -> float:
    """Return the width multiplier of a model's network.

    Raises:
        ModelError: the file is missing or damaged.
    """
    if model.suffix == '.onnx':
        return width_of(model)
    from minisegnet_core.checkpoint import load_checkpoint  # only checkpoints need PyTorch

    return load_checkpoint(model)[1].width_mult


def _jitter_beside_fastest(
    cases: Sequence[Case], rows: Sequence[Row], config: BenchmarkConfig, threads: int, image: NDArray[np.uint8]
) -> dict[str, dict[str, float]]:
    """Measure the jitter beside the fastest case, which runs in this process; empty if no case was measured."""
    measured = [(row['latency_ms_p50'], index) for index, row in enumerate(rows) if 'error' not in row]
    if not measured:
        return {}
    fastest = cases[min(measured)[1]]
    segmenter = Segmenter.from_config(fastest.segmenter_config(threads, config.device, fastest.size_text))
    return measure_jitter(segmenter, image, config.duration)
