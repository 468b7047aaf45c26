"""Solid shapes drawn by casting rays at them: capsules, boxes, ellipsoids. A depth buffer decides what hides what.

Casting at the rays of every pixel keeps outlines right under every lens, and labels exact at pixel centres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes import noise
from minisegnet_core.scenes.light import Light
from minisegnet_core.scenes.viewport import FAR_AWAY, Viewport

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """Look of a solid: RGB reflectance, a second colour for its pattern ('', 'stripes', 'blotches'), and gloss."""

    color: Floats
    other: Floats | None = None
    pattern: str = ''
    period: float = 0.1
    gloss: float = 0.0
    glow: float = 0.0


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
        window = view.window(center, radius)
        if window is None:
            return
        offset = (view.camera.position - center).astype(np.float32)
        farthest = float(np.sqrt(offset @ offset)) + radius

        def meets(nodes: Floats, angle: float) -> NDArray[np.bool_]:
            swollen = _swell(solid, angle * farthest)
            if _inside(swollen, offset):
                return np.ones(nodes.shape[1:], bool)
            with np.errstate(invalid='ignore', divide='ignore'):
                distance = _CAST[type(swollen)](swollen, nodes, offset)
            return np.asarray((distance > 0) & (distance < FAR_AWAY))

        window = view.tighten(window, meets)
        if window is None:
            return
        rays = view.rays[:, window[0], window[1]]
        with np.errstate(invalid='ignore', divide='ignore'):
            distance = _CAST[type(solid)](solid, rays, offset)
            hit = (distance > 0.02) & (distance < self.depth[window])
        rows, columns = np.nonzero(hit)
        if rows.size == 0:
            return
        at = distance[rows, columns]
        directions = np.stack([plane[rows, columns] for plane in rays])
        points = directions * at
        points += offset[:, None]
        normals, along = _NORMAL[type(solid)](solid, points)
        shaded = _shade(solid.surface, normals, along, points, directions, light, level)
        self.light[window][rows, columns] = shaded
        self.depth[window][rows, columns] = at
        self.solid[window][rows, columns] = 1


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
    radius = np.float32(solid.radius)
    along, toward = _dot(rays, 2 * half), _dot(rays, start)
    axial = np.float32(2 * half @ start)
    if length < 1e-10:
        return _sphere(toward, start, radius)
    a = np.float32(length) - along * along
    b = np.float32(length) * toward - axial * along
    c = np.float32(length * float(start @ start)) - axial * axial - radius * radius * np.float32(length)
    root = b * b - a * c
    distance = (-b - np.sqrt(root)) / a
    height = axial + distance * along
    body = (height > 0) & (height < length)
    caps = np.fmin(_sphere(toward, start, radius), _sphere(_dot(rays, offset - half), offset - half, radius))
    return np.where(body, distance, caps)


def _sphere(toward: Floats, start: Floats, radius: np.float32) -> Floats:
    root = toward * toward - np.float32(float(start @ start) - float(radius) ** 2)
    return np.asarray(np.where(root >= 0, -toward - np.sqrt(np.maximum(root, 0)), FAR_AWAY), np.float32)


def _cast_box(solid: Box, rays: Floats, offset: Floats) -> Floats:
    near = np.full(rays.shape[1:], -FAR_AWAY, np.float32)
    far = np.full(rays.shape[1:], FAR_AWAY, np.float32)
    for axis, half in zip(solid.axes, solid.half, strict=True):
        slope = 1 / _dot(rays, axis)
        middle = -slope * np.float32(axis @ offset)
        reach = np.abs(slope) * np.float32(half)
        np.fmax(near, middle - reach, out=near)
        np.fmin(far, middle + reach, out=far)
    return np.where(near < far, near, FAR_AWAY)


def _cast_ellipsoid(solid: Ellipsoid, rays: Floats, offset: Floats) -> Floats:
    inverse = (1 / solid.half).astype(np.float32)
    start = offset * inverse
    a = (rays[0] * inverse[0]) ** 2 + (rays[1] * inverse[1]) ** 2 + (rays[2] * inverse[2]) ** 2
    b = _dot(rays, start * inverse)
    root = b * b - a * np.float32(float(start @ start) - 1)
    return np.asarray(np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, FAR_AWAY), np.float32)


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


def _shade(
    surface: Surface, normals: Floats, along: Floats, points: Floats, directions: Floats, light: Light, level: Floats
) -> Floats:
    color: Floats = np.broadcast_to(surface.color, (along.size, 3))
    if surface.pattern and surface.other is not None:
        if surface.pattern == 'stripes':
            second = np.mod(along, np.float32(surface.period)) > surface.period / 2
        else:
            shift = np.array([surface.period, 0.3])
            second = noise.sample(noise.tile(12, 0.9), points[0] + points[1], points[2], 1.2, shift) > 0.4
        color = np.where(second[:, None], surface.other, color)
    facing = np.maximum(_dot(normals, light.direction), 0)
    # Light from above and its echo from the floor, stronger on what looks up.
    diffuse = (0.42 + 0.22 * normals[2])[:, None] * level + (0.75 * facing)[:, None] * light.key
    result = color * diffuse
    if surface.gloss:
        mirrored = directions - 2 * (normals * directions).sum(axis=0) * normals
        spot = np.maximum(_dot(mirrored, light.direction), 0) ** 18
        result = result + np.float32(surface.gloss) * spot[:, None] * (light.key + level)
    if surface.glow:
        result = result + np.float32(surface.glow) * color
    return np.asarray(result, np.float32)


def turned(matrix: Floats, vectors: Floats) -> Floats:
    """(m, n) products of an (m, 3) matrix with (3, n) vectors, without BLAS: its threads would compete with the other
    workers, and the bytes of an image must not depend on their number."""
    result: Floats = matrix[:, :1] * vectors[0]
    result += matrix[:, 1:2] * vectors[1]
    result += matrix[:, 2:] * vectors[2]
    return result
