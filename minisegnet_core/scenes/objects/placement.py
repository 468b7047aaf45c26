"""Placement of robots, people, furniture, distractors and boards on and around the field."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from minisegnet_core.scenes.appearance.ground import Ground
from minisegnet_core.scenes.appearance.surfaces import sample_surface
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.config.settings import Range
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.objects import bystanders, robots
from minisegnet_core.scenes.objects.actors import Actor
from minisegnet_core.scenes.objects.balls import BallBody
from minisegnet_core.scenes.objects.solids import Box, Solid

MIN_CAMERA_DISTANCE = 0.45
"""Metres; actors on the field keep this distance from the camera."""


def place_ahead(camera: Camera, distance: float, rng: np.random.Generator) -> tuple[float, float]:
    """Sample a place (x, y) on the ground at a distance in metres, in a direction that the camera is likely to see."""
    forward = camera.rotation[2]
    half = min(camera.width / camera.fx / 2, 1.3)
    bearing = math.atan2(forward[1], forward[0]) + float(rng.uniform(-half, half))
    return (
        float(camera.position[0] + distance * math.cos(bearing)),
        float(camera.position[1] + distance * math.sin(bearing)),
    )


def place_beside(ground: Ground, nearest: float, farthest: float, rng: np.random.Generator) -> tuple[float, float]:
    """Sample a place (x, y) off the field, between two distances in metres from its border strip."""
    left, right, bottom, top = ground.extent
    away = float(rng.uniform(nearest, farthest))
    if rng.random() < (right - left) / (right - left + top - bottom):
        return float(rng.uniform(left, right)), float(rng.choice([bottom - away, top + away]))
    return float(rng.choice([left - away, right + away])), float(rng.uniform(bottom, top))


class ActorSampler:
    """Sample all actors of a scene; most of them keep away from the camera and the balls.

    Args:
        config: all ranges.
        wheeled: whether most robots have wheels.
        ground: of the scene.
        camera: the camera.
        balls: of the scene.
        rng: random generator.
    """

    def __init__(
        self,
        config: SceneConfig,
        wheeled: bool,
        ground: Ground,
        camera: Camera,
        balls: tuple[BallBody, ...],
        rng: np.random.Generator,
    ) -> None:
        self.config, self.wheeled = config, wheeled
        self.ground, self.camera, self.balls, self.rng = ground, camera, balls, rng
        self.actors: list[Actor] = []

    def sample(self) -> tuple[Actor, ...]:
        """Return the actors. Call it once."""
        things, rng = self.config.things, self.rng
        for _ in range(self._count(things.robots)):
            self._add(self._robot, *self._on_field())
        for _ in range(self._count(things.people)):
            self._add(self._person, *self._on_field())
        if rng.random() < things.close_actor:
            make = self._robot if rng.random() < 0.5 else self._person
            self._add(make, *place_ahead(self.camera, float(rng.uniform(0.5, 1.2)), rng))
        for ball in self.balls:
            self._add_near(ball)
        for _ in range(self._count(things.bystanders)):
            x, y = place_beside(self.ground, 0.15, 1.6, rng)
            kind = int(rng.choice([0, 0, 0, 1, 1, 2]))
            make = (self._person, self._furniture, self._robot)[kind]
            self.actors.append(make(x, y))
        for _ in range(self._count(things.distractors)):
            self.actors.append(bystanders.distractor(*place_beside(self.ground, 0.3, 2.0, rng), rng))
        return tuple(self.actors)

    def _add_near(self, ball: BallBody) -> None:
        """Add a robot between a ball and the camera, or a robot or person next to the ball, or nothing."""
        things, rng, eye = self.config.things, self.rng, self.camera.position
        if rng.random() < self.config.balls.hidden:
            toward = eye[:2] - ball.center[:2]
            gap = float(np.hypot(*toward))
            side = np.array([-toward[1], toward[0]]) / gap * float(rng.normal(0, 0.12))
            x, y = ball.center[:2] + toward / gap * float(rng.uniform(0.2, 0.45)) + side
            if gap > 1.2:
                self.actors.append(self._robot(float(x), float(y)))
        if rng.random() < things.at_ball:
            angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.22, 0.6) + ball.radius
            x, y = ball.center[:2] + away * np.array([math.cos(angle), math.sin(angle)])
            if math.hypot(x - eye[0], y - eye[1]) > 0.5:
                make = self._robot if rng.random() < 0.8 else self._person
                self.actors.append(make(float(x), float(y)))

    def _add(self, make: Callable[[float, float], Actor], x: float, y: float) -> None:
        """Add an actor unless it would stand at the camera or on a ball."""
        eye = self.camera.position
        clear = math.hypot(x - eye[0], y - eye[1]) >= MIN_CAMERA_DISTANCE
        if clear and all(math.hypot(x - b.center[0], y - b.center[1]) > 0.15 + b.radius for b in self.balls):
            self.actors.append(make(x, y))

    def _on_field(self) -> tuple[float, float]:
        if self.rng.random() < 0.5:
            return place_ahead(self.camera, float(self.rng.uniform(0.8, 8)), self.rng)
        left, right, bottom, top = self.ground.extent
        return float(self.rng.uniform(left, right)), float(self.rng.uniform(bottom, top))

    def _robot(self, x: float, y: float) -> Actor:
        on_wheels = self.wheeled and self.rng.random() < 0.85
        return robots.wheeled(x, y, self.rng) if on_wheels else robots.humanoid(x, y, self.rng)

    def _person(self, x: float, y: float) -> Actor:
        return bystanders.person(x, y, self.rng)

    def _furniture(self, x: float, y: float) -> Actor:
        return bystanders.furniture(x, y, self.rng)

    def _count(self, limits: Range) -> int:
        return int(self.rng.integers(int(limits[0]), int(limits[1]) + 1))


def sample_boards(config: SceneConfig, ground: Ground, rng: np.random.Generator) -> list[Solid]:
    """Sample boards along some sides of the field, some of them in pieces of different colours."""
    if rng.random() >= config.hall.boards:
        return []
    left, right, bottom, top = ground.extent
    height, gap = float(rng.uniform(0.1, 1.1)) / 2, float(rng.uniform(0.02, 0.5))
    main = sample_surface(rng, str(rng.choice(['light', 'dark', 'light', 'vivid'])))
    boards: list[Solid] = []
    sides = [(True, bottom - gap), (True, top + gap), (False, left - gap), (False, right + gap)]
    for along_x, place in sides:
        if rng.random() < 0.25:
            continue
        start, end = (left - gap, right + gap) if along_x else (bottom - gap, top + gap)
        pieces = int(rng.choice([1, 1, 1, 5]))
        edges = np.linspace(start, end, pieces + 1)
        for a, b in pairwise(edges):
            look = main if rng.random() < 0.6 else sample_surface(rng)
            middle, half = float(a + b) / 2, float(b - a) / 2
            center = (middle, place, height) if along_x else (place, middle, height)
            size = (half, 0.015, height) if along_x else (0.015, half, height)
            boards.append(Box(np.array(center), np.array(size), np.eye(3), look))
    return boards
