"""The hall around the field: a panorama, painted at random or cut from a photo, as the camera sees it.

A painted panorama shows walls, windows, a ceiling with lamps and trusses, stands, people, tables and clutter. Panoramas
are uint8 RGB, (HEIGHT, columns, 3). Everything under the ceiling is projected from a horizontal plane, so that it
converges as in a real hall.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise, photos
from minisegnet_core.scenes.config.settings import HallSettings
from minisegnet_core.scenes.geometry.viewport import Viewport

Floats = NDArray[np.float32]
Panorama = NDArray[np.uint8]
Color = tuple[int, int, int]

HEIGHT = 400
"""Rows of a panorama."""

LOWEST, HIGHEST = -0.35, 1.25
"""Radians; range of elevations that a panorama covers."""

HORIZON = int(HIGHEST / (HIGHEST - LOWEST) * HEIGHT)
"""Row of elevation 0."""

MAX_COLUMNS = 1536
"""Columns of the widest panorama."""

_LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** 2.2).astype(np.float32)
_LINEAR[248:] *= np.linspace(1.5, 5, 8, dtype=np.float32)  # overexposed pixels are lamps or the sky


@dataclass(frozen=True)
class Hall:
    """A panorama around the camera.

    It is painted on first use, from its own ``seed``, because a camera that looks down sees none of it.

    Attributes:
        settings: ranges of the hall.
        start, extent: first azimuth and range of azimuths that the panorama covers, in radians.
        columns: width of the panorama in pixels.
        brightness: factor of its light.
        seed: of the panorama.
    """

    settings: HallSettings
    start: float
    extent: float
    columns: int
    brightness: float
    seed: int

    @cached_property
    def panorama(self) -> Panorama:
        """The panorama, (HEIGHT, columns, 3) uint8 RGB."""
        rng = np.random.default_rng(self.seed)
        if self.settings.backgrounds and rng.random() < self.settings.photo:
            return _from_photo(self.settings.backgrounds, self.columns, self.extent, rng)
        return paint_hall(self.columns, self.extent, self.settings.lamps, rng)

    def paint(self, view: Viewport, rows: slice) -> Floats:
        """Return the linear light (h, W, 3) of the hall in some rows of the image."""
        dx, dy, dz = view.coarse
        middle = np.float32(self.start + self.extent / 2)
        azimuth = np.arctan2(dy, dx) - middle
        azimuth -= np.round(azimuth * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi)
        u = (azimuth * np.float32(1 / self.extent) + np.float32(0.5)) * np.float32(self.panorama.shape[1] - 1)
        elevation = np.arcsin(np.clip(dz, -1, 1))
        v = (np.float32(HIGHEST) - elevation) * np.float32((HEIGHT - 1) / (HIGHEST - LOWEST))
        # Azimuth rises to the left as seen from inside the panorama.
        u = np.float32(self.panorama.shape[1] - 1) - u
        window = rows, slice(0, view.camera.width)
        seen = cv2.remap(
            self.panorama,
            view.refine(u, window),
            view.refine(v, window),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(cv2.LUT(seen, _LINEAR * np.float32(self.brightness)), np.float32)


def sample_hall(settings: HallSettings, middle: float, extent: float, density: float, rng: np.random.Generator) -> Hall:
    """Sample a hall.

    Args:
        settings: ranges of the hall.
        middle, extent: centre and size of the visible range of azimuths, in radians.
        density: columns per radian.
        rng: random generator.

    Raises:
        ConfigurationError: the folder of photos is missing or empty.
    """
    extent = min(extent, 2 * np.pi)
    columns = int(np.clip(extent * density, 160, MAX_COLUMNS))
    low, high = (max(value, 1e-3) for value in settings.brightness)
    brightness = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if settings.backgrounds:  # validated in every scene, whether or not it shows a photo
        photos.photo_paths(settings.backgrounds)
    return Hall(settings, middle - extent / 2, extent, columns, brightness, int(rng.integers(2**31)))


def _from_photo(folder: str, columns: int, extent: float, rng: np.random.Generator) -> Panorama:
    paths = photos.photo_paths(folder)
    image = photos.photo(paths[int(rng.integers(len(paths)))])
    height, width = image.shape[:2]
    crop_height, crop_width = int(height * rng.uniform(0.45, 1.0)), int(width * rng.uniform(0.45, 1.0))
    top, left = (int(rng.integers(0, size - crop + 1)) for size, crop in ((height, crop_height), (width, crop_width)))
    crop = image[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    panorama = np.ascontiguousarray(cv2.resize(crop, (columns, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.5:
        crowd(Painter(panorama, rng, extent), HORIZON + int(rng.integers(-15, 15)), int(rng.integers(3, 20)))
    return panorama


@dataclass
class Painter:
    """A panorama in progress, with random numbers and colours. Colours are drawn in bulk, since single draws are slow.

    Attributes:
        panorama: (HEIGHT, columns, 3) uint8 RGB, painted in place.
        rng: random generator.
        extent: range of azimuths that the panorama covers, in radians.
    """

    panorama: Panorama
    rng: np.random.Generator
    extent: float

    def __post_init__(self) -> None:
        rng, count = self.rng, 512
        grey = rng.uniform(8, 235, (count, 1))
        # Halls are grey and white, with a few strong colours.
        strong = np.where(rng.random((count, 1)) < 0.3, 70, 14)
        offsets = rng.standard_normal((count, 3)) * strong
        self._dull = np.clip(grey + 0.3 * offsets, 0, 255).astype(int).tolist()
        self._vivid = np.clip(grey + offsets, 0, 255).astype(int).tolist()
        self._next = 0

    @property
    def columns(self) -> int:
        """Width of the panorama."""
        return int(self.panorama.shape[1])

    def color(self, vivid: bool = False) -> Color:
        """Return the next colour: dull, for walls and ceilings, or vivid, for shirts and posters."""
        self._next = (self._next + 1) % len(self._dull)
        r, g, b = (self._vivid if vivid else self._dull)[self._next]
        return r, g, b

    def count(self, low: int, high: int) -> int:
        """Sample a whole number from [low, high)."""
        return int(self.rng.integers(low, high))

    def chance(self, probability: float) -> bool:
        """Sample whether something happens."""
        return bool(self.rng.random() < probability)

    def rectangle(self, x: float, y: float, width: float, height: float, color: Any) -> None:
        """Paint a filled rectangle with its upper left corner at (x, y)."""
        cv2.rectangle(self.panorama, (int(x), int(y), max(int(width), 1), max(int(height), 1)), color, -1)


def paint_hall(columns: int, extent: float, lamps: float, rng: np.random.Generator) -> Panorama:
    """Paint a random hall.

    Args:
        columns: width in pixels.
        extent: range of azimuths that it covers, in radians.
        lamps: probability of lamps.
        rng: random generator.
    """
    paint = Painter(np.empty((HEIGHT, columns, 3), np.uint8), rng, extent)
    ceiling = HORIZON - paint.count(30, 210)
    _surfaces(paint, ceiling)
    _wall(paint, ceiling)
    _overhead(paint, ceiling, lamps)
    if paint.chance(0.3):
        _stands(paint)
    _clutter(paint)
    for _ in range(paint.count(0, 12)):
        _board(paint)
    for _ in range(paint.count(0, 7)):
        _table(paint)
    if paint.chance(0.65):
        crowd(paint, HORIZON + paint.count(-30, 40), paint.count(3, 45))
    _decoys(paint)
    amount = float(rng.uniform(2, 14)) / 40
    left = paint.count(0, noise.TILE)
    cloud = _mottle()[:, left : left + columns]
    return np.asarray(cv2.addWeighted(paint.panorama, 1.0, cloud, amount, -128 * amount), np.uint8)


@lru_cache(maxsize=1)
def _mottle() -> Panorama:
    """Return grey clouds, (HEIGHT, MAX_COLUMNS + TILE, 3) uint8, mean 128, standard deviation 40."""
    grey = np.clip(128 + 40 * noise.tile(11, 0.6)[:HEIGHT], 0, 255).astype(np.uint8)
    return np.repeat(np.tile(grey, (1, MAX_COLUMNS // noise.TILE + 1))[..., None], 3, axis=2)


def _surfaces(paint: Painter, ceiling: int) -> None:
    """Paint ceiling, wall and everything below the horizon as colour gradients; many ceilings are nearly black."""
    rng = paint.rng
    top, wall, low = (np.array(paint.color(), np.float32) for _ in range(3))
    if paint.chance(0.65):
        top *= np.float32(rng.uniform(0.02, 0.4))
    if paint.chance(0.3):
        wall *= np.float32(rng.uniform(0.1, 0.5))
    ramp = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None]
    column = np.where(ramp * HEIGHT < ceiling, top, wall * (1 - ramp) + low * ramp)
    if paint.chance(0.35):  # no edge between ceiling and wall: a tent, the sky, darkness
        column = top * (1 - ramp) + low * ramp
    slope = float(rng.uniform(-0.4, 0.4))
    sides = np.clip(column[:, None] * np.array([1 - slope, 1.0, 1 + slope], np.float32)[None, :, None], 0, 255)
    cv2.resize(sides.astype(np.uint8), (paint.columns, HEIGHT), dst=paint.panorama, interpolation=cv2.INTER_LINEAR)


def _wall(paint: Painter, ceiling: int) -> None:
    rng, columns, panorama = paint.rng, paint.columns, paint.panorama
    for _ in range(paint.count(0, 4)):  # galleries, rails, stripes of paint
        paint.rectangle(0, HORIZON - paint.count(-60, 180), columns, paint.count(2, 50), paint.color())
    if paint.chance(0.3):  # panels, corrugated sheets, curtains
        period, top = paint.count(3, 14), max(ceiling, 0)
        wall = panorama[top:HORIZON]
        wall[:, ::period] = (wall[:, ::period] * np.float32(rng.uniform(0.6, 0.9))).astype(np.uint8)
    if paint.chance(0.45):
        period, width, color = paint.count(60, 260), paint.count(4, 40), paint.color()
        for x in range(paint.count(0, period), columns, period):
            paint.rectangle(x, 0, width, HORIZON + 20, color)
    if paint.chance(0.45):
        bright = tuple(int(v) for v in np.clip(rng.uniform(190, 255) + rng.normal(0, 12, 3), 0, 255))
        period, width = paint.count(40, 200), paint.count(20, 120)
        top, height = HORIZON - paint.count(60, 260), paint.count(20, 140)
        for x in range(paint.count(0, period), columns, period + 8):
            paint.rectangle(x, top, min(width, period - 6), height, bright)
            if period > 70:
                paint.rectangle(x + width // 2, top, 2, height, (60, 60, 60))
    if paint.chance(0.3):  # radiators, ladders, racks
        for _ in range(paint.count(1, 4)):
            x, y, step, color = paint.count(0, columns), HORIZON - paint.count(0, 50), paint.count(2, 6), paint.color()
            for bar in range(paint.count(6, 24)):
                paint.rectangle(x + bar * step, y, max(step // 2, 1), paint.count(20, 40), color)


def _project(paint: Painter, along: Any, aside: Any, height: float, turn: float) -> tuple[Any, Any, Any]:
    """Project points on a plane above the camera to columns, rows and distances in metres.

    Args:
        along, aside: positions on the plane in metres.
        height: of the plane above the camera in metres.
        turn: azimuth of ``along`` in radians.
    """
    azimuth = np.arctan2(aside, along) + turn
    azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
    away = np.hypot(along, aside)
    column = (azimuth / paint.extent + 0.5) * (paint.columns - 1)
    row = (HIGHEST - np.arctan2(height, away)) / (HIGHEST - LOWEST) * (HEIGHT - 1)
    return column, row, np.hypot(away, height)


def _overhead(paint: Painter, ceiling: int, lamps: float) -> None:
    """Paint beams, trusses, ducts and lamps on a plane overhead."""
    rng, panorama = paint.rng, paint.panorama
    height, turn = float(rng.uniform(2.5, 11)), float(rng.uniform(-np.pi, np.pi))
    reach = height * float(rng.uniform(2, 7))
    if paint.chance(0.5):
        steps = np.linspace(-reach, reach, 25)
        gap = float(rng.uniform(1.5, 6))
        lines = [(steps, np.full(25, offset)) for offset in np.arange(-reach, reach, gap)][:16]
        if paint.chance(0.5):
            lines += [(aside, along) for along, aside in lines]
        color, thick = paint.color(), float(rng.uniform(2, 25))
        for along, aside in lines:
            column, row, away = _project(paint, along, aside, height, turn)
            for i in range(24):
                if abs(column[i + 1] - column[i]) < paint.columns / 4:
                    ends = (int(column[i]), int(row[i])), (int(column[i + 1]), int(row[i + 1]))
                    cv2.line(panorama, *ends, color, max(int(thick / away[i]), 1))
    if not paint.chance(lamps):
        return
    gap, across = float(rng.uniform(1.5, 6)), float(rng.uniform(1.5, 6))
    along, aside = np.meshgrid(np.arange(-reach, reach, gap), np.arange(-reach, reach, across))
    jitter = float(rng.uniform(0, 0.25))
    along, aside = (v.ravel() + rng.normal(0, jitter * gap, v.size) for v in (along, aside))
    kept = np.flatnonzero(rng.random(along.size) < rng.uniform(0.3, 1.0))[:160]
    column, row, away = _project(paint, along[kept], aside[kept], height, turn)
    white = tuple(int(v) for v in np.clip(250 + rng.normal(0, 8, 3), 0, 255))
    size = float(rng.uniform(8, 60))
    long = float(rng.choice([1.0, 1.0, rng.uniform(2, 6)]))
    glow, grey = float(rng.choice([0.0, rng.uniform(0.5, 2.5)])), paint.count(60, 200)
    spots = [
        (int(x), int(y), max(size / far, 1.0))
        for x, y, far in zip(column, row, away, strict=True)
        if -40 < x < paint.columns + 40 and y > -20
    ]
    for x, y, half in spots if glow else ():
        cv2.circle(panorama, (x, y), int(half * (1 + glow)) + 1, (grey, grey, grey), -1, cv2.LINE_AA)
    for x, y, half in spots:
        if long > 1:
            paint.rectangle(x - half * long / 2, y - half / 3, half * long, half * 0.6, white)
        else:
            cv2.ellipse(panorama, (x, y), (int(half), max(int(half * 0.7), 1)), 0, 0, 360, white, -1, cv2.LINE_AA)


def _stands(paint: Painter) -> None:
    """Paint rows of seats, some of them occupied."""
    rng, columns = paint.rng, paint.columns
    rows, step = paint.count(3, 10), paint.count(5, 14)
    bottom, seat, ground = HORIZON - paint.count(0, 40), paint.color(True), paint.color()
    left, width = paint.count(-columns, columns), paint.count(columns // 3, 2 * columns)
    for row in range(rows):
        y = bottom - row * step
        paint.rectangle(left, y - step, width, step, ground)
        paint.rectangle(left, y - step, width, max(step // 2, 1), seat)
    people = int(rng.integers(0, 120))
    xs, ys = rng.integers(left, left + width, people), bottom - step * rng.integers(0, rows, people)
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        paint.rectangle(x, y - step, 4, step, paint.color(True))
        cv2.circle(paint.panorama, (x + 2, y - step - 2), 2, (170, 130, 100), -1)


def _clutter(paint: Painter) -> None:
    """Paint small objects in a band around the horizon: screens, bags, bottles, cables, chairs."""
    rng, count = paint.rng, paint.count(0, 160)
    if count < 20:
        return
    xs = rng.integers(0, paint.columns, count)
    ys = HORIZON + rng.normal(0, float(rng.uniform(8, 45)), count).astype(int)
    sizes = rng.exponential(float(rng.uniform(3, 11)), (count, 2)).astype(int) + 1
    for x, y, (width, height) in zip(xs.tolist(), ys.tolist(), sizes.tolist(), strict=True):
        paint.rectangle(x - width, y - height, 2 * width, 2 * height, paint.color())


def _board(paint: Painter) -> None:
    """Paint a banner, poster, cupboard or screen, sometimes with words."""
    x, y = paint.count(-40, paint.columns), HORIZON + paint.count(-110, 40)
    width, height = paint.count(15, 240), paint.count(10, 110)
    paint.rectangle(x, y, width, height, paint.color(True))
    for _ in range(paint.count(0, 4)):
        word = ''.join(chr(int(c)) for c in paint.rng.integers(65, 91, paint.count(2, 9)))
        at = (x + paint.count(0, 20), y + paint.count(8, 12 + height))
        size = float(paint.rng.uniform(0.3, 1.3))
        cv2.putText(paint.panorama, word, at, paint.count(0, 5), size, paint.color(True), paint.count(1, 3))


def _table(paint: Painter) -> None:
    """Paint a table with objects on it, sometimes a bright screen, and a dark space below."""
    x, y = paint.count(-40, paint.columns), HORIZON + paint.count(-15, 25)
    width, height = paint.count(30, 200), paint.count(10, 32)
    paint.rectangle(x, y, width, height, (12, 12, 14))
    paint.rectangle(x, y - 3, width, 4, paint.color())
    for leg in range(x, x + width, max(width // 3, 8)):
        paint.rectangle(leg, y, 2, height, paint.color())
    for _ in range(paint.count(1, 9)):
        wide, high = paint.count(3, 22), paint.count(3, 20)
        color = (225, 235, 250) if paint.chance(0.25) else paint.color(True)
        paint.rectangle(x + paint.count(0, width), y - 3 - high, wide, high, color)


def crowd(paint: Painter, feet: int, count: int) -> None:
    """Paint people standing side by side, with their feet around row ``feet``."""
    rng, panorama = paint.rng, paint.panorama
    size = rng.uniform(12, 80)
    xs, heights = rng.integers(0, paint.columns, count).tolist(), (size * rng.uniform(0.8, 1.2, count)).tolist()
    lows, tones = (feet + rng.normal(0, 6, count).astype(int)).tolist(), rng.uniform(0.35, 1, count).tolist()
    for x, height, y, tone in zip(xs, heights, lows, tones, strict=True):
        skin = (int(225 * tone), int(170 * tone), int(140 * tone))
        half = max(int(height * 0.13), 1)
        legs = tuple(v // 3 for v in paint.color())
        paint.rectangle(x - half, y - height * 0.45, 2 * half, height * 0.45, legs)
        if half > 4:
            paint.rectangle(x - 1, y - height * 0.38, 2, height * 0.38, (0, 0, 0))
        shirt, shoulders = paint.color(True), y - height * 0.83
        paint.rectangle(x - half * 1.1, shoulders, 2.2 * half, height * 0.4, shirt)
        if half > 2:  # arms: hanging, crossed or raised
            for side in (-1, 1):
                hand = (int(x + side * half * rng.uniform(0.2, 2)), int(shoulders + height * rng.uniform(0, 0.4)))
                top = (int(x + side * half * 1.1), int(shoulders + half * 0.4))
                cv2.line(panorama, top, hand, shirt, max(int(half * 0.6), 1), cv2.LINE_AA)
        cv2.circle(panorama, (x, y - int(height * 0.91)), max(int(height * 0.07), 1), skin, -1, cv2.LINE_AA)
        cv2.circle(panorama, (x, y - int(height * 0.94)), max(int(height * 0.06), 1), legs, -1, cv2.LINE_AA)


def _decoys(paint: Painter) -> None:
    """Paint white, round, ball-like and line-like objects."""
    for _ in range(paint.count(0, 14)):
        center = (paint.count(0, paint.columns), HORIZON + paint.count(-110, 60))
        color = paint.color(True) if paint.chance(0.5) else (235, 235, 235)
        if paint.chance(0.5):
            cv2.circle(paint.panorama, center, paint.count(2, 16), color, -1, cv2.LINE_AA)
        else:
            end = (center[0] + int(paint.rng.normal(0, 90)), center[1] + int(paint.rng.normal(0, 25)))
            cv2.line(paint.panorama, center, end, color, paint.count(1, 5), cv2.LINE_AA)
