"""Robots: humanoids of plates and motors or with smooth shells, and wheeled robots."""

from __future__ import annotations

from functools import partial

import numpy as np

from minisegnet_core.scenes.appearance.surfaces import Surface, sample_surface, with_number
from minisegnet_core.scenes.objects.actors import Actor, Builder, Point, actor


def humanoid(x: float, y: float, rng: np.random.Generator, height: float | None = None) -> Actor:
    """Return a humanoid robot, 0.4 to 1.5 m tall, sometimes lying on the ground.

    Args:
        x, y: position in metres in the field frame.
        rng: random generator.
        height: in metres; random by default.
    """
    tall = height or float((rng.uniform(0.4, 0.65), rng.uniform(0.7, 1.0), rng.uniform(1.1, 1.5))[int(rng.integers(3))])
    kind = rng.random()
    if kind < 0.1:
        return actor(x, y, 0.4 * tall, rng, partial(_fallen, tall))
    return actor(x, y, 0.2 * tall, rng, partial(_of_plates if kind < 0.72 else _of_shells, tall))


def _fallen(tall: float, build: Builder, rng: np.random.Generator) -> None:
    limb, jersey, head = (sample_surface(rng, kind) for kind in ('frame', 'any', 'any'))
    motor = sample_surface(rng, 'dark')
    slim, wide, level = 0.05 * tall, 0.09 * tall, 0.09 * tall
    build.box((0, 0, level), (0.2 * tall, 0.13 * tall, 0.09 * tall), jersey)
    build.ellipsoid((0.3 * tall, 0, level), (0.08 * tall,) * 3, head)
    for side in (-1, 1):
        knee = (-0.4 * tall, side * wide * float(rng.uniform(1, 2)), float(rng.uniform(0.05, 0.16)) * tall)
        build.capsule((-0.2 * tall, side * wide, level), knee, slim, limb)
        build.capsule(knee, (-0.62 * tall, side * wide * 1.8, 0.05 * tall), slim * 0.9, limb)
        build.box(knee, (slim * 1.3,) * 3, motor)
        build.box((-0.66 * tall, side * wide * 1.8, 0.07 * tall), (0.02 * tall, 0.05 * tall, 0.07 * tall), motor)
        build.capsule(
            (0.12 * tall, side * 0.16 * tall, level), (-0.2 * tall, side * 0.3 * tall, 0.04), slim * 0.7, limb
        )


def _of_plates(tall: float, build: Builder, rng: np.random.Generator) -> None:
    """Build a robot with limbs of metal plates or tubes, angular motors, and a box of electronics or a shirt."""
    frame, motor = sample_surface(rng, 'frame'), sample_surface(rng, 'dark', 0)
    cover = sample_surface(rng, ('dark', 'light', 'vivid', 'metal', 'frame')[int(rng.integers(5))])
    foot = sample_surface(rng, ('dark', 'metal', 'vivid', 'light')[int(rng.integers(4))], 0.1)
    stride, wide = float(rng.normal(0, 0.08)) * tall, float(rng.uniform(0.055, 0.095)) * tall
    lift, bend = float(max(rng.normal(0, 0.03), 0)) * tall, float(rng.uniform(0.01, 0.09)) * tall
    thin, thick = float(rng.uniform(0.006, 0.02)) * tall, float(rng.uniform(0.02, 0.045)) * tall
    tubes = rng.random() < 0.3
    size = float(rng.uniform(0.028, 0.045)) * tall

    def limb(a: Point, b: Point, scale: float) -> None:
        if tubes:
            build.capsule(a, b, 0.6 * thick * scale, frame)
        else:  # a pair of plates with a gap
            for edge in (-1, 1):
                shift = edge * size * 0.9 * scale
                build.beam((a[0], a[1] + shift, a[2]), (b[0], b[1] + shift, b[2]), thin, thick * scale, frame)

    for side in (-1, 1):
        step, up = side * stride, lift if side > 0 else 0.0
        ankle, knee = (step, side * wide, 0.08 * tall + up), (bend + step / 2, side * wide, 0.26 * tall + up / 2)
        hip = (0.0, side * wide * 0.95, 0.47 * tall)
        build.box((step + 0.015 * tall, side * wide, 0.012 * tall + up), (0.1 * tall, 0.055 * tall, 0.012 * tall), foot)
        build.box((step, side * wide, 0.055 * tall + up), (size, size * 0.8, size), motor)
        limb(ankle, knee, 1.0)
        limb(knee, hip, 1.1)
        build.box(knee, (size, size * 0.9, size * 1.3), motor)
        build.box(hip, (size * 1.1, size, size * 1.6), motor)
        if rng.random() < 0.4:
            build.beam((ankle[0] + thick, ankle[1], ankle[2]), (knee[0] + thick, knee[1], knee[2]), thick, thin, cover)
        swing, spread = float(rng.normal(0, 0.12)) * tall, float(rng.uniform(0.14, 0.2)) * tall
        shoulder, elbow = (0.0, side * 0.14 * tall, 0.77 * tall), (swing, side * spread, 0.61 * tall)
        hand = (swing + float(rng.uniform(0, 0.14)) * tall, side * spread * 0.95, float(rng.uniform(0.42, 0.56)) * tall)
        build.box(shoulder, (size, size * 1.1, size), motor)
        limb(shoulder, elbow, 0.7)
        build.box(elbow, (size * 0.7, size * 0.8, size * 0.9), motor)
        build.capsule(elbow, hand, 0.45 * thick, frame if rng.random() < 0.5 else cover)
        if rng.random() < 0.5:
            build.ellipsoid(hand, (0.03 * tall,) * 3, cover)
    build.box((0, 0, 0.49 * tall), (0.05 * tall, wide * 1.25, 0.025 * tall), motor)
    _torso(build, tall, motor, cover, rng)
    build.capsule((0, 0, 0.78 * tall), (0, 0, 0.86 * tall), size * 0.6, motor)
    _head(build, tall, cover, motor, rng)
    if rng.random() < 0.25:  # a handle or an antenna
        ends = (-0.06 * tall, -0.1 * tall, 0.8 * tall), (-0.06 * tall, 0.1 * tall, 0.8 * tall)
        build.capsule(*ends, 0.01 * tall, frame)


