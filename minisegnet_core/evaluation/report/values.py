"""The values of a report: report.json, its table report.csv, and the summary that a command prints."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from minisegnet_core.errors import ConfigurationError, listed, shortened, suggestion
from minisegnet_core.evaluation.scoring.evaluation import RADIUS_RANGES, Evaluation
from minisegnet_core.evaluation.scoring.tracking import class_fractions, sequences_of
from minisegnet_core.evaluation.statistics.bootstrap import FEW_UNITS, LEVEL, RESAMPLES, Interval, Units, intervals
from minisegnet_core.files import defined
from minisegnet_core.metrics import BallScore, percentile

PERCENTILES = (50, 95, 99)

Values = dict[str, Any]


def report_values(evaluation: Evaluation, facts: Values, source: str, resample: str = 'auto') -> Values:
    """Return the report as plain JSON values.

    Undefined figures are None. Without a class ``ball`` or ``line`` there are no figures of balls or lines. Distances
    are in pixels of the received image, latencies in milliseconds.

    Args:
        facts: description of the model and the replay; the report begins with it.
        source: description of what was evaluated.
        resample: unit of the bootstrap: ``auto``, ``image`` or ``group``.
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
        **({'ball': _ball(evaluation)} if evaluation.classes.has_ball else {}),
        'latency_ms': {f'p{p}': _rounded(evaluation.latency_ms(p), 3) for p in PERCENTILES},
        'dropped': evaluation.dropped,
        'throughput': _throughput(evaluation),
        'sequence': _sequence(evaluation),
        'confidence': _confidence(units, confidence),
        'sources': [_source(evaluation, name, list(group)) for name, group in _by_source(evaluation)],
        'problems': {'total': sum(evaluation.problems.counts().values()), **evaluation.problems.counts()},
        'warnings': _warnings(evaluation, units, confidence),
    }


def _rounded(value: float, digits: int = 6) -> float | None:
    """Return a figure for JSON: rounded, None if it is NaN."""
    figure: float | None = defined(round(value, digits))
    return figure


def _segmentation(evaluation: Evaluation, full_size: bool) -> Values:
    confusion = evaluation.confusion(full_size)
    names = evaluation.classes.names

    def by_class(values: Sequence[float]) -> dict[str, float | None]:
        pairs = enumerate(zip(names, values, strict=True))
        return {name: None if i in evaluation.absent else _rounded(value) for i, (name, value) in pairs}

    return {
        'mean_iou': _rounded(confusion.mean_iou(evaluation.absent)),
        'mean_iou_without_background': _rounded(confusion.mean_iou(evaluation.without_background())),
        'iou': by_class(confusion.iou().tolist()),
        'precision': by_class(confusion.precision().tolist()),
        'recall': by_class(confusion.recall().tolist()),
        'f1': by_class(confusion.f1().tolist()),
        'accuracy': _rounded(confusion.accuracy()),
        **_boundaries(evaluation, full_size),
        'confusion': confusion.counts.tolist(),
    }


def _boundaries(evaluation: Evaluation, full_size: bool) -> Values:
    if not evaluation.classes.has_line:
        return {}
    return {'boundary_f': {'line': _rounded(evaluation.line_boundary_f(full_size))}}


def _ball(evaluation: Evaluation) -> Values:
    score = evaluation.balls()
    curve = evaluation.ball_curve()
    findable, every = evaluation.frames_with_a_ball, evaluation.every_ball()
    return {
        'frames_with_truth': evaluation.frames_with_ball_truth,
        'frames_with_ball': findable,
        'f1_at_most': _rounded(2 * findable / (findable + score.found + score.missed)) if findable else None,
        **_ball_score(score),
        'every': None if every is None else _ball_score(every),
        'by_radius_px': {
            f'{low:g}-{high:g}' if math.isfinite(high) else f'{low:g}-': _ball_score(score.of_size(low, high))
            for low, high in RADIUS_RANGES
        },
        'curve': [{'confidence': _rounded(c, 4), 'precision': _rounded(p), 'recall': _rounded(r)} for c, p, r in curve],
    }


def _ball_score(score: BallScore) -> Values:
    return {
        'found': score.found,
        'missed': score.missed,
        'false': score.false,
        'precision': _rounded(score.precision),
        'recall': _rounded(score.recall),
        'f1': _rounded(score.f1),
        **{f'error_px_p{p}': _rounded(score.error_percentile(p)) for p in (50, 95)},
        **{f'error_radii_p{p}': _rounded(percentile(score.errors_in_radii, p)) for p in (50, 95)},
    }


def _throughput(evaluation: Evaluation) -> Values:
    """Return frames per second of the pipeline and of the engine, and the fraction of time the engine was busy."""
    counted = max(len(evaluation.latencies()) - len({s.source for s in evaluation.answered}), 0)
    seconds, busy = evaluation.seconds, evaluation.busy_seconds
    return {
        'frames_per_s': _rounded(counted / seconds, 3) if seconds > 0 else None,
        'engine_frames_per_s': _rounded(counted / busy, 3) if busy > 0 else None,
        'share_of_engine': _rounded(busy / seconds, 4) if seconds > 0 else None,
    }


def _sequence(evaluation: Evaluation) -> Values:
    sequences = sequences_of([score for score in evaluation.scores if score.source in evaluation.consecutive])
    fractions = class_fractions(evaluation.scores)
    names = evaluation.classes.names

    def mean(values: Sequence[float]) -> float | None:
        return _rounded(math.fsum(values) / len(values)) if values else None

    values: Values = {
        'class_shares': None if fractions is None else dict(zip(names, map(_rounded, fractions.tolist()), strict=True)),
        'changed': mean(sequences.changed),
        'flicker': mean(sequences.flicker),
        'frames_in_time': sequences.frames,
    }
    if not evaluation.classes.has_ball:
        return values
    return values | {
        'balls_seen': sum(score.ball is not None for score in evaluation.scores),
        'ball_track': {
            'seen': sequences.seen,
            'tracks': sequences.tracks,
            'longest': sequences.longest_track,
            'blinks': sequences.blinks,
            'jumps': len(sequences.jumps),
            'jumps_at': sequences.jumps[:20],
            'step_px_p50': _rounded(percentile(sequences.steps, 50)),
            'step_px_p95': _rounded(percentile(sequences.steps, 95)),
        },
    }


