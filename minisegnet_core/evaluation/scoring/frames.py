"""Scoring of one frame: its prediction, and the counts from which all figures are summed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball
from minisegnet_core.classes import LINE, ClassSet, replace_absent
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.evaluation.scoring.boundary import FULL_SIZE_TOLERANCE, TOLERANCE, boundary_counts
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.imaging import decode_png, encode_image
from minisegnet_core.metrics import BallMatch, BallScore, ConfusionMatrix, match_ball
from minisegnet_core.visualization import enlarge_labels


@dataclass(frozen=True)
class Prediction:
    """The model's answer to one frame.

    Attributes:
        label_image: (h, w) uint8 ids on the label grid.
        ball: the best ball, or None.
        latency_ms: offline the time inside the engine, live the time from publishing the image to receiving its labels;
            None if unknown.
        balls: all balls, best first; None if only the best is known, as in a live evaluation.
    """

    label_image: NDArray[np.uint8]
    ball: Ball | None
    latency_ms: float | None
    balls: tuple[Ball, ...] | None = None


@dataclass(frozen=True)
class FrameScore:
    """Counts of one frame. They are summed later, so frames may come from several processes.

    Attributes:
        source: name of the source.
        index, name, stamp, group: as in :class:`~minisegnet_core.evaluation.sources.source.SourceFrame`.
        size: (width, height) of the image in pixels.
        answered: whether there was a prediction; False for a dropped frame.
        labels: PNG of the predicted label image, empty if not answered.
        ball: the best predicted ball, or None.
        latency_ms: as in :class:`Prediction`.
        confusion, confusion_full: (C, C) int64 on the label grid and at the image's size; None without ground truth.
        lines, lines_full: (4,) int64 of :func:`~minisegnet_core.evaluation.scoring.boundary.boundary_counts`; None
            without ground truth or without a class ``line``.
        match: comparison of the best ball; None without ball annotation.
        every: score of all predicted balls; None without ball annotation or if only the best is known.
        fractions: (C,) fraction of predicted label pixels by class; None if not answered.
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
    fractions: NDArray[np.float64] | None = None

    def label_image(self) -> NDArray[np.uint8] | None:
        """Return the (h, w) uint8 predicted ids, or None if the frame was not answered."""
        return decode_png(self.labels) if self.labels else None

    def mean_iou(self, absent: tuple[int, ...] = ()) -> float:
        """Return the mean IoU of this frame on the label grid without the ids ``absent``; NaN without ground truth."""
        if self.confusion is None:
            return math.nan
        matrix = ConfusionMatrix(len(self.confusion))
        matrix.counts += self.confusion
        return matrix.mean_iou(absent)


def score_frame(
    source: str, frame: SourceFrame, prediction: Prediction | None, classes: ClassSet, absent: dict[int, int]
) -> FrameScore:
    """Compare the prediction of one frame with its ground truth.

    Args:
        source: name of the source.
        prediction: None if the frame was not answered; such a frame is counted and in no accuracy figure.
        classes: classes of the ids on both sides.
        absent: ids that the ground truth never contains, each with the id that stands in its place.
    """
    height, width = frame.image.shape[:2]
    scored: dict[str, Any] = {
        'source': source,
        'index': frame.index,
        'name': frame.name,
        'stamp': frame.stamp,
        'group': frame.group,
        'size': (width, height),
    }
    if prediction is None:
        return FrameScore(**scored, answered=False, labels=b'', ball=None, latency_ms=None)
    labels = prediction.label_image
    scored['fractions'] = np.bincount(labels.reshape(-1), minlength=len(classes))[: len(classes)] / labels.size
    if frame.balls is not None and prediction.balls is not None:
        scored['every'] = BallScore()
        scored['every'].add_every(frame.balls, prediction.balls)
    if frame.labels is not None:
        scored |= _compare_labels(frame.labels, replace_absent(labels, absent), (width, height), classes)
    return FrameScore(
        **scored,
        answered=True,
        labels=encode_image(labels, '.png'),
        ball=prediction.ball,
        latency_ms=prediction.latency_ms,
        match=None if frame.balls is None else match_ball(frame.balls, prediction.ball),
    )


def _compare_labels(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], size: tuple[int, int], classes: ClassSet
) -> dict[str, NDArray[np.int64]]:
    """Return the counts on the label grid and, if the ground truth has the image's size, at that size."""
    line = classes.id_of(LINE)
    width, height = size
    full = truth.shape == (height, width)
    grid = reduce_labels(truth, classes) if full else truth
    comparisons = [('', grid, predicted, TOLERANCE)]
    if full:
        comparisons.append(('_full', truth, enlarge_labels(predicted, width, height), FULL_SIZE_TOLERANCE))
    counts = {}
    for suffix, true, found, tolerance in comparisons:
        matrix = ConfusionMatrix(len(classes))
        matrix.add(true, found)
        counts[f'confusion{suffix}'] = matrix.counts
        if line is not None:
            counts[f'lines{suffix}'] = boundary_counts(true, found, line, tolerance)
    return counts
