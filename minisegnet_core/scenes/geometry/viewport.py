"""The rays of one camera, where they meet the ground, and the windows of pixels that show an object.

Rays are computed exactly at every fourth pixel, at the centres of the label grid's blocks ("nodes" of the coarse grid),
and interpolated linearly in between. For focal lengths of 100 px and more this is accurate to 0.02 px and ten times
faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.geometry.camera import Camera

Floats = NDArray[np.float32]
Window = tuple[slice, slice]
"""Rows and columns of pixels."""

STEP = 4
"""Pixels between the nodes of the coarse grid."""

BEYOND = 0.35
"""Radians by which a fisheye's model is extended beyond its limit, for the nodes just outside the image circle."""

FAR_AWAY = np.float32(1e4)
"""Metres; distance along rays that hit nothing."""


class Viewport:
    """Rays and ground hits of one camera.

    Attributes:
        camera: the camera.
        rays: (3, H, W) float32 unit directions in the field frame.
        coarse: (3, h, w) float32 unit directions at the nodes, which extend one node beyond each image border.
        origin: (3,) float32 position of the camera in metres in the field frame.
        x, y: (H, W) float32 ground hits in metres in the field frame; far away above the horizon.
        coarse_x, coarse_y: (h, w) the same at the nodes.
        distance: (H, W) float32 metres along the ray to the ground; FAR_AWAY above the horizon.
        coarse_distance: (h, w) the same at the nodes.
        rim: (H, W) float32 distance in pixels to the edge of the lens's image circle, positive inside; None if the
            circle contains the whole image.
        pixel: angle in radians that one pixel covers at the optical axis.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        width, height = camera.width, camera.height
        columns = STEP * np.arange(-1, -(-width // STEP) + 1) + (STEP - 1) / 2
        rows = STEP * np.arange(-1, -(-height // STEP) + 1) + (STEP - 1) / 2
        u, v = np.meshgrid(columns, rows)
        # Nodes just outside the image circle take part in the interpolation, so the lens model is extended to them.
        wider = replace(camera, limit=min(camera.limit + BEYOND, math.pi)) if camera.model == 'equidistant' else camera
        self.coarse: Floats = wider.rays(u, v).astype(np.float32)
        self.rays: Floats = np.stack([self.refine(plane) for plane in self.coarse])
        # Interpolation shortens rays a little: enough for thin, distant objects to vanish between the nodes.
        length = self.rays[0] * self.rays[0]
        length += self.rays[1] * self.rays[1]
        length += self.rays[2] * self.rays[2]
        self.rays /= cv2.sqrt(length)
        self.origin: Floats = camera.position.astype(np.float32)
        self.pixel = float(1.0 / camera.fx)
        self.distance = self._ground(self.rays[2])
        self.x: Floats = self.rays[0] * self.distance + self.origin[0]
        self.y: Floats = self.rays[1] * self.distance + self.origin[1]
        coarse_distance = self._ground(self.coarse[2])
        self.coarse_distance = coarse_distance
        self.coarse_x: Floats = self.coarse[0] * coarse_distance + self.origin[0]
        self.coarse_y: Floats = self.coarse[1] * coarse_distance + self.origin[1]
        self.rim = self._inside_circle(u, v)
        self._measure_lens()
        # Maximum angle between neighbouring nodes, and so the size of objects that fit between them.
        steps = [np.square(np.diff(self.coarse, axis=axis)).sum(axis=0).max() for axis in (1, 2)]
        self._reach = 0.75 * float(np.sqrt(sum(steps)))
        forward = camera.rotation[2]
        least = float((self.coarse * forward.astype(np.float32)[:, None, None]).sum(axis=0).min())
        self._sparse = np.ascontiguousarray(self.coarse[:, ::2, ::2])
        self._widest = math.acos(min(max(least, -1.0), 1.0)) + self._reach

    def _ground(self, down: Floats) -> Floats:
        distance: Floats = np.divide(-self.origin[2], np.minimum(down, -1e-6))
        return np.asarray(np.minimum(distance, FAR_AWAY, out=distance), np.float32)

    def _inside_circle(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> Floats | None:
        camera = self.camera
        radius = np.hypot((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
        edge = camera.limit if camera.model == 'equidistant' else np.tan(min(camera.limit, 1.5))
        limit = float(camera.radial(np.array(edge))[0])
        if radius.max() < limit:
            return None
        return self.refine(((limit - radius) * camera.fx).astype(np.float32))

    def refine(self, coarse: Floats, window: Window | None = None) -> Floats:
        """Interpolate a map (h, w) or (h, w, c) on the coarse grid linearly at every pixel of the image or a window."""
        height, width = self.camera.height, self.camera.width
        rows, columns = window or (slice(0, height), slice(0, width))
        # One more node on each side, so that the values in a window equal those in the whole image.
        top, left = rows.start // STEP, columns.start // STEP
        part = coarse[top : -(-rows.stop // STEP) + 2, left : -(-columns.stop // STEP) + 2]
        fine = cv2.resize(part, (part.shape[1] * STEP, part.shape[0] * STEP), interpolation=cv2.INTER_LINEAR)
        down, right = rows.start - top * STEP + STEP, columns.start - left * STEP + STEP
        cut = fine[down : down + rows.stop - rows.start, right : right + columns.stop - columns.start]
        return np.ascontiguousarray(cut, dtype=np.float32)

    def window(self, center: NDArray[np.float64], radius: float) -> Window | None:
        """Return a window that contains all pixels whose rays hit a sphere, or None if the sphere is not in view.

        Args:
            center: (3,) in metres in the field frame.
            radius: in metres.
        """
        top, bottom, left, right = (int(v) for v in self.windows(center[None], np.array([radius]))[0])
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def windows(
        self, centers: NDArray[np.float64], radii: NDArray[np.float64], smallest: float = 0.0
    ) -> NDArray[np.intp]:
        """Return the windows of n spheres as (n, 4) top, bottom, left, right; bottom and right are excluded.

        Args:
            centers: (n, 3) in metres in the field frame.
            radii: (n,) in metres.
            smallest: radius in pixels below which a sphere is skipped.

        Returns:
            0, 0, 0, 0 for a sphere that is skipped or not in view.
        """
        camera = self.camera
        result = np.zeros((len(radii), 4), np.intp)
        offset = centers - camera.position
        distance = np.sqrt(np.square(offset).sum(axis=1))
        inside = distance <= radii
        angle = np.arcsin(np.minimum(radii / np.maximum(distance, 1e-9), 1.0))
        x, y, z = ((offset * row).sum(axis=1) for row in camera.rotation)
        theta = np.arctan2(np.hypot(x, y), z)
        wanted = (theta - angle <= self._widest) & (radii >= smallest * self.pixel * (distance + radii))
        result[inside & wanted] = 0, camera.height, 0, camera.width
        wanted &= ~inside
        outer = np.ceil((theta + angle) / self._scale_step).astype(int)
        u, v = camera.distort(x, y, z)
        known = wanted & (outer < len(self._scales)) & np.isfinite(u)
        reach = angle[known] * self._scales[outer[known]] + 1.5
        for column, (value, size) in enumerate(((v, camera.height), (u, camera.width))):
            result[known, 2 * column] = np.clip(np.floor(value[known] - reach), 0, size)
            result[known, 2 * column + 1] = np.clip(np.ceil(value[known] + reach) + 1, 0, size)
        for index in np.flatnonzero(wanted & ~known):
            direction = (offset[index] / distance[index]).astype(np.float32)
            # Every other node suffices to find the sphere.
            found = _rows_and_columns(self._sparse, direction, float(angle[index]) + 2.4 * self._reach)
            pixels = None
            if found is not None:
                pixels = self._pixels(2 * found[0] - 1, 2 * found[1], 2 * found[2] - 1, 2 * found[3])
            if pixels is not None:
                result[index] = pixels[0].start, pixels[0].stop, pixels[1].start, pixels[1].stop
        return result

    def _measure_lens(self) -> None:
        """Tabulate, over the angle from the optical axis, the maximum pixels per radian up to that angle."""
        camera = self.camera
        edge = min(camera.limit, 1.5) if camera.model == 'plumb_bob' else camera.limit
        angles = np.linspace(0, edge, 361)
        values = angles if camera.model == 'equidistant' else np.tan(angles)
        bent = camera.radial(values)[0]
        along = np.gradient(bent, angles)
        across = bent / np.maximum(np.sin(np.minimum(angles, np.pi / 2)), 1e-3)
        across[0] = along[0]
        scale = np.maximum.accumulate(np.maximum(along, across)) * max(camera.fx, camera.fy)
        # Beyond 90 degrees circles around the axis shrink again, so the bound does not hold there.
        good = angles < 1.45
        self._scale_step = float(angles[1])
        self._scales = scale[good]
        if camera.model == 'plumb_bob':  # the slope that the tangential part adds, per radian
            slope = 6 * (abs(camera.distortion[2]) + abs(camera.distortion[3])) * values * (1 + values * values)
            self._scales = self._scales + max(camera.fx, camera.fy) * slope[good]

    def _pixels(self, top: int, bottom: int, left: int, right: int) -> Window | None:
        """Return the pixels around nodes in rows [top, bottom) and columns [left, right)."""
        rows = slice(max((top - 1) * STEP, 0), min((bottom - 1) * STEP, self.camera.height))
        columns = slice(max((left - 1) * STEP, 0), min((right - 1) * STEP, self.camera.width))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def tighten(self, window: Window, meets: Callable[[Floats, float], NDArray[np.bool_]]) -> Window | None:
        """Return the part of a window that shows an object, or None; small windows are returned as they are.

        Args:
            meets: takes rays (3, h, w) and an angle in radians, and returns (h, w): which rays pass the object within
                that angle.
        """
        rows, columns = window
        if (rows.stop - rows.start) * (columns.stop - columns.start) < 3000:
            return window
        top, left = rows.start // STEP, columns.start // STEP
        nodes = self.coarse[:, top : -(-rows.stop // STEP) + 2, left : -(-columns.stop // STEP) + 2]
        hit = meets(nodes, self._reach)
        found = np.flatnonzero(hit.any(axis=1))
        if found.size == 0:
            return None
        across = np.flatnonzero(hit.any(axis=0))
        return self._pixels(
            top + int(found[0]), top + int(found[-1]) + 1, left + int(across[0]), left + int(across[-1]) + 1
        )

    def pick(self, coarse: Floats, pixels: NDArray[np.intp]) -> Floats:
        """Interpolate a map (h, w) or (h, w, c) on the coarse grid at n pixels (flat indices) to (n,) or (n, c)."""
        columns = (pixels % self.camera.width).astype(np.float32)
        rows = (pixels // self.camera.width).astype(np.float32)
        columns *= np.float32(1 / STEP)
        columns += np.float32(1 - 1.5 / STEP)
        rows *= np.float32(1 / STEP)
        rows += np.float32(1 - 1.5 / STEP)
        return lookup(coarse, columns, rows)

    def oversampled(self, window: Window, factor: int) -> Floats:
        """Return the rays (3, factor * h, factor * w) of sub-pixels, factor x factor for each pixel of a window."""
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        v = np.arange(factor * height) / factor + rows.start + (1 / factor - 1) / 2
        u = np.arange(factor * width) / factor + columns.start + (1 / factor - 1) / 2
        if factor * factor * height * width <= 4096:  # few enough to compute exactly
            return self.camera.rays(*np.meshgrid(u, v)).astype(np.float32)
        map_u, map_v = np.meshgrid(((u - 1.5) / STEP + 1).astype(np.float32), ((v - 1.5) / STEP + 1).astype(np.float32))
        return np.stack([cv2.remap(plane, map_u, map_v, cv2.INTER_LINEAR) for plane in self.coarse])


def lookup(array: Floats, u: Floats, v: Floats, border: tuple[float, ...] | None = None) -> Floats:
    """Interpolate an array (h, w) or (h, w, c) linearly at n positions to (n,) or (n, c).

    Args:
        u, v: (n,) columns and rows, in pixels.
        border: value outside the array; the nearest pixel's by default.
    """
    count, line = u.size, 1024  # cv2.remap needs at least one row, and rows shorter than 32768
    padded = max(-(-count // line), 1) * line
    maps = []
    for position in (u, v):
        map_ = np.zeros(padded, np.float32)
        map_[:count] = position
        maps.append(map_.reshape(-1, line))
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    picked = cv2.remap(array, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=mode, borderValue=border or (0.0,))
    return np.asarray(picked.reshape(padded, *array.shape[2:])[:count], np.float32)


def products(rays: Floats, *vectors: NDArray[np.floating[Any]]) -> tuple[Floats, ...]:
    """Return the scalar products (h, w) of rays (3, h, w) with each vector (3,)."""
    results = []
    for x, y, z in vectors:
        result = rays[0] * np.float32(x)
        result += rays[1] * np.float32(y)
        result += rays[2] * np.float32(z)
        results.append(result)
    return tuple(results)


def _rows_and_columns(nodes: Floats, direction: NDArray[np.float32], angle: float) -> tuple[int, int, int, int] | None:
    """Return top, bottom, left and right of the unit rays (3, h, w) within an angle (radians) of a direction.

    bottom and right are excluded. None if no ray is that near.
    """
    if angle >= math.pi:
        return 0, nodes.shape[1], 0, nodes.shape[2]
    cosine = direction[0] * nodes[0]
    cosine += direction[1] * nodes[1]
    cosine += direction[2] * nodes[2]
    near = cosine > np.float32(math.cos(angle))
    rows = np.flatnonzero(near.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(near.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
