"""People, furniture and distractors on and beside the field."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from minisegnet_core.scenes.appearance.surfaces import Surface, linear_rgb, sample_surface
from minisegnet_core.scenes.objects.actors import Actor, Builder, actor


def person(x: float, y: float, rng: np.random.Generator) -> Actor:
    """Return a person who stands, walks or crouches; some are referees in black or striped shirts."""
    return actor(x, y, 0.25, rng, _person)


def _person(build: Builder, rng: np.random.Generator) -> None:
    tall = float(rng.uniform(1.5, 1.95))
    trousers, shirt = _clothes(rng)
    shoe, sole, skin, hair = (sample_surface(rng, kind, 0.1) for kind in ('any', 'light', 'skin', 'dark'))
    stride = float(rng.normal(0, 0.16))
    bare = rng.random() < 0.15
    crouch = float(rng.uniform(0.25, 0.4)) * tall if rng.random() < 0.08 else 0.0
    loose = float(rng.uniform(0.9, 1.25))
    for side in (-1, 1):
        step = side * stride
        ankle, knee = (
            (step, side * 0.1, 0.09),
            (step * 0.5 + 0.03 + crouch * 0.5, side * 0.1, 0.28 * tall - crouch * 0.2),
        )
        build.ellipsoid((step + 0.05, side * 0.1, 0.05), (0.12, 0.07, 0.055), shoe)
        build.box((step + 0.05, side * 0.1, 0.012), (0.14, 0.05, 0.012), sole if rng.random() < 0.5 else shoe)
        build.capsule(ankle, knee, 0.06 * (1 if bare else loose), skin if bare else trousers)
        build.capsule(knee, (0, side * 0.09, 0.5 * tall - crouch), 0.085 * loose, trousers)
        elbow = (float(rng.normal(0, 0.12)), side * float(rng.uniform(0.22, 0.32)), 0.62 * tall - crouch)
        build.capsule((0, side * 0.2, 0.8 * tall - crouch), elbow, 0.055, shirt)
        hand = (elbow[0] + float(rng.uniform(0, 0.25)), side * 0.24, float(rng.uniform(0.48, 0.62)) * tall - crouch)
        build.capsule(elbow, hand, 0.04, skin if rng.random() < 0.6 else shirt)
        build.ellipsoid(hand, (0.05, 0.04, 0.06), skin)
        build.capsule((0, side * 0.06, 0.55 * tall - crouch), (0, side * 0.05, 0.77 * tall - crouch), 0.14, shirt)
    build.box((0, 0, 0.53 * tall - crouch), (0.11, 0.16, 0.03), sample_surface(rng, 'dark', 0))
    build.capsule((0, 0, 0.8 * tall - crouch), (0, 0, 0.88 * tall - crouch), 0.06, skin)
    build.ellipsoid((0.01, 0, 0.93 * tall - crouch), (0.085, 0.085, 0.12), skin)
    build.ellipsoid((-0.01, 0, 0.96 * tall - crouch), (0.09, 0.09, 0.1), hair)


def _clothes(rng: np.random.Generator) -> tuple[Surface, Surface]:
    """Sample the surfaces of trousers and shirt; some shirts are a referee's, black or with black and white stripes."""
    trousers = sample_surface(rng, 'dark' if rng.random() < 0.75 else 'any', 0.06)
    if rng.random() < 0.4:
        jeans = linear_rgb(float(rng.uniform(205, 235)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.08, 0.4)))
        trousers = Surface(jeans, detail=float(rng.uniform(0.1, 0.4)))
    kind = rng.random()
    if kind < 0.12:
        return trousers, Surface(linear_rgb(0, 0, 0.9), linear_rgb(0, 0, 0.04), 'bars', 0.08)
    shirt = sample_surface(rng, 'dark' if kind < 0.4 else 'any', 0.3)
    if shirt.print == 'word':
        shirt = Surface(shirt.color, shirt.other, 'word', 0.28, 0.0, shirt.detail)
    return trousers, shirt


def furniture(x: float, y: float, rng: np.random.Generator) -> Actor:
    """Return a table with objects on it, a box, a bin, a tripod, a chair, bags or a banner."""
    return actor(x, y, 0.3, rng, _furniture)


def _furniture(build: Builder, rng: np.random.Generator) -> None:
    kind, look = int(rng.integers(0, 7)), sample_surface(rng)
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
        build.box((0, 0, 1.1), (0.08, 0.06, 0.06), sample_surface(rng, 'dark'))
    elif kind == 4:  # a chair
        build.box((0, 0, 0.45), (0.22, 0.22, 0.025), look)
        build.box((-0.22, 0, 0.75), (0.02, 0.21, 0.2), look, -0.15)
        _legs(build, 0.2, 0.2, 0.45, sample_surface(rng, 'metal'))
    elif kind == 5:  # bags
        for _ in range(int(rng.integers(1, 4))):
            a, b, c = (float(v) for v in rng.uniform(0.1, 0.28, 3))
            place = (float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)), 0.8 * c)
            build.ellipsoid(place, (a, b, c), sample_surface(rng, 'dark'))
    else:
        tall, wide = float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.3, 1.5))
        banner = sample_surface(rng, 'any', 0.8)
        build.box((0, 0, tall), (0.01, wide, tall), Surface(banner.color, banner.other, 'word', 1.2 * wide, 0.0, 0.05))


def _table(build: Builder, look: Surface, rng: np.random.Generator) -> None:
    """Build a table with boxes and screens on it."""
    wide, deep = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.3, 0.6))
    build.box((0, 0, 0.74), (wide, deep, 0.02), look)
    _legs(build, wide * 0.9, deep * 0.9, 0.72, sample_surface(rng, 'metal'))
    for _ in range(int(rng.integers(0, 4))):
        size = float(rng.uniform(0.04, 0.16))
        place = (float(rng.uniform(-wide, wide)) * 0.8, float(rng.uniform(-deep, deep)) * 0.8, 0.76 + size)
        build.box(place, (size * 0.3, size * 1.3, size), sample_surface(rng), float(rng.normal(0, 0.3)))


def _legs(build: Builder, x: float, y: float, height: float, look: Surface) -> None:
    for side_x in (-x, x):
        for side_y in (-y, y):
            build.capsule((side_x, side_y, 0), (side_x, side_y, height), 0.018, look)


def distractor(x: float, y: float, rng: np.random.Generator) -> Actor:
    """Return a round, white, ball-coloured or line-coloured object on the floor or above it, or a cable."""
    size = float(rng.uniform(0.04, 0.2))
    return actor(x, y, size, rng, partial(_distractor, size))


def _distractor(size: float, build: Builder, rng: np.random.Generator) -> None:
    look = sample_surface(rng, ('light', 'vivid', 'light', 'dark')[int(rng.integers(4))])
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
        cable, here = sample_surface(rng, 'dark' if rng.random() < 0.7 else 'vivid'), (0.0, 0.0, 0.006)
        for _ in range(6):
            there = (here[0] + float(rng.normal(0.3, 0.15)), here[1] + float(rng.normal(0, 0.25)), 0.006)
            build.capsule(here, there, 0.006, cable)
            here = there
