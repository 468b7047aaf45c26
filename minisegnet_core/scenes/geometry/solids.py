"""Solid shapes drawn by casting rays at them. A depth buffer decides what hides what; shading comes last, once a pixel.

Casting at the rays of every pixel keeps outlines right under every lens, and labels exact at pixel centres. Each solid
is held by a few spheres, and only pixels whose rays pass one of these are tried. Small windows, which are most, are
tried all together as pairs of a pixel and a solid, since calls would cost more than their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.shading import Points, shade
from minisegnet_core.scenes.geometry.intersections import Box, Boxes, Capsule, Capsules, Ellipsoid, Ellipsoids, Solid
from minisegnet_core.scenes.geometry.viewport import Viewport

__all__ = ['Box', 'Canvas', 'Capsule', 'Ellipsoid', 'Solid']
Floats = NDArray[np.float32]
TOO_SMALL = 0.6
"""Pixels; solids held by a sphere of a smaller radius are left out."""
LARGE = 6000
"""Pixels; larger windows are tried by themselves."""
NEAREST = np.float32(0.02)
"""Metres; what is nearer to the eye is not seen."""
Numbers = Capsules | Boxes | Ellipsoids
Group = tuple[NDArray[np.intp], Numbers]
"""Positions of solids in the list of all, and their numbers."""
_KINDS: tuple[tuple[type[Any], type[Any]], ...] = ((Capsule, Capsules), (Box, Boxes), (Ellipsoid, Ellipsoids))


class Canvas:
    """The image as it grows: ``light`` (H, W, 3) float32 linear, ``depth`` (H, W) metres along the ray, ``solid``
    (H, W) uint8: 1 where a solid was drawn."""

    def __init__(self, light: Floats, depth: Floats) -> None:
        self.light = light
        self.depth = depth
        self.solid = np.zeros(depth.shape, np.uint8)

    def draw(self, solids: Sequence[Solid], levels: Floats, view: Viewport, light: Light) -> None:
        """Draws solids lit by ``light``, where the ground around them receives ``levels`` (solids, 3)."""
        # Sorted by kind: capsules, boxes, ellipsoids.
        order = [i for kind, _ in _KINDS for i, solid in enumerate(solids) if isinstance(solid, kind)]
        solids, levels = [solids[i] for i in order], levels[order]
        groups: list[Group] = []
        for kind, table in _KINDS:
            members = np.flatnonzero([isinstance(solid, kind) for solid in solids])
            if members.size:
                groups.append((members, table([solids[i] for i in members], view.camera.position)))
        if not groups:
            return
        windows = _windows(groups, view)
        owner = np.full(self.depth.size, -1, np.int32)
        for (members, numbers), (columns, around) in zip(groups, windows, strict=True):
            large = _areas(around) > LARGE
            _cast_large(members, numbers, columns[large], around[large], view, self.depth, owner)
        found = [
            _cast_small(members, numbers, columns[small], around[small], view, self.depth)
            for (members, numbers), (columns, around) in zip(groups, windows, strict=True)
            for small in [_areas(around) <= LARGE]
        ]
        pixels, distances, owners = (np.concatenate(parts) for parts in zip(*found, strict=True))
        # Far ones first: where several fall on a pixel, the last that is written stays, and that is the nearest.
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
        # By solid, so that what belongs to a solid need not be looked up for each pixel. Solids are at most thousands.
        order = np.argsort(owner[seen].astype(np.int16), kind='stable')
        seen = seen[order]
        counts = np.bincount(owner[seen], minlength=len(solids))
        directions = np.stack([plane.reshape(-1)[seen] for plane in view.rays])
        at = self.depth.reshape(-1)[seen]
        x, y, z = (directions[axis] * at + view.origin[axis] for axis in range(3))
        parts, start = [], 0
        for members, numbers in groups:
            of_group = counts[members]
            part = slice(start, start + int(of_group.sum()))
            middle = np.repeat(numbers.middle.astype(np.float32).T, of_group, axis=1)
            table = np.repeat(numbers.normal_rows, of_group, axis=1)
            parts.append(numbers.normal(table, x[part] - middle[0], y[part] - middle[1], z[part] - middle[2]))
            start = part.stop
        normals = np.concatenate([part[0] for part in parts], axis=1)
        across, along = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        points = Points(counts, normals, directions, across, along, x, y, z)
        pixels = self.light.reshape(-1, 3)
        for channel, values in enumerate(shade([s.surface for s in solids], levels, points, light)):
            pixels[seen, channel] = values
        self.solid.reshape(-1)[seen] = 1


def _windows(groups: Sequence[Group], view: Viewport) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For each group of solids: m windows (m, 4) top, bottom, left, right that hold all that may be seen of them, and
    the column in the group's numbers of the solid that each is for."""
    covers = [numbers.cover for _, numbers in groups]
    centers, radii = (np.concatenate([cover[i] for cover in covers]) for i in (0, 1))
    windows = view.windows(centers, radii, TOO_SMALL)
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
    numbers: Numbers,
    columns: NDArray[np.intp],
    windows: NDArray[np.intp],
    view: Viewport,
    depth: Floats,
    owner: NDArray[np.int32],
) -> None:
    """Draws solids into depth and owner, window by window."""
    owner = owner.reshape(depth.shape)
    for column, (top, bottom, left, right) in zip(columns, windows, strict=True):
        window = slice(top, bottom), slice(left, right)
        dx, dy, dz = (plane[window] for plane in view.rays)
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            distance = numbers.cast(numbers.cast_rows[:, column], dx, dy, dz)
            hit = (distance > NEAREST) & (distance < depth[window])
        np.copyto(depth[window], distance, where=hit)
        np.copyto(owner[window], np.int32(members[column]), where=hit)


def _cast_small(
    members: NDArray[np.intp],
    numbers: Numbers,
    columns: NDArray[np.intp],
    windows: NDArray[np.intp],
    view: Viewport,
    depth: Floats,
) -> tuple[NDArray[np.intp], Floats, NDArray[np.intp]]:
    """Pixels, distances and solids of all hits in small windows, a pixel once for each solid and window there."""
    top, bottom, left, right = windows.T
    # Windows to rows of pixels, rows to pixels.
    heights, widths = bottom - top, right - left
    rows = _counted(heights) * depth.shape[1] + np.repeat(top * depth.shape[1] + left, heights)
    row_widths = np.repeat(widths, heights)
    pixels = _counted(row_widths) + np.repeat(rows, row_widths)
    areas = heights * widths
    table = np.repeat(numbers.cast_rows[:, columns], areas, axis=1)
    dx, dy, dz = (plane.reshape(-1)[pixels] for plane in view.rays)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        distances = numbers.cast(table, dx, dy, dz)
        hits = np.flatnonzero((distances > NEAREST) & (distances < depth.reshape(-1)[pixels]))
    return pixels[hits], distances[hits], members[np.repeat(columns, areas)[hits]]


def _counted(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """0, 1, .. lengths[0] - 1, 0, 1, .. lengths[1] - 1, and so on."""
    starts = np.cumsum(lengths) - lengths
    result: NDArray[np.intp] = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return result
