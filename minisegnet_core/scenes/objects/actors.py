"""What stands on the ground: a builder of solids, looks of surfaces, furniture and distractors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.geometry.solids import Box, Capsule, Ellipsoid, Solid

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]
Place = tuple[float, float, float]
_FRAMES = ('joints', 'holes', 'clutter')


class Builder:
    """Places shapes in a frame that stands at (x, y) on the ground, turned about z; right-handed, x forward."""

    def __init__(self, x: float, y: float, turn: float) -> None:
        cosine, sine = np.cos(turn), np.sin(turn)
        self.axes = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self.origin = np.array([x, y, 0.0])
        self.solids: list[Solid] = []

    def at(self, x: float, y: float, z: float) -> Vector:
        """A local point in the field frame."""
        point: Vector = self.origin + x * self.axes[0] + y * self.axes[1] + z * self.axes[2]
        return point

    def capsule(self, a: Place, b: Place, radius: float, surface: Surface) -> None:
        """A capsule between two local points."""
        self.solids.append(Capsule(self.at(*a), self.at(*b), radius, surface))

    def box(self, center: Place, half: Place, surface: Surface, tilt: float = 0.0, turn: float = 0.0) -> None:
        """A box, tilted forward by ``tilt`` radians, then turned about z by ``turn``."""
        cosine, sine = np.cos(tilt), np.sin(tilt)
        c, s = np.cos(turn), np.sin(turn)
        forward, left, up = c * self.axes[0] + s * self.axes[1], c * self.axes[1] - s * self.axes[0], self.axes[2]
        axes = np.stack([cosine * forward - sine * up, left, sine * forward + cosine * up])
        self.solids.append(Box(self.at(*center), np.array(half), axes, surface))

    def beam(self, a: Place, b: Place, width: float, depth: float, surface: Surface) -> None:
        """A box between two local points: half width to the left, half depth forward, as limbs of plates have them."""
        start, end = self.at(*a), self.at(*b)
        along = end - start
        length = max(float(np.sqrt((along * along).sum())), 1e-6)
        up = along / length
        left = self.axes[1] - up * float((self.axes[1] * up).sum())
        size = float(np.sqrt((left * left).sum()))
        left = left / size if size > 0.1 else self.axes[2] - up * float((self.axes[2] * up).sum())
        left = left / max(float(np.sqrt((left * left).sum())), 1e-6)
        forward = np.array(
            [
                left[1] * up[2] - left[2] * up[1],
                left[2] * up[0] - left[0] * up[2],
                left[0] * up[1] - left[1] * up[0],
            ]
        )
        half = np.array([depth, width, length / 2])
        self.solids.append(Box((start + end) / 2, half, np.stack([forward, left, up]), surface))

    def ellipsoid(self, center: Place, half: Place, surface: Surface) -> None:
        """An ellipsoid along the field's axes."""
        self.solids.append(Ellipsoid(self.at(*center), np.array(half), surface))


@dataclass(frozen=True)
class Actor:
    """Solids that belong together, standing at x, y; ``size``: radius of their shadow on the ground, metres.

    They are made when something asks for them: most actors are out of view, and making them takes time. What they look
    like depends on their own ``seed`` alone.
    """

    x: float
    y: float
    size: float
    seed: int
    make: Callable[[Builder, np.random.Generator], None]

    @cached_property
    def solids(self) -> tuple[Solid, ...]:
        """All its solids, turned anyhow about z."""
        rng = np.random.default_rng(self.seed)
        builder = Builder(self.x, self.y, float(rng.uniform(0, 2 * np.pi)))
        self.make(builder, rng)
        return tuple(builder.solids)


def actor(
    x: float, y: float, size: float, rng: np.random.Generator, make: Callable[[Builder, np.random.Generator], None]
) -> Actor:
    """An actor with a seed of its own."""
    return Actor(x, y, size, int(rng.integers(2**31)), make)


def surface(rng: np.random.Generator, kind: str = 'any', printed: float = 0.22) -> Surface:
    """Draws a look: ``dark``, ``light``, ``vivid``, ``skin``, ``metal``, ``frame`` (dark or metal, with screws and
    holes) or any of these; ``printed``: how often something is printed on it."""
    if kind == 'any':
        kind = ('dark', 'light', 'vivid', 'metal')[int(rng.integers(4))]
    u = rng.random(6)
    if kind == 'dark' or (kind == 'frame' and u[5] < 0.7):
        color = linear(360 * u[0], 0.4 * u[1], 0.02 + 0.26 * u[2] * u[2] + 0.04 * u[3])
    elif kind == 'light':
        color = linear(360 * u[0], 0.15 * u[1], 0.6 + 0.4 * u[2])
    elif kind == 'vivid':
        color = linear(360 * u[0], 0.5 + 0.5 * u[1], 0.3 + 0.7 * u[2])
    elif kind == 'skin':
        color = linear(12 + 20 * u[0], 0.25 + 0.35 * u[1], 0.3 + 0.65 * u[2])
    else:
        color = linear(220.0, 0.15 * u[1], 0.3 + 0.45 * u[2])
    other, name = None, ''
    u = rng.random(7)
    if kind == 'frame':
        name = _FRAMES[int(u[0] * 3)]
        tone = linear(360 * u[1], 0.2 * u[2], 0.02 + 0.7 * u[3])
        other = np.asarray(color + np.float32(rng.uniform(0.1, 0.6)) * (tone - color), np.float32)
    elif u[0] < printed:
        other = linear(360 * u[1], 0.9 * u[2], 0.05 + 0.95 * u[3])
        name = ('stripes', 'blotches', 'bars', 'checks', 'word')[int(u[4] * 5)]
    gloss = 0.5 * float(u[5]) if kind in ('metal', 'light', 'dark', 'frame') else 0.0
    return Surface(color, other, name, float(0.03 + 0.12 * u[4]), gloss, float(0.05 + 0.3 * u[6]))


