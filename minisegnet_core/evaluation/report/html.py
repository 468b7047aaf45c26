"""The report as one HTML page that needs nothing else: no network, no script; light and dark."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

from minisegnet_core.evaluation.report.charts import Line, Point, line_chart
from minisegnet_core.evaluation.report.pictures import encode_jpeg, panels
from minisegnet_core.evaluation.report.style import STYLE
from minisegnet_core.evaluation.scoring.evaluator import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore

Values = dict[str, Any]

PANEL_WIDTH = 360
"""Pixels of the widest picture in the page."""


def html_page(values: Values, evaluation: Evaluation, outcome: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        values: of :func:`report.report_values`. outcome: thresholds that were not reached, in words.
    """
    sections = [
        _head(values, outcome),
        _tiles(values),
        _notes(values),
        _comparison(values.get('comparison')),
        _classes(values, evaluation) if values['frames_with_labels'] else '',
        _confusion(values, evaluation) if values['frames_with_labels'] else '',
        _ball(values) if values['ball']['frames_with_truth'] else '',
        _sequence(values),
        _curves(values, evaluation),
        _sources(values) if len(values['sources']) > 1 else '',
        _worst(evaluation),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Evaluation of {escape(str(values["model"]["file"]))}</title><style>{STYLE}</style></head><body>'
        + '\n'.join(filter(None, sections))
        + '</body></html>\n'
    )


def text_of(value: Any, digits: int = 3) -> str:
    """A figure as the page shows it; a dash where it is not defined."""
    if value is None:
        return '&ndash;'
    return f'{value:.{digits}f}' if isinstance(value, float) else escape(str(value))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    body = ''.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows)
    heads = ''.join(f'<th>{cell}</th>' for cell in head)
    return f'<div class="scroll"><table><tr>{heads}</tr>{body}</table></div>'


def _head(values: Values, outcome: Sequence[str]) -> str:
    model = values['model']
    failed = ''.join(f'<p class="failed"><b>Not reached:</b> {escape(text)}</p>' for text in outcome)
    check = ''
    if 'live_check' in values:
        told = values['live_check']
        check = f'<p>Live and offline agree on {told["equal"]} of the {told["frames"]} frames that both answered.</p>'
    return (
        f'<h1>{escape(str(model["file"]))}</h1><p class="dim">{escape(values["source"])}</p>'
        f'<p class="dim">model {escape(str(model["hash"]))}, engine {escape(str(model["engine"]))}, network size '
        f'{escape(str(values["network_size"]))}, replay {escape(values["replay"])}</p>{check}{failed}'
    )


def _tiles(values: Values) -> str:
    ball, latency, track = values['ball'], values['latency_ms'], values['sequence']['ball_track']
    tiles = [('frames', text_of(values['frames']))]
    if values['frames_with_labels']:
        tiles += [
            ('mean IoU', text_of(values['mean_iou'])),
            ('… without background', text_of(values['mean_iou_without_background'])),
            ('line boundary F', text_of(values['boundary_f']['line'])),
        ]
    if ball['frames_with_truth']:
        tiles += [('ball F1', text_of(ball['f1'])), ('ball error, median', f'{text_of(ball["error_px_p50"], 1)} px')]
    else:
        tiles.append(('frames with a ball seen', text_of(values['sequence']['balls_seen'])))
    if values['sequence']['frames_in_time']:
        tiles.append(('jumps of the ball', text_of(track['jumps'])))
    tiles += [
        ('latency, median', f'{text_of(latency["p50"], 1)} ms'),
        ('latency, p95', f'{text_of(latency["p95"], 1)} ms'),
        ('dropped', text_of(values['dropped'])),
    ]
    return (
        '<div class="tiles">'
        + ''.join(f'<div class="tile"><b>{v}</b><span>{n}</span></div>' for n, v in tiles)
        + ('</div>')
    )


def _notes(values: Values) -> str:
    if not values['warnings']:
        return ''
    return '<ul class="notes">' + ''.join(f'<li>{escape(text)}</li>' for text in values['warnings']) + '</ul>'


def _comparison(comparison: Values | None) -> str:
    if not comparison:
        return ''
    rows = [
        (
            f'<code>{escape(key)}</code>',
            text_of(entry['first']),
            text_of(entry['second']),
            f'{entry["difference"]:+.4f}',
            f'± {entry["margin"]:.4f}' if entry['margin'] is not None else '&ndash;',
            escape(entry['verdict']),
        )
        for key, entry in comparison['figures'].items()
    ]
    heads = ('', 'A, this model', 'B, the other', 'B &minus; A', '95 %', '')
    return (
        f'<h2>Comparison</h2><p>B is {escape(comparison["other"])}, on the same {comparison["frames"]} frames '
        f'({comparison["units"]} {comparison["unit"]}s drawn together). <b>{escape(comparison["sentence"])}</b></p>'
        + table(heads, rows)
    )


