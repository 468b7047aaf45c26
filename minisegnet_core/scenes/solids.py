"""Solid shapes drawn by casting rays at them: capsules, boxes, ellipsoids. A depth buffer decides what hides what.

Casting at the rays of every pixel keeps outlines right under every lens, and labels exact at pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.light import Light
from minisegnet_core.scenes.shading import Surface, shade, turned
from minisegnet_core.scenes.viewport import FAR_AWAY, Viewport, products

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]
TOO_SMALL = 0.6
"""Pixels; solids of a smaller radius are left out."""


@dataclass(frozen=True)
class Capsule:
    """A cylinder with round ends, between two points (field frame, metres)."""

    start: Vector
    end: Vector
    radius: float
    surface: Surface

    def bounds(self) -> tuple[Vector, float]:
        """Centre and radius of a sphere around it."""
        axis = self.end - self.start
        return (self.start + self.end) / 2, float(np.sqrt(axis @ axis)) / 2 + self.radius


@dataclass(frozen=True)
class Box:
    """A box: centre, half sizes, and the rows of ``axes`` (3, 3) its unit edges in the field frame."""

    center: Vector
    half: Vector
    axes: Vector
    surface: Surface

    def bounds(self) -> tuple[Vector, float]:
        """Centre and radius of a sphere around it."""
        return self.center, float(np.sqrt(self.half @ self.half))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with axes along the field's."""

    center: Vector
    half: Vector
    surface: Surface

    def bounds(self) -> tuple[Vector, float]:
        """Centre and radius of a sphere around it."""
        return self.center, float(self.half.max())


Solid = Capsule | Box | Ellipsoid


class Canvas:
    """The image as it grows: ``light`` (H, W, 3) float32 linear, ``depth`` (H, W) metres along the ray, ``solid``
    (H, W) uint8: 1 where a solid was drawn."""

    def __init__(self, light: Floats, depth: Floats) -> None:
        self.light = light
        self.depth = depth
        self.solid = np.zeros(depth.shape, np.uint8)

    def draw(self, solid: Solid, view: Viewport, light: Light, level: Floats) -> None:
        """Draws a solid lit by ``light`` where the ground around it receives ``level`` (3,)."""
        center, radius = solid.bounds()
        away = view.camera.position - center
        farthest = math.sqrt(away @ away) + radius
        if radius < TOO_SMALL * view.pixel * farthest:
            return
        window = view.window(center, radius)
        if window is None:
            return
        offset = away.astype(np.float32)

        def meets(nodes: Floats, angle: float) -> NDArray[np.bool_]:
            swollen = _swell(solid, angle * farthest)
            if _inside(swollen, offset):
                return np.ones(nodes.shape[:2], bool)
            with np.errstate(invalid='ignore', divide='ignore'):
                distance = _CAST[type(swollen)](swollen, nodes, offset)
            return np.asarray((distance > 0) & (distance < FAR_AWAY))

        if _is_slender(solid, radius):
            window = view.tighten(window, meets)
            if window is None:
                return
        rays = view.rays_last[window]
        with np.errstate(invalid='ignore', divide='ignore'):
            distance = _CAST[type(solid)](solid, rays, offset)
            hit = (distance > 0.02) & (distance < self.depth[window])
        rows, columns = np.nonzero(hit)
        if rows.size == 0:
            return
        at = distance[rows, columns]
        directions = np.ascontiguousarray(rays[rows, columns].T)
        points = directions * at
        points += offset[:, None]
        normals, along = _NORMAL[type(solid)](solid, points)
        shaded = shade(solid.surface, normals, along, points, directions, light, level)
        self.light[window][rows, columns] = shaded
        self.depth[window][rows, columns] = at
        self.solid[window][rows, columns] = 1


def _is_slender(solid: Solid, bounds: float) -> bool:
    """Whether a solid leaves most of the sphere around it (radius ``bounds``) empty, so that a closer look pays."""
    thickness = solid.radius if isinstance(solid, Capsule) else float(solid.half.min())
    return bounds > 2.2 * thickness


def _swell(solid: Solid, margin: float) -> Solid:
    """The solid grown by a margin in metres, for finding the pixels that it may cover."""
    if isinstance(solid, Capsule):
        return replace(solid, radius=solid.radius + margin)
    return replace(solid, half=solid.half + margin)


def _inside(solid: Solid, offset: Floats) -> bool:
    """Whether the eye, at ``offset`` from the solid's centre, is inside it."""
    if isinstance(solid, Capsule):
        half = (solid.end - solid.start) / 2
        along = float(np.clip(offset @ half / max(float(half @ half), 1e-12), -1, 1))
        return float(np.linalg.norm(offset - along * half)) <= solid.radius
    if isinstance(solid, Box):
        return bool((np.abs(solid.axes @ offset) <= solid.half).all())
    return float(np.square(offset / solid.half).sum()) <= 1


