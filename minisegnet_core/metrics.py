"""Metrics of label images and of balls, in NumPy alone.

A class that neither ground truth nor prediction contains has no IoU (NaN) and does not enter a mean. Ignored pixels are
not counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.classes import IGNORE


class ConfusionMatrix:
    """Counts of label pixels by (ground truth, prediction), summed over any number of images.

    Attributes:
        counts: (C, C) int64; rows are ground truth, columns are predictions.
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes, num_classes), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Add one image, or a batch.

        Args:
            truth: uint8 ids of any shape, 255 = ignore.
            prediction: uint8 ids of the same shape, never ignore.

        Raises:
            ValueError: shapes differ, or an id is out of range.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f'ground truth has the shape {truth.shape}, the prediction {prediction.shape}')
        classes = len(self.counts)
        valid = truth != IGNORE
        # Predicted ids must be in range where the ground truth is ignored, too.
        largest = max(int(np.max(truth, where=valid, initial=0)), int(np.max(prediction, initial=0)))
        if largest >= classes:
            raise ValueError(f'label id {largest} is not below the number of classes, {classes}')
        # With up to 15 classes a pair of ids fits a byte, an eighth of the memory traffic of bincount's own type.
        kind = np.uint8 if classes**2 < IGNORE else np.int64
        pairs = truth.astype(kind) * kind(classes) + prediction
        pairs[~valid] = classes**2
        counted = np.bincount(pairs.reshape(-1), minlength=classes**2 + 1)[: classes**2]
        self.counts += counted.reshape(classes, classes)

    def iou(self) -> NDArray[np.float64]:
        """Return the (C,) intersection over union of each class; NaN where a class appears on neither side."""
        right = np.diag(self.counts)
        return ratios(right, self.counts.sum(0) + self.counts.sum(1) - right)

    def precision(self) -> NDArray[np.float64]:
        """Return the (C,) precision of each class; NaN where a class is never predicted."""
        return ratios(np.diag(self.counts), self.counts.sum(0))

    def recall(self) -> NDArray[np.float64]:
        """Return the (C,) recall of each class; NaN where the ground truth does not contain a class."""
        return ratios(np.diag(self.counts), self.counts.sum(1))

    def f1(self) -> NDArray[np.float64]:
        """Return the (C,) F1 score of each class, 2 IoU / (1 + IoU); NaN where a class appears on neither side."""
        return ratios(2 * np.diag(self.counts), self.counts.sum(0) + self.counts.sum(1))

    def mean_iou(self, leave_out: Sequence[int] = ()) -> float:
        """Return the mean of :meth:`iou` over the classes that have one; NaN where none has.

        Args:
            leave_out: class ids that do not enter the mean.
        """
        iou = np.delete(self.iou(), list(leave_out))
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan

    def accuracy(self) -> float:
        """Return the fraction of valid pixels with the correct class; NaN without valid pixels."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else math.nan


def ratios(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``part / whole`` of arrays of equal shape, NaN where ``whole`` is zero."""
    result: NDArray[np.float64] = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


MINIMUM_VISIBLE = 0.5
"""Visible fraction from which a ball counts; a more hidden one is neither found nor missed."""

MINIMUM_RADIUS = 4.0
"""Radius in pixels from which a ball counts; a smaller one is neither found nor missed."""


@dataclass(frozen=True)
class BallMatch:
    """The result of matching one predicted ball with the balls in its image.

    Attributes:
        hit: the ball that the prediction found, or None.
        distance: distance of the prediction to the visible centroid of ``hit`` in pixels, NaN without a hit.
        false: whether the prediction is a false positive.
        missed: countable balls that were not found.
    """

    hit: BallTruth | None
    distance: float
    false: bool
    missed: tuple[BallTruth, ...]


def match_ball(truths: Sequence[BallTruth], prediction: Ball | None) -> BallMatch:
    """Match one prediction with the balls in its image, by the rule of :class:`BallScore`.

    One prediction finds at most one ball. The other countable balls of the image count as missed.
    """
    countable = [t for t in truths if t.visible >= MINIMUM_VISIBLE and t.radius >= MINIMUM_RADIUS]
    if prediction is None:
        return BallMatch(None, math.nan, False, tuple(countable))
    near = [t for t in truths if _distance(t, prediction) <= max(t.radius, MINIMUM_RADIUS)]
    hit = min((t for t in near if t in countable), key=lambda t: _distance(t, prediction), default=None)
    on_uncounted = any(t not in countable and t.visible > 0 for t in near)
    missed = list(countable)
    if hit is not None:
        missed.remove(hit)
    distance = math.nan if hit is None else _distance(hit, prediction)
    return BallMatch(hit, distance, hit is None and not on_uncounted, tuple(missed))


