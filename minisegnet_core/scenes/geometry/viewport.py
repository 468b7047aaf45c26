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

from minisegnet_core.scenes.geometry.camera import Camera

Floats = NDArray[np.float32]
STEP = 4
BEYOND = 0.35
"""Radians; how far beyond its limit a fisheye's model is used between pixels."""
FAR_AWAY = np.float32(1e4)
"""Metres; distance along rays that hit nothing."""


class Viewport:
    """Rays and ground hits of one camera.

    Attributes:
        rays: (3, H, W) float32 unit directions in the field frame.
        coarse: (3, h, w) the same at every fourth pixel, one node beyond each border.
        x, y: (H, W) where rays meet the ground, metres in the field frame; huge above the horizon.
        distance: (H, W) along the ray to the ground, metres; FAR_AWAY above the horizon.
        rim: (H, W) pixels that a pixel lies inside the lens's image circle; None where that holds all of the image.
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
        # Interpolation shortens them, by little, but thin things far away would vanish between the nodes.
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
        # Largest angle between neighbouring nodes: what may lie between them unseen.
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
        limit = float(camera._bend(np.array(edge))[0])
        if radius.max() < limit:
            return None
        return self.refine(((limit - radius) * camera.fx).astype(np.float32))

    def refine(self, coarse: Floats, window: tuple[slice, slice] | None = None) -> Floats:
        """A map (h, w) or (h, w, c) on the coarse grid brought to the image's size by linear interpolation, or to that
        of a window of it."""
        height, width = self.camera.height, self.camera.width
        rows, columns = window or (slice(0, height), slice(0, width))
        # One node more on each side, so that a window's pixels are what they are in the whole image.
        top, left = rows.start // STEP, columns.start // STEP
        part = coarse[top : -(-rows.stop // STEP) + 2, left : -(-columns.stop // STEP) + 2]
        fine = cv2.resize(part, (part.shape[1] * STEP, part.shape[0] * STEP), interpolation=cv2.INTER_LINEAR)
        down, right = rows.start - top * STEP + STEP, columns.start - left * STEP + STEP
        cut = fine[down : down + rows.stop - rows.start, right : right + columns.stop - columns.start]
        return np.ascontiguousarray(cut, dtype=np.float32)

    def window(self, center: NDArray[np.float64], radius: float) -> tuple[slice, slice] | None:
        """Rows and columns that hold all pixels whose rays pass a sphere; None where there are none.

        Args:
            center: (3,) metres, field frame.
            radius: metres.
        """
        top, bottom, left, right = (int(v) for v in self.windows(center[None], np.array([radius]))[0])
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def windows(
        self, centers: NDArray[np.float64], radii: NDArray[np.float64], smallest: float = 0.0
    ) -> NDArray[np.intp]:
        """As :meth:`window` for n spheres: (n, 4) top, bottom, left, right, the second and fourth excluded; empty
        (0, 0, 0, 0) where there are no pixels, or where the sphere's radius is under ``smallest`` pixels."""
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
        for column, (value, most) in enumerate(((v, camera.height), (u, camera.width))):
            result[known, 2 * column] = np.clip(np.floor(value[known] - reach), 0, most)
            result[known, 2 * column + 1] = np.clip(np.ceil(value[known] + reach) + 1, 0, most)
        for index in np.flatnonzero(wanted & ~known):
            direction = (offset[index] / distance[index]).astype(np.float32)
            # Every other node will do to find them.
            found = _rows_and_columns(self._sparse, direction, float(angle[index]) + 2.4 * self._reach)
            pixels = None
            if found is not None:
                pixels = self._pixels(2 * found[0] - 1, 2 * found[1], 2 * found[2] - 1, 2 * found[3])
            if pixels is not None:
                result[index] = pixels[0].start, pixels[0].stop, pixels[1].start, pixels[1].stop
        return result

    def _measure_lens(self) -> None:
        """A table over the angle from the axis: the most pixels that a radian makes up to there."""
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
        self._scales = scale[good]
        if camera.model == 'plumb_bob':  # what the tangential part adds to the model's slope, by the radian
            slope = 6 * (abs(camera.distortion[2]) + abs(camera.distortion[3])) * values * (1 + values * values)
            self._scales = self._scales + max(camera.fx, camera.fy) * slope[good]

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
            meets: tells of rays (3, h, w) which meet the thing, widened by an angle in radians.
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
        """A map (h, w) or (h, w, c) on the coarse grid, interpolated at n pixels (flat indices): (n,) or (n, c)."""
        columns = (pixels % self.camera.width).astype(np.float32)
        rows = (pixels // self.camera.width).astype(np.float32)
        columns *= np.float32(1 / STEP)
        columns += np.float32(1 - 1.5 / STEP)
        rows *= np.float32(1 / STEP)
        rows += np.float32(1 - 1.5 / STEP)
        return lookup(coarse, columns, rows)

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


def lookup(picture: Floats, u: Floats, v: Floats, border: tuple[float, ...] | None = None) -> Floats:
    """A picture (h, w) or (h, w, c) at n places (pixels), linear: (n,) or (n, c). ``border``: what lies outside it; by
    default the nearest pixel."""
    count, line = u.size, 1024  # OpenCV's remap wants rows shorter than 32768, and at least one
    padded = max(-(-count // line), 1) * line
    maps = []
    for position in (u, v):
        map_ = np.zeros(padded, np.float32)
        map_[:count] = position
        maps.append(map_.reshape(-1, line))
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    picked = cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=mode, borderValue=border or (0.0,))
    return np.asarray(picked.reshape(padded, *picture.shape[2:])[:count], np.float32)


def products(rays: Floats, *vectors: NDArray[np.floating[Any]]) -> tuple[Floats, ...]:
    """(h, w) scalar products of rays (3, h, w) with each of some vectors (3,)."""
    results = []
    for x, y, z in vectors:
        result = rays[0] * np.float32(x)
        result += rays[1] * np.float32(y)
        result += rays[2] * np.float32(z)
        results.append(result)
    return tuple(results)


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
