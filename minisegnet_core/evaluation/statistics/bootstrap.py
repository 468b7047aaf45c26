"""Bootstrap confidence intervals of all figures, and of the difference between two models.

Percentile bootstrap (B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13): units are drawn
with replacement, as many as there are, and every figure is computed for each draw. A unit is an image, or a group of
images that belong together (a sequence, or five seconds of a bag). Two models are compared on the same draws, so that
frames which are hard for both cancel out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.evaluation.scoring.boundary import COUNTS, boundary_f
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.metrics import ratios

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95

FEW_UNITS = 10
"""Number of units below which an interval is rough; the report then warns."""

Figures = dict[str, NDArray[np.float64]]
"""Dotted keys of report.json, each with one value per draw."""


@dataclass(frozen=True)
class Interval:
    """A figure with the limits of its confidence interval at :data:`LEVEL` and its standard error; NaN if undefined."""

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Units:
    """The units to draw.

    Attributes:
        kind: ``image`` or ``group``.
        index: (N,) int64, the unit of each frame.
        count: number of units.
    """

    kind: str
    index: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, scores: Sequence[FrameScore], kind: str = 'auto') -> Units:
        """Return the units of some frames; ``auto`` selects ``group`` if every frame has one, else ``image``."""
        if kind == 'auto':
            kind = 'group' if scores and all(score.group is not None for score in scores) else 'image'
        names = [score.group if kind == 'group' and score.group else f'{i}' for i, score in enumerate(scores)]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return cls(kind, np.array([numbers[name] for name in names], np.int64), len(numbers))

    def draws(self, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int64]:
        """Return (resamples, count) int64: how often each unit is drawn; equal for equal seeds."""
        probabilities = np.full(self.count, 1 / max(self.count, 1))
        return np.random.default_rng(seed).multinomial(self.count, probabilities, size=resamples)


def figures(evaluation: Evaluation, units: Units, weights: NDArray[np.int64]) -> Figures:
    """Return every figure for every draw.

    Args:
        weights: (B, U) how often each unit counts; ones give the figures of the evaluation itself.

    Returns:
        (B,) float64 for each figure, NaN where undefined.
    """
    classes, scores = evaluation.classes, evaluation.scores
    number = len(classes)
    confusion = np.zeros((units.count, number, number), np.int64)
    lines = np.zeros((units.count, COUNTS), np.int64)
    balls = np.zeros((units.count, 3), np.int64)
    errors: list[float] = []
    error_units: list[int] = []
    for score, unit in zip(scores, units.index.tolist(), strict=True):
        if score.confusion is not None:
            confusion[unit] += score.confusion
        if score.lines is not None:
            lines[unit] += score.lines
        if score.match is not None:
            balls[unit] += (int(score.match.hit is not None), len(score.match.missed), int(score.match.false))
            if score.match.hit is not None:
                errors.append(score.match.distance)
                error_units.append(unit)
    result: Figures = {}
    sums = np.tensordot(weights, confusion, 1)  # (B, C, C)
    correct = np.diagonal(sums, axis1=1, axis2=2)  # (B, C)
    iou = ratios(correct, sums.sum(1) + sums.sum(2) - correct)
    for key, left_out in (
        ('mean_iou', evaluation.absent),
        ('mean_iou_without_background', evaluation.without_background()),
    ):
        kept = np.delete(iou, list(left_out), axis=1)
        defined = np.isfinite(kept)
        result[key] = ratios(np.where(defined, kept, 0).sum(1), defined.sum(1))
    for index, name in enumerate(classes.names):
        if index not in evaluation.absent:
            result[f'iou.{name}'] = iou[:, index]
    if classes.has_line:
        result['boundary_f.line'] = boundary_f(weights @ lines)
    if not classes.has_ball:
        return result
    found, missed, false = (weights @ balls).T
    result['ball.precision'] = ratios(found, found + false)
    result['ball.recall'] = ratios(found, found + missed)
    result['ball.f1'] = ratios(2 * found, 2 * found + missed + false)
    result['ball.error_px_p50'] = np.array(
        [_median(np.array(errors), draw[error_units]) if errors else math.nan for draw in weights], np.float64
    )
    return result


def _median(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    repeated = np.repeat(values, counts)
    return float(np.median(repeated)) if repeated.size else math.nan


def single_values(evaluation: Evaluation, units: Units) -> dict[str, float]:
    """Return the figures of the evaluation itself; NaN where undefined."""
    values = figures(evaluation, units, np.ones((1, units.count), np.int64))
    return {key: float(value[0]) for key, value in values.items()}


def intervals(evaluation: Evaluation, kind: str = 'auto') -> tuple[Units, dict[str, Interval]]:
    """Return the units, and every defined figure with its interval; no interval if there is a single unit."""
    units = Units.of(evaluation.scores, kind)
    values = single_values(evaluation, units)
    if units.count < 2:
        return units, {}
    drawn = figures(evaluation, units, units.draws())
    return units, {key: _interval(value, drawn[key]) for key, value in values.items() if math.isfinite(value)}


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    drawn = drawn[np.isfinite(drawn)]  # a draw without a ball has no recall
    if not drawn.size:
        return Interval(value, math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), float(drawn.std()))


def differences(first: Evaluation, second: Evaluation, kind: str = 'auto') -> tuple[Units, dict[str, Interval]]:
    """Return the units, and second minus first of every figure with its interval, on the same draws.

    Both evaluations must have the same frames in the same order.
    """
    units = Units.of(first.scores, kind)
    draws = units.draws()
    values = [single_values(evaluation, units) for evaluation in (first, second)]
    drawn = [figures(evaluation, units, draws) for evaluation in (first, second)]
    result = {}
    for key in values[0]:
        value = values[1][key] - values[0][key]
        if math.isfinite(value):
            undefined = Interval(value, math.nan, math.nan, math.nan)
            result[key] = undefined if units.count < 2 else _interval(value, drawn[1][key] - drawn[0][key])
    return units, result
