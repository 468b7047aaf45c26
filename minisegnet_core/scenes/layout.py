"""The layout of a scene: camera, balls, robots, people, goals, light and surroundings, drawn at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.ground import Ground, sample_ground
from minisegnet_core.scenes.appearance.hall import Hall, sample_hall
from minisegnet_core.scenes.appearance.light import Light, sample_light
from minisegnet_core.scenes.appearance.sensor import Sensor, sample_sensor
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.config.settings import CameraSettings
from minisegnet_core.scenes.geometry.camera import Camera, horizontal_focal_length, invertible, pose
from minisegnet_core.scenes.geometry.fields import FIELDS
from minisegnet_core.scenes.geometry.viewport import BEYOND
from minisegnet_core.scenes.objects.actors import Actor
from minisegnet_core.scenes.objects.balls import BallBody, sample_look
from minisegnet_core.scenes.objects.goals import Net, sample_goals, sample_near_net
from minisegnet_core.scenes.objects.placement import ActorSampler, place_ahead, sample_boards
from minisegnet_core.scenes.objects.solids import Solid

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A scene without its camera and without the foreground, which moves with the camera.

    Attributes:
        ground, light, hall, balls: as their classes describe them.
        actors: robots, people, furniture and distractors.
        structure: goal posts and boards.
        nets: of the goals, and nets close to the camera.
        sensor: parameters of the exposure.
    """

    ground: Ground
    light: Light
    hall: Hall
    balls: tuple[BallBody, ...]
    actors: tuple[Actor, ...]
    structure: tuple[Solid, ...]
    nets: tuple[Net, ...]
    sensor: Sensor


@dataclass(frozen=True)
class Lens:
    """A lens: model, focal lengths and principal point in pixels, coefficients, limit in radians, as in a Camera."""

    model: str
    focal: tuple[float, float]
    center: tuple[float, float]
    distortion: tuple[float, ...]
    limit: float

    def camera(self, width: int, height: int, rotation: Vector, position: Vector) -> Camera:
        """Return a camera with this lens."""
        return Camera(
            width, height, self.model, *self.focal, *self.center, self.distortion, rotation, position, self.limit
        )


def sample_lens(settings: CameraSettings, width: int, height: int, rng: np.random.Generator) -> Lens:
    """Sample a lens for an image of ``width`` x ``height`` pixels.

    Distortion is reduced until the model can be inverted over the whole image.
    """
    fisheye = rng.random() < settings.fisheye
    shift = rng.uniform(-1, 1, 2) * settings.off_center * width
    center = ((width - 1) / 2 + float(shift[0]), (height - 1) / 2 + float(shift[1]))
    aspect = float(rng.uniform(0.99, 1.01))
    if fisheye:
        view = math.radians(rng.uniform(*settings.fisheye_field_of_view))
        distortion = tuple(float(v) for v in rng.normal(0, 1, 4) * (0.03, 0.006, 0.001, 0.0002))
        limit = math.radians(115)
        while not invertible('equidistant', distortion, limit + BEYOND):
            distortion = tuple(0.75 * k for k in distortion)
        focal = horizontal_focal_length(width, view, 'equidistant', distortion)
        if rng.random() < settings.image_circle:
            limit = min(float(rng.uniform(*settings.circle)) * view / 2, limit)
        return Lens('equidistant', (focal, focal * aspect), center, distortion, limit)
    view = math.radians(min(rng.uniform(*settings.field_of_view), 140.0))
    k1, tangential = float(rng.uniform(*settings.barrel)), rng.uniform(*settings.tangential, 2)
    k2 = float(rng.uniform(0.05, 0.5)) * k1 * k1
    scale = 1.0
    while True:
        distortion = (k1 * scale, k2 * scale, float(tangential[0]) * scale, float(tangential[1]) * scale, 0.0)
        edge = math.tan(view / 2)
        if invertible('plumb_bob', distortion, edge):
            focal = horizontal_focal_length(width, view, 'plumb_bob', distortion)
            # The model must keep growing until it reaches the image's corner.
            corner = math.hypot(width / 2 + abs(shift[0]), height / 2 / aspect + abs(shift[1])) * 1.03 / focal
            reach = np.linspace(0, edge * 4, 400)
            bent, slope = Camera(1, 1, 'plumb_bob', 1, 1, 0, 0, distortion, np.eye(3), np.zeros(3)).radial(reach)
            ends = np.flatnonzero(np.logical_or(slope <= 0.1, bent > corner))
            if ends.size and slope[ends[0]] > 0.1:
                return Lens('plumb_bob', (focal, focal * aspect), center, distortion, math.atan(reach[ends[0]]) + 0.02)
        scale *= 0.75


