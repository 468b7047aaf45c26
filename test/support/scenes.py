"""Cameras, canvases and exact geometry with which tests of rendered scenes compare."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera, pose
from minisegnet_core.scenes.geometry.fields import markings
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, Viewport
from minisegnet_core.scenes.layout import sample_lens
from minisegnet_core.scenes.objects.canvas import Canvas

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

BARE = SceneConfig.from_mapping(
    {
        'things': dict.fromkeys(('goals', 'near_net', 'close_actor', 'own_robot', 'at_ball'), 0)
        | {key: [0, 0] for key in ('robots', 'people', 'bystanders', 'distractors')},
        'hall': {'boards': 0},
        'balls': {'none': 1},
        'camera': {'image_circle': 0},
    }
)
"""Only the ground, the hall and held objects."""

WIDTH, HEIGHT = 96, 72


def small(**changes):
    """Return the configuration of images of 160 x 120 pixels with some settings changed."""
    return SceneConfig.from_mapping({'image': {'width': 160, 'height': 120}, **changes})


def blank(width=WIDTH, height=HEIGHT):
    """Return a black canvas with nothing on it."""
    return Canvas(np.zeros((height, width, 3), np.float32), np.full((height, width), FAR_AWAY, np.float32))


def random_view(rng):
    """Return the view of a camera 1 m above the ground, with a random lens and direction."""
    lens = sample_lens(SceneConfig().camera, WIDTH, HEIGHT, rng)
    rotation = pose(rng.uniform(-3, 3), rng.uniform(-0.2, 1.0), rng.uniform(-0.3, 0.3))
    return Viewport(lens.camera(WIDTH, HEIGHT, rotation, np.array([0.0, 0.0, 1.0])))


def upright_camera():
    """Return a pinhole camera 1 m above the ground that looks along x."""
    rotation = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
    return Camera(WIDTH, HEIGHT, 'plumb_bob', 90, 90, 47.5, 35.5, (0.0,) * 5, rotation, np.array([0, 0, 1.0]))


def exact_distance(field, x, y):
    """Return the distance to the nearest centre line, computed in float64 from the markings."""
    lines = markings(field)
    nearest = np.full(np.shape(x), np.inf)
    for x0, y0, x1, y1 in lines.segments:
        dx = np.maximum(np.maximum(min(x0, x1) - x, x - max(x0, x1)), 0)
        dy = np.maximum(np.maximum(min(y0, y1) - y, y - max(y0, y1)), 0)
        nearest = np.minimum(nearest, np.maximum(dx, dy))
    for cx, cy, radius, sx, sy in lines.arcs:
        dx, dy = x - cx, y - cy
        outside = np.maximum(np.maximum(-dx * sx, -dy * sy), 0)
        nearest = np.minimum(nearest, np.maximum(np.abs(np.hypot(dx, dy) - radius), outside))
    return nearest


def on_ground(camera, u, v):
    """Return the exact ground positions of pixels; NaN above the horizon and outside the lens's view."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    rays = camera.rays(u, v)
    seen = np.arccos(np.clip(camera.undistort(u, v)[2], -1, 1)) < camera.limit - 1e-9
    with np.errstate(divide='ignore', invalid='ignore'):
        distance = np.where((rays[2] < -1e-9) & seen, -camera.position[2] / rays[2], np.nan)
    return camera.position[0] + rays[0] * distance, camera.position[1] + rays[1] * distance
