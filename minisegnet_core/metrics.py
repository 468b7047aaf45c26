"""Measures of label images and of balls, in NumPy alone.

Classes that neither truth nor prediction contains have no IoU (NaN) and do not count in a mean; ignored pixels count
nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.classes import IGNORE


class ConfusionMatrix:
    """Counts of label pixels by (truth, prediction), summed over any number of images.

    Attributes:
        counts: (C, C) int64; row: truth, column: prediction.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes, num_classes), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Adds one image, or a batch.

        Args:
            truth: uint8 ids of any shape, 255 = ignore.
            prediction: uint8 ids of the same shape, never ignore.

        Raises:
            ValueError: shapes differ, or an id is out of range.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f'truth is {truth.shape}, prediction {prediction.shape}')
        classes = len(self.counts)
        valid = truth != IGNORE
        true, predicted = truth[valid].astype(np.int64), prediction[valid].astype(np.int64)
        if true.size and max(int(true.max()), int(predicted.max())) >= classes:
            raise ValueError(f'a label id is not below the number of classes, {classes}')
        self.counts += np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)

    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union per class, NaN where a class appears on neither side."""
        intersection = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - intersection
        iou: NDArray[np.float64] = np.full(len(self.counts), np.nan)
        np.divide(intersection, union, out=iou, where=union > 0)
        return iou

    def mean_iou(self, leave_out: Sequence[int] = ()) -> float:
        """Mean of :meth:`iou` over the classes that have one; NaN where none has. ``leave_out``: ids not counted."""
        iou = np.delete(self.iou(), list(leave_out))
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan

    def accuracy(self) -> float:
        """Share of valid pixels with the right class; NaN without any."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else math.nan


MINIMUM_VISIBLE = 0.5
MINIMUM_RADIUS = 4.0
"""Pixels. Smaller or more hidden balls count neither as found nor as missed."""


@dataclass
class BallScore:
    """Counts found, missed and false balls over images, by the rule of the project's design document.

    A ball counts if at least half of it is visible and its radius is at least 4 px. The best predicted ball finds it if
    it lies within max(radius, 4 px) of the visible centroid; a prediction that finds no ball is false, unless it lies
    on a ball too small or hidden to count. Centroid errors are in pixels of the received image.
    """

    found: int = 0
    missed: int = 0
    false: int = 0
    errors: list[float] = field(default_factory=list)

    def add(self, truths: Sequence[BallTruth], prediction: Ball | None) -> None:
        """Adds one image: all balls in it, and the best predicted one or None.

        With several countable balls in an image, finding any one of them is all that one prediction can do: the others
        count as missed.
        """
        countable = [t for t in truths if t.visible >= MINIMUM_VISIBLE and t.radius >= MINIMUM_RADIUS]
        hit: BallTruth | None = None
        on_uncounted = False
        if prediction is not None:
            hits = [t for t in countable if _distance(t, prediction) <= max(t.radius, MINIMUM_RADIUS)]
            hit = min(hits, key=lambda t: _distance(t, prediction), default=None)
            on_uncounted = any(
                t not in countable and t.visible > 0 and _distance(t, prediction) <= max(t.radius, MINIMUM_RADIUS)
                for t in truths
            )
        if hit is not None and prediction is not None:
            self.found += 1
            self.errors.append(_distance(hit, prediction))
        elif prediction is not None and not on_uncounted:
            self.false += 1
        self.missed += len(countable) - (hit is not None)

    @property
    def precision(self) -> float:
        """Share of predictions that found a ball; NaN without predictions."""
        return _ratio(self.found, self.found + self.false)

    @property
    def recall(self) -> float:
        """Share of countable balls found; NaN without any."""
        return _ratio(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where nothing was there and nothing predicted."""
        return _ratio(2 * self.found, 2 * self.found + self.false + self.missed)

    def error_percentile(self, percent: float) -> float:
        """Percentile of the centroid errors of found balls, pixels; NaN without any."""
        return float(np.percentile(self.errors, percent)) if self.errors else math.nan


def _distance(truth: BallTruth, ball: Ball) -> float:
    return math.hypot(truth.visible_x - ball.x, truth.visible_y - ball.y)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
