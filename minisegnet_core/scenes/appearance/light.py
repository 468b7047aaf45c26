"""The light of a scene, linear RGB: lamps, sun through windows, large shadows, and what falls on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise
from minisegnet_core.scenes.config.settings import FieldDimensions, LightSettings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Spot:
    """A lamp's pool of light on the ground: centre and size in metres, strength (3,) linear RGB."""

    x: float
    y: float
    size: float
    color: Floats


@dataclass(frozen=True)
class Strip:
    """A strip of sunlight or shadow across the ground. Lengths are in metres along the normal.

    Attributes:
        normal: unit normal in the field frame.
        start, end: edges of the strip.
        softness: width of the soft edges.
        period: distance at which the strip repeats; 0: it does not.
        factor: (3,) linear RGB factor of the light inside.
    """

    normal: tuple[float, float]
    start: float
    end: float
    softness: float
    period: float
    factor: Floats


@dataclass(frozen=True)
class Light:
    """All light of a scene.

    Attributes:
        ambient: (3,) linear RGB light from all directions.
        key: (3,) linear RGB strength of the main lamp.
        direction: (3,) unit vector to the main lamp.
        spots: pools of light.
        strips: sunlight and shadows.
        gloss: fraction of a lamp's light that the floor reflects at grazing angles.
        unevenness, shift: contrast of slow variations over the ground, and the shift (2,) of their noise tile.
        slope: exponential fall-off along x and y, per metre.
        shadow_strength: darkness of cast shadows, 0 to 1.
    """

    ambient: Floats
    key: Floats
    direction: NDArray[np.float64]
    spots: tuple[Spot, ...] = ()
    strips: tuple[Strip, ...] = ()
    gloss: float = 0.0
    unevenness: float = 0.0
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    slope: tuple[float, float] = (0.0, 0.0)
    shadow_strength: float = 0.5

    def on_ground(self, x: Floats, y: Floats) -> Floats:
        """Return the light (h, w, 3) that falls on the ground at positions (h, w) in metres."""
        level = 1 + np.float32(self.unevenness) * noise.sample(noise.tile(3, 1.6), x, y, 24.0, self.shift)
        if self.slope != (0.0, 0.0):
            level *= np.exp(np.clip(x * np.float32(self.slope[0]) + y * np.float32(self.slope[1]), -2.5, 1.2))
        np.maximum(level, np.float32(0.15), out=level)
        # Channel by channel, because NumPy is slow along a last axis of three elements.
        planes = [level * self.ambient[c] + self.key[c] * np.float32(self.direction[2]) for c in range(3)]
        for spot in self.spots:
            square = ((x - np.float32(spot.x)) ** 2 + (y - np.float32(spot.y)) ** 2) * np.float32(1 / spot.size**2)
            square *= square
            square += 1
            np.reciprocal(square, out=square)
            for channel in range(3):
                planes[channel] += square * spot.color[channel]
        for strip in self.strips:
            along = x * np.float32(strip.normal[0]) + y * np.float32(strip.normal[1])
            if strip.period:
                along = np.mod(along, np.float32(strip.period))
            inside = np.clip((along - np.float32(strip.start)) * np.float32(1 / strip.softness), 0, 1)
            inside *= np.clip((np.float32(strip.end) - along) * np.float32(1 / strip.softness), 0, 1)
            for channel in range(3):
                planes[channel] *= 1 + inside * (strip.factor[channel] - 1)
        return np.asarray(cv2.merge(planes), np.float32)

    def at(self, places: Sequence[tuple[float, float]]) -> Floats:
        """Return the light (n, 3) on the ground at n places (x, y) in metres."""
        if not places:
            return np.zeros((0, 3), np.float32)
        points = np.array(places, np.float32).reshape(1, -1, 2)
        light = self.on_ground(np.ascontiguousarray(points[..., 0]), np.ascontiguousarray(points[..., 1]))
        return np.asarray(light[0], np.float32)


def tint(rng: np.random.Generator, amount: float) -> Floats:
    """Sample the linear RGB colour (3,) of a lamp, warm to cool around white, with standard deviation ``amount``."""
    warm = rng.normal(0, amount)
    color = np.array([1 + warm, 1 + rng.normal(0, amount / 4), 1 - warm], np.float32)
    return np.asarray(np.maximum(color, 0.2), np.float32)


def sample_light(settings: LightSettings, field_size: FieldDimensions, rng: np.random.Generator) -> Light:
    """Sample the light of one scene."""
    amount = settings.tint / 2
    angle, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.45)
    direction = np.array([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)])
    spots = [
        Spot(
            float(rng.uniform(-0.6, 0.6) * field_size.length),
            float(rng.uniform(-0.7, 0.7) * field_size.width),
            float(rng.uniform(0.6, 4.0)),
            np.float32(rng.uniform(*settings.spot_strength)) * tint(rng, amount),
        )
        for _ in range(round(rng.uniform(*settings.spots)))
    ]
    strips = []
    for kind, probability in (('sun', settings.sun), ('shade', settings.shade)):
        if rng.random() < probability:
            turn = rng.uniform(0, 2 * np.pi)
            start, width = rng.uniform(-3, 3), rng.uniform(0.3, 4)
            period = float(width + rng.uniform(0.4, 4)) if rng.random() < 0.5 else 0.0
            factor = 1 + rng.uniform(*settings.sun_strength) if kind == 'sun' else rng.uniform(0.2, 0.7)
            strips.append(
                Strip(
                    (float(np.cos(turn)), float(np.sin(turn))),
                    float(start if not period else 0.0),
                    float(start + width if not period else width),
                    float(rng.choice([0.04, 0.1, 0.6])),
                    period,
                    np.float32(factor) * (tint(rng, amount / 2) if kind == 'sun' else np.ones(3, np.float32)),
                )
            )
    slope = (0.0, 0.0)
    if rng.random() < settings.falloff:
        turn, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
        slope = (float(np.cos(turn) * steep), float(np.sin(turn) * steep))
    return Light(
        ambient=np.float32(rng.uniform(*settings.ambient)) * tint(rng, amount),
        key=np.float32(rng.uniform(0.1, 0.7)) * tint(rng, amount),
        direction=direction,
        spots=tuple(spots),
        strips=tuple(strips),
        gloss=float(rng.uniform(0.05, 0.6)) if rng.random() < settings.gloss else 0.0,
        unevenness=float(rng.uniform(0, 0.25)),
        shift=rng.random(2),
        slope=slope,
        shadow_strength=float(rng.uniform(0.25, 0.85)),
    )
