"""Things held into the picture: a device with a screen, a remote control or a bottle in a hand, near the lens.

Handlers hold telephones before cameras, and robots their own grippers. Bright screens, fingertips and knobs are round,
white and as large as a ball; they are background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.solids import Box, Capsule, Ellipsoid, Solid
from minisegnet_core.scenes.objects.actors import surface

Vector = NDArray[np.float64]
Axes = NDArray[np.float64]
"""(3, 3): rows to the eye, across and along the thing."""


def held_thing(camera: Camera, rng: np.random.Generator) -> tuple[Solid, ...]:
    """A thing in a hand, .18 to .5 m before the lens, in the field frame."""
    right, down, forward = camera.rotation
    wide = min(camera.width / camera.fx / 2, 1.2)
    # Anywhere in the picture, by preference in the lower half, since that is where arms come from.
    x, y = float(rng.uniform(-1.1, 1.1)) * wide, float(rng.uniform(-0.4, 1.0)) * wide * camera.height / camera.width
    ray = forward * np.cos(np.hypot(x, y)) + right * np.sin(x) + down * np.sin(y)
    ray /= np.sqrt(np.square(ray).sum())
    away = float(rng.uniform(0.18, 0.5))
    center = camera.position + away * ray
    toward = -ray + rng.normal(0, 0.35, 3)
    toward /= np.sqrt(np.square(toward).sum())
    turn = float(rng.uniform(0, 2 * np.pi))
    across = np.cross(toward, np.cos(turn) * right + np.sin(turn) * down)
    across /= np.sqrt(np.square(across).sum())
    axes = np.stack([toward, across, np.cross(toward, across)])
    half = np.array([rng.uniform(0.004, 0.02), rng.uniform(0.02, 0.05), rng.uniform(0.035, 0.09)]) * (0.5 + away / 0.5)
    skin = surface(rng, ('skin', 'skin', 'dark', 'frame')[int(rng.integers(4))], 0)
    kind = rng.random()
    solids = _device(center, half, axes, rng) if kind < 0.7 else _handle(center, half, axes, rng)
    if rng.random() < 0.8:
        solids += _hand(center, half, axes, down, skin, rng)
    return tuple(solids)


def _device(center: Vector, half: Vector, axes: Axes, rng: np.random.Generator) -> list[Solid]:
    """A flat box with a screen that shines or not, what it shows, and keys."""
    case = surface(rng, ('dark', 'dark', 'light', 'frame')[int(rng.integers(4))], 0.05)
    solids: list[Solid] = [Box(center, half, axes, case)]
    front, room = half[0] + 0.001, half[1:] * rng.uniform(0.75, 0.97)
    glow = float(np.exp(rng.uniform(np.log(0.05), np.log(8))))
    face = glow * linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.15)), 1.0)
    screen = Surface(face.astype(np.float32), None, '', 0.1, 0.1, 0.02)
    solids.append(Box(center + front * axes[0], np.array([0.001, *room]), axes, screen))
    for _ in range(int(rng.integers(0, 8))):  # lines of text, pictures, keys
        size = room * rng.uniform(0.04, 0.5, 2)
        place = (room - size) * rng.uniform(-1, 1, 2)
        hue, grey = float(rng.uniform(0, 360)), float(rng.uniform(0, 1))
        part = (glow * linear(hue, float(rng.uniform(0, 0.8)), grey)).astype(np.float32)
        at = center + (front + 0.001) * axes[0] + place[0] * axes[1] + place[1] * axes[2]
        look = Surface(part, None, '', 0.1, 0.1, 0.02)
        if rng.random() < 0.25:
            solids.append(Ellipsoid(at, np.full(3, float(size.min())), look))
        else:
            solids.append(Box(at, np.array([0.001, *size]), axes, look))
    return solids


def _handle(center: Vector, half: Vector, axes: Axes, rng: np.random.Generator) -> list[Solid]:
    """A bottle, a stick or a tool with a knob at its end."""
    look, knob = surface(rng), surface(rng, ('dark', 'any')[int(rng.integers(2))])
    end = center + 1.5 * half[2] * axes[2]
    solids: list[Solid] = [Capsule(center - half[2] * axes[2], end, float(0.5 * half[1]), look)]
    if rng.random() < 0.7:
        solids.append(Ellipsoid(end, half[1] * rng.uniform(0.6, 1.2, 3), knob))
    return solids


def _hand(
    center: Vector, half: Vector, axes: Axes, down: Vector, skin: Surface, rng: np.random.Generator
) -> list[Solid]:
    """Fingers around the edges, the ball of the thumb, and a forearm that leaves the picture."""
    side = float(rng.choice([-1, 1]))
    thick = float(rng.uniform(0.007, 0.011))
    solids: list[Solid] = []
    for place in np.linspace(-0.5, 0.3, int(rng.integers(2, 5))) + rng.normal(0, 0.05):
        root = center + side * (half[1] + thick) * axes[1] + place * half[2] * axes[2] - 0.01 * axes[0]
        over = float(rng.uniform(0.1, 0.7))
        tip = center + side * (half[1] * (1 - over)) * axes[1] + place * half[2] * axes[2] + (half[0] + thick) * axes[0]
        solids.append(Capsule(root, tip, thick, skin))
    palm = center + side * half[1] * axes[1] - (half[0] + 0.02) * axes[0]
    solids.append(Ellipsoid(palm, np.array([0.03, 0.035, 0.04]) * rng.uniform(0.7, 1.3, 3), skin))
    elbow = palm + 0.35 * (down + side * 0.6 * axes[1] + rng.normal(0, 0.3, 3))
    sleeve = skin if rng.random() < 0.4 else surface(rng)
    solids.append(Capsule(palm + 0.2 * (elbow - palm), elbow, float(rng.uniform(0.025, 0.04)), sleeve))
    return solids
