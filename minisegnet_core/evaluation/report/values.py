"""An evaluation as plain values: report.json, its table report.csv, and the few lines that a command prints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.scoring.evaluator import SIZES, Evaluation
from minisegnet_core.evaluation.scoring.tracking import class_shares, sequences_of
from minisegnet_core.evaluation.statistics.bootstrap import FEW_UNITS, LEVEL, RESAMPLES, Interval, Units, intervals
from minisegnet_core.metrics import BallScore, percentile

PERCENTILES = (50, 95, 99)

Values = dict[str, Any]


def report_values(evaluation: Evaluation, facts: Values, source: str, resample: str = 'auto') -> Values:
    """The report as plain JSON values; undefined figures are null. Pixels are the received image's, times milliseconds.

    Args:
        facts: what is known of the model and the replay; stands first in the report.
        source: what was evaluated, in words.
        resample: unit of the intervals: ``auto``, ``image`` or ``group``.
    """
    units, confidence = intervals(evaluation, resample)
    return {
        **facts,
        'classes': list(evaluation.classes.names),
        'source': source,
        'frames': len(evaluation.scores),
        'frames_with_labels': evaluation.frames_with_labels(),
        **_segmentation(evaluation, full_size=False),
        'full_size': _segmentation(evaluation, full_size=True),
        'ball': _ball(evaluation),
        'latency_ms': {f'p{p}': number(evaluation.latency_ms(p), 3) for p in PERCENTILES},
        'dropped': evaluation.dropped,
        'throughput': _throughput(evaluation),
        'sequence': _sequence(evaluation),
        'confidence': _confidence(units, confidence),
        'sources': [_source(evaluation, name, list(group)) for name, group in _by_source(evaluation)],
        'problems': {'total': sum(evaluation.problems.counts().values()), **evaluation.problems.counts()},
        'warnings': _warnings(evaluation, units, confidence),
    }


def number(value: float, digits: int = 6) -> float | None:
    """A figure for JSON: rounded, null where it is not defined."""
    return round(value, digits) if math.isfinite(value) else None


def _segmentation(evaluation: Evaluation, full_size: bool) -> Values:
    confusion = evaluation.confusion(full_size)
    names = evaluation.classes.names

    def by_class(values: Sequence[float]) -> dict[str, float | None]:
        told = zip(names, values, strict=True)
        return {name: None if i in evaluation.absent else number(v) for i, (name, v) in enumerate(told)}

    return {
        'mean_iou': number(confusion.mean_iou(evaluation.absent)),
        'mean_iou_without_background': number(confusion.mean_iou(evaluation.without_background())),
        'iou': by_class(confusion.iou().tolist()),
        'precision': by_class(confusion.precision().tolist()),
        'recall': by_class(confusion.recall().tolist()),
        'f1': by_class(confusion.f1().tolist()),
        'accuracy': number(confusion.accuracy()),
        'boundary_f': {'line': number(evaluation.lines(full_size))},
        'confusion': confusion.counts.tolist(),
    }


def _ball(evaluation: Evaluation) -> Values:
    score = evaluation.balls()
    curve = evaluation.ball_curve()
    findable, every = evaluation.frames_with_a_ball, evaluation.every_ball()
    return {
        'frames_with_truth': evaluation.frames_with_ball_truth,
        'frames_with_ball': findable,
        'f1_at_most': number(2 * findable / (findable + score.found + score.missed)) if findable else None,
        **_ball_score(score),
        'every': None if every is None else _ball_score(every),
        'by_radius_px': {
            f'{low:g}-{high:g}' if math.isfinite(high) else f'{low:g}-': _ball_score(score.of_size(low, high))
            for low, high in SIZES
        },
        'curve': [{'confidence': number(c, 4), 'precision': number(p), 'recall': number(r)} for c, p, r in curve],
    }


def _ball_score(score: BallScore) -> Values:
    return {
        'found': score.found,
        'missed': score.missed,
        'false': score.false,
        'precision': number(score.precision),
        'recall': number(score.recall),
        'f1': number(score.f1),
        **{f'error_px_p{p}': number(score.error_percentile(p)) for p in (50, 95)},
        **{f'error_radii_p{p}': number(percentile(score.errors_in_radii, p)) for p in (50, 95)},
    }


def _throughput(evaluation: Evaluation) -> Values:
    """Frames per second of all together, and what share of that time the network worked: 1 is its own throughput."""
    counted = max(len(evaluation.latencies()) - len({s.source for s in evaluation.answered}), 0)
    seconds, busy = evaluation.seconds, evaluation.busy_seconds
    return {
        'frames_per_s': number(counted / seconds, 3) if seconds > 0 else None,
        'engine_frames_per_s': number(counted / busy, 3) if busy > 0 else None,
        'share_of_engine': number(busy / seconds, 4) if seconds > 0 else None,
    }


def _sequence(evaluation: Evaluation) -> Values:
    sequences = sequences_of([score for score in evaluation.scores if score.source in evaluation.in_time])
    shares = class_shares(evaluation.scores)
    names = evaluation.classes.names

    def mean(values: Sequence[float]) -> float | None:
        return number(math.fsum(values) / len(values)) if values else None

    return {
        'class_shares': None if shares is None else {n: number(v) for n, v in zip(names, shares.tolist(), strict=True)},
        'changed': mean(sequences.changed),
        'flicker': mean(sequences.flicker),
        'frames_in_time': sequences.frames,
        'balls_seen': sum(score.ball is not None for score in evaluation.scores),
        'ball_track': {
            'seen': sequences.seen,
            'tracks': sequences.tracks,
            'longest': sequences.longest_track,
            'blinks': sequences.blinks,
            'jumps': len(sequences.jumps),
            'jumps_at': sequences.jumps[:20],
            'step_px_p50': number(percentile(sequences.steps, 50)),
            'step_px_p95': number(percentile(sequences.steps, 95)),
        },
    }


def _confidence(units: Units, found: dict[str, Interval]) -> Values:
    return {
        'level': LEVEL,
        'resamples': RESAMPLES,
        'unit': units.kind,
        'units': units.count,
        'intervals': {key: [number(i.low), number(i.high)] for key, i in found.items()},
    }


def _by_source(evaluation: Evaluation) -> Any:
    return groupby(evaluation.scores, key=lambda score: score.source)


def _source(evaluation: Evaluation, name: str, scores: list[Any]) -> Values:
    own = Evaluation(evaluation.classes, scores, absent=evaluation.absent)
    balls = own.balls()
    return {
        'name': name,
        'frames': len(scores),
        'dropped': own.dropped,
        'mean_iou': number(own.confusion().mean_iou(own.absent)),
        'ball_f1': number(balls.f1),
        'balls_seen': sum(score.ball is not None for score in scores),
        'latency_ms_p50': number(own.latency_ms(50), 3),
        'latency_ms_p95': number(own.latency_ms(95), 3),
    }


def _warnings(evaluation: Evaluation, units: Units, confidence: dict[str, Interval]) -> list[str]:
    notes = evaluation.problems.sentences()
    total, labelled = len(evaluation.scores), evaluation.frames_with_labels()
    if total and not labelled:
        notes.append('no frame has label truth: there is no IoU')
    if labelled and not evaluation.frames_with_labels(full_size=True):
        notes.append('the truth is on the label grid: there are no figures at full size')
    if evaluation.absent:
        names = ', '.join(evaluation.classes.names[i] for i in evaluation.absent)
        notes.append(f'this truth never draws {names}: left out of the means')
    if evaluation.dropped:
        notes.append(f'{evaluation.dropped} of {total} frames were not answered; they count in no accuracy')
    if total and units.count < 2:
        resample = '' if units.kind == 'image' else ', or --resample image'
        notes.append(f'there are no intervals: all frames belong to one {units.kind}; give more{resample}')
    elif confidence and units.count < FEW_UNITS:
        notes.append(f'intervals come from {units.count} {units.kind}s only and are rough')
    return notes


def csv_text(values: Values) -> str:
    """All numbers of a report as ``key,value,low,high``: dotted keys, and the interval where there is one."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(('key', 'value', 'low', 'high'))
    bounds = values['confidence']['intervals']
    for key, value in _flat(values):
        writer.writerow((key, value, *bounds.get(key, ('', ''))))
    return stream.getvalue()