def _torso(build: Builder, tall: float, motor: Surface, cover: Surface, rng: np.random.Generator) -> None:
    """Build a torso: a shirt with a number, bare electronics, or a cover."""
    half = (float(rng.uniform(0.045, 0.075)) * tall, float(rng.uniform(0.085, 0.125)) * tall, 0.135 * tall)
    lean = float(rng.normal(0.08, 0.08))
    shirt = rng.random()
    if shirt < 0.45:
        jersey = sample_surface(rng, ('vivid', 'vivid', 'light', 'dark')[int(rng.integers(4))])
        build.box((0, 0, 0.65 * tall), half, with_number(jersey, 1.3 * half[1], rng), lean)
    elif shirt < 0.75:
        build.box((0, 0, 0.65 * tall), half, sample_surface(rng, 'frame'), lean)
        build.box((half[0], 0, 0.68 * tall), (0.01 * tall, half[1] * 0.7, 0.06 * tall), cover, lean)
        build.box((-half[0], 0, 0.64 * tall), (0.03 * tall, half[1] * 0.8, 0.08 * tall), motor, lean)
    else:
        build.box((0, 0, 0.66 * tall), half, cover, lean)
        build.ellipsoid((half[0] * 0.7, 0, 0.68 * tall), (half[1] * 0.8, half[1] * 0.8, half[2] * 0.7), cover)


def _head(build: Builder, tall: float, cover: Surface, motor: Surface, rng: np.random.Generator) -> None:
    kind, level = rng.random(), 0.9 * tall
    if kind < 0.35:
        build.ellipsoid((0.01, 0, level), (0.07 * tall, 0.07 * tall, 0.08 * tall), cover)
        build.ellipsoid((0.05 * tall, 0, level), (0.045 * tall, 0.045 * tall, 0.03 * tall), motor)
    elif kind < 0.7:
        build.box((0.01, 0, level), (0.05 * tall, 0.07 * tall, 0.045 * tall), cover)
        build.box((0.055 * tall, 0, level), (0.01 * tall, 0.04 * tall, 0.02 * tall), motor)
    else:  # a camera on a motor
        build.box((0, 0, level - 0.03 * tall), (0.03 * tall, 0.03 * tall, 0.03 * tall), motor)
        build.box((0.015 * tall, 0, level + 0.02 * tall), (0.02 * tall, 0.045 * tall, 0.018 * tall), motor)


