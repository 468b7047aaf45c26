"""Robots of several builds, people, goals, furniture: lists of solids standing on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.ground import linear
from minisegnet_core.scenes.shading import Surface
from minisegnet_core.scenes.solids import Box, Capsule, Ellipsoid, Solid

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Actor:
    """Solids that belong together, standing at x, y; ``size``: radius of their shadow on the ground, metres."""

    x: float
    y: float
    size: float
    solids: tuple[Solid, ...]


class Builder:
    """Places shapes in a frame that stands at (x, y) on the ground, turned about z; right-handed, x forward."""

    def __init__(self, x: float, y: float, turn: float) -> None:
        cosine, sine = np.cos(turn), np.sin(turn)
        self.axes = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self.origin = np.array([x, y, 0.0])
        self.solids: list[Solid] = []

    def at(self, x: float, y: float, z: float) -> Vector:
        """A local point in the field frame."""
        point: Vector = np.array([x, y, z]) @ self.axes + self.origin
        return point

    def capsule(self, a: tuple[float, ...], b: tuple[float, ...], radius: float, surface: Surface) -> None:
        """A capsule between two local points."""
        self.solids.append(Capsule(self.at(*a), self.at(*b), radius, surface))

    def box(self, center: tuple[float, ...], half: tuple[float, ...], surface: Surface, tilt: float = 0.0) -> None:
        """A box, tilted forward by ``tilt`` radians."""
        cosine, sine = np.cos(tilt), np.sin(tilt)
        turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
        self.solids.append(Box(self.at(*center), np.array(half), turn @ self.axes, surface))

    def ellipsoid(self, center: tuple[float, ...], half: tuple[float, ...], surface: Surface) -> None:
        """An ellipsoid along the field's axes."""
        self.solids.append(Ellipsoid(self.at(*center), np.array(half), surface))


def surface(rng: np.random.Generator, kind: str = 'any') -> Surface:
    """Draws a look: ``dark``, ``light``, ``vivid``, ``skin``, ``metal`` or any of these."""
    if kind == 'any':
        kind = str(rng.choice(['dark', 'light', 'vivid', 'metal']))
    if kind == 'dark':
        color = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.4)), float(rng.uniform(0.03, 0.3)))
    elif kind == 'light':
        color = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.15)), float(rng.uniform(0.65, 1)))
    elif kind == 'vivid':
        color = linear(float(rng.uniform(0, 360)), float(rng.uniform(0.5, 1)), float(rng.uniform(0.3, 1)))
    elif kind == 'skin':
        color = linear(float(rng.uniform(12, 32)), float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.3, 0.95)))
    else:
        color = linear(220.0, float(rng.uniform(0, 0.15)), float(rng.uniform(0.3, 0.75)))
    other, pattern = None, ''
    if rng.random() < 0.22:
        other = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.9)), float(rng.uniform(0.05, 1)))
        pattern = str(rng.choice(['stripes', 'blotches']))
    gloss = float(rng.uniform(0, 0.5)) if kind in ('metal', 'light', 'dark') else 0.0
    return Surface(color, other, pattern, float(rng.uniform(0.03, 0.15)), gloss, float(rng.uniform(0.05, 0.35)))


