"""Renders scenes: image, labels and truth of one camera, all from the same rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.scenes import balls, ground
from minisegnet_core.scenes.camera import Camera
from minisegnet_core.scenes.config import SceneConfig
from minisegnet_core.scenes.layout import Scene, sample_own_body, sample_scene
from minisegnet_core.scenes.solids import Canvas, Solid
from minisegnet_core.scenes.viewport import FAR_AWAY, Viewport

Floats = NDArray[np.float32]
BACKGROUND, BALL, LINE, FIELD = (SOCCER.names.index(name) for name in ('background', 'ball', 'line', 'field'))
TALLEST = 1.6
"""Metres; radius of a sphere, 1 m over the ground, that holds any robot or person."""


@dataclass(frozen=True)
class LabelledImage:
    """A rendered image with its truth.

    image: (H, W, 3) uint8 RGB; labels: (H, W) uint8 ids of SOCCER, at pixel centres; balls: those of which something
    is visible; camera: in the field frame.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    balls: tuple[BallTruth, ...]
    camera: Camera


def render_scene(config: SceneConfig, seed: int, index: int) -> LabelledImage:
    """Draws and renders scene ``index`` of a series. The same arguments give the same bytes, in any process.

    Args:
        config: all ranges.
        seed: of the series, 0 or more.
        index: in the series, 0 or more.
    """
    rng = np.random.default_rng([seed, index])
    scene, stance = sample_scene(config, rng)
    camera = stance.camera(config.image.width, config.image.height)
    return render(config, scene, camera, sample_own_body(config, camera, stance.yaw, rng), rng)


def render(
    config: SceneConfig, scene: Scene, camera: Camera, own: tuple[Solid, ...], rng: np.random.Generator
) -> LabelledImage:
    """Renders a scene; ``rng`` gives the sensor's noise."""
    view = Viewport(camera)
    canvas, painted = _ground_and_hall(scene, view)
    _draw_solids(scene, view, canvas, own)
    bodies = sorted(scene.balls, key=lambda b: float(np.linalg.norm(b.center - camera.position)))
    levels = _levels(scene, [b.center for b in bodies])
    candidates = [
        balls.draw_ball(body, canvas, view, scene.light, level) for body, level in zip(bodies, levels, strict=True)
    ]
    drawn = [ball for ball in candidates if ball is not None]
    hidden = np.zeros(canvas.depth.shape, np.float32)
    nets = sorted(scene.nets, key=lambda n: -float(np.linalg.norm(n.corner + n.along / 2 - camera.position)))
    for net, level in zip(nets, _levels(scene, [n.corner for n in nets]), strict=True):
        net.draw(canvas, view, level, hidden)
    if view.valid is not None:
        canvas.light[~view.valid] = 0
        hidden[~view.valid] = 1
    labels = _labels(config, view, painted, canvas, drawn, hidden)
    truths = [balls.truth(ball, hidden, camera) for ball in drawn]
    exposure = _exposure(scene, canvas, painted)
    image = scene.sensor.expose(canvas.light, exposure, rng)
    return LabelledImage(image, labels, tuple(t for t in truths if t is not None), camera)


def _levels(scene: Scene, places: Sequence[NDArray[np.float64]]) -> Floats:
    """(n, 3) light on the ground around things."""
    return scene.light.at([(float(p[0]), float(p[1])) for p in places])


def _draw_solids(scene: Scene, view: Viewport, canvas: Canvas, own: tuple[Solid, ...]) -> None:
    for solid, level in zip(scene.structure, _levels(scene, [s.bounds()[0] for s in scene.structure]), strict=True):
        canvas.draw(solid, view, scene.light, level)
    for actor, level in zip(scene.actors, scene.light.at([(a.x, a.y) for a in scene.actors]), strict=True):
        if view.window(np.array([actor.x, actor.y, 1.0]), TALLEST) is None:
            continue
        for solid in actor.solids:
            canvas.draw(solid, view, scene.light, level)
    level = _levels(scene, [view.camera.position])[0]
    for solid in own:
        canvas.draw(solid, view, scene.light, level)


