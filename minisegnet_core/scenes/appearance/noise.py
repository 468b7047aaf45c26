"""Random fields, made once per process from fixed seeds, from which scenes cut random pieces."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TILE = 512


@lru_cache(maxsize=32)
def tile(kind: int, exponent: float = 1.0, stretch: float = 1.0) -> Floats:
    """A (TILE, TILE) float32 field that repeats without a seam: mean 0, standard deviation 1.

    Args:
        kind: its seed.
        exponent: amplitude falls with frequency to this power; 0 is white noise, 1 cloudy, 2 very smooth.
        stretch: how much longer than wide its grains are.
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
    """A (TILE, TILE) tile that looks like pile or grass from above: short strokes in many directions."""
    rng = np.random.default_rng([978, kind])
    picture = np.zeros((TILE, TILE), np.float32)
    count = (4000, 7000, 12000, 2500)[kind % 4]
    length = (8, 5, 3, 14)[kind % 4]
    starts = rng.uniform(0, TILE, (count, 2))
    ends = starts + rng.normal(0, length, (count, 2))
    shades = rng.uniform(-1, 1, count)
    for start, end, shade in zip(starts, ends, shades, strict=True):
        for shift in ((0, 0), (TILE, 0), (0, TILE)):
            a = (int(start[0] - shift[0]), int(start[1] - shift[1]))
            b = (int(end[0] - shift[0]), int(end[1] - shift[1]))
            cv2.line(picture, a, b, float(shade), 1 + int(abs(shade) > 0.7))
    picture += 0.5 * tile(40 + kind, 0.3, (1.0, 2.0, 1.0, 3.0)[kind % 4])
    picture -= picture.mean()
    return np.asarray(picture / picture.std(), np.float32)


@lru_cache(maxsize=4)
def marks(kind: int) -> Floats:
    """A (TILE, TILE) tile of what is seen on turf between blades and patches: clouds, scuffs, footprints, waves."""
    rng = np.random.default_rng([981, kind])
    if kind == 0:
        return tile(8, 0.5)
    picture = np.zeros((TILE, TILE), np.float32)
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
                    cv2.ellipse(picture, center, axes, turn, 0, bend, float(shade), 1, cv2.LINE_AA)
                else:  # footprints: small blots, bright and dark
                    axes = (3 + int(bend / 8), 2 + int(bend / 16))
                    cv2.ellipse(picture, center, axes, turn, 0, 360, float(shade), -1, cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0 if kind == 1 else 2.0, borderType=cv2.BORDER_REFLECT)
    picture += 0.25 * tile(8, 0.5)
    picture -= picture.mean()
    return np.asarray(picture / picture.std(), np.float32)


@lru_cache(maxsize=1)
def grain() -> Floats:
    """White noise (1400000,) float32, standard deviation 1, for sensors; three times the pixels of VGA and some."""
    return np.random.default_rng(979).standard_normal(1_400_000, np.float32)


def sensor_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A random cut of :func:`grain` in the given shape; larger shapes repeat it."""
    size = int(np.prod(shape))
    store = grain()
    start = int(rng.integers(0, max(store.size - size, 1)))
    if start + size <= store.size:
        return store[start : start + size].reshape(shape)
    return np.resize(store, size).reshape(shape)


def sample(field: Floats, x: Floats, y: Floats, scale: float, shift: NDArray[np.float64]) -> Floats:
    """``field`` read at world positions: ``scale`` metres are one tile; shift (2,) in tiles; linear, repeating."""
    size = field.shape[0]
    factor = np.float32(size / scale)
    u = x * factor
    u += np.float32(shift[0] * size)
    v = y * factor
    v += np.float32(shift[1] * size)
    # Bitwise wrap of whole texels: several times as fast as a remap that repeats, and turf has no need of more.
    ui = u.astype(np.int32)
    ui &= size - 1
    vi = v.astype(np.int32)
    vi &= size - 1
    vi *= size
    vi += ui
    # Wrapping is never needed here, but faster than the check of every index against the size.
    return np.asarray(np.take(field, vi, mode='wrap'), np.float32)
