"""Tiles of noise, made once per process from fixed seeds; scenes read them at random positions."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TILE = 512
"""Pixels on each side of a tile; a power of two, since :func:`sample` wraps by bit masks."""


@lru_cache(maxsize=32)
def tile(kind: int, exponent: float = 1.0, stretch: float = 1.0) -> Floats:
    """Return a seamless tile, (TILE, TILE) float32, mean 0, standard deviation 1.

    Args:
        kind: seed of the tile.
        exponent: power of the frequency by which the amplitude falls; 0 is white noise, 1 cloudy, 2 very smooth.
        stretch: ratio of the grains' length to their width.
    """
    rng = np.random.default_rng([977, kind])
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy = np.fft.fftfreq(TILE)[:, None] * TILE
    fx = np.fft.rfftfreq(TILE)[None, :] * TILE
    frequency = np.sqrt((fy * stretch) ** 2 + fx**2)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(spectrum / np.maximum(frequency, 1.0) ** exponent, s=(TILE, TILE))
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


@lru_cache(maxsize=4)
def blades(kind: int) -> Floats:
    """Return a tile that looks like pile or grass from above: short strokes in many directions. ``kind`` is 0 to 3."""
    rng = np.random.default_rng([978, kind])
    strokes = np.zeros((TILE, TILE), np.float32)
    count = (4000, 7000, 12000, 2500)[kind % 4]
    length = (8, 5, 3, 14)[kind % 4]
    starts = rng.uniform(0, TILE, (count, 2))
    ends = starts + rng.normal(0, length, (count, 2))
    shades = rng.uniform(-1, 1, count)
    for start, end, shade in zip(starts, ends, shades, strict=True):
        for shift in ((0, 0), (TILE, 0), (0, TILE)):
            a = (int(start[0] - shift[0]), int(start[1] - shift[1]))
            b = (int(end[0] - shift[0]), int(end[1] - shift[1]))
            cv2.line(strokes, a, b, float(shade), 1 + int(abs(shade) > 0.7))
    strokes += 0.5 * tile(40 + kind, 0.3, (1.0, 2.0, 1.0, 3.0)[kind % 4])
    strokes -= strokes.mean()
    return np.asarray(strokes / strokes.std(), np.float32)


@lru_cache(maxsize=4)
def marks(kind: int) -> Floats:
    """Return a tile of marks on turf. ``kind``: 0 clouds, 1 scuffs, 2 footprints, 3 waves."""
    rng = np.random.default_rng([981, kind])
    if kind == 0:
        return tile(8, 0.5)
    shapes = np.zeros((TILE, TILE), np.float32)
    if kind == 3:  # waves of pile, where the carpet was rolled or brushed
        return tile(14, 0.9, 4.0)
    for _ in range(260 if kind == 1 else 420):
        x, y, turn, shade = rng.uniform(0, TILE), rng.uniform(0, TILE), rng.uniform(0, 360), rng.uniform(-1.6, 0.7)
        bend, reach = rng.uniform(10, 50), rng.uniform(8, 60)
        for sx in (0, TILE):
            for sy in (0, TILE):
                center = (int(x) - sx, int(y) - sy)
                if kind == 1:  # scuffs of wheels and shoes: thin arcs, mostly dark
                    axes = (int(reach), int(reach * 0.7))
                    cv2.ellipse(shapes, center, axes, turn, 0, bend, float(shade), 1, cv2.LINE_AA)
                else:  # footprints: small blots, bright and dark
                    axes = (3 + int(bend / 8), 2 + int(bend / 16))
                    cv2.ellipse(shapes, center, axes, turn, 0, 360, float(shade), -1, cv2.LINE_AA)
    shapes = cv2.GaussianBlur(shapes, (0, 0), 1.0 if kind == 1 else 2.0, borderType=cv2.BORDER_REFLECT)
    shapes += 0.25 * tile(8, 0.5)
    shapes -= shapes.mean()
    return np.asarray(shapes / shapes.std(), np.float32)


@lru_cache(maxsize=1)
def grain() -> Floats:
    """Return white noise (1400000,) float32, standard deviation 1, for sensors: 640x480x3 values and some more."""
    return np.random.default_rng(979).standard_normal(1_400_000, np.float32)


def sensor_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return a piece of :func:`grain` from a random offset, in the given shape; larger shapes repeat it."""
    size = int(np.prod(shape))
    store = grain()
    start = int(rng.integers(0, max(store.size - size, 1)))
    if start + size <= store.size:
        return store[start : start + size].reshape(shape)
    return np.resize(store, size).reshape(shape)


def sample(field: Floats, x: Floats, y: Floats, scale: float, shift: NDArray[np.float64]) -> Floats:
    """Return the values (...) of a tile at positions in metres, by nearest pixel.

    Args:
        field: (TILE, TILE) tile.
        x, y: positions in metres.
        scale: size of a tile in metres.
        shift: (2,) offset in tiles.
    """
    size = field.shape[0]
    factor = np.float32(size / scale)
    u = x * factor
    u += np.float32(shift[0] * size)
    v = y * factor
    v += np.float32(shift[1] * size)
    # Whole pixels wrapped by a bit mask: several times faster than cv2.remap, and accurate enough for turf.
    ui = u.astype(np.int32)
    ui &= size - 1
    vi = v.astype(np.int32)
    vi &= size - 1
    vi *= size
    vi += ui
    # No index is out of range; mode='wrap' merely skips NumPy's check of every index.
    return np.asarray(np.take(field, vi, mode='wrap'), np.float32)