def _of_shells(tall: float, build: Builder, rng: np.random.Generator) -> None:
    """Build a robot with smooth shells, such as the Standard Platform League's."""
    slim = float(rng.uniform(0.035, 0.07)) * tall
    kinds = (str(rng.choice(['dark', 'light', 'light', 'metal'])), 'dark', 'any', 'any')
    limb, joint, jersey, head = (sample_surface(rng, kind) for kind in kinds)
    foot = sample_surface(rng, str(rng.choice(['dark', 'vivid', 'light'])))
    stride, wide = float(rng.normal(0, 0.08)) * tall, float(rng.uniform(0.06, 0.1)) * tall
    for side in (-1, 1):
        knee = (0.05 * tall + side * stride / 2, side * wide, 0.25 * tall)
        ankle = (side * stride, side * wide, 0.05 * tall)
        build.ellipsoid(
            (side * stride + 0.02 * tall, side * wide, 0.025 * tall), (0.09 * tall, 0.07 * tall, 0.03 * tall), foot
        )
        build.capsule(ankle, knee, slim, limb)
        build.capsule(knee, (0, side * wide * 0.9, 0.46 * tall), slim * 1.15, limb)
        build.box(knee, (slim * 1.1, slim * 1.05, slim * 1.2), joint, stride)
        swing = float(rng.normal(0, 0.12)) * tall
        elbow = (swing, side * 0.2 * tall, 0.58 * tall)
        build.capsule((0, side * 0.16 * tall, 0.76 * tall), elbow, slim * 0.85, limb)
        build.capsule(elbow, (swing + 0.1 * tall, side * 0.19 * tall, 0.44 * tall), slim * 0.75, joint)
    half = (0.07 * tall, 0.115 * tall, 0.16 * tall)
    number = with_number(jersey, 1.2 * half[1], rng) if rng.random() < 0.6 else jersey
    if rng.random() < 0.5:
        build.box((0, 0, 0.63 * tall), half, number, float(rng.normal(0.05, 0.08)))
    else:
        build.ellipsoid((0, 0, 0.63 * tall), (half[1], half[1], half[2] * 1.15), jersey)
    _head(build, tall, head, joint, rng)


def wheeled(x: float, y: float, rng: np.random.Generator) -> Actor:
    """Return a wheeled robot, 0.5 m wide and 0.8 m tall, as in the Middle Size League.

    It has a dark angular base, wheels, a tapered body with covers in the team's colour, and a mirror or camera on top.
    """
    return actor(x, y, 0.3, rng, _wheeled)


def _wheeled(build: Builder, rng: np.random.Generator) -> None:
    dark, frame = sample_surface(rng, 'dark', 0.1), sample_surface(rng, 'frame')
    cover = sample_surface(rng, ('dark', 'vivid', 'vivid', 'metal')[int(rng.integers(4))])
    base = float(rng.uniform(0.06, 0.12))
    for turn in (0.0, 1.05, 2.09):
        build.box((0, 0, 0.03 + base), (0.25, 0.14, base), dark, 0.0, turn)
    for turn in (0.6, 2.7, 4.7):
        build.box(
            (0.21 * np.cos(turn), 0.21 * np.sin(turn), 0.06), (0.03, 0.06, 0.06), sample_surface(rng, 'dark'), 0, turn
        )
    top, level = float(rng.uniform(0.42, 0.6)), 0.03 + 2 * base
    for step in range(3):
        size, middle = 0.19 - 0.045 * step, level + (top - level) * (step + 0.5) / 3
        look = frame if rng.random() < 0.5 else cover
        build.box((0, 0, middle), (size, size * 0.9, (top - level) / 6), look, float(rng.normal(0, 0.06)), 0.4 * step)
    for side in (-1, 1):
        plate = with_number(cover, 0.14, rng) if rng.random() < 0.6 else cover
        build.box((0, side * 0.17, 0.5 * (level + top)), (0.13, 0.008, (top - level) * 0.4), plate)
        build.capsule((0.26, side * 0.12, 0.13), (0.3, side * 0.08, 0.16), 0.035, dark)
    if rng.random() < 0.4:  # a cage of tubes
        for turn in (0.8, 2.4, 3.9, 5.5):
            c, s = 0.24 * float(np.cos(turn)), 0.24 * float(np.sin(turn))
            build.capsule((c, s, 0.1), (0.6 * c, 0.6 * s, top + 0.1), 0.012, dark)
    build.capsule((0, 0, top), (0, 0, 0.74), float(rng.uniform(0.015, 0.05)), dark)
    build.ellipsoid((0, 0, 0.76), (0.08, 0.08, float(rng.uniform(0.03, 0.07))), sample_surface(rng))