def _ground_and_hall(scene: Scene, view: Viewport) -> tuple[Canvas, ground.GroundImage]:
    x, y = view.coarse_x, view.coarse_y
    falling = scene.light.on_ground(x, y)
    for actor in scene.actors:
        _shade_foot(scene, falling, x, y, actor.x, actor.y, actor.size)
    painted = ground.paint(scene.ground, view, falling)
    light = painted.light
    if scene.light.gloss and scene.light.spots:
        light += view.refine(_mirrored(scene, view, falling))
    for body in scene.balls:
        balls.ground_shadow(body, view, scene.light, light)
    outside = ~painted.room
    rows = np.flatnonzero(outside.any(axis=1))
    if rows.size:
        band = slice(int(rows[0]), int(rows[-1]) + 1)
        cv2.copyTo(scene.hall.paint(view, band), outside[band].view(np.uint8), light[band])
    depth = view.distance.copy()
    depth[outside] = FAR_AWAY
    return Canvas(light, depth), painted


def _shade_foot(scene: Scene, falling: Floats, x: Floats, y: Floats, foot_x: float, foot_y: float, size: float) -> None:
    """The contact shadow under something, and its longer, fainter shadow away from the main lamp."""
    dx = x - np.float32(foot_x)
    dy = y - np.float32(foot_y)
    reach = np.float32(9 * size)
    rows, columns = np.nonzero((np.abs(dx) < reach) & (np.abs(dy) < reach))
    if rows.size == 0:
        return
    dx, dy = dx[rows, columns], dy[rows, columns]
    square = np.float32(size * size)
    dark = np.float32(0.6) * np.exp(-(dx * dx + dy * dy) / square)
    away = -scene.light.direction[:2] / max(float(np.hypot(*scene.light.direction[:2])), 1e-6)
    along = dx * np.float32(away[0]) + dy * np.float32(away[1])
    across = dx * np.float32(away[1]) - dy * np.float32(away[0])
    length = size * 3 / max(float(scene.light.direction[2]), 0.35)
    cast = np.exp(-((along - np.float32(length / 2)) ** 2) / np.float32(length**2 / 3) - across**2 / (square * 0.6))
    shade = (1 - dark) * (1 - np.float32(scene.light.shadow_strength * 0.6) * cast)
    falling[rows, columns] *= shade[:, None]


def _mirrored(scene: Scene, view: Viewport, falling: Floats) -> Floats:
    """Light that a shiny floor throws from lamps into the lens: strongest where rays graze and meet a lamp."""
    dx, dy, dz = view.coarse
    result = np.zeros_like(falling)
    grazing = (1 - np.clip(-dz, 0, 1)) ** 3 * np.float32(scene.light.gloss)
    for spot in scene.light.spots:
        # The lamp hangs 5 m above its pool of light; its mirror image lies as far below the floor.
        to_x = np.float32(spot.x - view.camera.position[0])
        to_y = np.float32(spot.y - view.camera.position[1])
        to_z = np.float32(-5.0 - view.camera.position[2])
        length = np.float32(np.sqrt(to_x**2 + to_y**2 + to_z**2))
        cosine = (dx * to_x + dy * to_y + dz * to_z) / length
        result += (np.maximum(cosine, 0) ** 60 * grazing)[..., None] * spot.color
    return result


def _labels(
    config: SceneConfig,
    view: Viewport,
    painted: ground.GroundImage,
    canvas: Canvas,
    drawn: list[balls.DrawnBall],
    hidden: Floats,
) -> NDArray[np.uint8]:
    labels = np.zeros(canvas.depth.shape, np.uint8)
    labels[painted.field] = FIELD
    labels[painted.line] = LINE
    labels[~painted.room] = BACKGROUND
    things = {'background': BACKGROUND, 'field': FIELD, 'ignore': IGNORE}[config.labels.things]
    covered = canvas.solid.astype(bool)
    thread = hidden > 0.5
    on_field = labels != BACKGROUND
    labels[covered] = BACKGROUND
    if things != BACKGROUND:
        labels[covered & on_field] = things
    for ball in drawn:
        labels[ball.window][ball.centers] = BALL
        on_field[ball.window][ball.centers] = True
    labels[thread] = BACKGROUND
    if things != BACKGROUND:
        labels[thread & on_field] = things
    if view.valid is not None:
        labels[~view.valid] = BACKGROUND
    return labels


def _exposure(scene: Scene, canvas: Canvas, painted: ground.GroundImage) -> float:
    """Brings the mean of what cameras meter to the drawn brightness: mostly the field, some of all."""
    every = canvas.light[::8, ::8]
    field = painted.field[::8, ::8]
    whole = float(np.minimum(every, 3).mean())
    on_field = float(every[field].mean()) if field.sum() > 40 else whole
    return scene.sensor.brightness / max(0.7 * on_field + 0.3 * whole, 1e-3)
