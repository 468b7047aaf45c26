"""Scores on disk: frames.jsonl, one object per frame. Written by an evaluation, read to compare or to select images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.files import read_json, read_json_lines, write_text_atomically
from minisegnet_core.metrics import BallMatch

FRAMES_FILE = 'frames.jsonl'
REPORT_FILE = 'report.json'

COUNT_FIELDS = ('confusion', 'confusion_full', 'lines', 'lines_full')
"""Attributes of a score that are arrays of counts."""


def write_frames(scores: Sequence[FrameScore], path: Path) -> None:
    """Write everything that :func:`read_frames` needs to compare another model with this one later."""
    write_text_atomically(path, ''.join(json.dumps(_record(score)) + '\n' for score in scores))


def _record(score: FrameScore) -> dict[str, Any]:
    match, ball = score.match, score.ball
    counts = {key: getattr(score, key) for key in COUNT_FIELDS}
    return {
        'source': score.source,
        'name': score.name,
        'stamp': score.stamp,
        'group': score.group,
        'answered': score.answered,
        'latency_ms': None if score.latency_ms is None else round(score.latency_ms, 3),
        'ball': None if ball is None else [round(v, 3) for v in (ball.x, ball.y, ball.radius)],
        'confidence': ball.confidence if ball is not None and ball.confidence > 0 else None,
        **{key: None if values is None else values.tolist() for key, values in counts.items()},
        'ball_counts': None if match is None else [int(match.hit is not None), len(match.missed), int(match.false)],
        'ball_error': None if match is None or match.hit is None else match.distance,
    }


def read_frames(folder: Path) -> list[FrameScore]:
    """Return the scores of an earlier evaluation's folder, without their label images.

    Raises:
        SourceError: the folder holds no scores, or they cannot be read.
    """
    path = folder / FRAMES_FILE
    if not path.is_file():
        raise SourceError(f'{folder} holds no {FRAMES_FILE}; give a folder that `evaluate` wrote')
    scores = []
    for index, (where, entry) in enumerate(read_json_lines(path, SourceError)):
        try:
            scores.append(_score(index, entry))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f'{where} is not the score of a frame ({error!r}); evaluate that model again') from error
    return scores


def _score(index: int, entry: Mapping[str, Any]) -> FrameScore:
    counts: dict[str, Any] = {
        key: None if entry[key] is None else np.array(entry[key], np.int64) for key in COUNT_FIELDS
    }
    match = None
    if entry['ball_counts'] is not None:
        found, missed, false = entry['ball_counts']
        unknown = BallTruth(0, 0, 0, 1, 0, 0)  # positions are not stored
        error = entry['ball_error'] if found else float('nan')
        match = BallMatch(unknown if found else None, error, bool(false), (unknown,) * missed)
    ball = None
    if entry['ball'] is not None:
        x, y, radius = entry['ball']
        ball = Ball(x, y, radius, entry['confidence'] or 0.0)
    return FrameScore(
        source=entry['source'],
        index=index,
        name=entry['name'],
        stamp=entry['stamp'],
        group=entry['group'],
        size=(0, 0),
        answered=entry['answered'],
        labels=b'',
        ball=ball,
        latency_ms=entry['latency_ms'],
        match=match,
        **counts,
    )


def read_classes(folder: Path) -> tuple[str, ...]:
    """Return the class names, by id, of the model of an earlier evaluation.

    Raises:
        SourceError: the folder's report does not contain them.
    """
    path = folder / REPORT_FILE
    report = read_json(path, SourceError)
    classes = report.get('classes') if isinstance(report, dict) else None
    if not isinstance(classes, list):
        raise SourceError(f'{path} does not name the classes; evaluate that model again')
    return tuple(map(str, classes))


def hardest(folder: Path, count: int) -> tuple[str, ...]:
    """Return the names of the ``count`` images that the model got most wrong, worst first.

    Args:
        folder: output of `minisegnet evaluate` on one data set with labels.
        count: at least 1. Images without an error are never returned, so there may be fewer.

    Raises:
        ConfigurationError: ``count`` is out of range.
        SourceError: the folder holds no evaluation, is damaged, or has no images with labels.
    """
    if count < 1:
        raise ConfigurationError(f'the number of hardest images is {count}; it must be at least 1')
    scores = read_frames(folder)
    if len({score.name for score in scores}) < len(scores):
        raise SourceError(f'{folder} holds several images with one name; evaluate one data set at a time')
    confusions = {score.name: score.confusion for score in scores if score.confusion is not None}
    if not confusions:
        raise SourceError(f'{folder} holds no image with labels; evaluate images that have labels')
    if len({confusion.shape for confusion in confusions.values()}) > 1:
        raise SourceError(f'{folder} is damaged: its images have different numbers of classes; evaluate again')
    errors = class_weighted_errors(np.stack(list(confusions.values())))
    names = list(confusions)
    return tuple(names[i] for i in np.argsort(-errors, kind='stable')[:count] if errors[i] > 0)


def class_weighted_errors(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the error of each image, with every class weighted by its pixels in all images.

    For each class this is the number of its false negative and false positive pixels over the number of its pixels in
    all images; the sum over the classes is returned. Without the weights the field, the largest class, would dominate.

    Args:
        confusions: (N, C, C) counts; rows are the ground truth.

    Returns:
        (N,) float64, 0 for an image without an error.
    """
    correct = np.diagonal(confusions, axis1=1, axis2=2)  # (N, C)
    wrong = confusions.sum(2) + confusions.sum(1) - 2 * correct  # (N, C)
    pixels = confusions.sum((0, 2))  # (C,)
    return np.asarray((wrong[:, pixels > 0] / pixels[pixels > 0]).sum(1), np.float64)
