"""The report as one HTML page without scripts or external files, in the reader's light or dark theme.

The markup is in ``templates/report.html.j2``. This module computes what the template shows.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from minisegnet_core.evaluation.report.charts import Line, Point, line_chart
from minisegnet_core.evaluation.report.panels import panels
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.imaging import encode_image

Values = dict[str, Any]
Rows = list[tuple[str, str]]

PANEL_WIDTH = 360
"""Maximum width of an image in the page, in pixels."""

PANEL_QUALITY = 80
"""JPEG quality of these images."""

UNDEFINED = '\N{EN DASH}'


def html_page(values: Values, evaluation: Evaluation, failed: Sequence[str] = ()) -> str:
    """Return the whole page.

    Args:
        values: result of :func:`~minisegnet_core.evaluation.report.values.report_values`, complete with warnings.
        evaluation: gives the charts and the worst frames.
        failed: sentences on thresholds that were not met.
    """
    environment = Environment(
        loader=PackageLoader('minisegnet_core.evaluation.report'), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters['figure'] = figure
    return environment.get_template('report.html.j2').render(
        report=values,
        failed=failed,
        classes=list(evaluation.classes),
        tiles=_tiles(values),
        confusion=_confusion(values),
        ball_rows=_ball_rows(values['ball']) if 'ball' in values else [],
        ball_chart=_ball_chart(values['ball']['curve']) if 'ball' in values else '',
        sequence_rows=_sequence_rows(values),
        charts=_charts_over_time(values, evaluation),
        worst=_worst(evaluation),
    )


def figure(value: Any, digits: int = 3) -> str:
    """Return a figure as the page shows it, or a dash if it is undefined."""
    if value is None:
        return UNDEFINED
    return f'{value:.{digits}f}' if isinstance(value, float) else str(value)


def _tiles(values: Values) -> Rows:
    """Return title and text of the headline figures."""
    ball, latency, sequence = values.get('ball'), values['latency_ms'], values['sequence']
    tiles = [('frames', figure(values['frames']))]
    if values['frames_with_labels']:
        tiles += [
            ('mean IoU', figure(values['mean_iou'])),
            ('mean IoU without background', figure(values['mean_iou_without_background'])),
            *((f'{name} boundary F', figure(value)) for name, value in values.get('boundary_f', {}).items()),
        ]
    if ball and ball['frames_with_truth']:
        tiles += [('ball F1', figure(ball['f1'])), ('median ball error', f'{figure(ball["error_px_p50"], 1)} px')]
    elif ball:
        tiles.append(('frames with a predicted ball', figure(sequence['balls_seen'])))
    if ball and sequence['frames_in_time']:
        tiles.append(('jumps of the ball', figure(sequence['ball_track']['jumps'])))
    tiles += [
        ('median latency', f'{figure(latency["p50"], 1)} ms'),
        ('latency, p95', f'{figure(latency["p95"], 1)} ms'),
        ('dropped', figure(values['dropped'])),
    ]
    return tiles


def _confusion(values: Values) -> list[tuple[str, list[tuple[int, float, int]], int]]:
    """Return for each class its name, (pixels, fraction, shade in per cent) of each prediction, and its pixels."""
    rows = []
    for name, counts in zip(values['classes'], values['confusion'], strict=True):
        total = sum(counts)
        fractions = [count / total if total else 0.0 for count in counts]
        cells = [
            (count, fraction, round(65 * math.sqrt(fraction)))
            for count, fraction in zip(counts, fractions, strict=True)
        ]
        rows.append((name, cells, total))
    return rows


def _ball_rows(ball: Values) -> list[tuple[str, Values]]:
    rows = [('all', ball), *((f'{radii} px', score) for radii, score in ball['by_radius_px'].items())]
    return [*rows, ('every prediction', ball['every'])] if ball['every'] else rows


def _ball_chart(curve: list[Values]) -> Markup:
    points: list[Point] = [(entry['recall'], entry['precision']) for entry in curve]
    chart = line_chart([Line('', points)], 'recall', 'precision', x_range=(0, 1), y_range=(0, 1)) if points else ''
    return Markup(chart)


def _sequence_rows(values: Values) -> Rows:
    sequence = values['sequence']
    fractions = sequence['class_shares'] or {}
    rows = [(f'fraction of {name}', f'{100 * fraction:.1f} %') for name, fraction in fractions.items()]
    for title, key in (('changed since the frame before', 'changed'), ('flicker (in one frame only)', 'flicker')):
        if sequence[key] is not None:
            rows.append((title, f'{100 * sequence[key]:.2f} %'))
    if not rows or 'ball' not in values:
        return rows
    track = sequence['ball_track']
    rows.append(('ball predicted', f'{sequence["balls_seen"]} of {values["frames"]} frames'))
    if sequence['frames_in_time']:
        steps = f'{figure(track["step_px_p50"], 1)}, {figure(track["step_px_p95"], 1)} px'
        rows += [
            ('tracks, longest track', f'{track["tracks"]}, {track["longest"]} frames'),
            ('blinks, jumps', f'{track["blinks"]}, {track["jumps"]}'),
            ('step to the next frame, p50, p95', steps),
        ]
    return rows


def _charts_over_time(values: Values, evaluation: Evaluation) -> list[tuple[str, Markup]]:
    times, unit = _time_axis(evaluation.scores)
    scored = list(zip(times, evaluation.scores, strict=True))
    latency = [(x, math.nan if score.latency_ms is None else score.latency_ms) for x, score in scored]
    charts = [('latency, ms', line_chart([Line('', latency)], unit, 'ms'))]
    if values['frames_with_labels']:
        iou = Line('', [(x, score.mean_iou(evaluation.absent)) for x, score in scored])
        charts.append(('mean IoU of each frame', line_chart([iou], unit, 'mean IoU', y_range=(0, 1), keep=min)))
    if any(score.ball is not None for _, score in scored):
        lines = [
            Line(
                axis, [(x, math.nan if s.ball is None else getattr(s.ball, axis)) for x, s in scored], style, dots=True
            )
            for axis, style in (('x', 1), ('y', 2))
        ]
        charts.append(('position of the predicted ball, px', line_chart(lines, unit, 'px')))
    return [(title, Markup(chart)) for title, chart in charts if chart]


def _time_axis(scores: Sequence[FrameScore]) -> tuple[list[float], str]:
    """Return seconds since the first frame if one source has rising stamps, else frame numbers; and the unit."""
    stamps = [score.stamp for score in scores if score.stamp is not None]
    single = len({score.source for score in scores}) == 1
    if single and len(stamps) == len(scores) > 1 and all(a < b for a, b in pairwise(stamps)):
        return [(stamp - stamps[0]) / 1e9 for stamp in stamps], 's'
    return [float(index) for index in range(len(scores))], 'frame'


def _worst(evaluation: Evaluation) -> list[Values]:
    return [
        {
            'name': kept.score.name,
            'source': kept.score.source,
            'reason': kept.reason,
            'panels': {
                title: base64.b64encode(encode_image(panel, '.jpg', PANEL_QUALITY)).decode()
                for title, panel in panels(kept, evaluation.classes, PANEL_WIDTH).items()
            },
        }
        for kept in evaluation.worst
    ]
