"""People on and beside the field, as lists of solids."""

from __future__ import annotations

import numpy as np

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.objects.actors import Actor, Builder, actor, surface


def person(x: float, y: float, rng: np.random.Generator) -> Actor:
    """A person, standing, walking or crouching: trousers, shoes, shirt (referees: striped or black), arms, head."""
    return actor(x, y, 0.25, rng, _person)


def _person(build: Builder, rng: np.random.Generator) -> None:
    tall = float(rng.uniform(1.5, 1.95))
    trousers, shirt = _clothes(rng)
    shoe, sole, skin, hair = (surface(rng, kind, 0.1) for kind in ('any', 'light', 'skin', 'dark'))
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
    build.box((0, 0, 0.53 * tall - crouch), (0.11, 0.16, 0.03), surface(rng, 'dark', 0))
    build.capsule((0, 0, 0.8 * tall - crouch), (0, 0, 0.88 * tall - crouch), 0.06, skin)
    build.ellipsoid((0.01, 0, 0.93 * tall - crouch), (0.085, 0.085, 0.12), skin)
    build.ellipsoid((-0.01, 0, 0.96 * tall - crouch), (0.09, 0.09, 0.1), hair)


def _clothes(rng: np.random.Generator) -> tuple[Surface, Surface]:
    """Trousers and shirt; now and then a referee's: black, or black and white stripes."""
    trousers = surface(rng, 'dark' if rng.random() < 0.75 else 'any', 0.06)
    if rng.random() < 0.4:
        jeans = linear(float(rng.uniform(205, 235)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.08, 0.4)))
        trousers = Surface(jeans, detail=float(rng.uniform(0.1, 0.4)))
    kind = rng.random()
    if kind < 0.12:
        return trousers, Surface(linear(0, 0, 0.9), linear(0, 0, 0.04), 'bars', 0.08)
    shirt = surface(rng, 'dark' if kind < 0.4 else 'any', 0.3)
    if shirt.print == 'word':
        shirt = Surface(shirt.color, shirt.other, 'word', 0.28, 0.0, shirt.detail)
    return trousers, shirt