@dataclass
class BallScore:
    """Numbers of balls found (true positives), missed (false negatives) and false (false positives).

    A ball counts if at least half of it is visible and its radius is at least 4 px. A prediction finds it by lying
    within max(radius, 4 px) of its visible centroid. A prediction that finds no ball is false, unless it lies on a ball
    that is too small or too hidden to count.

    Attributes:
        errors: centroid error of each found ball, in received pixels.
        found_radii: ground-truth radius of each found ball, in pixels; in the order of ``errors``.
        missed_radii: ground-truth radius of each missed ball, in pixels.
        false_radii: predicted radius of each false positive, in pixels.
    """

    found: int = 0
    missed: int = 0
    false: int = 0
    errors: list[float] = field(default_factory=list)
    found_radii: list[float] = field(default_factory=list)
    missed_radii: list[float] = field(default_factory=list)
    false_radii: list[float] = field(default_factory=list)

    def add(self, truths: Sequence[BallTruth], prediction: Ball | None) -> BallMatch:
        """Add one image, with all its balls and the best prediction or None; return the match."""
        match = match_ball(truths, prediction)
        self._miss(match.missed)
        self._judge(match, prediction)
        return match

    def add_every(self, truths: Sequence[BallTruth], predictions: Sequence[Ball]) -> None:
        """Add one image, with all its balls and all predictions, the best first.

        Each ball is found once, by the best prediction on it. Further predictions on it are false, as in detection
        benchmarks.
        """
        left = list(truths)
        for prediction in predictions:
            match = match_ball(left, prediction)
            self._judge(match, prediction)
            if match.hit is not None:
                left.remove(match.hit)
        self._miss(match_ball(left, None).missed)

    def _judge(self, match: BallMatch, prediction: Ball | None) -> None:
        if match.hit is not None:
            self.found += 1
            self.errors.append(match.distance)
            self.found_radii.append(match.hit.radius)
        elif match.false and prediction is not None:
            self.false += 1
            self.false_radii.append(prediction.radius)

    def _miss(self, truths: Sequence[BallTruth]) -> None:
        self.missed += len(truths)
        self.missed_radii += [t.radius for t in truths]

    def merge(self, other: BallScore) -> None:
        """Add the counts of another score."""
        self.found += other.found
        self.missed += other.missed
        self.false += other.false
        self.errors += other.errors
        self.found_radii += other.found_radii
        self.missed_radii += other.missed_radii
        self.false_radii += other.false_radii

    def of_size(self, smallest: float, largest: float) -> BallScore:
        """Return the score of balls with a radius in [smallest, largest) px; false ones have their predicted radius."""

        def within(radii: list[float]) -> list[float]:
            return [r for r in radii if smallest <= r < largest]

        pairs = [(e, r) for e, r in zip(self.errors, self.found_radii, strict=True) if smallest <= r < largest]
        found, missed, false = [r for _, r in pairs], within(self.missed_radii), within(self.false_radii)
        return BallScore(len(found), len(missed), len(false), [e for e, _ in pairs], found, missed, false)

    @property
    def precision(self) -> float:
        """Fraction of the counted predictions that found a ball; NaN without predictions."""
        return _ratio(self.found, self.found + self.false)

    @property
    def recall(self) -> float:
        """Fraction of the countable balls that were found; NaN without balls."""
        return _ratio(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without balls and predictions."""
        return _ratio(2 * self.found, 2 * self.found + self.false + self.missed)

    @property
    def errors_in_radii(self) -> list[float]:
        """Centroid error of each found ball, divided by its ground-truth radius."""
        return [error / radius for error, radius in zip(self.errors, self.found_radii, strict=True)]

    def error_percentile(self, percent: float) -> float:
        """Return a percentile (0..100) of the centroid errors in pixels; NaN without found balls."""
        return percentile(self.errors, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile (0..100) with NumPy's linear interpolation between neighbours; NaN without values."""
    return float(np.percentile(values, percent)) if len(values) else math.nan


def _distance(truth: BallTruth, ball: Ball) -> float:
    return math.hypot(truth.visible_x - ball.x, truth.visible_y - ball.y)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
