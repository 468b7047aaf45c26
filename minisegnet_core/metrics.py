"""Measures of label images and of balls, in NumPy alone.

Classes that neither truth nor prediction contains have no IoU (NaN) and do not count in a mean; ignored pixels count
nowhere.
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
        # Ids are told by their largest; where truth is ignored, the prediction's still must be one of ours.
        largest = max(int(np.max(truth, where=valid, initial=0)), int(np.max(prediction, initial=0)))
        if largest >= classes:
            raise ValueError(f'a label id is not below the number of classes, {classes}')
        # Pairs fit a byte with up to 15 classes: eight times less memory to go through than with bincount's own type.
        kind = np.uint8 if classes**2 < IGNORE else np.int64
        pairs = truth.astype(kind) * kind(classes) + prediction
        pairs[~valid] = classes**2
        counted = np.bincount(pairs.reshape(-1), minlength=classes**2 + 1)[: classes**2]
        self.counts += counted.reshape(classes, classes)

    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union per class, NaN where a class appears on neither side."""
        right = np.diag(self.counts)
        return ratios(right, self.counts.sum(0) + self.counts.sum(1) - right)

    def precision(self) -> NDArray[np.float64]:
        """(C,) share of the pixels predicted as a class that are of it, NaN where it is never predicted."""
        return ratios(np.diag(self.counts), self.counts.sum(0))

    def recall(self) -> NDArray[np.float64]:
        """(C,) share of a class's pixels that are predicted as it, NaN where truth has none."""
        return ratios(np.diag(self.counts), self.counts.sum(1))

    def f1(self) -> NDArray[np.float64]:
        """(C,) harmonic mean of precision and recall, 2 IoU / (1 + IoU); NaN where a class appears on neither side."""
        return ratios(2 * np.diag(self.counts), self.counts.sum(0) + self.counts.sum(1))

    def mean_iou(self, leave_out: Sequence[int] = ()) -> float:
        """Mean of :meth:`iou` over the classes that have one; NaN where none has. ``leave_out``: ids not counted."""
        iou = np.delete(self.iou(), list(leave_out))
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan

    def accuracy(self) -> float:
        """Share of valid pixels with the right class; NaN without any."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else math.nan


def ratios(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """``part / whole`` of arrays of equal shape, NaN where ``whole`` is zero."""
    result: NDArray[np.float64] = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


MINIMUM_VISIBLE = 0.5
MINIMUM_RADIUS = 4.0
"""Pixels. Smaller or more hidden balls count neither as found nor as missed."""


@dataclass(frozen=True)
class BallMatch:
    """What one image's best predicted ball is worth.

    hit: the ball it found, or None; distance: pixels from there to the visible centroid of ``hit``, NaN without one;
    false: whether it found none though it should; missed: countable balls that were not found.
    """

    hit: BallTruth | None
    distance: float
    false: bool
    missed: tuple[BallTruth, ...]


def match_ball(truths: Sequence[BallTruth], prediction: Ball | None) -> BallMatch:
    """Judges one image by the rule of :class:`BallScore`.

    With several countable balls in an image, finding any one of them is all that one prediction can do: the others
    count as missed.
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
    """Balls found, missed and falsely seen, by the rule of the project.

    A ball counts if at least half of it is visible and its radius is at least 4 px. The best predicted ball finds it if
    it lies within max(radius, 4 px) of the visible centroid; a prediction that finds no ball is false, unless it lies
    on a ball too small or hidden to count. Centroid errors are in pixels of the received image.

    Attributes:
        errors: px, of each found ball. found_radii, missed_radii: px, true radii of those found and missed.
        false_radii: px, predicted radii of false ones.
    """

    found: int = 0
    missed: int = 0
    false: int = 0
    errors: list[float] = field(default_factory=list)
    found_radii: list[float] = field(default_factory=list)
    missed_radii: list[float] = field(default_factory=list)
    false_radii: list[float] = field(default_factory=list)

    def add(self, truths: Sequence[BallTruth], prediction: Ball | None) -> BallMatch:
        """Adds one image: all balls in it, and the best predicted one or None; what :func:`match_ball` says of it."""
        match = match_ball(truths, prediction)
        self._miss(match.missed)
        self._judge(match, prediction)
        return match

    def add_every(self, truths: Sequence[BallTruth], predictions: Sequence[Ball]) -> None:
        """Adds one image: all balls in it, and all predicted ones, the best first.

        Each ball is found once, by the best prediction on it; a further one there is false, as in detection benchmarks.
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

    def merge(self, others: BallScore) -> None:
        """Adds what another one has counted."""
        self.found, self.missed, self.false = (
            self.found + others.found,
            self.missed + others.missed,
            self.false + others.false,
        )
        self.errors += others.errors
        self.found_radii += others.found_radii
        self.missed_radii += others.missed_radii
        self.false_radii += others.false_radii

    def of_size(self, smallest: float, largest: float) -> BallScore:
        """The part whose radius lies in [smallest, largest) px: the true one, of false balls the predicted one."""

        def within(radii: list[float]) -> list[float]:
            return [r for r in radii if smallest <= r < largest]

        pairs = [(e, r) for e, r in zip(self.errors, self.found_radii, strict=True) if smallest <= r < largest]
        found, missed, false = [r for _, r in pairs], within(self.missed_radii), within(self.false_radii)
        return BallScore(len(found), len(missed), len(false), [e for e, _ in pairs], found, missed, false)

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

    @property
    def errors_in_radii(self) -> list[float]:
        """Centroid errors of found balls, each divided by that ball's true radius."""
        return [error / radius for error, radius in zip(self.errors, self.found_radii, strict=True)]

    def error_percentile(self, percent: float) -> float:
        """Percentile of the centroid errors of found balls, pixels; NaN without any."""
        return percentile(self.errors, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """Percentile (0..100) with linear interpolation between neighbours, as NumPy's; NaN of nothing."""
    return float(np.percentile(values, percent)) if len(values) else math.nan


def _distance(truth: BallTruth, ball: Ball) -> float:
    return math.hypot(truth.visible_x - ball.x, truth.visible_y - ball.y)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
