"""Engines, precisions and sizes side by side on this machine, each in a fresh process, in one run."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.benchmark.machine import network_gflop
from minisegnet_core.classes import ClassSet
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.agreement import LabelledPair
from minisegnet_core.inference.engines.base import ImageSize, Precision
from minisegnet_core.inference.engines.onnx_metadata import is_int8, width_of
from minisegnet_core.inference.selection import ENGINE_MODULES, readers_of
from minisegnet_core.metrics import ConfusionMatrix
from minisegnet_core.processor import has_nvidia_gpu, processor

PRECISIONS_OF_ENGINE: dict[str, tuple[Precision, ...]] = {
    'openvino': ('float32', 'bfloat16', 'float16', 'int8'),
    'onnxruntime': ('float32', 'float16', 'int8'),
    'torch': ('float32', 'bfloat16', 'float16'),
}
CHILD = 'minisegnet_core.benchmark.child'
TIME_LIMIT = 900.0
"""Seconds beyond the wanted duration after which a row is given up."""

REFERENCES = (('torch', 'float32'), ('onnxruntime', 'float32'), ('openvino', 'float32'))
"""What the others are compared with: the first of these that ran."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Configuration:
    """One row to measure."""

    engine: str
    model: Path
    precision: Precision
    size: ImageSize


@dataclass(frozen=True)
class Plan:
    """What to measure.

    duration: seconds for latency, and again for throughput; streams: engines of one thread each that run at once, 0: no
    throughput; device: of every engine; emulated: also precisions in which this CPU does not multiply, which PyTorch
    emulates very slowly.
    """

    configurations: tuple[Configuration, ...]
    threads: int
    duration: float
    streams: int
    device: str = 'auto'
    emulated: bool = False

    def settings(self, configuration: Configuration) -> dict[str, Any]:
        """Arguments, beside the model, of the :class:`Segmenter` that is measured in a row."""
        return {
            'engine': configuration.engine,
            'precision': configuration.precision,
            'threads': self.threads,
            'device': self.device,
        }


def configurations(
    models: Sequence[Path], engines: Sequence[str], precisions: Sequence[Precision], sizes: Sequence[ImageSize]
) -> tuple[Configuration, ...]:
    """Every row that these files, engines, precisions and sizes make together, of installed engines.

    Raises:
        ModelError: no row is left.
    """
    rows = []
    for size in sizes:
        for engine in engines:
            if importlib.util.find_spec(ENGINE_MODULES[engine]) is None:
                continue
            for model in models:
                if engine not in readers_of(model):
                    continue
                quantized = model.suffix == '.onnx' and is_int8(model)
                for precision in PRECISIONS_OF_ENGINE[engine]:
                    if precision in precisions and (precision == 'int8') == quantized:
                        rows.append(Configuration(engine, model, precision, size))
    if not rows:
        names = ', '.join(model.name for model in models)
        raise ModelError(f'nothing to measure: no installed engine of {", ".join(engines)} runs {names} so')
    return tuple(rows)


def run_benchmark(
    plan: Plan,
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
    progress: Callable[[Sequence[Configuration]], Iterator[Configuration]] = iter,
) -> list[Row]:
    """Measures every row of the plan, one after the other.

    Args:
        pairs: images on which everything runs, resized to each size, with labels where there is truth.
        classes: of the models.

    Returns:
        Rows as docs/inference.md tells them: ``engine, precision, size, latency_ms_p50, latency_ms_p95, latency_ms_p99,
        throughput_fps, gflops, start_ms, rss_mb, label_agreement, mean_iou, iou_drop, ...``; a row that could not be
        measured has ``error`` instead.
    """
    rows: list[Row] = []
    seen: dict[int, NDArray[np.uint8]] = {}
    with tempfile.TemporaryDirectory(prefix='minisegnet-benchmark-') as folder:
        for configuration in progress(plan.configurations):
            images = Path(folder) / f'{configuration.size[0]}x{configuration.size[1]}.npz'
            if not images.exists():
                np.savez(images, images=np.stack([_resized(p, configuration.size)[0] for p in pairs]))
            labels = Path(folder) / 'labels.npz'
            row = _measure(configuration, plan, images, labels)
            if 'error' not in row:
                with np.load(labels) as file:
                    seen[len(rows)] = file['labels']
            rows.append(row)
    for size in dict.fromkeys(row['size'] for row in rows):
        _add_agreement([i for i in seen if rows[i]['size'] == size], rows, seen, pairs, classes)
    return rows