def _dot(rays: Floats, vector: Floats | Vector) -> Floats:
    result: Floats = rays[0] * np.float32(vector[0])
    result += rays[1] * np.float32(vector[1])
    result += rays[2] * np.float32(vector[2])
    return result


def _cast_capsule(solid: Capsule, rays: Floats, offset: Floats) -> Floats:
    half = ((solid.end - solid.start) / 2).astype(np.float32)
    length = float(4 * half @ half)
    start = offset + half  # the origin seen from the capsule's start
    along, toward = products(rays, 2 * half, start)
    axial = float(2 * half @ start)
    square = solid.radius**2
    near_cap = _sphere(toward, float(start @ start) - square)
    if length < 1e-10:
        return near_cap
    end = offset - half
    far_cap = _sphere(toward - along, float(end @ end) - square)
    a = np.float32(length) - along * along
    b = np.float32(length) * toward
    b -= np.float32(axial) * along
    root = b * b
    root -= a * np.float32(length * (float(start @ start) - square) - axial * axial)
    np.sqrt(root, out=root)
    root += b
    root /= a
    distance = np.negative(root, out=root)
    height = distance * along
    height += np.float32(axial)
    body = (height > 0) & (height < length)
    return np.asarray(np.where(body, distance, np.fmin(near_cap, far_cap)), np.float32)


def _sphere(toward: Floats, rest: float) -> Floats:
    """Distance to a sphere: ``rest`` is the square of its distance less that of its radius; NaN beside it."""
    root = toward * toward
    root -= np.float32(rest)
    np.sqrt(root, out=root)
    root += toward
    return np.asarray(-root, np.float32)


def _cast_box(solid: Box, rays: Floats, offset: Floats) -> Floats:
    near = np.full(rays.shape[:2], -FAR_AWAY, np.float32)
    far = np.full(rays.shape[:2], FAR_AWAY, np.float32)
    for slope, axis, half in zip(products(rays, *solid.axes), solid.axes, solid.half, strict=True):
        np.divide(1, slope, out=slope)
        middle = slope * np.float32(-(axis @ offset))
        reach = np.abs(slope)
        reach *= np.float32(half)
        np.fmax(near, middle - reach, out=near)
        np.fmin(far, middle + reach, out=far)
    return np.asarray(np.where(near < far, near, FAR_AWAY), np.float32)


def _cast_ellipsoid(solid: Ellipsoid, rays: Floats, offset: Floats) -> Floats:
    inverse = (1 / solid.half).astype(np.float32)
    start = offset * inverse
    x, y, z, b = products(rays, *np.diag(inverse), start * inverse)
    a = x * x
    a += y * y
    a += z * z
    root = b * b
    root -= a * np.float32(float(start @ start) - 1)
    np.sqrt(root, out=root)
    root += b
    root /= a
    return np.asarray(-root, np.float32)


def _normal_capsule(solid: Capsule, points: Floats) -> tuple[Floats, Floats]:
    half = ((solid.end - solid.start) / 2).astype(np.float32)
    square = max(float(half @ half), 1e-12)
    along = _dot(points, half / np.float32(square))
    axis = np.clip(along, -1, 1) * half[:, None]
    return (points - axis) / np.float32(solid.radius), along * np.float32(np.sqrt(square))


def _normal_box(solid: Box, points: Floats) -> tuple[Floats, Floats]:
    local = turned(solid.axes.astype(np.float32), points)
    relative = local / solid.half[:, None].astype(np.float32)
    side = np.abs(relative).argmax(axis=0)
    sign = np.sign(np.take_along_axis(relative, side[None], axis=0))
    normals: Floats = (solid.axes[side].T * sign).astype(np.float32)
    return normals, local[2]


def _normal_ellipsoid(solid: Ellipsoid, points: Floats) -> tuple[Floats, Floats]:
    normals = points / (solid.half[:, None] ** 2).astype(np.float32)
    return normals / np.sqrt((normals * normals).sum(axis=0)), points[2]


_CAST: dict[type[Solid], Callable[[Any, Floats, Floats], Floats]] = {
    Capsule: _cast_capsule,
    Box: _cast_box,
    Ellipsoid: _cast_ellipsoid,
}
_NORMAL: dict[type[Solid], Callable[[Any, Floats], tuple[Floats, Floats]]] = {
    Capsule: _normal_capsule,
    Box: _normal_box,
    Ellipsoid: _normal_ellipsoid,
}
