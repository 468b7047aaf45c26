"""What stands behind the field: walls, boards, windows, crowd, lamps; painted, or cut from photos the user names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes import noise, photos
from minisegnet_core.scenes.config import HallSettings
from minisegnet_core.scenes.viewport import Viewport

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
HEIGHT = 400
LOWEST, HIGHEST = -0.35, 1.25
"""Radians; elevations that the painted hall reaches."""
_LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** 2.2).astype(np.float32)
_LINEAR[248:] *= np.linspace(1.5, 5, 8, dtype=np.float32)  # what is burnt out in the picture is a lamp or the sky


@dataclass(frozen=True)
class Hall:
    """A panorama around the camera: (HEIGHT, columns, 3) uint8 RGB, from azimuth ``start`` over ``extent`` radians."""

    picture: Picture
    start: float
    extent: float
    brightness: float

    def paint(self, view: Viewport, rows: slice) -> Floats:
        """(h, W, 3) linear light of the hall in the directions of some rows of the image."""
        dx, dy, dz = view.coarse
        middle = self.start + self.extent / 2
        azimuth = np.arctan2(dy, dx) - middle
        azimuth -= np.round(azimuth / (2 * np.pi)) * (2 * np.pi)
        u = (azimuth / self.extent + 0.5) * (self.picture.shape[1] - 1)
        elevation = np.arctan2(dz, np.hypot(dx, dy))
        v = (HIGHEST - elevation) / (HIGHEST - LOWEST) * (HEIGHT - 1)
        # Right edge first, as pictures are seen from inside the panorama.
        u = self.picture.shape[1] - 1 - u
        seen = cv2.remap(
            self.picture,
            view.refine(u.astype(np.float32))[rows],
            view.refine(v.astype(np.float32))[rows],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(cv2.LUT(seen, _LINEAR * np.float32(self.brightness)), np.float32)


def sample_hall(settings: HallSettings, middle: float, extent: float, density: float, rng: np.random.Generator) -> Hall:
    """Paints a hall.

    Args:
        middle, extent: azimuth range in radians that will be seen.
        density: columns per radian.
    """
    extent = min(extent, 2 * np.pi)
    columns = int(np.clip(extent * density, 160, 1536))
    low, high = (max(value, 1e-3) for value in settings.brightness)
    brightness = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if settings.backgrounds and rng.random() < settings.photo:
        picture = _from_photo(settings.backgrounds, columns, rng)
    else:
        picture = _painted(columns, rng)
        if rng.random() < settings.lamps:
            _lamps(picture, rng)
    return Hall(picture, middle - extent / 2, extent, brightness)


def _from_photo(folder: str, columns: int, rng: np.random.Generator) -> Picture:
    paths = photos.photo_paths(folder)
    image = photos.photo(paths[int(rng.integers(len(paths)))])
    height, width = image.shape[:2]
    share = rng.uniform(0.45, 1.0)
    crop_height, crop_width = int(height * share), int(width * rng.uniform(0.45, 1.0))
    top, left = (int(rng.integers(0, size - crop + 1)) for size, crop in ((height, crop_height), (width, crop_width)))
    crop = image[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    picture = cv2.resize(crop, (columns, HEIGHT), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        _crowd(picture, rng, int(HEIGHT * 0.75), int(rng.integers(3, 20)))
    return np.ascontiguousarray(picture, np.uint8)


def _color(rng: np.random.Generator, vivid: float = 0.5) -> tuple[int, int, int]:
    grey = rng.uniform(10, 235)
    # Halls are grey and white with a few strong colours.
    strong = 70 if rng.random() < 0.3 else 14
    color = grey + rng.normal(0, strong * vivid, 3)
    r, g, b = (int(v) for v in np.clip(color, 0, 255))
    return r, g, b


def _painted(columns: int, rng: np.random.Generator) -> Picture:
    picture = np.empty((HEIGHT, columns, 3), np.uint8)
    horizon = int(HIGHEST / (HIGHEST - LOWEST) * HEIGHT)
    top, bottom = np.array(_color(rng, 0.3), np.float32), np.array(_color(rng, 0.4), np.float32)
    if rng.random() < 0.6:
        top *= np.float32(rng.uniform(0.05, 0.4))
    ramp = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None] ** np.float32(rng.uniform(0.5, 3))
    picture[:] = (top * (1 - ramp) + bottom * ramp)[:, None].astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):  # galleries, rails, stripes of paint
        y, thickness = horizon - int(rng.integers(-60, 180)), int(rng.integers(2, 50))
        picture[max(y, 0) : max(y + thickness, 0)] = _color(rng)
    _pillars_and_windows(picture, rng, horizon)
    if rng.random() < 0.4:  # beams of the ceiling
        for _ in range(int(rng.integers(4, 22))):
            start = (int(rng.integers(0, columns)), int(rng.integers(0, horizon - 100)))
            end = (start[0] + int(rng.normal(0, columns / 2)), start[1] + int(rng.normal(0, 70)))
            cv2.line(picture, start, end, _color(rng, 0.1), int(rng.integers(1, 6)), cv2.LINE_AA)
    _clutter(picture, rng, horizon)
    for _ in range(int(rng.integers(0, 12))):  # boards, banners, tables, cupboards
        _board(picture, rng, horizon)
    if rng.random() < 0.6:
        _crowd(picture, rng, horizon + int(rng.integers(-30, 40)), int(rng.integers(3, 45)))
    for _ in range(int(rng.integers(0, 14))):  # white, round, ball-like and line-like things
        center = (int(rng.integers(0, columns)), horizon + int(rng.integers(-110, 60)))
        color = _color(rng, 1.0) if rng.random() < 0.5 else (235, 235, 235)
        if rng.random() < 0.5:
            cv2.circle(picture, center, int(rng.integers(2, 16)), color, -1, cv2.LINE_AA)
        else:
            end = (center[0] + int(rng.normal(0, 90)), center[1] + int(rng.normal(0, 25)))
            cv2.line(picture, center, end, color, int(rng.integers(1, 5)), cv2.LINE_AA)
    amount = float(rng.uniform(2, 12)) / 40
    left = int(rng.integers(0, noise.TILE))
    cloud = np.take(_mottle(), np.arange(left, left + columns), axis=1, mode='wrap')
    return np.asarray(cv2.addWeighted(picture, 1.0, cloud, amount, -128 * amount), np.uint8)


@lru_cache(maxsize=1)
def _mottle() -> Picture:
    """(HEIGHT, TILE, 3) uint8 grey clouds around 128, 40 levels deep."""
    grey = np.clip(128 + 40 * noise.tile(11, 0.6)[:HEIGHT], 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _pillars_and_windows(picture: Picture, rng: np.random.Generator, horizon: int) -> None:
    columns = picture.shape[1]
    if rng.random() < 0.5:
        period, width = int(rng.integers(60, 260)), int(rng.integers(4, 40))
        color = _color(rng, 0.3)
        for x in range(int(rng.integers(0, period)), columns, period):
            picture[:, x : x + width] = color
    if rng.random() < 0.45:
        bright = tuple(int(v) for v in np.clip(rng.uniform(190, 255) + rng.normal(0, 12, 3), 0, 255))
        period, width = int(rng.integers(40, 200)), int(rng.integers(20, 120))
        top, height = horizon - int(rng.integers(60, 260)), int(rng.integers(20, 140))
        for x in range(int(rng.integers(0, period)), columns, period + 8):
            cv2.rectangle(picture, (x, top), (x + min(width, period - 6), top + height), bright, -1)
            if period > 70:
                cv2.line(picture, (x + width // 2, top), (x + width // 2, top + height), (60, 60, 60), 2)


def _clutter(picture: Picture, rng: np.random.Generator, horizon: int) -> None:
    """Small things in a band about the horizon: screens, bags, bottles, cables, chairs."""
    count, spread = int(rng.integers(0, 160)), float(rng.uniform(8, 45))
    if count < 20:
        return
    xs = rng.integers(0, picture.shape[1], count)
    ys = horizon + rng.normal(0, spread, count).astype(int)
    sizes = rng.exponential(float(rng.uniform(3, 11)), (count, 2)).astype(int) + 1
    greys = rng.uniform(5, 240, count)[:, None] + rng.normal(0, 35, (count, 3))
    for x, y, (width, height), grey in zip(xs, ys, sizes, np.clip(greys, 0, 255).astype(int), strict=True):
        picture[max(y - height, 0) : y + height, max(x - width, 0) : x + width] = grey


def _board(picture: Picture, rng: np.random.Generator, horizon: int) -> None:
    x, y = int(rng.integers(-40, picture.shape[1])), horizon + int(rng.integers(-110, 40))
    width, height = int(rng.integers(15, 240)), int(rng.integers(10, 110))
    cv2.rectangle(picture, (x, y), (x + width, y + height), _color(rng, 1.0), -1)
    for _ in range(int(rng.integers(0, 4))):
        word = ''.join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(2, 9))))
        at = (x + int(rng.integers(0, 20)), y + int(rng.integers(8, 12 + height)))
        size = float(rng.uniform(0.3, 1.3))
        cv2.putText(picture, word, at, int(rng.integers(0, 5)), size, _color(rng, 1.0), int(rng.integers(1, 3)))


def _crowd(picture: Picture, rng: np.random.Generator, feet: int, count: int) -> None:
    size = rng.uniform(12, 70)
    for _ in range(count):
        x, height = int(rng.integers(0, picture.shape[1])), size * rng.uniform(0.8, 1.2)
        y = feet + int(rng.normal(0, 6))
        skin = (int(rng.uniform(90, 225)), int(rng.uniform(70, 170)), int(rng.uniform(50, 140)))
        half = max(int(height * 0.13), 1)
        legs, shirt = _color(rng, 0.3), _color(rng, 1.0)
        cv2.rectangle(picture, (x - half, y - int(height * 0.45)), (x + half, y), tuple(v // 3 for v in legs), -1)
        body = (x, y - int(height * 0.62))
        cv2.ellipse(picture, body, (int(half * 1.4), int(height * 0.22)), 0, 0, 360, shirt, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y - int(height * 0.92)), max(int(height * 0.08), 1), skin, -1, cv2.LINE_AA)


def _lamps(picture: Picture, rng: np.random.Generator) -> None:
    rows, size = int(rng.integers(1, 5)), float(rng.uniform(2, 12))
    white = tuple(int(v) for v in np.clip(250 + rng.normal(0, 8, 3), 0, 255))
    long = rng.random() < 0.4
    glow, grey = float(rng.choice([0.0, rng.uniform(0.4, 1.5)])), int(rng.uniform(70, 200))
    for row in range(rows):
        y, period = int(rng.integers(5, 240)), int(rng.integers(24, 140))
        for x in range(int(rng.integers(0, period)), picture.shape[1], period):
            center = (x + int(rng.normal(0, 3)), y + int(rng.normal(0, 3 + row)))
            axes = (int(size * (3 if long else 1)) + 1, int(size * 0.6) + 1)
            if glow:
                halo = (axes[0] + int(size * glow), axes[1] + int(size * glow))
                cv2.ellipse(picture, center, halo, 0, 0, 360, (grey, grey, grey), -1, cv2.LINE_AA)
            cv2.ellipse(picture, center, axes, 0, 0, 360, white, -1, cv2.LINE_AA)
