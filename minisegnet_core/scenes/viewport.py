"""What every pixel of one camera looks at: rays, hits on the ground, and windows around things.

Rays are computed exactly at every fourth pixel, at the centres of the label grid's blocks, and interpolated in between:
for lenses of 100 px focal length and more this is right within a fiftieth of a pixel and ten times as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.camera import Camera

Floats = NDArray[np.float32]
STEP = 4
BEYOND = 0.35
"""Radians; how far beyond its limit a fisheye's model is used between pixels."""
FAR_AWAY = np.float32(1e4)
"""Metres; distance along rays that hit nothing."""


class Viewport:
    """Rays and ground hits of one camera.

    Attributes:
        rays: (3, H, W) float32 unit directions in the field frame; rays_last: the same as (H, W, 3).
        coarse: (3, h, w) the same at every fourth pixel, one node beyond each border.
        x, y: (H, W) where rays meet the ground, metres in the field frame; huge above the horizon.
        distance: (H, W) along the ray to the ground, metres; FAR_AWAY above the horizon.
        valid: (H, W) bool, whether light reaches the pixel; None where it reaches all.
        pixel: radians that a pixel covers, about the optical axis.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        width, height = camera.width, camera.height
        columns = STEP * np.arange(-1, -(-width // STEP) + 1) + (STEP - 1) / 2
        rows = STEP * np.arange(-1, -(-height // STEP) + 1) + (STEP - 1) / 2
        u, v = np.meshgrid(columns, rows)
        # Nodes just beyond the image circle are continued, not cut off, or they would spoil what lies between.
        wider = replace(camera, limit=min(camera.limit + BEYOND, math.pi)) if camera.model == 'equidistant' else camera
        self.coarse: Floats = wider.rays(u, v).astype(np.float32)
        self.rays: Floats = np.stack([self.refine(plane) for plane in self.coarse])
        # The same with the axes last, as cv2.transform wants them: all products with a ray in one pass.
        self.rays_last: Floats = np.asarray(cv2.merge([self.rays[0], self.rays[1], self.rays[2]]), np.float32)
        self._coarse_last = np.ascontiguousarray(np.moveaxis(self.coarse, 0, -1))
        self.origin: Floats = camera.position.astype(np.float32)
        self.pixel = float(1.0 / camera.fx)
        self.distance = self._ground(self.rays[2])
        self.x: Floats = self.rays[0] * self.distance + self.origin[0]
        self.y: Floats = self.rays[1] * self.distance + self.origin[1]
        coarse_distance = self._ground(self.coarse[2])
        self.coarse_distance = coarse_distance
        self.coarse_x: Floats = self.coarse[0] * coarse_distance + self.origin[0]
        self.coarse_y: Floats = self.coarse[1] * coarse_distance + self.origin[1]
        self.valid = self._seen(u, v)
        self._measure_lens()
        # Largest angle between neighbouring nodes: what may lie between them unseen.
        steps = [np.square(np.diff(self.coarse, axis=axis)).sum(axis=0).max() for axis in (1, 2)]
        self._reach = 0.75 * float(np.sqrt(sum(steps)))

    def _ground(self, down: Floats) -> Floats:
        distance: Floats = np.divide(-self.origin[2], np.minimum(down, -1e-6))
        return np.asarray(np.minimum(distance, FAR_AWAY, out=distance), np.float32)

    def _seen(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        camera = self.camera
        radius = np.hypot((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
        edge = camera.limit if camera.model == 'equidistant' else np.tan(min(camera.limit, 1.5))
        limit = float(camera._bend(np.array(edge))[0])
        if radius.max() < limit:
            return None
        return self.refine((radius - limit).astype(np.float32)) < 0

    def refine(self, coarse: Floats) -> Floats:
        """A map (h, w) or (h, w, c) on the coarse grid brought to the image's size by linear interpolation."""
        height, width = self.camera.height, self.camera.width
        size = (coarse.shape[1] * STEP, coarse.shape[0] * STEP)
        fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(fine[STEP : STEP + height, STEP : STEP + width], dtype=np.float32)

    def window(self, center: NDArray[np.float64], radius: float) -> tuple[slice, slice] | None:
        """Rows and columns that hold all pixels whose rays pass a sphere; None where there are none.

        Args:
            center: (3,) metres, field frame.
            radius: metres.
        """
        offset = center - self.camera.position
        distance = math.sqrt(offset @ offset)
        if distance <= radius:
            return slice(0, self.camera.height), slice(0, self.camera.width)
        angle = math.asin(min(radius / distance, 1.0))
        near = self._near(offset, distance, angle)
        if near is not None:
            return near if near[0].start < near[0].stop and near[1].start < near[1].stop else None
        direction = (offset / distance).astype(np.float32)
        found = _rows_and_columns(self.coarse, direction, angle + self._reach)
        return None if found is None else self._pixels(*found)

    def _near(self, offset: NDArray[np.float64], distance: float, angle: float) -> tuple[slice, slice] | None:
        """The window by the lens's largest scale up to there, without a search; None beyond what the lens sees."""
        x, y, z = self.camera.rotation @ (offset / distance)
        rho = math.hypot(x, y)
        theta = math.atan2(rho, z)
        step = self._scale_step
        outer = int((theta + angle) / step) + 1
        if outer >= len(self._scales):
            return None
        camera = self.camera
        bent = self._bent[int(theta / step)] / max(theta - theta % step, step) * theta
        u = camera.cx + camera.fx * (bent * x / rho if rho > 1e-9 else 0.0)
        v = camera.cy + camera.fy * (bent * y / rho if rho > 1e-9 else 0.0)
        # Half a step of the table and the tangential part, which it leaves out, are added.
        reach = (angle + step) * self._scales[outer] + self._tangential + 1
        return (
            slice(
                min(max(math.floor(v - reach), 0), camera.height), min(max(math.ceil(v + reach) + 1, 0), camera.height)
            ),
            slice(
                min(max(math.floor(u - reach), 0), camera.width), min(max(math.ceil(u + reach) + 1, 0), camera.width)
            ),
        )

    def _measure_lens(self) -> None:
        """Tables over the angle from the axis: bent radius, and the most pixels that a radian makes up to there."""
        camera = self.camera
        edge = min(camera.limit, 1.5) if camera.model == 'plumb_bob' else camera.limit
        angles = np.linspace(0, edge, 361)
        values = angles if camera.model == 'equidistant' else np.tan(angles)
        bent = camera._bend(values)[0]
        along = np.gradient(bent, angles)
        across = bent / np.maximum(np.sin(np.minimum(angles, np.pi / 2)), 1e-3)
        across[0] = along[0]
        scale = np.maximum.accumulate(np.maximum(along, across)) * max(camera.fx, camera.fy)
        # Behind the camera's sides a circle around the axis shrinks again: no bound there.
        good = angles < 1.45
        self._scale_step = float(angles[1])
        self._scales = [float(v) for v in scale[good]]
        self._bent = [float(v) for v in bent]
        self._tangential = 0.0
        if camera.model == 'plumb_bob':
            corner = float(np.square((camera.width + abs(camera.cx)) / camera.fx))
            self._tangential = 3 * camera.fx * (abs(camera.distortion[2]) + abs(camera.distortion[3])) * min(corner, 4)

    def _pixels(self, top: int, bottom: int, left: int, right: int) -> tuple[slice, slice] | None:
        """The pixels of blocks around coarse nodes in rows top..bottom and columns left..right, the last excluded."""
        rows = slice(max((top - 1) * STEP, 0), min((bottom - 1) * STEP, self.camera.height))
        columns = slice(max((left - 1) * STEP, 0), min((right - 1) * STEP, self.camera.width))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def tighten(
        self, window: tuple[slice, slice], meets: Callable[[Floats, float], NDArray[np.bool_]]
    ) -> tuple[slice, slice] | None:
        """The part of a window in which something is, found on the coarse nodes; small windows stay as they are.

        Args:
            meets: tells of rays (h, w, 3) which meet the thing, widened by an angle in radians.
        """
        rows, columns = window
        if (rows.stop - rows.start) * (columns.stop - columns.start) < 3000:
            return window
        top, left = rows.start // STEP, columns.start // STEP
        nodes = self._coarse_last[top : -(-rows.stop // STEP) + 2, left : -(-columns.stop // STEP) + 2]
        hit = meets(nodes, self._reach)
        found = np.flatnonzero(hit.any(axis=1))
        if found.size == 0:
            return None
        across = np.flatnonzero(hit.any(axis=0))
        return self._pixels(
            top + int(found[0]), top + int(found[-1]) + 1, left + int(across[0]), left + int(across[-1]) + 1
        )

    def pick(self, coarse: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
        """A map (h, w) or (h, w, c) on the coarse grid, interpolated at n pixels: (n,) or (n, c)."""
        count, line = rows.size, 1024  # OpenCV's remap wants rows shorter than 32768
        padded = -(-count // line) * line
        u, v = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
        u[:count] = columns * np.float32(1 / STEP) + np.float32(1 - 1.5 / STEP)
        v[:count] = rows * np.float32(1 / STEP) + np.float32(1 - 1.5 / STEP)
        picked = cv2.remap(coarse, u.reshape(-1, line), v.reshape(-1, line), cv2.INTER_LINEAR)
        return np.asarray(picked.reshape(padded, *coarse.shape[2:])[:count], np.float32)

    def oversampled(self, window: tuple[slice, slice], factor: int) -> Floats:
        """(3, factor * h, factor * w) unit rays of sub-pixels in a window, each pixel split into factor x factor."""
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        v = np.arange(factor * height) / factor + rows.start + (1 / factor - 1) / 2
        u = np.arange(factor * width) / factor + columns.start + (1 / factor - 1) / 2
        if factor * factor * height * width <= 4096:  # small: exact
            return self.camera.rays(*np.meshgrid(u, v)).astype(np.float32)
        map_u, map_v = np.meshgrid(((u - 1.5) / STEP + 1).astype(np.float32), ((v - 1.5) / STEP + 1).astype(np.float32))
        return np.stack([cv2.remap(plane, map_u, map_v, cv2.INTER_LINEAR) for plane in self.coarse])


def products(rays: Floats, *vectors: NDArray[np.floating[Any]]) -> tuple[Floats, ...]:
    """(h, w) scalar products of rays (h, w, 3) with each of up to four vectors (3,)."""
    matrix = np.stack(vectors).astype(np.float32)
    if len(vectors) == 1:
        return (np.asarray(cv2.transform(rays, matrix), np.float32).reshape(rays.shape[:2]),)
    return tuple(np.asarray(plane, np.float32) for plane in cv2.split(cv2.transform(rays, matrix)))


def _rows_and_columns(nodes: Floats, direction: NDArray[np.float32], angle: float) -> tuple[int, int, int, int] | None:
    """First and one past the last row and column of unit rays (3, h, w) within an angle of a direction."""
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
