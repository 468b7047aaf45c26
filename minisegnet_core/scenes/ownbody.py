"""Parts of the camera's own robot in view: feet, arms, chest, a rim of the head shell, things before the lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.actors import surface
from minisegnet_core.scenes.camera import Camera
from minisegnet_core.scenes.solids import Box, Capsule, Ellipsoid, Solid

Vector = NDArray[np.float64]


def own_body(camera: Camera, heading: float, rng: np.random.Generator) -> tuple[Solid, ...]:
    """Solids around the camera, in the field frame; they turn with the robot, the shell with the head."""
    rotation = camera.rotation
    # The body looks another way than the head by up to half a radian and more.
    turn = heading + float(rng.normal(0, 0.35))
    forward, left = np.array([np.cos(turn), np.sin(turn), 0.0]), np.array([-np.sin(turn), np.cos(turn), 0.0])
    height = float(camera.position[2])
    down = np.array([0.0, 0.0, -1.0])
    eye = camera.position

    def at(x: float, y: float, z: float) -> Vector:
        """From the eye: metres forward, to the left, down, in shares of the height."""
        point: Vector = eye + height * (x * forward + y * left + z * down)
        return point

    kind = 'dark' if rng.random() < 0.6 else 'any'
    look, joint, foot = surface(rng, kind), surface(rng, 'dark'), surface(rng)
    solids: list[Solid] = []
    kinds = set(rng.choice(['arms', 'feet', 'chest', 'shell', 'box'], int(rng.integers(1, 4))).tolist())
    upright = np.stack([forward, left, -down])

    def motor(place: Vector, size: float) -> Box:
        """An angular servo or gripper, turned anyhow."""
        axes, _ = np.linalg.qr(upright + rng.normal(0, 0.35, (3, 3)))
        half = size * height * rng.uniform(0.6, 1.4, 3)
        return Box(place, half, axes, joint if rng.random() < 0.6 else foot)

    if 'feet' in kinds:
        for side in (-1, 1):
            step = float(rng.normal(0.06, 0.08))
            ankle, knee = at(step, side * 0.09, 0.94), at(0.09 + step / 2, side * 0.09, 0.68)
            toe = at(step + 0.09, side * 0.09, 0.97)
            solids.append(Box(toe, height * np.array([0.11, 0.055, 0.02]), upright, foot))
            solids.extend((motor(ankle, 0.045), motor(knee, 0.04)))
            solids.append(Capsule(ankle, knee, 0.04 * height, look))
            solids.append(Capsule(knee, at(0.02, side * 0.08, 0.45), 0.045 * height, joint))
    if 'arms' in kinds:
        for side in (-1, 1) if rng.random() < 0.6 else [int(rng.choice([-1, 1]))]:
            reach, drop = float(rng.uniform(0.05, 0.4)), float(rng.uniform(0.2, 0.6))
            elbow = at(reach * 0.4, side * float(rng.uniform(0.16, 0.32)), drop)
            hand = at(reach, side * float(rng.uniform(0.06, 0.3)), drop + float(rng.uniform(-0.15, 0.12)))
            solids.append(Capsule(at(0, side * 0.2, 0.15), elbow, 0.04 * height, look))
            solids.append(Capsule(elbow, hand, float(rng.uniform(0.02, 0.045)) * height, joint))
            solids.extend((motor(elbow, 0.04), motor(hand, 0.035)))
    if 'chest' in kinds:
        bow = float(rng.normal(0.15, 0.15))
        axes = np.stack([np.cos(bow) * forward + np.sin(bow) * down, left, np.sin(bow) * forward - np.cos(bow) * down])
        solids.append(Box(at(0.0, 0, 0.36), height * np.array([0.07, 0.13, 0.16]), axes, look))
        solids.extend(motor(at(0.06, side * 0.1, 0.24), 0.035) for side in (-1, 1))
    if 'shell' in kinds:  # fixed to the head, so it keeps its place in the picture
        shift = float(rng.uniform(-1, 1))
        drop = float(rng.uniform(0.55, 1.1))
        center = eye + 0.05 * (rotation[2] * 0.8 + rotation[1] * drop + rotation[0] * shift * 0.8)
        solids.append(Ellipsoid(center, np.array([0.02, 0.02, 0.015]) * float(rng.uniform(0.7, 1.5)), joint))
    if 'box' in kinds:
        tilt = float(rng.normal(0, 0.6))
        axes = np.stack(
            [
                np.cos(tilt) * forward + np.sin(tilt) * left,
                np.cos(tilt) * left - np.sin(tilt) * forward,
                -down,
            ]
        )
        place = at(float(rng.uniform(0.1, 0.4)), float(rng.normal(0, 0.2)), float(rng.uniform(0.2, 0.5)))
        half = height * np.array([rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.1), rng.uniform(0.005, 0.05)])
        solids.append(Box(place, half, axes, surface(rng, str(rng.choice(['dark', 'light', 'metal'])))))
    return tuple(solids)
