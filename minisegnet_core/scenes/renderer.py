"""Rendering of a scene: the image, labels and ground-truth balls of one camera, all from the same rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.scenes.appearance.ground import GroundImage, paint_ground
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, STEP, Viewport
from minisegnet_core.scenes.layout import Scene, sample_scene
from minisegnet_core.scenes.objects import balls
from minisegnet_core.scenes.objects.canvas import Canvas
from minisegnet_core.scenes.objects.foreground import sample_foreground
from minisegnet_core.scenes.objects.solids import Capsule, Solid

Floats = NDArray[np.float32]
BACKGROUND, BALL, LINE, FIELD = (SOCCER.names.index(name) for name in ('background', 'ball', 'line', 'field'))

ACTOR_RADIUS = 1.6
"""Metres; radius of a sphere, centred 1 m above the ground, that contains any robot or person."""

MIN_RIM_LIGHT = 0.1
"""Fraction of the light below which the rim of a lens's image circle is labelled background."""


@dataclass(frozen=True)
class LabelledImage:
    """A rendered image with its ground truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 class ids of SOCCER, or 255 (ignore), at pixel centres.
        balls: the balls that are visible at least in part.
        camera: the camera in the field frame.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    balls: tuple[BallTruth, ...]
    camera: Camera


def render_scene(config: SceneConfig, seed: int, index: int) -> LabelledImage:
    """Sample and render one scene of a series. Equal arguments give equal bytes, in any process.

    Args:
        config: all ranges.
        seed: seed of the series, 0 or more.
        index: number of the scene in the series, 0 or more.

    Raises:
        ConfigurationError: a folder of photos is missing or empty, or a photo cannot be read.
    """
    rng = np.random.default_rng([seed, index])
    scene, stance = sample_scene(config, rng)
    camera = stance.camera(config.image.width, config.image.height)
    return render(config, scene, camera, sample_foreground(config.things, camera, stance.yaw, rng), rng)


def render(
    config: SceneConfig, scene: Scene, camera: Camera, foreground: tuple[Solid, ...], rng: np.random.Generator
) -> LabelledImage:
    """Render a scene.

    Args:
        config: all ranges; the labels' settings are used.
        scene: the scene.
        camera: the camera.
        foreground: solids close to the lens.
        rng: random generator of the sensor's noise.
    """
    view = Viewport(camera)
    canvas, painted = _ground_and_hall(scene, view)
    _draw_solids(scene, view, canvas, foreground)
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
        beyond = bright < MIN_RIM_LIGHT
        hidden[beyond] = 1
    labels = _labels(config, painted, canvas, drawn, hidden)
    if view.rim is not None:
        labels[beyond] = BACKGROUND
    visible = [balls.ground_truth(ball, hidden) for ball in drawn]
    exposure = _exposure(scene, canvas, painted)
    image = scene.sensor.expose(canvas.light, exposure, rng)
    return LabelledImage(image, labels, tuple(ball for ball in visible if ball is not None), camera)


def _levels(scene: Scene, places: Sequence[NDArray[np.float64]]) -> Floats:
    """Return the light (n, 3) on the ground around n objects."""
    return scene.light.at([(float(p[0]), float(p[1])) for p in places])


def _draw_solids(scene: Scene, view: Viewport, canvas: Canvas, foreground: tuple[Solid, ...]) -> None:
    """Draw posts, boards, the actors in view and the foreground."""
    places = [(a.x, a.y) for a in scene.actors]
    spheres = np.array([(x, y, 1.0) for x, y in places]).reshape(-1, 3)
    windows = view.windows(spheres, np.full(len(places), ACTOR_RADIUS))
    actors = [actor for actor, (top, bottom, left, right) in zip(scene.actors, windows, strict=True) if top < bottom]
    solids = [*scene.structure, *(solid for actor in actors for solid in actor.solids), *foreground]
    eye = view.camera.position
    feet = [_foot(solid) for solid in scene.structure]
    feet += [(actor.x, actor.y) for actor in actors for _ in actor.solids]
    feet += [(float(eye[0]), float(eye[1])) for _ in foreground]
    canvas.draw(solids, scene.light.at(feet), view, scene.light)


def _foot(solid: Solid) -> tuple[float, float]:
    """Return the place (x, y) of a post or a board."""
    x, y, _ = (solid.start + solid.end) / 2 if isinstance(solid, Capsule) else solid.center
    return float(x), float(y)


def _ground_and_hall(scene: Scene, view: Viewport) -> tuple[Canvas, GroundImage]:
    """Paint the ground with all shadows, and the hall behind it."""
    x, y = view.coarse_x, view.coarse_y
    falling = scene.light.on_ground(x, y)
    _shade_feet(scene, view, falling)
    painted = paint_ground(scene.ground, view, falling)
    light = painted.light
    if scene.light.gloss and scene.light.spots:
        light += view.refine(_reflections(scene, view, falling))
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
    """Darken the light (h, w, 3) on the coarse grid by contact shadows and by shadows cast away from the main lamp."""
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


def _reflections(scene: Scene, view: Viewport, falling: Floats) -> Floats:
    """Return the light (h, w, 3) of lamps that a glossy floor reflects, strongest at grazing angles."""
    dx, dy, dz = view.coarse
    result = np.zeros_like(falling)
    grazing = (1 - np.clip(-dz, 0, 1)) ** 3 * np.float32(scene.light.gloss)
    for spot in scene.light.spots:
        # The lamp hangs 5 m above its pool of light, so its mirror image is 5 m below the floor.
        to_x = np.float32(spot.x - view.camera.position[0])
        to_y = np.float32(spot.y - view.camera.position[1])
        to_z = np.float32(-5.0 - view.camera.position[2])
        length = np.float32(np.sqrt(to_x**2 + to_y**2 + to_z**2))
        cosine = (dx * to_x + dy * to_y + dz * to_z) / length
        np.maximum(cosine, 0, out=cosine)
        for _ in range(6):  # the 64th power
            cosine *= cosine
        cosine *= grazing
        result += cv2.merge([cosine * strength for strength in spot.color])
    return result


def _labels(
    config: SceneConfig,
    painted: GroundImage,
    canvas: Canvas,
    drawn: list[balls.DrawnBall],
    hidden: Floats,
) -> NDArray[np.uint8]:
    """Return the labels (H, W): the nearest of ground, solids, balls and nets at each pixel's centre."""
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


def _exposure(scene: Scene, canvas: Canvas, painted: GroundImage) -> float:
    """Return the exposure for the drawn brightness, metered mostly on the field and a little on the whole image."""
    sampled = canvas.light[::8, ::8]
    field = painted.field[::8, ::8]
    whole = float(np.minimum(sampled, 3).mean())
    on_field = float(sampled[field].mean()) if field.sum() > 40 else whole
    return scene.sensor.brightness / max(0.7 * on_field + 0.3 * whole, 1e-3)
