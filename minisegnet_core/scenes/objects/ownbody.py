"""Parts of the camera's own robot in view: feet, arms, chest, a rim of the head shell, things before the lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import linear
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.solids import Box, Capsule, Ellipsoid, Solid
from minisegnet_core.scenes.objects.actors import surface

Vector = NDArray[np.float64]
PARTS = ('arms', 'arms', 'feet', 'chest', 'shell', 'screen', 'bars')


class OwnBody:
    """Builds solids around a camera, in the field frame; they turn with the robot, the shell with the head."""

    def __init__(self, camera: Camera, heading: float, rng: np.random.Generator) -> None:
        self.camera, self.rng = camera, rng
        # The body looks another way than the head by up to half a radian and more.
        turn = heading + float(rng.normal(0, 0.35))
        self.forward = np.array([np.cos(turn), np.sin(turn), 0.0])
        self.left = np.array([-np.sin(turn), np.cos(turn), 0.0])
        self.down = np.array([0.0, 0.0, -1.0])
        self.upright = np.stack([self.forward, self.left, -self.down])
        self.height = float(camera.position[2])
        self.look = surface(rng, ('dark', 'dark', 'frame', 'any', 'light')[int(rng.integers(5))])
        self.joint, self.foot = surface(rng, 'dark', 0.05), surface(rng)
        self.solids: list[Solid] = []

    def at(self, x: float, y: float, z: float) -> Vector:
        """From the eye: metres forward, to the left, down, in shares of the height."""
        point: Vector = self.camera.position + self.height * (x * self.forward + y * self.left + z * self.down)
        return point

    def motor(self, place: Vector, size: float) -> None:
        """An angular servo or gripper, turned anyhow."""
        axes, _ = np.linalg.qr(self.upright + self.rng.normal(0, 0.35, (3, 3)))
        half = size * self.height * self.rng.uniform(0.6, 1.4, 3)
        self.solids.append(Box(place, half, axes, self.joint if self.rng.random() < 0.6 else self.foot))

    def limb(self, a: Vector, b: Vector, thick: float, look: Surface) -> None:
        """A round or angular limb between two points; thickness in shares of the height."""
        if self.rng.random() < 0.5:
            self.solids.append(Capsule(a, b, thick * self.height, look))
            return
        up = (b - a) / np.sqrt(np.square(b - a).sum())
        side = np.cross(up, self.forward + 0.01 * self.left)
        side /= np.sqrt(np.square(side).sum())
        half = np.array([thick * self.height, 0.6 * thick * self.height, float(np.sqrt(np.square(b - a).sum())) / 2])
        self.solids.append(Box((a + b) / 2, half, np.stack([np.cross(side, up), side, up]), look))

    def feet(self) -> None:
        """Both feet and shanks."""
        for side in (-1, 1):
            step = float(self.rng.normal(0.06, 0.08))
            ankle, knee = self.at(step, side * 0.09, 0.94), self.at(0.09 + step / 2, side * 0.09, 0.68)
            toe = self.at(step + 0.09, side * 0.09, 0.97)
            self.solids.append(Box(toe, self.height * np.array([0.11, 0.055, 0.02]), self.upright, self.foot))
            self.motor(ankle, 0.045)
            self.motor(knee, 0.04)
            self.limb(ankle, knee, 0.04, self.look)
            self.limb(knee, self.at(0.02, side * 0.08, 0.45), 0.045, self.joint)

    def arms(self) -> None:
        """One arm or both, with hands or grippers."""
        rng = self.rng
        for side in (-1, 1) if rng.random() < 0.6 else [int(rng.choice([-1, 1]))]:
            reach, drop = float(rng.uniform(0.05, 0.4)), float(rng.uniform(0.2, 0.6))
            elbow = self.at(reach * 0.4, side * float(rng.uniform(0.16, 0.32)), drop)
            hand = self.at(reach, side * float(rng.uniform(0.06, 0.3)), drop + float(rng.uniform(-0.15, 0.12)))
            self.limb(self.at(0, side * 0.2, 0.15), elbow, 0.04, self.look)
            self.limb(elbow, hand, float(rng.uniform(0.02, 0.045)), self.joint if rng.random() < 0.6 else self.look)
            self.motor(elbow, 0.04)
            self.motor(hand, 0.035)
            if rng.random() < 0.4:
                self.solids.append(Ellipsoid(hand, self.height * rng.uniform(0.03, 0.06, 3), self.look))

    def chest(self) -> None:
        """The chest below, shoulders beside."""
        bow = float(self.rng.normal(0.15, 0.15))
        front = np.cos(bow) * self.forward + np.sin(bow) * self.down
        axes = np.stack([front, self.left, np.sin(bow) * self.forward - np.cos(bow) * self.down])
        self.solids.append(Box(self.at(0.0, 0, 0.36), self.height * np.array([0.07, 0.13, 0.16]), axes, self.look))
        for side in (-1, 1):
            self.motor(self.at(0.06, side * 0.1, 0.24), 0.035)
            self.solids.append(Ellipsoid(self.at(0.02, side * 0.17, 0.22), self.height * np.full(3, 0.06), self.foot))

    def shell(self) -> None:
        """Rims of the head's shell close to the lens, at some borders of the image; they keep their place there."""
        rng, (right, down, forward) = self.rng, self.camera.rotation
        wide = min(self.camera.width / self.camera.fx / 2, 1.4)
        tall = wide * self.camera.height / self.camera.width
        look = surface(rng, 'dark', 0) if rng.random() < 0.75 else self.look
        for edge in rng.choice(4, int(rng.integers(1, 3)), replace=False).tolist():
            shift = float(rng.uniform(-0.5, 0.5))
            x, y = ((shift, 1.0), (shift, -1.0), (1.0, shift), (-1.0, shift))[edge]
            size = float(rng.uniform(0.4, 1.1))
            out = 1 + size * float(rng.uniform(0.55, 0.95))
            # On a small sphere around the lens, just beyond the border.
            angle_x, angle_y = x * wide * (out if x * x == 1 else 1), y * tall * (out if y * y == 1 else 1)
            axis = forward * np.cos(np.hypot(angle_x, angle_y)) + right * np.sin(angle_x) + down * np.sin(angle_y)
            axis /= np.sqrt(np.square(axis).sum())
            half = 0.06 * tall * size * np.array([1.0, 1.0, 0.8]) * rng.uniform(0.7, 1.3, 3)
            self.solids.append(Ellipsoid(self.camera.position + 0.09 * axis, np.minimum(half, 0.06), look))

    def screen(self) -> None:
        """A flat thing before the chest: a shining display, a plate, a cover."""
        rng = self.rng
        tilt = float(rng.normal(0, 0.6))
        front = np.cos(tilt) * self.forward + np.sin(tilt) * self.left
        axes = np.stack([front, np.cos(tilt) * self.left - np.sin(tilt) * self.forward, -self.down])
        place = self.at(float(rng.uniform(0.1, 0.4)), float(rng.normal(0, 0.2)), float(rng.uniform(0.2, 0.5)))
        half = self.height * np.array([rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.1), rng.uniform(0.005, 0.05)])
        look = surface(rng, ('dark', 'light', 'metal', 'frame')[int(rng.integers(4))])
        if rng.random() < 0.4:  # a display that shines
            glow = float(rng.uniform(1, 4))
            look = Surface(glow * linear(210, 0.1, 1.0), linear(210, 0.4, 0.5), 'clutter', 0.2, 0.0, 0.05)
            rim = Surface(linear(0, 0, 0.05))
            self.solids.append(Box(place - 0.01 * self.height * axes[2], half * [1.1, 1.1, 1.0], axes, rim))
        self.solids.append(Box(place, half, axes, look))

    def bars(self) -> None:
        """Bars of a handle or a frame before the lens, cables."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 4))):
            x, y, z = float(rng.uniform(0.1, 0.35)), float(rng.normal(0, 0.25)), float(rng.uniform(-0.1, 0.5))
            end = self.at(x + float(rng.normal(0, 0.1)), y + float(rng.normal(0, 0.3)), z + float(rng.normal(0, 0.3)))
            thick = float(rng.uniform(0.005, 0.02)) * self.height
            self.solids.append(Capsule(self.at(x, y, z), end, thick, self.joint))


def own_body(camera: Camera, heading: float, rng: np.random.Generator) -> tuple[Solid, ...]:
    """Some parts of the camera's own robot; its body looks along ``heading`` (radians)."""
    body = OwnBody(camera, heading, rng)
    picked = {PARTS[int(i)] for i in rng.integers(0, len(PARTS), int(rng.integers(1, 4)))}
    for part in sorted(picked):
        getattr(body, part)()
    return tuple(body.solids)
