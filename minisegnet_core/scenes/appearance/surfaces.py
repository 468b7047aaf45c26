"""Surfaces of solids: colours, prints, gloss, and how light falls on all visible points of a scene in one pass."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise
from minisegnet_core.scenes.appearance.light import Light

Floats = NDArray[np.float32]

PRINT_SIZE = 64
"""Pixels on each side of a print."""

REPEATED_PRINTS = ('', 'stripes', 'bars', 'blotches', 'checks', 'holes', 'joints', 'clutter')
SINGLE_PRINTS = (*'0123456789', 'word')
PRINTS = REPEATED_PRINTS + SINGLE_PRINTS
"""Names of all prints. The first, '', is blank. Single prints appear once, in the middle of their solid."""


@dataclass(frozen=True)
class Surface:
    """Look of a solid.

    Attributes:
        color: (3,) linear RGB reflectance.
        other: (3,) linear RGB reflectance of the print; None: ``color``.
        print: a name of PRINTS.
        period: size in metres of one repetition of the print. It also selects the pattern of the folds.
        gloss: strength of the highlight.
        detail: contrast of folds, dirt and fine structure.
    """

    color: Floats
    other: Floats | None = None
    print: str = ''
    period: float = 0.1
    gloss: float = 0.0
    detail: float = 0.25


def linear_rgb(hue: float, saturation: float, value: float) -> Floats:
    """Return the linear RGB (3,) float32 of a hue in degrees, a saturation and a value, both 0 to 1."""
    return np.asarray(np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)) ** 2.2, np.float32)


def sample_surface(rng: np.random.Generator, kind: str = 'any', printed: float = 0.22) -> Surface:
    """Sample a surface.

    Args:
        kind: ``dark``, ``light``, ``vivid``, ``skin``, ``metal``, ``frame`` (dark or metallic, with screws and holes),
            or ``any``: dark, light, vivid or metal.
        printed: probability of a print.
    """
    if kind == 'any':
        kind = ('dark', 'light', 'vivid', 'metal')[int(rng.integers(4))]
    u = rng.random(6)
    if kind == 'dark' or (kind == 'frame' and u[5] < 0.7):
        color = linear_rgb(360 * u[0], 0.4 * u[1], 0.02 + 0.26 * u[2] * u[2] + 0.04 * u[3])
    elif kind == 'light':
        color = linear_rgb(360 * u[0], 0.15 * u[1], 0.6 + 0.4 * u[2])
    elif kind == 'vivid':
        color = linear_rgb(360 * u[0], 0.5 + 0.5 * u[1], 0.3 + 0.7 * u[2])
    elif kind == 'skin':
        color = linear_rgb(12 + 20 * u[0], 0.25 + 0.35 * u[1], 0.3 + 0.65 * u[2])
    else:
        color = linear_rgb(220.0, 0.15 * u[1], 0.3 + 0.45 * u[2])
    other, name = None, ''
    u = rng.random(7)
    if kind == 'frame':
        name = ('joints', 'holes', 'clutter')[int(u[0] * 3)]
        tone = linear_rgb(360 * u[1], 0.2 * u[2], 0.02 + 0.7 * u[3])
        other = np.asarray(color + np.float32(rng.uniform(0.1, 0.6)) * (tone - color), np.float32)
    elif u[0] < printed:
        other = linear_rgb(360 * u[1], 0.9 * u[2], 0.05 + 0.95 * u[3])
        name = ('stripes', 'blotches', 'bars', 'checks', 'word')[int(u[4] * 5)]
    gloss = 0.5 * float(u[5]) if kind in ('metal', 'light', 'dark', 'frame') else 0.0
    return Surface(color, other, name, float(0.03 + 0.12 * u[4]), gloss, float(0.05 + 0.3 * u[6]))


def with_number(base: Surface, size: float, rng: np.random.Generator) -> Surface:
    """Return a surface with a digit, ``size`` metres large, in a contrasting colour."""
    bright = float(base.color.mean()) < 0.25
    tone = linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.3)), 0.95 if bright else 0.05)
    return Surface(base.color, tone, str(int(rng.integers(10))), size, 0.0, base.detail)


@dataclass(frozen=True)
class Points:
    """n visible points, sorted by solid.

    Attributes:
        counts: (solids,) number of points of each solid.
        normals: (3, n) unit normals in the field frame.
        directions: (3, n) unit vectors from the camera to the points.
        across, along: (n,) position on the surface in metres.
        x, y, z: (n,) position in metres in the field frame.
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
        """Repeat the value of each solid (solids,) for each of its points (n,)."""
        return np.repeat(np.asarray(values), self.counts)


