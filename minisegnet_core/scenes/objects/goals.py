"""Goals with their nets, and nets close to the lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.config.sections import ThingSettings
from minisegnet_core.scenes.geometry.fields import FieldDimensions
from minisegnet_core.scenes.geometry.solids import Capsule
from minisegnet_core.scenes.objects.nets import Net

Vector = NDArray[np.float64]


def goals(field: FieldDimensions, settings: ThingSettings, rng: np.random.Generator) -> tuple[list[Capsule], list[Net]]:
    """The posts, bars and nets of a field's goals."""
    if not field.goal_width or rng.random() >= settings.goals:
        return [], []
    white = rng.random() >= settings.colored_posts
    saturation = float(rng.uniform(0, 0.08) if white else rng.uniform(0.6, 1))
    color = linear(float(rng.uniform(0, 360)), saturation, float(rng.uniform(0.6, 1)))
    look = Surface(color, gloss=float(rng.uniform(0, 0.3)), detail=0.06)
    thin = Surface(color if rng.random() < 0.6 else linear(0, 0, 0.2), detail=0.06)
    radius = float(rng.uniform(0.04, 0.06))
    has_net = rng.random() < settings.nets
    solids: list[Capsule] = []
    nets: list[Net] = []
    net_color = linear(0, 0, float(rng.choice([rng.uniform(0.7, 1.0), rng.uniform(0.1, 0.4)])))
    mesh, thread = float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.0015, 0.005))
    diagonal, sag = bool(rng.random() < 0.5), float(rng.uniform(0, 0.03))
    slope = float(rng.uniform(0.15, 1.0))
    for end in (1,) if field.half else (-1, 1):
        x, back = end * field.length / 2, end * (field.length / 2 + field.goal_depth)
        top_back = end * (field.length / 2 + field.goal_depth * slope)
        height, half = field.goal_height, field.goal_width / 2 + radius
        left, right = (np.array([x, side * half, 0.0]) for side in (-1, 1))
        up = np.array([0.0, 0.0, height + radius])
        solids += [Capsule(left, left + up, radius, look), Capsule(right, right + up, radius, look)]
        solids.append(Capsule(left + up, right + up, radius, look))
        for side in (-1, 1):
            low, high = np.array([back, side * half, 0.02]), np.array([top_back, side * half, height])
            front = np.array([x, side * half, 0.02])
            solids += [Capsule(front, low, radius * 0.5, thin), Capsule(low, high, radius * 0.4, thin)]
            solids.append(Capsule(front + up, high, radius * 0.4, thin))
            if has_net:
                nets.append(Net(front, low - front, up, mesh, thread, diagonal, sag, net_color))
        across = np.array([0.0, 2 * half, 0.0])
        low, high = np.array([back, -half, 0.02]), np.array([top_back, -half, height])
        solids.append(Capsule(low, low + across, radius * 0.5, thin))
        if has_net:
            nets.append(Net(low, across, high - low, mesh, thread, diagonal, sag, net_color))
            nets.append(Net(left + up, across, high - left - up, mesh, thread, diagonal, sag, net_color))
    return solids, nets


def near_net(position: Vector, forward: Vector, rng: np.random.Generator) -> Net:
    """A net that hangs upright before the lens, .1-.7 m away."""
    away = forward[:2] / max(float(np.hypot(*forward[:2])), 1e-6)
    turn = float(rng.normal(0, 0.4))
    cosine, sine = np.cos(turn), np.sin(turn)
    away = np.array([cosine * away[0] - sine * away[1], sine * away[0] + cosine * away[1]])
    across = np.array([-away[1], away[0], 0.0])
    foot = np.array([*(position[:2] + float(rng.uniform(0.1, 0.7)) * away), 0.0])
    wide, low = float(rng.uniform(1.5, 3)), float(rng.choice([0.0, rng.uniform(0, 0.4)]))
    corner = foot - across * wide * float(rng.uniform(0.3, 0.7)) + np.array([0, 0, low])
    color = linear(0, 0, float(rng.choice([rng.uniform(0.6, 1.0), rng.uniform(0.1, 0.5)])))
    return Net(
        corner,
        across * wide,
        np.array([0, 0, float(rng.uniform(0.8, 2))]),
        float(rng.uniform(0.03, 0.12)),
        float(rng.uniform(0.0015, 0.006)),
        bool(rng.random() < 0.5),
        float(rng.uniform(0, 0.03)),
        color,
    )
