"""Two models on the same frames: which is better, by how much, and with what certainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.statistics.bootstrap import Interval, Units, differences, single_values
from minisegnet_core.files import defined

LOWER_IS_BETTER = ('ball.error_px_p50',)

HEADLINES = ('mean_iou', 'ball.f1')
"""Figures that the verdict in one sentence is about, in order of preference."""


def compare(first: Evaluation, second: Evaluation, other: str, resample: str = 'auto') -> dict[str, Any]:
    """Return the paired comparison as JSON values. A is the first model, B the second.

    Frames are paired by source and name. Frames that only one of the two has are counted and left out.

    Args:
        other: description of B.
        resample: unit of the bootstrap: ``auto``, ``image`` or ``group``.

    Raises:
        SourceError: the evaluations have no frame in common.
    """
    pairs = _pairs(first.scores, second.scores)
    if not pairs:
        raise SourceError(f'{other} has no frame in common with this evaluation; compare evaluations of one source')
    a, b = (Evaluation(first.classes, [pair[side] for pair in pairs], absent=first.absent) for side in (0, 1))
    units, found = differences(a, b, resample)
    values = [single_values(evaluation, Units.of(evaluation.scores, 'image')) for evaluation in (a, b)]
    figures = {key: _entry(key, interval, values[0][key], values[1][key]) for key, interval in found.items()}
    return {
        'other': other,
        'frames': len(pairs),
        'frames_of_one_only': len(first.scores) + len(second.scores) - 2 * len(pairs),
        'unit': units.kind,
        'units': units.count,
        'sentence': _sentence(figures),
        'figures': figures,
    }


def _entry(key: str, interval: Interval, first: float, second: float) -> dict[str, Any]:
    sign = -1 if key in LOWER_IS_BETTER else 1
    low, high = interval.low * sign, interval.high * sign
    if not math.isfinite(low):
        verdict = 'too few units'
    elif min(low, high) > 0:
        verdict = 'B is better'
    else:
        verdict = 'A is better' if max(low, high) < 0 else 'no clear difference'
    numbers = {
        'first': first,
        'second': second,
        'difference': interval.value,
        'margin': (interval.high - interval.low) / 2,
        'low': interval.low,
        'high': interval.high,
        'standard_error': interval.error,
    }
    return {name: defined(round(value, 6)) for name, value in numbers.items()} | {'verdict': verdict}


def _sentence(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return, for example, ``B is better by 0.0120 +- 0.0040 (mean_iou)``."""
    key = next((key for key in HEADLINES if key in figures), None)
    if key is None:
        return 'there is no ground truth by which to compare the two'
    entry = figures[key]
    margin = '' if entry['margin'] is None else f' +- {entry["margin"]:.4f}'
    if entry['verdict'] in ('A is better', 'B is better'):
        return f'{entry["verdict"]} by {abs(entry["difference"]):.4f}{margin} ({key})'
    return f'{entry["verdict"]}: B - A is {entry["difference"]:+.4f}{margin} ({key})'


def _pairs(first: Sequence[FrameScore], second: Sequence[FrameScore]) -> list[tuple[FrameScore, FrameScore]]:
    """Return the frames that both answered: equal source and name, or, if a bag was moved, equal name."""
    keys: tuple[Callable[[FrameScore], tuple[str, ...]], ...] = (lambda s: (s.source, s.name), lambda s: (s.name,))
    for key in keys:
        others = {key(score): score for score in second if score.answered}
        pairs = [(score, others[key(score)]) for score in first if score.answered and key(score) in others]
        if pairs:
            return pairs
    return []
