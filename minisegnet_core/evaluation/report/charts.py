"""Line charts as SVG. Colours come from ``templates/report.css``, so they follow the light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 36
MAX_POINTS = 600
"""Maximum number of points of a line; a chart is not wider than this many pixels."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        points: (x, y) in order; a NaN interrupts the line.
        style: number of the series colour, 1 to 3.
        dots: draw a dot at each point instead of a line.
    """

    name: str
    points: Sequence[Point]
    style: int = 1
    dots: bool = False


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    keep: Callable[[Sequence[float]], float] = max,
) -> str:
    """Return an SVG with axes and, for several lines, a legend; an empty text if there is nothing to draw.

    Args:
        x_range, y_range: limits of the axes; by default those of the points, with y from 0.
        keep: selects the value that is drawn for many neighbouring points: ``max`` for latencies, ``min`` for scores.
    """
    lines = [Line(line.name, _thinned(line.points, keep), line.style, line.dots) for line in lines]
    finite = [p for line in lines for p in line.points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        return ''
    x_low, x_high = x_range or (min(p[0] for p in finite), max(p[0] for p in finite))
    y_low, y_high = y_range or (0.0, max(p[1] for p in finite))
    x_high, y_high = (high if high > low else low + 1 for low, high in ((x_low, x_high), (y_low, y_high)))

    def place(point: Point) -> str:
        x = LEFT + (point[0] - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (point[1] - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return f'{x:.1f},{y:.1f}'

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)} over {escape(x_label)}">']
    for tick in ticks(y_low, y_high):
        x, y = place((x_low, tick)).split(',')
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(x_low, x_high):
        x, y = place((tick, y_low)).split(',')
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>')
    parts.append(f'<text x="12" y="{(HEIGHT - BOTTOM) / 2}" transform="rotate(-90 12 {(HEIGHT - BOTTOM) / 2})" ')
    parts.append(f'text-anchor="middle">{escape(y_label)}</text>')
    for line in lines:
        if line.dots:
            good = (p for p in line.points if math.isfinite(p[1]))
            marks = (f'<circle cx="{x}" cy="{y}" r="1.8"/>' for x, y in (place(p).split(',') for p in good))
            parts.append(f'<g class="dots s{line.style}">{"".join(marks)}</g>')
            continue
        for run in _runs(line.points):
            parts.append(f'<polyline class="s{line.style}" points="{" ".join(map(place, run))}"/>')
    parts.append('</svg>')
    legend = ''.join(f'<span><i class="b{line.style}"></i>{escape(line.name)}</span>' for line in lines)
    return ''.join(parts) + (f'<div class="legend">{legend}</div>' if len(lines) > 1 else '')


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers in [low, high], low < high: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _thinned(points: Sequence[Point], keep: Callable[[Sequence[float]], float]) -> list[Point]:
    if len(points) <= MAX_POINTS:
        return list(points)
    result = []
    for k in range(MAX_POINTS):
        part = points[k * len(points) // MAX_POINTS : (k + 1) * len(points) // MAX_POINTS]
        finite = [y for _, y in part if math.isfinite(y)]
        result.append((part[0][0], keep(finite) if finite else math.nan))
    return result


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