def _classes(values: Values, evaluation: Evaluation) -> str:
    bounds = values['confidence']['intervals']
    rows = []
    for entry in evaluation.classes:
        name, full = entry.name, values['full_size']
        color = ','.join(map(str, entry.color))
        low, high = bounds.get(f'iou.{name}', (None, None))
        rows.append(
            (
                f'<span class="swatch" style="background:rgb({color})"></span>{escape(name)}',
                text_of(values['iou'][name]),
                '' if low is None else f'<small>{low:.3f} &ndash; {high:.3f}</small>',
                *(text_of(values[key][name]) for key in ('precision', 'recall', 'f1')),
                text_of(full['iou'][name]),
                text_of(full['f1'][name]),
            )
        )
    for title, key in (('<b>mean</b>', 'mean_iou'), ('mean without background', 'mean_iou_without_background')):
        low, high = bounds.get(key, (None, None))
        interval = '' if low is None else f'<small>{low:.3f} &ndash; {high:.3f}</small>'
        rows.append((title, text_of(values[key]), interval, '', '', '', text_of(values['full_size'][key]), ''))
    line, full_line = values['boundary_f']['line'], values['full_size']['boundary_f']['line']
    low, high = bounds.get('boundary_f.line', (None, None))
    interval = '' if low is None else f'<small>{low:.3f} &ndash; {high:.3f}</small>'
    rows.append(('boundary F of lines', text_of(line), interval, '', '', '', text_of(full_line), ''))
    heads = ('', 'IoU', '95 %', 'precision', 'recall', 'F1', 'IoU, full size', 'F1, full size')
    return '<h2>Classes, on the label grid</h2>' + table(heads, rows)


def _confusion(values: Values, evaluation: Evaluation) -> str:
    names = evaluation.classes.names
    rows = []
    for name, counts in zip(names, values['confusion'], strict=True):
        total = sum(counts)
        cells = []
        for count in counts:
            share = count / total if total else 0.0
            mix = f'background:color-mix(in srgb, var(--s1) {round(65 * math.sqrt(share))}%, transparent)'
            cells.append(f'<td style="{mix}" title="{count} label pixels">{100 * share:.1f} %</td>')
        rows.append(f'<tr><td>{escape(name)}</td>{"".join(cells)}<td><small>{total}</small></td></tr>')
    heads = ''.join(f'<th>{escape(name)}</th>' for name in names)
    return (
        '<h2>Confusion</h2><p class="dim">Rows: what it is; columns: what was said; of each row, in label pixels.</p>'
        f'<div class="scroll"><table><tr><th>truth</th>{heads}<th>pixels</th></tr>{"".join(rows)}</table></div>'
    )


def _ball(values: Values) -> str:
    ball, bounds = values['ball'], values['confidence']['intervals']
    rows = []
    every = [('every prediction', ball['every'])] if ball['every'] else []
    sizes = ((f'{k} px', v) for k, v in ball['by_radius_px'].items())
    for name, entry in (('<b>all</b>', ball), *sizes, *every):
        rows.append(
            (
                name,
                *(text_of(entry[k]) for k in ('found', 'missed', 'false', 'precision', 'recall', 'f1')),
                *(text_of(entry[k], 2) for k in ('error_px_p50', 'error_px_p95')),
                *(text_of(entry[k], 2) for k in ('error_radii_p50', 'error_radii_p95')),
            )
        )
    heads = ('radius', 'found', 'missed', 'false', 'precision', 'recall', 'F1', 'px p50', 'px p95', 'radii p50', 'p95')
    curve = ball['curve']
    points: list[Point] = [(entry['recall'], entry['precision']) for entry in curve]
    chart = line_chart([Line('', points)], 'recall', 'precision', x_range=(0, 1), y_range=(0, 1)) if curve else ''
    low, high = bounds.get('ball.f1', (None, None))
    interval = '' if low is None else f' F1 95 %: {low:.3f} &ndash; {high:.3f}.'
    most = ball['f1_at_most']
    bound = f' One prediction a frame is judged, so F1 is at most {most:.3f} here.' if most and most < 1 else ''
    title = '<h3>precision and recall over the confidence asked for</h3>'
    return (
        f'<h2>Ball</h2><p class="dim">{ball["frames_with_truth"]} frames with truth.{interval}{bound}</p>'
        + table(heads, rows)
        + (f'<div class="columns"><div>{title}{chart}</div></div>' if chart else '')
    )


