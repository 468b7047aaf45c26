"""An evaluation as files: report.json for programs, worst.png for eyes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet_core.data.dataset import write_image
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.evaluator import Evaluation, FrameResult
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.metrics import ConfusionMatrix
from minisegnet_core.visualization import colorize, contact_sheet, draw_overlay, enlarge_labels

WORST_FRAMES = 6


def report_values(evaluation: Evaluation, segmenter: Segmenter, source: str) -> dict[str, Any]:
    """The report as plain JSON values; undefined figures are null. Pixels are the received image's."""
    balls = evaluation.balls
    return {
        'model': {'file': segmenter.model_path.name, 'hash': segmenter.model_hash, 'engine': segmenter.engine},
        'network_size': segmenter.network_size,
        'source': source,
        'frames': len(evaluation.frames),
        'mean_iou': _number(evaluation.confusion.mean_iou(evaluation.absent)),
        'iou': _iou(evaluation, evaluation.confusion),
        'full_size': {
            'mean_iou': _number(evaluation.confusion_full.mean_iou(evaluation.absent)),
            'iou': _iou(evaluation, evaluation.confusion_full),
        },
        'confusion': evaluation.confusion.counts.tolist(),
        'ball': {
            'frames_with_truth': evaluation.frames_with_ball_truth,
            'found': balls.found,
            'missed': balls.missed,
            'false': balls.false,
            'precision': _number(balls.precision),
            'recall': _number(balls.recall),
            'f1': _number(balls.f1),
            'error_px_p50': _number(balls.error_percentile(50)),
            'error_px_p95': _number(balls.error_percentile(95)),
        },
        'latency_ms': {f'p{p}': round(evaluation.latency_ms(p), 3) for p in (50, 95, 99)},
        'dropped': 0,
        'warnings': _warnings(evaluation),
    }


def write_report(values: dict[str, Any], evaluation: Evaluation, output: Path) -> None:
    """Writes report.json and worst.png into ``output``."""
    output.mkdir(parents=True, exist_ok=True)
    (output / 'report.json').write_text(json.dumps(values, indent=2) + '\n')
    worst = sorted(evaluation.frames, key=lambda f: (math.isnan(f.mean_iou), f.mean_iou))[:WORST_FRAMES]
    pictures, captions = [], []
    for frame in worst:
        pictures += _frame_pictures(frame, evaluation)
        captions += [f'{frame.sample.name} mean IoU {frame.mean_iou:.3f}', 'truth', 'prediction']
    write_image(output / 'worst.png', contact_sheet(pictures, 3, 426, captions))


def summary(values: dict[str, Any]) -> str:
    """The report's figures as a few lines of text."""

    def text(value: float | None) -> str:
        return '-' if value is None else f'{value:.3f}'

    names = list(values['iou'])
    rows = [
        f'{"IoU":12}' + ''.join(f'{name:>12}' for name in (*names, 'mean')),
        f'{"label grid":12}'
        + ''.join(f'{text(values["iou"][n]):>12}' for n in names)
        + f'{text(values["mean_iou"]):>12}',
        f'{"full size":12}'
        + ''.join(f'{text(values["full_size"]["iou"][n]):>12}' for n in names)
        + f'{text(values["full_size"]["mean_iou"]):>12}',
    ]
    ball = values['ball']
    if ball['frames_with_truth']:
        rows.append(
            f'balls: found {ball["found"]}, missed {ball["missed"]}, false {ball["false"]}; precision '
            f'{text(ball["precision"])}, recall {text(ball["recall"])}, F1 {text(ball["f1"])}, '
            f'error median {text(ball["error_px_p50"])} px'
        )
    latency = values['latency_ms']
    rows.append(f'engine {values["model"]["engine"]}: {latency["p50"]:.1f} ms median, {latency["p95"]:.1f} ms p95')
    return '\n'.join((*rows, *(f'note: {w}' for w in values['warnings'])))


def lookup(values: dict[str, Any], key: str) -> float:
    """The number at a dotted key such as ``ball.f1``.

    Raises:
        ConfigurationError: there is no number at this key.
    """
    found: Any = values
    for part in key.split('.'):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None or isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ConfigurationError(f'the report has no number {key!r}; it has, for one, mean_iou, iou.line and ball.f1')
    return float(found)


def _warnings(evaluation: Evaluation) -> list[str]:
    notes = []
    total = len(evaluation.frames)
    without = total - evaluation.frames_with_ball_truth
    if without:
        notes.append(f'{without} of {total} images have no ball truth and count for no ball figure')
    if evaluation.absent:
        names = ', '.join(evaluation.classes.names[i] for i in evaluation.absent)
        notes.append(f'this truth never draws {names}: left out of the means')
    return notes


def _iou(evaluation: Evaluation, confusion: ConfusionMatrix) -> dict[str, float | None]:
    return {
        name: None if i in evaluation.absent else _number(value)
        for i, (name, value) in enumerate(zip(evaluation.classes.names, confusion.iou().tolist(), strict=True))
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _frame_pictures(frame: FrameResult, evaluation: Evaluation) -> list[Any]:
    image, labels = frame.sample.read()
    height, width = labels.shape
    overlay = draw_overlay(image, frame.segmentation.label_image, evaluation.classes, frame.segmentation.balls[:1])
    difference = enlarge_labels(frame.segmentation.label_image, width, height) != labels
    overlay[difference & (labels != 255)] = (overlay[difference & (labels != 255)] // 2) + np.array(
        [120, 0, 0], np.uint8
    )
    return [image, colorize(labels, evaluation.classes), overlay]
