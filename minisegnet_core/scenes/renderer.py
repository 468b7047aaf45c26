"""Renders scenes: image, labels and truth of one camera, all from the same rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.scenes.appearance import painting
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.solids import Canvas, Capsule, Solid
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, STEP, Viewport
from minisegnet_core.scenes.layout import Scene, sample_own_body, sample_scene
from minisegnet_core.scenes.objects import balls

Floats = NDArray[np.float32]
BACKGROUND, BALL, LINE, FIELD = (SOCCER.names.index(name) for name in ('background', 'ball', 'line', 'field'))
TALLEST = 1.6
"""Metres; radius of a sphere, 1 m over the ground, that holds any robot or person."""


DARKEST = 0.1
"""Share of light; what is darker at the rim of a lens's image circle is background."""


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
    bounds = [net.bounds() for net in nets]
    windows = view.windows(np.array([b[0] for b in bounds]).reshape(-1, 3), np.array([b[1] for b in bounds]))
    for net, level, (top, bottom, left, right) in zip(
        nets, _levels(scene, [n.corner for n in nets]), windows, strict=True
    ):
        if top < bottom and left < right:
            net.draw_in((slice(top, bottom), slice(left, right)), canvas, view, level, hidden)
    if view.rim is not None:
        bright = np.clip(view.rim * np.float32(1 / scene.sensor.rim), 0, 1)
        canvas.light *= cv2.merge([bright, bright, bright])
        beyond = bright < DARKEST
        hidden[beyond] = 1
    labels = _labels(config, painted, canvas, drawn, hidden)
    if view.rim is not None:
        labels[beyond] = BACKGROUND
    truths = [balls.truth(ball, hidden) for ball in drawn]
    exposure = _exposure(scene, canvas, painted)
    image = scene.sensor.expose(canvas.light, exposure, rng)
    return LabelledImage(image, labels, tuple(t for t in truths if t is not None), camera)


def _levels(scene: Scene, places: Sequence[NDArray[np.float64]]) -> Floats:
    """(n, 3) light on the ground around things."""
    return scene.light.at([(float(p[0]), float(p[1])) for p in places])


def _draw_solids(scene: Scene, view: Viewport, canvas: Canvas, own: tuple[Solid, ...]) -> None:
    places = [(a.x, a.y) for a in scene.actors]
    spheres = np.array([(x, y, 1.0) for x, y in places]).reshape(-1, 3)
    windows = view.windows(spheres, np.full(len(places), TALLEST))
    actors = [actor for actor, (top, bottom, left, right) in zip(scene.actors, windows, strict=True) if top < bottom]
    solids = [*scene.structure, *(solid for actor in actors for solid in actor.solids), *own]
    eye = view.camera.position
    feet = [_foot(solid) for solid in scene.structure]
    feet += [(actor.x, actor.y) for actor in actors for _ in actor.solids]
    feet += [(float(eye[0]), float(eye[1])) for _ in own]
    canvas.draw(solids, scene.light.at(feet), view, scene.light)


def _foot(solid: Solid) -> tuple[float, float]:
    """Where a post or a board stands."""
    x, y, _ = (solid.start + solid.end) / 2 if isinstance(solid, Capsule) else solid.center
    return float(x), float(y)


def _ground_and_hall(scene: Scene, view: Viewport) -> tuple[Canvas, painting.GroundImage]:
    x, y = view.coarse_x, view.coarse_y
    falling = scene.light.on_ground(x, y)
    _shade_feet(scene, view, falling)
    painted = painting.paint(scene.ground, view, falling)
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


def _shade_feet(scene: Scene, view: Viewport, falling: Floats) -> None:
    """Contact shadows under things, and their longer, fainter shadows away from the main lamp, on the coarse grid."""
    if not scene.actors:
        return
    places = np.array([(actor.x, actor.y, 0.0) for actor in scene.actors])
    sizes = np.array([actor.size for actor in scene.actors])
    flat = max(math.hypot(*scene.light.direction[:2]), 1e-6)
    away_x, away_y = (np.float32(-v / flat) for v in scene.light.direction[:2])
    steep = max(float(scene.light.direction[2]), 0.35)
    for actor, (top, bottom, left, right) in zip(scene.actors, view.windows(places, 6 * sizes), strict=True):
        if top >= bottom or left >= right:
            continue
        part = slice(top // STEP, bottom // STEP + 3), slice(left // STEP, right // STEP + 3)
        dx, dy = view.coarse_x[part] - np.float32(actor.x), view.coarse_y[part] - np.float32(actor.y)
        square = np.float32(actor.size**2)
        shade = 1 - np.float32(0.6) * np.exp((dx * dx + dy * dy) / -square)
        along, across = dx * away_x + dy * away_y, dx * away_y - dy * away_x
        length = actor.size * 3 / steep
        cast = np.exp((along - np.float32(length / 2)) ** 2 / np.float32(-(length**2) / 3) - across**2 / (square * 0.6))
        shade *= 1 - np.float32(scene.light.shadow_strength * 0.6) * cast
        falling[part] *= cv2.merge([shade, shade, shade])


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
        np.maximum(cosine, 0, out=cosine)
        for _ in range(6):  # to the 64th power
            cosine *= cosine
        cosine *= grazing
        result += cv2.merge([cosine * strength for strength in spot.color])
    return result


def _labels(
    config: SceneConfig,
    painted: painting.GroundImage,
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
    return labels


def _exposure(scene: Scene, canvas: Canvas, painted: painting.GroundImage) -> float:
    """Brings the mean of what cameras meter to the drawn brightness: mostly the field, some of all."""
    every = canvas.light[::8, ::8]
    field = painted.field[::8, ::8]
    whole = float(np.minimum(every, 3).mean())
    on_field = float(every[field].mean()) if field.sum() > 40 else whole
    return scene.sensor.brightness / max(0.7 * on_field + 0.3 * whole, 1e-3)