def _measure(configuration: Configuration, plan: Plan, images: Path, labels: Path) -> Row:
    width, height = configuration.size
    row: Row = {
        'engine': configuration.engine,
        'precision': configuration.precision,
        'size': f'{width}x{height}',
        'model': configuration.model.name,
        'threads': plan.threads,
    }
    task = {
        'model': str(configuration.model),
        'settings': plan.settings(configuration),
        'streams': plan.streams,
        'duration': plan.duration,
        'images': str(images),
        'labels': str(labels),
    }
    if plan.device != 'gpu' and not has_nvidia_gpu() and not plan.emulated and is_emulated(configuration):
        return {
            **row,
            'error': 'this CPU does not multiply so, PyTorch would emulate it; name the precision to measure it',
        }
    row |= _in_child(task, plan)
    if 'error' not in row:
        gflop = network_gflop(width, height, width_mult=_width_mult(configuration.model))
        row['gflops'] = gflop / row['latency_ms_p50'] * 1e3
        row['emulated'] = row['device'] == 'CPU' and is_emulated(configuration)
    return row


@lru_cache(maxsize=8)
def _width_mult(model: Path) -> float:
    if model.suffix == '.onnx':
        return width_of(model)
    from minisegnet_core.checkpoint import load_checkpoint

    return load_checkpoint(model)[1].width_mult


def is_emulated(configuration: Configuration) -> bool:
    """Whether a CPU such as this one computes such a row in another precision with conversions between. Only PyTorch
    does; OpenVINO and ONNX Runtime refuse.
    """
    if configuration.engine != 'torch':
        return False
    native = {'float32': True, 'bfloat16': processor().native_bfloat16}
    return not native.get(configuration.precision, 'avx512_fp16' in processor().features)


def _in_child(task: dict[str, Any], plan: Plan) -> Row:
    import minisegnet_core

    root = str(Path(minisegnet_core.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get('PYTHONPATH', '')) if part)
    environment = {**os.environ, 'PYTHONPATH': path}
    try:
        done = subprocess.run(
            [sys.executable, '-m', CHILD],
            input=json.dumps({**task, 'started': time.time()}),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=TIME_LIMIT + 2 * plan.duration,
        )
    except subprocess.TimeoutExpired:
        return {'error': f'it took more than {TIME_LIMIT:.0f} s'}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'it ended with {done.returncode}']
        return {'error': last[0]}
    # Libraries may write to standard output too; the row is the last line.
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def _resized(pair: LabelledPair, size: ImageSize) -> LabelledPair:
    """The pair at this (width, height); labels by nearest neighbour."""
    image, labels = pair
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if labels is not None:
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return image, labels


def _add_agreement(
    indices: Sequence[int],
    rows: Sequence[Row],
    seen: dict[int, NDArray[np.uint8]],
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
) -> None:
    """Compares the rows of one size with their reference, and with the truth where there is one."""
    by_kind = {(rows[i]['engine'], rows[i]['precision']): i for i in reversed(indices)}
    reference = next((by_kind[kind] for kind in REFERENCES if kind in by_kind), None)
    for index in indices:
        row = rows[index]
        row['mean_iou'] = _mean_iou(seen[index], row['size'], pairs, classes)
        row['reference'] = None if reference is None else '{engine} {precision}'.format(**rows[reference])
        row['label_agreement'] = None if reference is None else float((seen[index] == seen[reference]).mean())
    for index in indices:
        own, other = rows[index]['mean_iou'], None if reference is None else rows[reference]['mean_iou']
        rows[index]['iou_drop'] = None if own is None or other is None else other - own


def _mean_iou(labels: NDArray[np.uint8], size: str, pairs: Sequence[LabelledPair], classes: ClassSet) -> float | None:
    width, height = (int(part) for part in size.split('x'))
    confusion = ConfusionMatrix(len(classes))
    for pair, predicted in zip(pairs, labels, strict=True):
        truth = _resized(pair, (width, height))[1]
        if truth is not None:
            confusion.add(reduce_labels(truth, classes), predicted)
    mean = confusion.mean_iou()
    return None if math.isnan(mean) else mean
