"""Who and what is on and around the field: robots, people, furniture, distractors, boards."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from minisegnet_core.scenes.appearance.ground import Ground
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.config.settings import Range
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.solids import Box, Solid
from minisegnet_core.scenes.objects import actors, people, robots
from minisegnet_core.scenes.objects.actors import Actor
from minisegnet_core.scenes.objects.balls import BallBody


def ahead(camera: Camera, distance: float, rng: np.random.Generator) -> tuple[float, float]:
    """A place on the ground at a distance that the camera is likely to see."""
    forward = camera.rotation[2]
    half = min(camera.width / camera.fx / 2, 1.3)
    bearing = math.atan2(forward[1], forward[0]) + float(rng.uniform(-half, half))
    return (
        float(camera.position[0] + distance * math.cos(bearing)),
        float(camera.position[1] + distance * math.sin(bearing)),
    )


class Casting:
    """Draws who takes part; keeps balls and the camera free."""

    def __init__(
        self,
        config: SceneConfig,
        wheels: bool,
        ground: Ground,
        camera: Camera,
        balls: tuple[BallBody, ...],
        rng: np.random.Generator,
    ) -> None:
        self.config, self.ground, self.camera, self.balls, self.rng = config, ground, camera, balls, rng
        self.wheels = wheels
        self.cast: list[Actor] = []

    def draw(self) -> tuple[Actor, ...]:
        """All actors of a scene."""
        things, rng = self.config.things, self.rng
        for _ in range(self._count(things.robots)):
            self._add(self._robot, *self._on_field())
        for _ in range(self._count(things.people)):
            self._add(self._person, *self._on_field())
        if rng.random() < things.close_actor:
            make = self._robot if rng.random() < 0.5 else self._person
            self._add(make, *ahead(self.camera, float(rng.uniform(0.5, 1.2)), rng))
        for ball in self.balls:
            self._around(ball)
        for _ in range(self._count(things.bystanders)):
            x, y = beside(self.ground, 0.15, 1.6, rng)
            kind = int(rng.choice([0, 0, 0, 1, 1, 2]))
            make_one = (self._person, self._furniture, self._robot)[kind]
            self.cast.append(make_one(x, y))
        for _ in range(self._count(things.distractors)):
            self.cast.append(actors.distractor(*beside(self.ground, 0.3, 2.0, rng), rng))
        return tuple(self.cast)

    def _around(self, ball: BallBody) -> None:
        """Something between the ball and the camera, or a player at the ball."""
        things, rng, eye = self.config.things, self.rng, self.camera.position
        if rng.random() < self.config.balls.hidden:
            toward = eye[:2] - ball.center[:2]
            gap = float(np.hypot(*toward))
            side = np.array([-toward[1], toward[0]]) / gap * float(rng.normal(0, 0.12))
            x, y = ball.center[:2] + toward / gap * float(rng.uniform(0.2, 0.45)) + side
            if gap > 1.2:
                self.cast.append(self._robot(float(x), float(y)))
        if rng.random() < things.at_ball:
            angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.22, 0.6) + ball.radius
            x, y = ball.center[:2] + away * np.array([math.cos(angle), math.sin(angle)])
            if math.hypot(x - eye[0], y - eye[1]) > 0.5:
                make = self._robot if rng.random() < 0.8 else self._person
                self.cast.append(make(float(x), float(y)))

    def _add(self, make: Callable[[float, float], Actor], x: float, y: float) -> None:
        eye = self.camera.position
        clear = math.hypot(x - eye[0], y - eye[1]) >= 0.45
        if clear and all(math.hypot(x - b.center[0], y - b.center[1]) > 0.15 + b.radius for b in self.balls):
            self.cast.append(make(x, y))

    def _on_field(self) -> tuple[float, float]:
        if self.rng.random() < 0.5:
            return ahead(self.camera, float(self.rng.uniform(0.8, 8)), self.rng)
        left, right, bottom, top = self.ground.extent
        return float(self.rng.uniform(left, right)), float(self.rng.uniform(bottom, top))

    def _robot(self, x: float, y: float) -> Actor:
        rolling = self.wheels and self.rng.random() < 0.85
        return robots.wheeled(x, y, self.rng) if rolling else robots.humanoid(x, y, self.rng)

    def _person(self, x: float, y: float) -> Actor:
        return people.person(x, y, self.rng)

    def _furniture(self, x: float, y: float) -> Actor:
        return actors.furniture(x, y, self.rng)

    def _count(self, span: Range) -> int:
        return int(self.rng.integers(int(span[0]), int(span[1]) + 1))


def beside(ground: Ground, least: float, most: float, rng: np.random.Generator) -> tuple[float, float]:
    """A place off the field, between two distances (metres) from its border strip."""
    left, right, bottom, top = ground.extent
    away = float(rng.uniform(least, most))
    if rng.random() < (right - left) / (right - left + top - bottom):
        return float(rng.uniform(left, right)), float(rng.choice([bottom - away, top + away]))
    return float(rng.choice([left - away, right + away])), float(rng.uniform(bottom, top))


def boards(config: SceneConfig, ground: Ground, rng: np.random.Generator) -> list[Solid]:
    """Boards along some sides of the field, some in pieces of other colours."""
    if rng.random() >= config.hall.boards:
        return []
    left, right, bottom, top = ground.extent
    height, gap = float(rng.uniform(0.1, 1.1)) / 2, float(rng.uniform(0.02, 0.5))
    main = actors.surface(rng, str(rng.choice(['light', 'dark', 'light', 'vivid'])))
    pieces_of: list[Solid] = []
    sides = [(True, bottom - gap), (True, top + gap), (False, left - gap), (False, right + gap)]
    for along_x, place in sides:
        if rng.random() < 0.25:
            continue
        start, end = (left - gap, right + gap) if along_x else (bottom - gap, top + gap)
        pieces = int(rng.choice([1, 1, 1, 5]))
        edges = np.linspace(start, end, pieces + 1)
        for a, b in pairwise(edges):
            look = main if rng.random() < 0.6 else actors.surface(rng)
            middle, half = float(a + b) / 2, float(b - a) / 2
            center = (middle, place, height) if along_x else (place, middle, height)
            size = (half, 0.015, height) if along_x else (0.015, half, height)
            pieces_of.append(Box(np.array(center), np.array(size), np.eye(3), look))
    return pieces_of
