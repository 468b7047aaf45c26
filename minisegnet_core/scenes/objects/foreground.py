"""Objects close to the lens: parts of the camera's own robot, and objects that people hold into the image.

Robots see their own feet, arms and shells, and handlers hold phones and remote controls in front of cameras. Bright
screens, fingertips and knobs are round, white and appear as large as a ball; they are background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.surfaces import Surface, linear_rgb, sample_surface
from minisegnet_core.scenes.config.settings import ThingSettings
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.objects.solids import Box, Capsule, Ellipsoid, Solid

Vector = NDArray[np.float64]
Axes = NDArray[np.float64]
"""(3, 3): rows are unit vectors towards the camera, across and along a held object."""

PARTS = ('arms', 'arms', 'feet', 'chest', 'shell', 'screen', 'bars')
"""Methods of :class:`OwnBody` from which the visible parts are drawn."""


def sample_foreground(
    settings: ThingSettings, camera: Camera, heading: float, rng: np.random.Generator
) -> tuple[Solid, ...]:
    """Sample the solids close to the lens: parts of the own robot, a held object, both or none.

    Args:
        settings: probabilities.
        camera: the camera.
        heading: direction of the own robot's body, in radians in the field frame.
        rng: random generator.
    """
    parts = _own_body(camera, heading, rng) if rng.random() < settings.own_robot else ()
    # At probability 0 no random number is drawn: series without held objects must not depend on this setting.
    if settings.held and rng.random() < settings.held:
        parts += _held_object(camera, rng)
    return parts


class OwnBody:
    """Build the parts of the camera's own robot. They turn with the robot's body, the shell with the camera.

    Args:
        camera: the camera.
        heading: direction of the body, in radians in the field frame.
        rng: random generator.
    """

    def __init__(self, camera: Camera, heading: float, rng: np.random.Generator) -> None:
        self.camera, self.rng = camera, rng
        # The body deviates from the heading by 0.35 radians (standard deviation).
        turn = heading + float(rng.normal(0, 0.35))
        self.forward = np.array([np.cos(turn), np.sin(turn), 0.0])
        self.left = np.array([-np.sin(turn), np.cos(turn), 0.0])
        self.down = np.array([0.0, 0.0, -1.0])
        self.upright = np.stack([self.forward, self.left, -self.down])
        self.height = float(camera.position[2])
        self.look = sample_surface(rng, ('dark', 'dark', 'frame', 'any', 'light')[int(rng.integers(5))])
        self.joint, self.foot = sample_surface(rng, 'dark', 0.05), sample_surface(rng)
        self.solids: list[Solid] = []

    def at(self, x: float, y: float, z: float) -> Vector:
        """Return a point in the field frame (3,), given forward, left and down from the camera in camera heights."""
        point: Vector = self.camera.position + self.height * (x * self.forward + y * self.left + z * self.down)
        return point

    def motor(self, place: Vector, size: float) -> None:
        """Add an angular servo or gripper in a random orientation."""
        axes, _ = np.linalg.qr(self.upright + self.rng.normal(0, 0.35, (3, 3)))
        half = size * self.height * self.rng.uniform(0.6, 1.4, 3)
        self.solids.append(Box(place, half, axes, self.joint if self.rng.random() < 0.6 else self.foot))

    def limb(self, a: Vector, b: Vector, thick: float, look: Surface) -> None:
        """Add a round or angular limb between two points; thickness in camera heights."""
        if self.rng.random() < 0.5:
            self.solids.append(Capsule(a, b, thick * self.height, look))
            return
        up = (b - a) / np.sqrt(np.square(b - a).sum())
        side = np.cross(up, self.forward + 0.01 * self.left)
        side /= np.sqrt(np.square(side).sum())
        half = np.array([thick * self.height, 0.6 * thick * self.height, float(np.sqrt(np.square(b - a).sum())) / 2])
        self.solids.append(Box((a + b) / 2, half, np.stack([np.cross(side, up), side, up]), look))

    def feet(self) -> None:
        """Add both feet and shanks."""
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
        """Add one or both arms, with hands or grippers."""
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
        """Add the chest below and the shoulders beside the camera."""
        bow = float(self.rng.normal(0.15, 0.15))
        front = np.cos(bow) * self.forward + np.sin(bow) * self.down
        axes = np.stack([front, self.left, np.sin(bow) * self.forward - np.cos(bow) * self.down])
        self.solids.append(Box(self.at(0.0, 0, 0.36), self.height * np.array([0.07, 0.13, 0.16]), axes, self.look))
        for side in (-1, 1):
            self.motor(self.at(0.06, side * 0.1, 0.24), 0.035)
            self.solids.append(Ellipsoid(self.at(0.02, side * 0.17, 0.22), self.height * np.full(3, 0.06), self.foot))

    def shell(self) -> None:
        """Add rims of the head's shell at one or two borders of the image."""
        rng, (right, down, forward) = self.rng, self.camera.rotation
        wide = min(self.camera.width / self.camera.fx / 2, 1.4)
        tall = wide * self.camera.height / self.camera.width
        look = sample_surface(rng, 'dark', 0) if rng.random() < 0.75 else self.look
        for edge in rng.choice(4, int(rng.integers(1, 3)), replace=False).tolist():
            shift = float(rng.uniform(-0.5, 0.5))
            x, y = ((shift, 1.0), (shift, -1.0), (1.0, shift), (-1.0, shift))[edge]
            size = float(rng.uniform(0.4, 1.1))
            out = 1 + size * float(rng.uniform(0.55, 0.95))
            # On a small sphere around the lens, just outside the image border.
            angle_x, angle_y = x * wide * (out if x * x == 1 else 1), y * tall * (out if y * y == 1 else 1)
            axis = forward * np.cos(np.hypot(angle_x, angle_y)) + right * np.sin(angle_x) + down * np.sin(angle_y)
            axis /= np.sqrt(np.square(axis).sum())
            half = 0.06 * tall * size * np.array([1.0, 1.0, 0.8]) * rng.uniform(0.7, 1.3, 3)
            self.solids.append(Ellipsoid(self.camera.position + 0.09 * axis, np.minimum(half, 0.06), look))

    def screen(self) -> None:
        """Add a flat object in front of the chest: a bright display, a plate or a cover."""
        rng = self.rng
        tilt = float(rng.normal(0, 0.6))
        front = np.cos(tilt) * self.forward + np.sin(tilt) * self.left
        axes = np.stack([front, np.cos(tilt) * self.left - np.sin(tilt) * self.forward, -self.down])
        place = self.at(float(rng.uniform(0.1, 0.4)), float(rng.normal(0, 0.2)), float(rng.uniform(0.2, 0.5)))
        half = self.height * np.array([rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.1), rng.uniform(0.005, 0.05)])
        look = sample_surface(rng, ('dark', 'light', 'metal', 'frame')[int(rng.integers(4))])
        if rng.random() < 0.4:  # a bright display
            glow = float(rng.uniform(1, 4))
            look = Surface(glow * linear_rgb(210, 0.1, 1.0), linear_rgb(210, 0.4, 0.5), 'clutter', 0.2, 0.0, 0.05)
            rim = Surface(linear_rgb(0, 0, 0.05))
            self.solids.append(Box(place - 0.01 * self.height * axes[2], half * [1.1, 1.1, 1.0], axes, rim))
        self.solids.append(Box(place, half, axes, look))

    def bars(self) -> None:
        """Add bars of a handle or a frame, or cables, in front of the lens."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 4))):
            x, y, z = float(rng.uniform(0.1, 0.35)), float(rng.normal(0, 0.25)), float(rng.uniform(-0.1, 0.5))
            end = self.at(x + float(rng.normal(0, 0.1)), y + float(rng.normal(0, 0.3)), z + float(rng.normal(0, 0.3)))
            thick = float(rng.uniform(0.005, 0.02)) * self.height
            self.solids.append(Capsule(self.at(x, y, z), end, thick, self.joint))


def _own_body(camera: Camera, heading: float, rng: np.random.Generator) -> tuple[Solid, ...]:
    """Sample some parts of the camera's own robot; ``heading`` is the direction of its body in radians."""
    body = OwnBody(camera, heading, rng)
    picked = {PARTS[int(i)] for i in rng.integers(0, len(PARTS), int(rng.integers(1, 4)))}
    for part in sorted(picked):
        getattr(body, part)()
    return tuple(body.solids)