@dataclass(frozen=True)
class Stance:
    """Position and direction of a camera: metres in the field frame, radians as in :func:`camera.pose`."""

    lens: Lens
    x: float
    y: float
    height: float
    yaw: float
    pitch: float
    roll: float

    def camera(self, width: int, height: int) -> Camera:
        """Return the camera at this stance for an image of ``width`` x ``height`` pixels."""
        rotation = pose(self.yaw, self.pitch, self.roll)
        return self.lens.camera(width, height, rotation, np.array([self.x, self.y, self.height]))


def sample_stance(config: SceneConfig, ground: Ground, rng: np.random.Generator) -> Stance:
    """Sample a camera's stance on the field, looking at a part of it."""
    settings, image = config.camera, config.image
    lens = sample_lens(settings, image.width, image.height, rng)
    left, right, bottom, top = ground.extent
    x, y = float(rng.uniform(left, right)), float(rng.uniform(bottom, top))
    aim_x, aim_y = rng.uniform(left + ground.border, right - ground.border), rng.uniform(bottom, top)
    yaw = math.atan2(aim_y - y, aim_x - x) + float(rng.normal(0, 0.3))
    low, high = settings.pitch
    if rng.random() < settings.level:
        high = low + (high - low) / 4
    pitch, roll = float(rng.uniform(low, high)), float(rng.uniform(*settings.roll))
    if rng.random() < settings.tumble:
        pitch, roll = float(rng.uniform(-25, 85)), float(rng.uniform(-45, 45))
    height = float(rng.uniform(*settings.height))
    return Stance(lens, x, y, height, yaw, math.radians(pitch), math.radians(roll))


def sample_scene(config: SceneConfig, rng: np.random.Generator, around: bool = False) -> tuple[Scene, Stance]:
    """Sample a scene and a camera's stance in it.

    Args:
        config: all ranges.
        rng: random generator.
        around: let the panorama of the hall cover all directions, for a camera that will turn.

    Raises:
        ConfigurationError: a folder of photos is missing or empty.
    """
    kind = str(config.field.kinds[int(rng.integers(len(config.field.kinds)))])
    field = config.field.free if kind == 'free' else FIELDS[kind]
    ground = sample_ground(config, field, kind == 'free', rng)
    light = sample_light(config.light, field, rng)
    stance = sample_stance(config, ground, rng)
    camera = stance.camera(config.image.width, config.image.height)
    forward = camera.rotation[2]
    middle = math.atan2(forward[1], forward[0])
    half = math.atan(camera.width / camera.fx) if camera.model == 'plumb_bob' else camera.width / camera.fx / 2
    steep = abs(forward[2]) > 0.6 or around
    extent = 2 * math.pi if steep else min(2.4 * half + 0.3, 2 * math.pi)
    hall = sample_hall(config.hall, middle, extent, camera.fx * 0.8, rng)
    posts, nets = sample_goals(field, config.things, rng)
    structure: list[Solid] = [*posts, *sample_boards(config, ground, rng)]
    if rng.random() < config.things.near_net:
        nets.append(sample_near_net(camera.position, forward, rng))
    balls = tuple(_sample_balls(config, ground, camera, rng))
    actors = ActorSampler(config, kind == 'msl', ground, camera, balls, rng).sample()
    sensor = sample_sensor(config.sensor, camera.width, rng)
    return Scene(ground, light, hall, balls, actors, tuple(structure), tuple(nets), sensor), stance


def _sample_balls(config: SceneConfig, ground: Ground, camera: Camera, rng: np.random.Generator) -> list[BallBody]:
    settings = config.balls
    if rng.random() < settings.none:
        return []
    count = int(rng.integers(2, 4)) if rng.random() < settings.more else 1
    left, right, bottom, top = ground.extent
    low, high = settings.diameter if settings.diameter[1] > 0 else ground.field.ball_diameter
    balls: list[BallBody] = []
    for _ in range(count):
        radius = float(rng.uniform(low, high)) / 2
        for _attempt in range(12):
            distance = math.exp(rng.uniform(*np.log(settings.distance)))
            x, y = place_ahead(camera, distance, rng)
            lift = float(rng.uniform(0, 0.5)) if rng.random() < settings.lifted else 0.0
            center = np.array([x, y, radius + lift])
            u, v = camera.project(center)
            in_view = -10 < u < camera.width + 10 and -10 < v < camera.height + 10
            apart = all(float(np.linalg.norm(center - other.center)) > radius + other.radius for other in balls)
            if left < x < right and bottom < y < top and in_view and apart:
                look = sample_look(settings, rng)
                streak = (float(rng.uniform(0.3, 1.5)), float(rng.uniform(0, math.pi)))
                blur = streak if rng.random() < settings.blurred else (0.0, 0.0)
                balls.append(BallBody(center, radius, _random_rotation(rng), look, blur))
                break
    return balls


def _random_rotation(rng: np.random.Generator) -> Vector:
    orthogonal, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    rotation: Vector = orthogonal * np.sign(np.diag(upper))
    return rotation
