"""Fields by the rule books, their markings as geometry, and maps of the distance to the nearest marking.

Field frame: origin at the centre, x along the length, y along the width, z up, in metres. Lengths and distances refer
to the centre lines of markings. The centre of a goal line is at x = +-length / 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.config.settings import FieldDimensions

MAP_RESOLUTION = 0.0125
"""Metres per pixel of a line map.

With linear interpolation the edges of lines are accurate to 0.1 mm, their inner corners to 3 mm.
"""

FAR = 5.0
"""Metres; distance that stands for everything outside a line map."""


KID = FieldDimensions()
ADULT = FieldDimensions(14.0, 9.0, 2.6, 1.8, 0.6, 1.0, 4.0, 3.0, 6.0, 2.1, 3.0, ball_diameter=(0.216, 0.223))
HUMANOID_2018 = FieldDimensions(
    9.0, 6.0, 2.6, 1.8, 0.6, 1.0, 5.0, 0.0, 0.0, 2.1, 1.5, border=0.7, ball_diameter=(0.13, 0.22)
)
SPL = FieldDimensions(9.0, 6.0, 1.5, 0.8, 0.5, 0.6, 2.2, 1.65, 4.0, 1.3, 1.5, border=0.7, ball_diameter=(0.10, 0.10))
MSL = FieldDimensions(
    22.0, 14.0, 2.4, 1.0, 0.5, 0.75, 3.9, 2.25, 6.9, 3.6, 4.0, corner_radius=0.75, border=1.0, line_width=0.125,
    ball_diameter=(0.21, 0.23),
)  # fmt: skip
FIELDS: dict[str, FieldDimensions] = {
    'kid': KID,
    'adult': ADULT,
    'humanoid2018': HUMANOID_2018,
    'spl': SPL,
    'msl': MSL,
}


@dataclass(frozen=True)
class Markings:
    """Centre lines of all markings, in metres in the field frame.

    Attributes:
        segments: (n, 4) x0, y0, x1, y1 of segments along x or y.
        arcs: (n, 5) cx, cy, radius, and the signs of x - cx and y - cy in the quadrant of the arc; both 0: full circle.
    """

    segments: NDArray[np.float64]
    arcs: NDArray[np.float64]


def markings(field: FieldDimensions) -> Markings:
    """Return all markings of a field."""
    half_length, half_width, stroke = field.length / 2, field.width / 2, field.mark_size / 2
    segments: list[tuple[float, float, float, float]] = []
    arcs: list[tuple[float, float, float, float, float]] = []
    ends = (1,) if field.half else (-1, 1)
    start = 0.0 if field.half else -half_length
    for side in (-1, 1):
        segments.append((start, side * half_width, half_length, side * half_width))
    segments.append((0.0, -half_width, 0.0, half_width))
    if field.mark_size:
        segments.append((-stroke, 0.0, stroke, 0.0))
    for end in ends:
        goal_line = end * half_length
        segments.append((goal_line, -half_width, goal_line, half_width))
        for depth, width in (
            (field.goal_area_length, field.goal_area_width),
            (field.penalty_area_length, field.penalty_area_width),
        ):
            if depth and width:
                inner = goal_line - end * depth
                segments.append((inner, -width / 2, inner, width / 2))
                segments.extend((goal_line, side * width / 2, inner, side * width / 2) for side in (-1, 1))
        if field.penalty_mark and field.mark_size:
            mark = goal_line - end * field.penalty_mark
            segments.append((mark - stroke, 0.0, mark + stroke, 0.0))
            segments.append((mark, -stroke, mark, stroke))
        if field.corner_radius:
            arcs.extend((goal_line, side * half_width, field.corner_radius, -end, -side) for side in (-1, 1))
    if field.circle_diameter:
        arcs.append((0.0, 0.0, field.circle_diameter / 2, 1 if field.half else 0, 0))
    return Markings(np.array(segments, np.float64), np.array(arcs, np.float64).reshape(-1, 5))


@dataclass(frozen=True)
class LineMap:
    """Distance to the nearest centre line, over the field and its surroundings.

    The centre of pixel (column, row) is at (left + column * MAP_RESOLUTION, bottom + row * MAP_RESOLUTION), in metres.

    Attributes:
        values: (rows, columns, 2) float32: the distance in metres, and the squared x component of the line's unit
            normal, 0 to 1.
        left: x of the first column's centre, in metres.
        bottom: y of the first row's centre, in metres.
    """

    values: NDArray[np.float32]
    left: float
    bottom: float


@lru_cache(maxsize=8)
def line_map(field: FieldDimensions) -> LineMap:
    """Return the line map of a field. Results are cached, since computing one takes a large part of a second."""
    margin = 0.5
    left = (0.0 if field.half else -field.length / 2) - margin
    bottom = -field.width / 2 - margin
    if field.half:
        left -= margin
    xs = np.arange(left, field.length / 2 + margin, MAP_RESOLUTION).astype(np.float32)[None, :]
    ys = np.arange(bottom, field.width / 2 + margin, MAP_RESOLUTION).astype(np.float32)[:, None]
    values = np.full((ys.shape[0], xs.shape[1], 2), FAR, np.float32)
    values[..., 1] = 0.5
    lines = markings(field)
    for x0, y0, x1, y1 in lines.segments:
        # The maximum metric ends a line squarely, half its width beyond the end point, so that painted corners close.
        dx = np.maximum(np.maximum(min(x0, x1) - xs, xs - max(x0, x1)), 0)
        dy = np.maximum(np.maximum(min(y0, y1) - ys, ys - max(y0, y1)), 0)
        along_x = y0 == y1
        distance = np.maximum(dx, dy)
        _keep_nearest(values, distance, 0.0 if along_x else 1.0)
    for cx, cy, radius, side_x, side_y in lines.arcs:
        dx, dy = xs - cx, ys - cy
        rho = np.hypot(dx, dy)
        outside = np.maximum(np.maximum(-dx * side_x, -dy * side_y), 0)
        distance = np.maximum(np.abs(rho - radius), outside)
        _keep_nearest(values, distance, (dx / np.maximum(rho, 1e-6)) ** 2)
    return LineMap(values, left, bottom)


def _keep_nearest(
    values: NDArray[np.float32], distance: NDArray[np.float32], normal: NDArray[np.float32] | float
) -> None:
    nearer = distance < values[..., 0]
    values[..., 1] = np.where(nearer, normal, values[..., 1])
    np.minimum(values[..., 0], distance, out=values[..., 0])