def _confidence(units: Units, found: dict[str, Interval]) -> Values:
    return {
        'level': LEVEL,
        'resamples': RESAMPLES,
        'unit': units.kind,
        'units': units.count,
        'intervals': {key: [_rounded(i.low), _rounded(i.high)] for key, i in found.items()},
    }


def _by_source(evaluation: Evaluation) -> Any:
    return groupby(evaluation.scores, key=lambda score: score.source)


def _source(evaluation: Evaluation, name: str, scores: list[Any]) -> Values:
    own = Evaluation(evaluation.classes, scores, absent=evaluation.absent)
    balls = {'ball_f1': _rounded(own.balls().f1), 'balls_seen': sum(score.ball is not None for score in scores)}
    return {
        'name': name,
        'frames': len(scores),
        'dropped': own.dropped,
        'mean_iou': _rounded(own.confusion().mean_iou(own.absent)),
        **(balls if evaluation.classes.has_ball else {}),
        'latency_ms_p50': _rounded(own.latency_ms(50), 3),
        'latency_ms_p95': _rounded(own.latency_ms(95), 3),
    }


def _warnings(evaluation: Evaluation, units: Units, confidence: dict[str, Interval]) -> list[str]:
    warnings = evaluation.problems.sentences()
    total, labelled = len(evaluation.scores), evaluation.frames_with_labels()
    if total and not labelled:
        warnings.append('no frame has ground-truth labels: there is no IoU')
    if labelled and not evaluation.frames_with_labels(full_size=True):
        warnings.append('the ground truth is on the label grid: there are no figures at full size')
    if evaluation.absent:
        names = ', '.join(evaluation.classes.names[i] for i in evaluation.absent)
        warnings.append(f'the ground truth never contains {names}: left out of the means')
    if evaluation.dropped:
        warnings.append(f'{evaluation.dropped} of {total} frames were dropped; they are in no accuracy figure')
    if total and units.count < 2:
        resample = '' if units.kind == 'image' else ', or use --resample image'
        warnings.append(f'no confidence intervals: all frames belong to one {units.kind}; evaluate more{resample}')
    elif confidence and units.count < FEW_UNITS:
        warnings.append(f'confidence intervals are rough: they are drawn from only {units.count} {units.kind}s')
    return warnings


def csv_text(values: Values) -> str:
    """Return all numbers of a report as ``key,value,low,high``: dotted key, value, confidence interval if any."""
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
    """Return the number at a dotted key such as ``ball.f1``; None if it is undefined, as F1 without any ball.

    Raises:
        ConfigurationError: there is no number at this key.
    """
    found: Any = values
    for part in key.split('.'):
        found = found.get(part, values) if isinstance(found, dict) else values  # a mapping, so not a number
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        numbers = [name for name, _ in _flat(values)]
        examples = [name for name in numbers if name.startswith(('mean_iou', 'iou.', 'ball.f1'))]
        hint = suggestion(key, numbers) or f'; report.csv lists them, for example {listed(examples)}'
        raise ConfigurationError(f'the report has no number {shortened(key)!r}{hint}')
    return float(found)


def summary(values: Values) -> str:
    """Return the headline figures as a few lines of text."""

    def text(value: float | None) -> str:
        return '-' if value is None else f'{value:.3f}'

    rows = []
    if values['frames_with_labels']:
        names = list(values['iou'])
        heads = [*names, 'mean', *(['line F'] if 'boundary_f' in values else [])]
        rows.append(f'{"IoU":12}' + ''.join(f'{name:>12}' for name in heads))
        for title, part in (('label grid', values), ('full size', values['full_size'])):
            cells = [*(part['iou'][name] for name in names), part['mean_iou'], *part.get('boundary_f', {}).values()]
            rows.append(f'{title:12}' + ''.join(f'{text(cell):>12}' for cell in cells))
    ball, sequence = values.get('ball'), values['sequence']
    if ball and ball['frames_with_truth']:
        rows.append(
            f'balls: found {ball["found"]}, missed {ball["missed"]}, false {ball["false"]}; precision '
            f'{text(ball["precision"])}, recall {text(ball["recall"])}, F1 {text(ball["f1"])}, '
            f'error median {text(ball["error_px_p50"])} px'
        )
    elif ball:
        jumps = f', {sequence["ball_track"]["jumps"]} jumps' if sequence['frames_in_time'] else ''
        rows.append(f'balls: seen in {sequence["balls_seen"]} of {values["frames"]} frames{jumps}')
    latency, frames = values['latency_ms'], values['frames']
    if latency['p50'] is not None:
        # A live latency is the time from publishing an image to receiving its labels, not only the engine's.
        what = 'image to labels' if values['replay'].startswith('live') else f'engine {values["model"]["engine"]}'
        rows.append(
            f'{values["replay"]}, {frames} frames, {values["dropped"]} dropped; {what}: '
            f'{latency["p50"]:.1f} ms median, {latency["p95"]:.1f} ms p95'
        )
    if 'live_check' in values:
        check = values['live_check']
        rows.append(f'live and offline agree on {check["equal"]} of the {check["frames"]} frames that both answered')
    return '\n'.join((*rows, *(f'warning: {w}' for w in values['warnings'])))
