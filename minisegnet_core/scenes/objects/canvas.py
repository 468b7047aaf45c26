"""The image being drawn, with its depth buffer, and ray casting of solids into it.

Rays are cast at every pixel, so outlines are correct under every lens and labels are exact at pixel centres. Each solid
is covered by a few spheres, and only pixels whose rays hit one of them are tested. Small windows are the large majority
and are tested in one batch of (pixel, solid) pairs, because a call for each would cost more than its pixels. Shading
comes last, once for each visible pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.surfaces import Points, shade
from minisegnet_core.scenes.geometry.viewport import Viewport
from minisegnet_core.scenes.objects.solids import Box, Boxes, Capsule, Capsules, Ellipsoid, Ellipsoids, Solid

Floats = NDArray[np.float32]
Table = Capsules | Boxes | Ellipsoids
Group = tuple[NDArray[np.intp], Table]
"""Indices of solids of one kind in the list of all solids, and their coefficients."""

MIN_RADIUS = 0.6
"""Pixels; a solid is skipped where its covering spheres appear smaller."""

LARGE = 6000
"""Pixels; windows with more are tested one by one."""

NEAREST = np.float32(0.02)
"""Metres; surfaces nearer to the camera are not drawn."""

_KINDS: tuple[tuple[type[Any], type[Any]], ...] = ((Capsule, Capsules), (Box, Boxes), (Ellipsoid, Ellipsoids))


class Canvas:
    """The image being drawn.

    Attributes:
        light: (H, W, 3) float32 linear light.
        depth: (H, W) float32 metres along the ray to the nearest surface so far.
        solid: (H, W) uint8, 1 where a solid was drawn.
    """

    def __init__(self, light: Floats, depth: Floats) -> None:
        self.light = light
        self.depth = depth
        self.solid = np.zeros(depth.shape, np.uint8)

    def draw(self, solids: Sequence[Solid], levels: Floats, view: Viewport, light: Light) -> None:
        """Draw solids wherever nothing nearer was drawn.

        Args:
            solids: n solids, in any order.
            levels: (n, 3) linear RGB light on the ground around each of them.
            view: of the camera.
            light: of the scene.
        """
        # By kind: capsules, boxes, ellipsoids.
        order = [i for kind, _ in _KINDS for i, solid in enumerate(solids) if isinstance(solid, kind)]
        solids, levels = [solids[i] for i in order], levels[order]
        groups: list[Group] = []
        for kind, table_of in _KINDS:
            members = np.flatnonzero([isinstance(solid, kind) for solid in solids])
            if members.size:
                groups.append((members, table_of([solids[i] for i in members], view.camera.position)))
        if not groups:
            return
        windows = _windows(groups, view)
        owner = np.full(self.depth.size, -1, np.int32)
        for (members, table), (columns, around) in zip(groups, windows, strict=True):
            large = _areas(around) > LARGE
            _cast_large(members, table, columns[large], around[large], view, self.depth, owner)
        hits = [
            _cast_small(members, table, columns[small], around[small], view, self.depth)
            for (members, table), (columns, around) in zip(groups, windows, strict=True)
            for small in [_areas(around) <= LARGE]
        ]
        pixels, distances, owners = (np.concatenate(parts) for parts in zip(*hits, strict=True))
        # Farthest first: a pixel that is hit several times keeps the last value written, which is the nearest.
        farthest = np.argsort(-distances, kind='stable')
        depth = self.depth.reshape(-1)
        depth[pixels[farthest]] = distances[farthest]
        owner[pixels[farthest]] = owners[farthest]
        self._shade(solids, levels, groups, owner, view, light)

    def _shade(
        self,
        solids: Sequence[Solid],
        levels: Floats,
        groups: Sequence[Group],
        owner: NDArray[np.int32],
        view: Viewport,
        light: Light,
    ) -> None:
        seen = np.flatnonzero(owner >= 0)
        if seen.size == 0:
            return
        # Sorted by solid, so that values of a solid are repeated instead of looked up; int16 suffices for their number.
        order = np.argsort(owner[seen].astype(np.int16), kind='stable')
        seen = seen[order]
        counts = np.bincount(owner[seen], minlength=len(solids))
        directions = np.stack([plane.reshape(-1)[seen] for plane in view.rays])
        at = self.depth.reshape(-1)[seen]
        x, y, z = (directions[axis] * at + view.origin[axis] for axis in range(3))
        parts, start = [], 0
        for members, table in groups:
            of_group = counts[members]
            part = slice(start, start + int(of_group.sum()))
            middle = np.repeat(table.middle.astype(np.float32).T, of_group, axis=1)
            rows = np.repeat(table.normal_rows, of_group, axis=1)
            parts.append(table.normal(rows, x[part] - middle[0], y[part] - middle[1], z[part] - middle[2]))
            start = part.stop
        normals = np.concatenate([part[0] for part in parts], axis=1)
        across, along = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        points = Points(counts, normals, directions, across, along, x, y, z)
        pixels = self.light.reshape(-1, 3)
        for channel, values in enumerate(shade([s.surface for s in solids], levels, points, light)):
            pixels[seen, channel] = values
        self.solid.reshape(-1)[seen] = 1


def _windows(groups: Sequence[Group], view: Viewport) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return for each group of solids the m windows in which they may be visible.

    Returns:
        For each group: the column of each window's solid in the group's table (m,), and the windows (m, 4) as top,
        bottom, left, right.
    """
    covers = [table.cover for _, table in groups]
    centers, radii = (np.concatenate([cover[i] for cover in covers]) for i in (0, 1))
    windows = view.windows(centers, radii, MIN_RADIUS)
    result, start = [], 0
    for _, of_group, counts in covers:
        part = windows[start : start + of_group.size]
        start += of_group.size
        full = np.flatnonzero((part[:, 0] < part[:, 1]) & (part[:, 2] < part[:, 3]))
        result.append((np.repeat(np.arange(counts.size), counts)[full], part[full]))
    return result