def humanoid(x: float, y: float, rng: np.random.Generator, height: float | None = None) -> Actor:
    """A humanoid robot, .4-1.5 m tall: slim metal limbs or hulls, a jersey, sometimes lying on the ground."""
    tall = height or float(rng.choice([rng.uniform(0.4, 0.65), rng.uniform(0.7, 1.0), rng.uniform(1.1, 1.5)]))
    build = Builder(x, y, float(rng.uniform(0, 2 * np.pi)))
    slim = float(rng.uniform(0.035, 0.075)) * tall
    kinds = (str(rng.choice(['dark', 'dark', 'light', 'metal'])), 'dark', 'any', 'any')
    limb, joint, jersey, head = (surface(rng, kind) for kind in kinds)
    foot = surface(rng, str(rng.choice(['dark', 'vivid', 'light'])))
    stride, wide = float(rng.normal(0, 0.08)) * tall, float(rng.uniform(0.06, 0.1)) * tall
    if rng.random() < 0.1:  # fallen
        level = 0.09 * tall
        build.box((0, 0, level), (0.2 * tall, 0.13 * tall, 0.09 * tall), jersey)
        build.ellipsoid((0.3 * tall, 0, level), (0.08 * tall,) * 3, head)
        for side in (-1, 1):
            build.capsule((-0.2 * tall, side * wide, level), (-0.6 * tall, side * wide * 1.8, 0.05 * tall), slim, limb)
            build.capsule((0.12 * tall, side * 0.16 * tall, level), (-0.2 * tall, side * 0.3 * tall, 0.04), slim, limb)
        return Actor(x, y, 0.4 * tall, tuple(build.solids))
    for side in (-1, 1):
        knee = (0.05 * tall + side * stride / 2, side * wide, 0.25 * tall)
        ankle = (side * stride, side * wide, 0.05 * tall)
        sole = (side * stride + 0.02 * tall, side * wide, 0.025 * tall)
        build.box(sole, (0.1 * tall, 0.055 * tall, 0.025 * tall), foot)
        build.capsule(ankle, knee, slim, limb)
        build.capsule(knee, (0, side * wide * 0.9, 0.46 * tall), slim * 1.15, limb)
        build.box(knee, (slim * 1.4, slim * 1.2, slim * 1.5), joint, stride)
        build.box((0, side * wide * 0.9, 0.45 * tall), (slim * 1.3, slim * 1.1, slim * 1.6), joint)
        swing = float(rng.normal(0, 0.12)) * tall
        elbow = (swing, side * 0.2 * tall, 0.58 * tall)
        build.capsule((0, side * 0.16 * tall, 0.76 * tall), elbow, slim * 0.85, limb)
        build.capsule(elbow, (swing + 0.1 * tall, side * 0.19 * tall, 0.44 * tall), slim * 0.75, joint)
    half = (0.07 * tall, 0.125 * tall, 0.16 * tall)
    if rng.random() < 0.6:
        build.box((0, 0, 0.63 * tall), half, jersey, float(rng.normal(0.05, 0.08)))
    else:
        build.ellipsoid((0, 0, 0.63 * tall), (half[1], half[1], half[2] * 1.15), jersey)
    if rng.random() < 0.5:
        build.ellipsoid((0.01, 0, 0.9 * tall), (0.075 * tall, 0.075 * tall, 0.085 * tall), head)
    else:
        build.box((0.01, 0, 0.9 * tall), (0.06 * tall, 0.08 * tall, 0.05 * tall), head)
    return Actor(x, y, 0.2 * tall, tuple(build.solids))


