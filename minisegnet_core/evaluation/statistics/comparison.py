"""Two models on the same frames: which is better, by how much, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.report.values import number
from minisegnet_core.evaluation.scoring.evaluator import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.statistics.bootstrap import Interval, differences
from minisegnet_core.metrics import BallMatch

FRAMES_FILE = 'frames.jsonl'
REPORT_FILE = 'report.json'

SMALLER_IS_BETTER = ('ball.error_px_p50',)


def compare(first: Evaluation, second: Evaluation, other: str, resample: str = 'auto') -> dict[str, Any]:
    """The paired comparison as JSON values: B is the second.

    Frames are paired by name within their source's order; those that only one of the two has are left out, counted.

    Args:
        other: what B is, in words.

    Raises:
        SourceError: they have no frame in common.
    """
    pairs = _pairs(first.scores, second.scores)
    if not pairs:
        raise SourceError(f'{other} has no frame in common with this evaluation: it is of another source')
    a = Evaluation(first.classes, [pair[0] for pair in pairs], absent=first.absent)
    b = Evaluation(first.classes, [pair[1] for pair in pairs], absent=first.absent)
    units, found = differences(a, b, resample)
    singles = [_singles(evaluation) for evaluation in (a, b)]
    entries = {key: _entry(key, interval, singles[0][key], singles[1][key]) for key, interval in found.items()}
    alone = len(first.scores) + len(second.scores) - 2 * len(pairs)
    return {
        'other': other,
        'frames': len(pairs),
        'frames_of_one_only': alone,
        'unit': units.kind,
        'units': units.count,
        'sentence': _sentence(entries),
        'figures': entries,
    }


def _singles(evaluation: Evaluation) -> dict[str, float]:
    from minisegnet_core.evaluation.statistics.bootstrap import Units, figures

    units = Units.of(evaluation.scores, 'image')
    values = figures(evaluation, units, np.ones((1, units.count), np.int64))
    return {key: float(value[0]) for key, value in values.items()}


def _entry(key: str, interval: Interval, first: float, second: float) -> dict[str, Any]:
    sign = -1 if key in SMALLER_IS_BETTER else 1
    low, high = interval.low * sign, interval.high * sign
    verdict = 'B is better' if min(low, high) > 0 else 'A is better' if max(low, high) < 0 else 'no clear difference'
    if not np.isfinite(low):
        verdict = 'too few units to say'
    return {
        'first': number(first),
        'second': number(second),
        'difference': number(interval.value),
        'margin': number((interval.high - interval.low) / 2),
        'low': number(interval.low),
        'high': number(interval.high),
        'standard_error': number(interval.error),
        'verdict': verdict,
    }


def _sentence(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """``B better by .012 +- .004 (mean_iou)``, of the first figure that there is."""
    for key in ('mean_iou', 'ball.f1'):
        entry = entries.get(key)
        if entry is not None:
            margin = '' if entry['margin'] is None else f' +- {entry["margin"]:.4f}'
            if entry['verdict'] in ('A is better', 'B is better'):
                return f'{entry["verdict"]} by {abs(entry["difference"]):.4f}{margin} ({key})'
            return f'{entry["verdict"]}: B less A is {entry["difference"]:+.4f}{margin} ({key})'
    return 'there is no truth by which the two could be compared'


def _pairs(first: Sequence[FrameScore], second: Sequence[FrameScore]) -> list[tuple[FrameScore, FrameScore]]:
    """Frames of both, answered by both: of equal source and name, else (a bag that was moved) of equal name."""
    for key in (_key, _name):
        others = {key(score): score for score in second if score.answered}
        pairs = [(score, others[key(score)]) for score in first if score.answered and key(score) in others]
        if pairs:
            return pairs
    return []


def _key(score: FrameScore) -> tuple[str, str]:
    return score.source, score.name


def _name(score: FrameScore) -> tuple[str, str]:
    return '', score.name


def write_frames(scores: Sequence[FrameScore], path: Path) -> None:
    """One JSON object a frame: all that :func:`read_frames` needs to compare another model with this one later."""
    path.write_text(''.join(json.dumps(score.record()) + '\n' for score in scores))


def read_classes(folder: Path) -> tuple[str, ...]:
    """Names of the classes that the model of an earlier evaluation knew, by id.

    Raises:
        SourceError: the folder's report does not tell them.
    """
    path = folder / REPORT_FILE
    try:
        return tuple(map(str, json.loads(path.read_text())['classes']))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f'{path} does not tell the classes ({error!r}); evaluate that model again') from error


def read_frames(folder: Path) -> list[FrameScore]:
    """Frames of an earlier evaluation's folder; without their label images.

    Raises:
        SourceError: the folder holds none, or they cannot be read.
    """
    path = folder / FRAMES_FILE
    try:
        return [_frame(index, json.loads(line)) for index, line in enumerate(path.read_text().splitlines())]
    except FileNotFoundError:
        raise SourceError(f'{folder} holds no {FRAMES_FILE}: it is no folder that `evaluate` wrote') from None
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f'{path} cannot be read: {error!r}; evaluate that model again') from error


def _frame(index: int, entry: Mapping[str, Any]) -> FrameScore:
    def array(key: str) -> Any:
        return None if entry[key] is None else np.array(entry[key], np.int64)

    match = None
    if entry['ball_counts'] is not None:
        found, missed, false = entry['ball_counts']
        nameless = BallTruth(0, 0, 0, 1, 0, 0)
        error = entry['ball_error']
        match = BallMatch(
            nameless if found else None, error if found else float('nan'), bool(false), (nameless,) * missed
        )
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
        confusion=array('confusion'),
        confusion_full=array('confusion_full'),
        lines=array('lines'),
        lines_full=array('lines_full'),
        match=match,
    )