def _flat(values: Values, prefix: str = '') -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += [] if key == 'intervals' else _flat(value, f'{prefix}{key}.')
        elif not isinstance(value, list):
            rows.append((f'{prefix}{key}', '' if value is None else value))
    return rows


def lookup(values: Values, key: str) -> float | None:
    """The number at a dotted key such as ``ball.f1``; None where it is undefined, as F1 without any ball.

    Raises:
        ConfigurationError: there is no number at this key.
    """
    found: Any = values
    for part in key.split('.'):
        found = found.get(part, values) if isinstance(found, dict) else values  # which is no number
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ConfigurationError(f'the report has no number {key!r}; it has, for one, mean_iou, iou.line and ball.f1')
    return float(found)


def summary(values: Values) -> str:
    """The report's figures as a few lines of text."""

    def text(value: float | None) -> str:
        return '-' if value is None else f'{value:.3f}'

    rows = []
    if values['frames_with_labels']:
        names = list(values['iou'])
        rows.append(f'{"IoU":12}' + ''.join(f'{name:>12}' for name in (*names, 'mean', 'line border')))
        for title, part in (('label grid', values), ('full size', values['full_size'])):
            cells = [*(part['iou'][name] for name in names), part['mean_iou'], part['boundary_f']['line']]
            rows.append(f'{title:12}' + ''.join(f'{text(cell):>12}' for cell in cells))
    ball, sequence = values['ball'], values['sequence']
    if ball['frames_with_truth']:
        rows.append(
            f'balls: found {ball["found"]}, missed {ball["missed"]}, false {ball["false"]}; precision '
            f'{text(ball["precision"])}, recall {text(ball["recall"])}, F1 {text(ball["f1"])}, '
            f'error median {text(ball["error_px_p50"])} px'
        )
    else:
        jumps = f', {sequence["ball_track"]["jumps"]} jumps' if sequence['frames_in_time'] else ''
        rows.append(f'balls: seen in {sequence["balls_seen"]} of {values["frames"]} frames{jumps}')
    latency, frames = values['latency_ms'], values['frames']
    if latency['p50'] is not None:
        # Live, it is from publishing an image to receiving its labels: the engine is only a part of it.
        what = 'from image to labels' if values['replay'].startswith('live') else f'engine {values["model"]["engine"]}'
        rows.append(
            f'{values["replay"]}, {frames} frames, {values["dropped"]} dropped; {what}: '
            f'{latency["p50"]:.1f} ms median, {latency["p95"]:.1f} ms p95'
        )
    if 'live_check' in values:
        check = values['live_check']
        rows.append(f'live and offline agree on {check["equal"]} of the {check["frames"]} frames that both answered')
    return '\n'.join((*rows, *(f'note: {w}' for w in values['warnings'])))