def _sequence(values: Values) -> str:
    sequence = values['sequence']
    track, shares = sequence['ball_track'], sequence['class_shares'] or {}
    rows = [(f'share of {escape(name)}', f'{100 * share:.1f} %') for name, share in shares.items()]
    for title, key in (('changed since the frame before', 'changed'), ('flicker (one frame only)', 'flicker')):
        if sequence[key] is not None:
            rows.append((title, f'{100 * sequence[key]:.2f} %'))
    if not rows:
        return ''
    rows.append(('ball seen', f'{sequence["balls_seen"]} of {values["frames"]} frames'))
    in_time = [
        ('tracks, the longest', f'{track["tracks"]}, {track["longest"]} frames'),
        ('blinks, jumps', f'{track["blinks"]}, {track["jumps"]}'),
        (
            'step to the next frame, p50, p95',
            f'{text_of(track["step_px_p50"], 1)}, {text_of(track["step_px_p95"], 1)} px',
        ),
    ]
    rows += in_time if sequence['frames_in_time'] else []
    return '<h2>What was seen</h2><p class="dim">Predictions alone, no truth needed.</p>' + table(('', ''), rows)


def _curves(values: Values, evaluation: Evaluation) -> str:
    charts = []
    clock, unit = _clock(evaluation.scores)
    latency = [
        (x, math.nan if s.latency_ms is None else s.latency_ms) for x, s in zip(clock, evaluation.scores, strict=True)
    ]
    charts.append(('latency, ms', line_chart([Line('', latency)], unit, 'ms')))
    if values['frames_with_labels']:
        iou = [(x, s.mean_iou(evaluation.absent)) for x, s in zip(clock, evaluation.scores, strict=True)]
        charts.append(
            ('mean IoU of each frame', line_chart([Line('', iou)], unit, 'mean IoU', y_range=(0, 1), keep=min))
        )
    balls = [(x, s.ball) for x, s in zip(clock, evaluation.scores, strict=True)]
    if any(ball is not None for _, ball in balls):
        lines = [
            Line(axis, [(x, math.nan if b is None else getattr(b, axis)) for x, b in balls], style, dots=True)
            for axis, style in (('x', 1), ('y', 2))
        ]
        charts.append(('the ball found, px', line_chart(lines, unit, 'px')))
    body = ''.join(f'<div><h3>{title}</h3>{chart}</div>' for title, chart in charts if chart)
    return f'<h2>Over time</h2><div class="columns">{body}</div>' if body else ''


def _clock(scores: Sequence[FrameScore]) -> tuple[list[float], str]:
    """Seconds since the first frame where one source has rising stamps, else the frame's number."""
    stamps = [score.stamp for score in scores]
    told = [stamp for stamp in stamps if stamp is not None]
    one = len({score.source for score in scores}) == 1
    if one and len(told) == len(stamps) > 1 and all(a < b for a, b in pairwise(told)):
        return [(stamp - told[0]) / 1e9 for stamp in told], 's'
    return [float(k) for k in range(len(scores))], 'frame'


def _worst(evaluation: Evaluation) -> str:
    if not evaluation.worst:
        return ''
    parts = []
    several = len({score.source for score in evaluation.scores}) > 1
    for kept in evaluation.worst:
        figures = ''.join(
            f'<figure><img alt="{escape(name)}" loading="lazy" src="data:image/jpeg;base64,'
            f'{base64.b64encode(encode_jpeg(picture, 80)).decode()}"><figcaption>{escape(name)}</figcaption></figure>'
            for name, picture in panels(kept, evaluation.classes, PANEL_WIDTH).items()
        )
        where = f', {escape(kept.score.source)}' if several else ''
        parts.append(
            f'<div class="frame"><h3>{escape(kept.score.name)} '
            f'<span class="dim">{escape(kept.reason)}{where}</span></h3>'
            f'<div class="panels">{figures}</div></div>'
        )
    return '<h2>The worst frames</h2>' + ''.join(parts)


def _sources(values: Values) -> str:
    rows = [
        (
            escape(entry['name']),
            *(text_of(entry[k]) for k in ('frames', 'dropped', 'mean_iou', 'ball_f1', 'balls_seen')),
            *(text_of(entry[k], 1) for k in ('latency_ms_p50', 'latency_ms_p95')),
        )
        for entry in values['sources']
    ]
    heads = ('source', 'frames', 'dropped', 'mean IoU', 'ball F1', 'balls seen', 'ms p50', 'ms p95')
    return '<h2>Sources</h2>' + table(heads, rows)