def _areas(windows: NDArray[np.intp]) -> NDArray[np.intp]:
    return (windows[:, 1] - windows[:, 0]) * (windows[:, 3] - windows[:, 2])


def _cast_large(
    members: NDArray[np.intp],
    table: Table,
    columns: NDArray[np.intp],
    windows: NDArray[np.intp],
    view: Viewport,
    depth: Floats,
    owner: NDArray[np.int32],
) -> None:
    """Draw solids into ``depth`` and ``owner``, window by window."""
    owner = owner.reshape(depth.shape)
    for column, (top, bottom, left, right) in zip(columns, windows, strict=True):
        window = slice(top, bottom), slice(left, right)
        dx, dy, dz = (plane[window] for plane in view.rays)
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            distance = table.cast(table.cast_rows[:, column], dx, dy, dz)
            hit = (distance > NEAREST) & (distance < depth[window])
        np.copyto(depth[window], distance, where=hit)
        np.copyto(owner[window], np.int32(members[column]), where=hit)


def _cast_small(
    members: NDArray[np.intp],
    table: Table,
    columns: NDArray[np.intp],
    windows: NDArray[np.intp],
    view: Viewport,
    depth: Floats,
) -> tuple[NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Return the flat pixels, distances and solids of all hits in small windows; a pixel may occur several times."""
    top, bottom, left, right = windows.T
    # Expand windows to rows of pixels, then rows to pixels.
    heights, widths = bottom - top, right - left
    rows = _ranges(heights) * depth.shape[1] + np.repeat(top * depth.shape[1] + left, heights)
    row_widths = np.repeat(widths, heights)
    pixels = _ranges(row_widths) + np.repeat(rows, row_widths)
    areas = heights * widths
    coefficients = np.repeat(table.cast_rows[:, columns], areas, axis=1)
    dx, dy, dz = (plane.reshape(-1)[pixels] for plane in view.rays)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        distances = table.cast(coefficients, dx, dy, dz)
        hits = np.flatnonzero((distances > NEAREST) & (distances < depth.reshape(-1)[pixels]))
    return pixels[hits], distances[hits], members[np.repeat(columns, areas)[hits]]


def _ranges(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return range(lengths[0]), range(lengths[1]) and so on, concatenated."""
    starts = np.cumsum(lengths) - lengths
    result: NDArray[np.intp] = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return result
