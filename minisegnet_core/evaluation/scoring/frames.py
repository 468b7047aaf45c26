"""What an evaluation goes through: a frame with its truth, a prediction of it, and how the two compare."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.classes import IGNORE, LINE, ClassSet
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.evaluation.scoring.boundary import FULL_SIZE_TOLERANCE, TOLERANCE, boundary_counts
from minisegnet_core.geometry import label_size
from minisegnet_core.metrics import BallMatch, BallScore, ConfusionMatrix, match_ball
from minisegnet_core.visualization import enlarge_labels


@dataclass(frozen=True)
class TruthFrame:
    """One frame of a source, with what is known of it.

    index: its place in the source, from 0; stamp: ns of its header, None for files; received: ns, when a bag's recorder
    got it, else None; group: sequence it belongs to, None where unknown. image: (H, W, 3) uint8 RGB. labels: (H, W) or
    label-grid uint8 ids with 255 = ignore, or None. balls: all that are in the image, None where nobody looked.
    """

    index: int
    name: str
    image: NDArray[np.uint8]
    stamp: int | None = None
    received: int | None = None
    frame_id: str = ''
    group: str | None = None
    labels: NDArray[np.uint8] | None = None
    balls: tuple[BallTruth, ...] | None = None


@dataclass(frozen=True)
class Prediction:
    """What was said of a frame. label_image: (h, w) uint8 on the label grid; ball: the best or None; latency_ms: of the
    engine offline, from publication to arrival of the labels live, None where it was not measured. balls: all of them,
    the best first; None where only the best is known, as live.
    """

    label_image: NDArray[np.uint8]
    ball: Ball | None
    latency_ms: float | None
    balls: tuple[Ball, ...] | None = None


@dataclass(frozen=True)
class FrameScore:
    """One frame's part in every figure; all that is summed later, so that frames may come from many processes.

    labels: PNG bytes of the predicted label image, empty where the frame was not answered (dropped). size: (width,
    height) of the image. confusion, confusion_full: (C, C) int64 on the label grid and at the image's size, None
    without such truth. lines, lines_full: (4,) int64 of :mod:`boundary`, None without truth or without a class line.
    shares: (C,) share of predicted label pixels. match: None without ball truth. every: of all predicted balls, None
    without ball truth or where only the best is known.
    """

    source: str
    index: int
    name: str
    stamp: int | None
    group: str | None
    size: tuple[int, int]
    answered: bool
    labels: bytes
    ball: Ball | None
    latency_ms: float | None
    confusion: NDArray[np.int64] | None = None
    confusion_full: NDArray[np.int64] | None = None
    lines: NDArray[np.int64] | None = None
    lines_full: NDArray[np.int64] | None = None
    match: BallMatch | None = None
    every: BallScore | None = None
    shares: NDArray[np.float64] | None = field(default=None)

    def label_image(self) -> NDArray[np.uint8] | None:
        """(h, w) uint8 predicted ids, None where the frame was not answered."""
        if not self.labels:
            return None
        return np.asarray(cv2.imdecode(np.frombuffer(self.labels, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)

    def mean_iou(self, absent: tuple[int, ...] = ()) -> float:
        """Mean IoU of this frame alone on the label grid, NaN without truth."""
        if self.confusion is None:
            return math.nan
        matrix = ConfusionMatrix(len(self.confusion))
        matrix.counts += self.confusion
        return matrix.mean_iou(absent)

    def record(self) -> dict[str, Any]:
        """As a line of frames.jsonl; undefined figures are null."""
        match = self.match
        return {
            'source': self.source,
            'name': self.name,
            'stamp': self.stamp,
            'group': self.group,
            'answered': self.answered,
            'latency_ms': None if self.latency_ms is None else round(self.latency_ms, 3),
            'ball': None if self.ball is None else [round(v, 3) for v in (self.ball.x, self.ball.y, self.ball.radius)],
            'confidence': self.ball.confidence if self.ball is not None and self.ball.confidence > 0 else None,
            **{
                key: None if values is None else values.tolist()
                for key, values in (
                    ('confusion', self.confusion),
                    ('confusion_full', self.confusion_full),
                    ('lines', self.lines),
                    ('lines_full', self.lines_full),
                )
            },
            'ball_counts': None if match is None else [int(match.hit is not None), len(match.missed), int(match.false)],
            'ball_error': None if match is None or match.hit is None else match.distance,
        }


def score_frame(
    source: str, frame: TruthFrame, prediction: Prediction | None, classes: ClassSet, absent: dict[int, int]
) -> FrameScore:
    """Compares one frame's prediction with its truth.

    Args:
        source: name of what the frame comes from.
        prediction: None where the frame was not answered; such a frame counts in no accuracy, its number stands beside.
        classes: of both sides' ids.
        absent: ids that this truth never draws, and what it draws instead.
    """
    height, width = frame.image.shape[:2]
    given: dict[str, Any] = {
        'source': source,
        'index': frame.index,
        'name': frame.name,
        'stamp': frame.stamp,
        'group': frame.group,
        'size': (width, height),
    }
    if prediction is None:
        return FrameScore(**given, answered=False, labels=b'', ball=None, latency_ms=None)
    labels = prediction.label_image
    given['shares'] = np.bincount(labels.reshape(-1), minlength=len(classes))[: len(classes)] / labels.size
    if frame.balls is not None and prediction.balls is not None:
        given['every'] = BallScore()
        given['every'].add_every(frame.balls, prediction.balls)
    if frame.labels is not None:
        given |= _compare(frame.labels, _mapped(labels, absent), (width, height), classes)
    return FrameScore(
        **given,
        answered=True,
        labels=cv2.imencode('.png', labels)[1].tobytes(),
        ball=prediction.ball,
        latency_ms=prediction.latency_ms,
        match=None if frame.balls is None else match_ball(frame.balls, prediction.ball),
    )


def _mapped(labels: NDArray[np.uint8], absent: dict[int, int]) -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    for label_id, instead in absent.items():
        table[label_id] = instead
    return table[labels]


def _compare(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], size: tuple[int, int], classes: ClassSet
) -> dict[str, NDArray[np.int64]]:
    """Counts on the label grid and, where the truth has the image's size, on that."""
    line = classes.id_of(LINE)
    width, height = size
    full = truth.shape == (height, width)
    grid = reduce_labels(truth, classes) if full else truth
    pairs = [('', grid, predicted, TOLERANCE)]
    if full:
        pairs.append(('_full', truth, enlarge_labels(predicted, width, height), FULL_SIZE_TOLERANCE))
    result = {}
    for suffix, true, found, tolerance in pairs:
        matrix = ConfusionMatrix(len(classes))
        matrix.add(true, found)
        result[f'confusion{suffix}'] = matrix.counts
        if line is not None:
            result[f'lines{suffix}'] = boundary_counts(true, found, line, tolerance)
    return result


def clean_labels(
    labels: NDArray[np.uint8], image_size: tuple[int, int], num_classes: int
) -> tuple[NDArray[np.uint8] | None, dict[int, int]]:
    """Truth made usable: (labels or None where their size fits neither image nor label grid, pixels by stray id).

    Stray ids (no class's and not ignore) become ignore.
    """
    width, height = image_size
    grid = label_size(width, height)
    if labels.shape not in ((height, width), (grid[1], grid[0])):
        return None, {}
    counts = np.bincount(labels.reshape(-1), minlength=256)
    stray = {i: int(counts[i]) for i in range(num_classes, IGNORE) if counts[i]}
    if stray:
        labels = np.where(labels < num_classes, labels, np.uint8(IGNORE))
    return labels, stray