def wheeled(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A robot on wheels, .5 m wide and .8 m tall, as in the Middle Size League."""
    build = Builder(x, y, float(rng.uniform(0, 2 * np.pi)))
    dark, cover = surface(rng, 'dark'), surface(rng, str(rng.choice(['dark', 'vivid', 'metal'])))
    build.box((0, 0, 0.15), (0.25, 0.24, 0.12), dark)
    build.box((0.02, 0, 0.36), (0.15, 0.17, 0.14), cover, float(rng.normal(0, 0.1)))
    build.capsule((0, 0, 0.48), (0, 0, 0.74), 0.05, dark)
    build.ellipsoid((0, 0, 0.76), (0.09, 0.09, 0.06), surface(rng))
    for side in (-1, 1):
        build.capsule((0.26, side * 0.12, 0.13), (0.3, side * 0.08, 0.16), 0.035, dark)
    return Actor(x, y, 0.3, tuple(build.solids))


def person(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A person, standing or walking: trousers, shoes, shirt (referees: striped or black), arms, head."""
    tall = float(rng.uniform(1.5, 1.95))
    build = Builder(x, y, float(rng.uniform(0, 2 * np.pi)))
    trousers = surface(rng, 'dark' if rng.random() < 0.7 else 'any')
    if rng.random() < 0.5:
        jeans = linear(float(rng.uniform(205, 235)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.08, 0.4)))
        trousers = Surface(jeans)
    shoe, shirt, skin, hair = (surface(rng, k) for k in ('any', 'any', 'skin', 'dark'))
    stride = float(rng.normal(0, 0.16))
    bare = rng.random() < 0.15
    for side in (-1, 1):
        ankle, knee = (side * stride, side * 0.1, 0.09), (side * stride * 0.5 + 0.03, side * 0.1, 0.28 * tall)
        build.ellipsoid((side * stride + 0.05, side * 0.1, 0.045), (0.13, 0.06, 0.05), shoe)
        build.capsule(ankle, knee, 0.06, skin if bare else trousers)
        build.capsule(knee, (0, side * 0.09, 0.5 * tall), 0.085, trousers)
        elbow = (float(rng.normal(0, 0.1)), side * 0.27, 0.62 * tall)
        build.capsule((0, side * 0.2, 0.8 * tall), elbow, 0.05, shirt)
        build.capsule(elbow, (elbow[0] + 0.12, side * 0.24, 0.5 * tall), 0.04, skin)
    build.capsule((0, -0.06, 0.55 * tall), (0, -0.05, 0.77 * tall), 0.14, shirt)
    build.capsule((0, 0.06, 0.55 * tall), (0, 0.05, 0.77 * tall), 0.14, shirt)
    build.ellipsoid((0, 0, 0.93 * tall), (0.085, 0.085, 0.12), skin)
    build.ellipsoid((-0.01, 0, 0.96 * tall), (0.09, 0.09, 0.1), hair)
    return Actor(x, y, 0.25, tuple(build.solids))


def furniture(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A table, a box, a bin, a pole or a tripod beside the field."""
    build = Builder(x, y, float(rng.uniform(0, 2 * np.pi)))
    kind, look = int(rng.integers(0, 4)), surface(rng)
    if kind == 0:
        half = (float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.3, 0.6)), 0.02)
        build.box((0, 0, 0.74), half, look)
        for sx in (-1, 1):
            for sy in (-1, 1):
                leg_x, leg_y = sx * half[0] * 0.9, sy * half[1] * 0.9
                build.capsule((leg_x, leg_y, 0), (leg_x, leg_y, 0.72), 0.02, look)
    elif kind == 1:
        side = [float(v) for v in rng.uniform(0.1, 0.5, 3)]
        build.box((0, 0, side[2]), tuple(side), look)
    elif kind == 2:
        build.capsule((0, 0, 0.1), (0, 0, float(rng.uniform(0.3, 2.2))), float(rng.uniform(0.02, 0.25)), look)
    else:
        for turn in (0.0, 2.1, 4.2):
            foot = (0.4 * np.cos(turn), 0.4 * np.sin(turn), 0.0)
            build.capsule(foot, (0, 0, 1.0), 0.015, look)
        build.box((0, 0, 1.1), (0.08, 0.06, 0.06), surface(rng, 'dark'))
    return Actor(x, y, 0.3, tuple(build.solids))


def distractor(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A round, white, or ball- or line-coloured thing on the floor beside the field or above it."""
    build = Builder(x, y, float(rng.uniform(0, 2 * np.pi)))
    look = surface(rng, str(rng.choice(['light', 'vivid', 'light', 'dark'])))
    size = float(rng.uniform(0.04, 0.2))
    level = float(rng.uniform(0, 1.6)) if rng.random() < 0.3 else 0.0
    kind = int(rng.integers(0, 4))
    if kind == 0:
        build.ellipsoid((0, 0, level + size), (size, size * float(rng.uniform(0.6, 1.4)), size), look)
    elif kind == 1:
        build.capsule((-1.0, 0, level + 0.02), (1.0, 0, level + 0.02), float(rng.uniform(0.01, 0.04)), look)
    elif kind == 2:
        build.box((0, 0, level + size), (size, size, size), look)
    else:
        build.capsule((0, 0, level + size * 0.5), (0, 0, level + size * 2), size * 0.7, look)
    return Actor(x, y, size, tuple(build.solids))