def with_number(base: Surface, size: float, rng: np.random.Generator) -> Surface:
    """A shirt with a number of ``size`` metres on it."""
    bright = float(base.color.mean()) < 0.25
    tone = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.3)), 0.95 if bright else 0.05)
    return Surface(base.color, tone, str(int(rng.integers(10))), size, 0.0, base.detail)


def furniture(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A table with things on it, a box, a bin, a tripod, a chair, bags or a banner beside the field."""
    return actor(x, y, 0.3, rng, _furniture)


def _furniture(build: Builder, rng: np.random.Generator) -> None:
    kind, look = int(rng.integers(0, 7)), surface(rng)
    if kind == 0:
        _table(build, look, rng)
    elif kind == 1:
        a, b, c = (float(v) for v in rng.uniform(0.1, 0.5, 3))
        build.box((0, 0, c), (a, b, c), look)
    elif kind == 2:
        build.capsule((0, 0, 0.1), (0, 0, float(rng.uniform(0.3, 2.2))), float(rng.uniform(0.02, 0.25)), look)
    elif kind == 3:  # a tripod
        for turn in (0.0, 2.1, 4.2):
            build.capsule((0.4 * math.cos(turn), 0.4 * math.sin(turn), 0.0), (0, 0, 1.0), 0.015, look)
        build.box((0, 0, 1.1), (0.08, 0.06, 0.06), surface(rng, 'dark'))
    elif kind == 4:  # a chair
        build.box((0, 0, 0.45), (0.22, 0.22, 0.025), look)
        build.box((-0.22, 0, 0.75), (0.02, 0.21, 0.2), look, -0.15)
        _legs(build, 0.2, 0.2, 0.45, surface(rng, 'metal'))
    elif kind == 5:  # bags
        for _ in range(int(rng.integers(1, 4))):
            a, b, c = (float(v) for v in rng.uniform(0.1, 0.28, 3))
            place = (float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)), 0.8 * c)
            build.ellipsoid(place, (a, b, c), surface(rng, 'dark'))
    else:
        tall, wide = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.3, 1.5))
        banner = surface(rng, 'any', 0.8)
        build.box((0, 0, tall), (0.01, wide, tall), Surface(banner.color, banner.other, 'word', 1.2 * wide, 0.0, 0.05))


def _table(build: Builder, look: Surface, rng: np.random.Generator) -> None:
    """A table with boxes and screens on it."""
    wide, deep = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.3, 0.6))
    build.box((0, 0, 0.74), (wide, deep, 0.02), look)
    _legs(build, wide * 0.9, deep * 0.9, 0.72, surface(rng, 'metal'))
    for _ in range(int(rng.integers(0, 4))):
        size = float(rng.uniform(0.04, 0.16))
        place = (float(rng.uniform(-wide, wide)) * 0.8, float(rng.uniform(-deep, deep)) * 0.8, 0.76 + size)
        build.box(place, (size * 0.3, size * 1.3, size), surface(rng), float(rng.normal(0, 0.3)))


def _legs(build: Builder, x: float, y: float, height: float, look: Surface) -> None:
    for side_x in (-x, x):
        for side_y in (-y, y):
            build.capsule((side_x, side_y, 0), (side_x, side_y, height), 0.018, look)


def distractor(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A round, white, or ball- or line-coloured thing on the floor beside the field or above it; sometimes a cable."""
    size = float(rng.uniform(0.04, 0.2))
    return actor(x, y, size, rng, partial(_distractor, size))


def _distractor(size: float, build: Builder, rng: np.random.Generator) -> None:
    look = surface(rng, ('light', 'vivid', 'light', 'dark')[int(rng.integers(4))])
    level = float(rng.uniform(0, 1.6)) if rng.random() < 0.3 else 0.0
    kind = int(rng.integers(0, 5))
    if kind == 0:
        build.ellipsoid((0, 0, level + size), (size, size * float(rng.uniform(0.6, 1.4)), size), look)
    elif kind == 1:
        build.capsule((-1.0, 0, level + 0.02), (1.0, 0, level + 0.02), float(rng.uniform(0.01, 0.04)), look)
    elif kind == 2:
        build.box((0, 0, level + size), (size, size, size), look)
    elif kind == 3:
        build.capsule((0, 0, level + size * 0.5), (0, 0, level + size * 2), size * 0.7, look)
    else:
        cable, here = surface(rng, 'dark' if rng.random() < 0.7 else 'vivid'), (0.0, 0.0, 0.006)
        for _ in range(6):
            there = (here[0] + float(rng.normal(0.3, 0.15)), here[1] + float(rng.normal(0, 0.25)), 0.006)
            build.capsule(here, there, 0.006, cable)
            here = there
