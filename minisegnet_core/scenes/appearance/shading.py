"""Surfaces of solid things, and how light falls on them: all visible points of a scene in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise, prints
from minisegnet_core.scenes.appearance.light import Light

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """Look of a solid: RGB reflectance, a second colour for what is printed on it, and gloss.

    print: name in :data:`prints.NAMES`, '' for none; detail: contrast of folds, dirt and fine structure; period: size
    of one repetition of the print, metres, and what tells one cloth from another.
    """

    color: Floats
    other: Floats | None = None
    print: str = ''
    period: float = 0.1
    gloss: float = 0.0
    detail: float = 0.25


@dataclass(frozen=True)
class Points:
    """n visible points, sorted by solid.

    counts: (solids,) how many of each; normals, directions: (3, n) unit vectors, the latter from the eye; across,
    along: (n,) metres on the surface; x, y, z: (n,) metres in the field frame.
    """

    counts: NDArray[np.intp]
    normals: Floats
    directions: Floats
    across: Floats
    along: Floats
    x: Floats
    y: Floats
    z: Floats

    def spread(self, values: Sequence[float] | NDArray[Any]) -> NDArray[Any]:
        """(n,) values of (solids,) ones."""
        return np.repeat(np.asarray(values), self.counts)


def shade(surfaces: Sequence[Surface], levels: Floats, points: Points, light: Light) -> list[Floats]:
    """Linear light from points: (n,) each of red, green, blue.

    Args:
        surfaces: of all solids.
        levels: (solids, 3) light on the ground around them.
        points: what is seen.
        light: of the scene.
    """
    nx, ny, nz = points.normals
    color = np.array([s.color for s in surfaces], np.float32)
    other = np.array([s.color if s.other is None else s.other for s in surfaces], np.float32)
    lamp = light.direction.astype(np.float32)
    facing = nx * lamp[0]
    facing += ny * lamp[1]
    facing += nz * lamp[2]
    gloss = points.spread(np.array([s.gloss for s in surfaces], np.float32))
    spot = _highlight(points, facing, lamp)
    spot *= gloss
    # Light from above and its echo from the floor, stronger on what looks up; little of it reaches corners near the
    # ground. Then the main lamp.
    diffuse = nz * np.float32(0.22)
    diffuse += np.float32(0.42)
    corner = points.z * np.float32(5)
    corner += np.float32(0.45)
    diffuse *= np.clip(corner, 0.3, 1, out=corner)
    np.maximum(facing, 0, out=facing)
    facing *= np.float32(0.75)
    grain = _folds(surfaces, points)
    diffuse *= grain
    facing *= grain
    printed = _printed(surfaces, points)
    result = []
    for channel in range(3):
        level = points.spread(levels[:, channel])
        lit = diffuse * level
        lit += facing * light.key[channel]
        base = points.spread(color[:, channel])
        if printed is not None:
            base += printed * (points.spread(other[:, channel]) - base)
        lit *= base
        level += light.key[channel]
        level *= spot
        lit += level
        result.append(lit)
    return result


def _folds(surfaces: Sequence[Surface], points: Points) -> Floats:
    """(n,) factors of folds and fine structure; what is smooth as plastic looks like no robot and no shirt."""
    detail = points.spread(np.array([s.detail for s in surfaces], np.float32))
    shift = points.spread(np.array([s.period * 7 % 1 for s in surfaces], np.float32))
    across = points.x + points.y * np.float32(0.7)
    across += shift
    grain = noise.sample(noise.tile(13, 0.7), across, points.z + shift, 0.5, np.zeros(2))
    grain *= detail
    grain += 1
    return np.asarray(np.clip(grain, 0.15, 2, out=grain), np.float32)


def _printed(surfaces: Sequence[Surface], points: Points) -> Floats | None:
    """(n,) share of the second colour, 0..1; None where nothing is printed on anything."""
    if not any(s.print for s in surfaces):
        return None
    kinds = np.array([prints.NAMES.index(s.print) for s in surfaces])
    scale = np.array([1 / max(s.period, 1e-3) for s in surfaces], np.float32)
    with_print = points.spread(kinds > 0)
    some = np.flatnonzero(with_print)
    scale = points.spread(scale)[some]
    result = np.zeros(with_print.size, np.float32)
    result[some] = prints.sample(points.spread(kinds)[some], points.across[some] * scale, points.along[some] * scale)
    return result


def _highlight(points: Points, facing: Floats, lamp: Floats) -> Floats:
    """The main lamp's mirror image: the 16th power of the cosine, by squaring four times."""
    (nx, ny, nz), (dx, dy, dz) = points.normals, points.directions
    twice = nx * dx
    twice += ny * dy
    twice += nz * dz
    twice *= 2
    twice *= facing
    spot = dx * lamp[0]
    spot += dy * lamp[1]
    spot += dz * lamp[2]
    spot -= twice
    np.maximum(spot, 0, out=spot)
    for _ in range(4):
        spot *= spot
    return np.asarray(spot, np.float32)
