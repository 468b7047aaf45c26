"""Sequences: a robot walks back and forth and looks around while a ball is kicked and rolls.

Every position is a function of time alone, so any frame can be rendered by any worker without the earlier ones.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.layout import Stance, sample_scene
from minisegnet_core.scenes.objects.actors import Actor
from minisegnet_core.scenes.objects.balls import BallBody
from minisegnet_core.scenes.objects.foreground import sample_foreground
from minisegnet_core.scenes.renderer import LabelledImage, render

Vector = NDArray[np.float64]

KICK_INTERVAL = 6.0
"""Seconds between two kicks."""

REACH = 1.2
"""Metres that the robot walks forward and back from its start."""


class SceneSequence:
    """One scene over time.

    Args:
        config: all ranges.
        seed: of the sequence, 0 or more.
        fps: frames per second.

    Raises:
        ConfigurationError: ``fps`` is not positive, or a folder of photos is missing or empty.
    """

    def __init__(self, config: SceneConfig, seed: int, fps: float) -> None:
        if not fps > 0:
            raise ConfigurationError(f'fps is {fps}; a sequence needs more than 0 frames per second')
        self.config, self.seed, self.fps = config, seed, fps
        rng = np.random.default_rng([seed, 0, 1])
        self.scene, self.stance = sample_scene(config, rng, around=True)
        self.scene = dataclasses.replace(self.scene, actors=tuple(filter(self._leaves_path_free, self.scene.actors)))
        motion = config.motion
        self._speed = float(rng.uniform(*motion.speed))
        self._steps = float(rng.uniform(*motion.step_rate))
        self._bob = float(rng.uniform(*motion.bob))
        self._sway = math.radians(rng.uniform(*motion.sway))
        self._look = math.radians(rng.uniform(*motion.look))
        self._look_rate = float(rng.uniform(*motion.look_rate))
        self._friction = max(float(rng.uniform(*motion.ball_friction)), 1e-3)
        self._phase = float(rng.uniform(0, 2 * math.pi))
        self._body_seed = int(rng.integers(2**31))

    def _leaves_path_free(self, actor: Actor) -> bool:
        """Return whether an actor stands clear of the path that the robot walks."""
        start = self.stance
        x, y = actor.x - start.x, actor.y - start.y
        forward, aside = math.cos(start.yaw), math.sin(start.yaw)
        along = min(max(x * forward + y * aside, -REACH), REACH)
        return math.hypot(x - along * forward, y - along * aside) > actor.size + 0.45

    def frame(self, index: int) -> LabelledImage:
        """Render frame ``index``, at index / fps seconds."""
        time = index / self.fps
        stance = self.stance_at(time)
        image = self.config.image
        camera = stance.camera(image.width, image.height)
        body_rng = np.random.default_rng([self.seed, self._body_seed])
        foreground = sample_foreground(self.config.things, camera, self.stance.yaw, body_rng)
        scene = dataclasses.replace(self.scene, balls=tuple(self.balls_at(time)))
        return render(self.config, scene, camera, foreground, np.random.default_rng([self.seed, index, 2]))

    def stance_at(self, time: float) -> Stance:
        """Return the camera's stance at a time in seconds."""
        start = self.stance
        walked = REACH * math.sin(self._speed * time / REACH)
        step = 2 * math.pi * self._steps * time
        look = self._look * math.sin(2 * math.pi * self._look_rate * time + self._phase)
        look -= self._look * math.sin(self._phase)
        return dataclasses.replace(
            start,
            x=start.x + walked * math.cos(start.yaw),
            y=start.y + walked * math.sin(start.yaw),
            height=start.height + self._bob * math.sin(step),
            yaw=start.yaw + look,
            pitch=start.pitch + 0.3 * self._sway * math.sin(step + 1.0),
            # One sway to both sides takes two steps.
            roll=start.roll + self._sway * math.sin(step / 2),
        )

    def balls_at(self, time: float) -> Iterator[BallBody]:
        """Yield the balls at a time in seconds; they roll without slipping and bounce off the field's border."""
        left, right, bottom, top = self.scene.ground.extent
        for number, ball in enumerate(self.scene.balls):
            position, turn = ball.center[:2].copy(), ball.turn
            for kick in range(int(time / KICK_INTERVAL) + 1):
                rng = np.random.default_rng([self.seed, number, kick, 3])
                angle, speed = rng.uniform(0, 2 * math.pi), rng.uniform(*self.config.motion.ball_speed)
                lasted = min(time - kick * KICK_INTERVAL, KICK_INTERVAL, speed / self._friction)
                rolled = speed * lasted - self._friction * lasted * lasted / 2
                direction = np.array([math.cos(angle), math.sin(angle)])
                position = position + rolled * direction
                turn = turn @ _roll(direction, rolled / ball.radius)
            x = _fold(float(position[0]), left + ball.radius, right - ball.radius)
            y = _fold(float(position[1]), bottom + ball.radius, top - ball.radius)
            yield dataclasses.replace(ball, center=np.array([x, y, ball.center[2]]), turn=turn, blur=(0.0, 0.0))


def render_sequence(config: SceneConfig, seed: int, count: int, fps: float) -> Iterator[LabelledImage]:
    """Yield ``count`` frames of one scene at ``fps`` frames per second. Equal arguments give equal bytes.

    Raises:
        ConfigurationError: as :class:`SceneSequence`.
    """
    sequence = SceneSequence(config, seed, fps)
    for index in range(count):
        yield sequence.frame(index)


def _fold(value: float, low: float, high: float) -> float:
    """Return a position reflected at both ends into [low, high]."""
    extent = max(high - low, 1e-6)
    along = (value - low) % (2 * extent)
    return low + (along if along <= extent else 2 * extent - along)


def _roll(direction: Vector, angle: float) -> Vector:
    """Return the rotation (3, 3) from the field to a ball that rolled by ``angle`` radians along a direction (2,)."""
    x, y = -direction[1], direction[0]
    c, s = math.cos(angle), math.sin(angle)
    forward = np.array(
        [
            [c + x * x * (1 - c), x * y * (1 - c), y * s],
            [x * y * (1 - c), c + y * y * (1 - c), -x * s],
            [-y * s, x * s, c],
        ]
    )
    turn: Vector = forward.T
    return turn
