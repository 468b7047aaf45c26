"""Surfaces of solid things, and how light falls on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes import noise
from minisegnet_core.scenes.light import Light

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """Look of a solid: RGB reflectance, a second colour for its pattern ('', 'stripes', 'blotches'), and gloss.

    detail: contrast of folds, dirt and fine structure; period: of stripes, metres, and what tells blotches apart.
    """

    color: Floats
    other: Floats | None = None
    pattern: str = ''
    period: float = 0.1
    gloss: float = 0.0
    detail: float = 0.25


def shade(
    surface: Surface, normals: Floats, along: Floats, points: Floats, directions: Floats, light: Light, level: Floats
) -> Floats:
    """(n, 3) linear light from n points of a surface.

    Args:
        normals: (3, n) unit vectors, field frame.
        along: (n,) metres along the thing's axis, for stripes.
        points: (3, n) metres from the thing's centre.
        directions: (3, n) unit vectors from the eye.
        light: of the scene.
        level: (3,) light on the ground there.
    """
    # Light from above and its echo from the floor, stronger on what looks up; then the main lamp.
    diffuse = np.float32(0.42) + np.float32(0.22) * normals[2]
    facing = np.maximum(turned(light.direction.astype(np.float32)[None], normals)[0], 0)
    facing *= np.float32(0.75)
    second = _pattern(surface, along, points)
    if surface.detail:
        # Folds and fine structure; what is smooth as plastic looks like no robot and no shirt.
        shift = np.array([surface.period * 7, surface.gloss])
        across = points[0] + np.float32(0.7) * points[1]
        grain = noise.sample(noise.tile(13, 0.7), across, points[2], 0.5, shift) * np.float32(surface.detail)
        grain += 1
        np.clip(grain, 0.15, 2, out=grain)
        diffuse *= grain
        facing *= grain
    spot = _highlight(surface, normals, directions, light) if surface.gloss else None
    result = np.empty((along.size, 3), np.float32)
    # Channel by channel: NumPy is slow where the last axis has three elements.
    for channel in range(3):
        lit = diffuse * level[channel]
        lit += facing * light.key[channel]
        if second is not None and surface.other is not None:
            lit *= np.where(second, surface.other[channel], surface.color[channel])
        else:
            lit *= surface.color[channel]
        if spot is not None:
            lit += spot * (light.key[channel] + level[channel])
        result[:, channel] = lit
    return result


def _pattern(surface: Surface, along: Floats, points: Floats) -> NDArray[np.bool_] | None:
    """Where the second colour is; None without one."""
    if not surface.pattern or surface.other is None:
        return None
    if surface.pattern == 'stripes':
        return np.asarray(np.mod(along, np.float32(surface.period)) > surface.period / 2)
    shift = np.array([surface.period, 0.3])
    return np.asarray(noise.sample(noise.tile(12, 0.9), points[0] + points[1], points[2], 1.2, shift) > 0.4)


def _highlight(surface: Surface, normals: Floats, directions: Floats, light: Light) -> Floats:
    """The main lamp's mirror image: the 16th power of the cosine, by squaring four times."""
    lamp = light.direction.astype(np.float32)[None]
    twice = 2 * (normals[0] * directions[0] + normals[1] * directions[1] + normals[2] * directions[2])
    spot = turned(lamp, directions)[0] - twice * turned(lamp, normals)[0]
    np.maximum(spot, 0, out=spot)
    for _ in range(4):
        spot *= spot
    spot *= np.float32(surface.gloss)
    return np.asarray(spot, np.float32)


def turned(matrix: Floats, vectors: Floats) -> Floats:
    """(m, n) products of an (m, 3) matrix with (3, n) vectors, without BLAS: its threads would compete with the other
    workers, and the bytes of an image must not depend on their number."""
    result: Floats = matrix[:, :1] * vectors[0]
    result += matrix[:, 1:2] * vectors[1]
    result += matrix[:, 2:] * vectors[2]
    return result