def _held_object(camera: Camera, rng: np.random.Generator) -> tuple[Solid, ...]:
    """Sample a held object, 0.18 to 0.5 m in front of the lens."""
    right, down, forward = camera.rotation
    wide = min(camera.width / camera.fx / 2, 1.2)
    # Anywhere in the image, more often in the lower half, since arms come from below.
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
    skin = sample_surface(rng, ('skin', 'skin', 'dark', 'frame')[int(rng.integers(4))], 0)
    kind = rng.random()
    solids = _device(center, half, axes, rng) if kind < 0.7 else _handle(center, half, axes, rng)
    if rng.random() < 0.8:
        solids += _hand(center, half, axes, down, skin, rng)
    return tuple(solids)


def _device(center: Vector, half: Vector, axes: Axes, rng: np.random.Generator) -> list[Solid]:
    """Build a flat device with a bright or dark screen, content on it, and keys."""
    case = sample_surface(rng, ('dark', 'dark', 'light', 'frame')[int(rng.integers(4))], 0.05)
    solids: list[Solid] = [Box(center, half, axes, case)]
    front, room = half[0] + 0.001, half[1:] * rng.uniform(0.75, 0.97)
    glow = float(np.exp(rng.uniform(np.log(0.05), np.log(8))))
    face = glow * linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.15)), 1.0)
    screen = Surface(face.astype(np.float32), None, '', 0.1, 0.1, 0.02)
    solids.append(Box(center + front * axes[0], np.array([0.001, *room]), axes, screen))
    for _ in range(int(rng.integers(0, 8))):  # lines of text, images, keys
        size = room * rng.uniform(0.04, 0.5, 2)
        place = (room - size) * rng.uniform(-1, 1, 2)
        hue, grey = float(rng.uniform(0, 360)), float(rng.uniform(0, 1))
        part = (glow * linear_rgb(hue, float(rng.uniform(0, 0.8)), grey)).astype(np.float32)
        at = center + (front + 0.001) * axes[0] + place[0] * axes[1] + place[1] * axes[2]
        look = Surface(part, None, '', 0.1, 0.1, 0.02)
        if rng.random() < 0.25:
            solids.append(Ellipsoid(at, np.full(3, float(size.min())), look))
        else:
            solids.append(Box(at, np.array([0.001, *size]), axes, look))
    return solids


def _handle(center: Vector, half: Vector, axes: Axes, rng: np.random.Generator) -> list[Solid]:
    """Build a bottle, a stick or a tool with a knob at its end."""
    look, knob = sample_surface(rng), sample_surface(rng, ('dark', 'any')[int(rng.integers(2))])
    end = center + 1.5 * half[2] * axes[2]
    solids: list[Solid] = [Capsule(center - half[2] * axes[2], end, float(0.5 * half[1]), look)]
    if rng.random() < 0.7:
        solids.append(Ellipsoid(end, half[1] * rng.uniform(0.6, 1.2, 3), knob))
    return solids


def _hand(
    center: Vector, half: Vector, axes: Axes, down: Vector, skin: Surface, rng: np.random.Generator
) -> list[Solid]:
    """Build fingers around the edges, the ball of the thumb, and a forearm that leaves the image."""
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
    sleeve = skin if rng.random() < 0.4 else sample_surface(rng)
    solids.append(Capsule(palm + 0.2 * (elbow - palm), elbow, float(rng.uniform(0.025, 0.04)), sleeve))
    return solids