def shade(surfaces: Sequence[Surface], levels: Floats, points: Points, light: Light) -> list[Floats]:
    """Return the linear light from visible points: red, green and blue, (n,) each.

    Args:
        surfaces: of all solids.
        levels: (solids, 3) linear RGB light on the ground around each solid.
        points: the visible points.
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
    # Ambient light from above and its reflection from the floor: strongest on surfaces that face up, weak close to the
    # ground. The main lamp is added to it.
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
    """Return the factors (n,) of folds and fine structure, without which robots and shirts look like smooth plastic."""
    detail = points.spread(np.array([s.detail for s in surfaces], np.float32))
    shift = points.spread(np.array([s.period * 7 % 1 for s in surfaces], np.float32))
    across = points.x + points.y * np.float32(0.7)
    across += shift
    grain = noise.sample(noise.tile(13, 0.7), across, points.z + shift, 0.5, np.zeros(2))
    grain *= detail
    grain += 1
    return np.asarray(np.clip(grain, 0.15, 2, out=grain), np.float32)


def _printed(surfaces: Sequence[Surface], points: Points) -> Floats | None:
    """Return the fraction of the second colour (n,), or None if no surface has a print."""
    if not any(s.print for s in surfaces):
        return None
    kinds = np.array([PRINTS.index(s.print) for s in surfaces])
    scale = np.array([1 / max(s.period, 1e-3) for s in surfaces], np.float32)
    with_print = points.spread(kinds > 0)
    some = np.flatnonzero(with_print)
    scale = points.spread(scale)[some]
    result = np.zeros(with_print.size, np.float32)
    result[some] = sample_prints(points.spread(kinds)[some], points.across[some] * scale, points.along[some] * scale)
    return result


def _highlight(points: Points, facing: Floats, lamp: Floats) -> Floats:
    """Return the highlight of the main lamp (n,): the 16th power of the cosine to the mirror direction."""
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


@lru_cache(maxsize=1)
def print_atlas() -> NDArray[np.float32]:
    """Return all prints (n, PRINT_SIZE, PRINT_SIZE) float32: fraction of the second colour, row 0 at the bottom."""
    return np.stack([_write_print(name) if name in SINGLE_PRINTS else _draw_print(name) for name in PRINTS])


def sample_prints(kinds: NDArray[np.intp], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the fraction of the second colour (n,).

    Args:
        kinds: (n,) indices into PRINTS.
        u, v: (n,) positions across and up, in units of the print's size; 0, 0 is the middle of a single print.
    """
    single = kinds >= len(REPEATED_PRINTS)
    column, row = (
        np.where(single, np.clip(value + np.float32(0.5), 0, 0.999), value - np.floor(value)) for value in (u, v)
    )
    index = kinds * (PRINT_SIZE * PRINT_SIZE)
    index += (row * PRINT_SIZE).astype(np.intp) * PRINT_SIZE
    index += (column * PRINT_SIZE).astype(np.intp)
    return print_atlas().ravel()[index]


def _draw_print(name: str) -> NDArray[np.float32]:
    pixels = np.zeros((PRINT_SIZE, PRINT_SIZE), np.float32)
    if name == 'stripes':
        pixels[: PRINT_SIZE // 2] = 1
    elif name == 'bars':
        pixels[:, : PRINT_SIZE // 2] = 1
    elif name == 'blotches':
        pixels = (cv2.resize(noise.tile(12, 0.9)[:128, :128], (PRINT_SIZE, PRINT_SIZE)) > 0.4).astype(np.float32)
    elif name == 'checks':
        pixels[: PRINT_SIZE // 2, : PRINT_SIZE // 2] = pixels[PRINT_SIZE // 2 :, PRINT_SIZE // 2 :] = 1
    elif name == 'holes':
        for x in (16, 48):
            for y in (16, 48):
                cv2.circle(pixels, (x, y), 9, 1.0, -1, cv2.LINE_AA)
    elif name == 'joints':  # gaps between plates, screws, a cable
        pixels[:4] = pixels[30:32] = pixels[:, 22:25] = 1
        for x, y in ((8, 12), (40, 12), (8, 52), (56, 40)):
            cv2.circle(pixels, (x, y), 3, 1.0, -1, cv2.LINE_AA)
        cv2.line(pixels, (30, 34), (62, 60), 1.0, 3, cv2.LINE_AA)
    elif name == 'clutter':
        rng = np.random.default_rng([980, 1])
        for _ in range(14):
            x, y = (int(v) for v in rng.integers(0, PRINT_SIZE, 2))
            width, height = (int(v) for v in rng.integers(2, 22, 2))
            pixels[y : y + height, x : x + width] = rng.uniform(0, 1)
    return pixels


def _write_print(name: str) -> NDArray[np.float32]:
    """Return a digit or words with a blank rim, which :func:`sample_prints` extends beyond the print."""
    written = np.zeros((PRINT_SIZE, PRINT_SIZE), np.uint8)  # OpenCV 5 writes text into bytes only
    if name == 'word':
        cv2.putText(written, 'TEAM', (4, 30), cv2.FONT_HERSHEY_DUPLEX, 0.7, 1, 2, cv2.LINE_8)
        cv2.putText(written, 'ROBOT', (6, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1, 1, cv2.LINE_8)
    else:
        cv2.putText(written, name, (12, 54), cv2.FONT_HERSHEY_DUPLEX, 2.0, 1, 6, cv2.LINE_8)
    pixels = written.astype(np.float32)
    pixels[[0, -1]] = 0
    pixels[:, [0, -1]] = 0
    return np.ascontiguousarray(pixels[::-1])
