"""Scenes: labels agree with the geometry they come from, lenses invert, ball truth matches an oversampled rendering."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.appearance.patterns import sample_look
from minisegnet_core.scenes.config import settings as scene_settings
from minisegnet_core.scenes.geometry.camera import Camera, pose
from minisegnet_core.scenes.geometry.fields import FIELDS, MAP_RESOLUTION, line_map, markings
from minisegnet_core.scenes.geometry.solids import Canvas
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, Viewport
from minisegnet_core.scenes.layout import sample_lens, sample_scene
from minisegnet_core.scenes.objects.balls import BallBody, draw_ball, truth
from minisegnet_core.scenes.renderer import BACKGROUND, FIELD, LINE, render

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
BARE = scene_settings.load(
    SceneConfig,
    {
        'things': dict.fromkeys(('goals', 'near_net', 'close_actor', 'own_robot', 'at_ball'), 0)
        | {key: [0, 0] for key in ('robots', 'people', 'bystanders', 'distractors')},
        'hall': {'boards': 0},
        'balls': {'none': 1},
        'camera': {'image_circle': 0},
    },
    SceneConfig.from_preset('mixed'),
)
TABLE = {  # length, width, goal (width, height, depth), goal area, penalty area, mark, circle, border, ball
    'kid': (9, 6, (2.6, 1.2, 0.6), (1, 3), (2, 5), 1.5, 1.5, 1, (0.13, 0.155)),
    'adult': (14, 9, (2.6, 1.8, 0.6), (1, 4), (3, 6), 2.1, 3, 1, (0.216, 0.223)),
    'humanoid2018': (9, 6, (2.6, 1.8, 0.6), (1, 5), (0, 0), 2.1, 1.5, 0.7, (0.13, 0.22)),
    'spl': (9, 6, (1.5, 0.8, 0.5), (0.6, 2.2), (1.65, 4), 1.3, 1.5, 0.7, (0.10, 0.10)),
}


def exact_distance(field, x, y):
    """Distance to the nearest centre line in float64, straight from the markings."""
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
    """Exact ground positions of pixels; NaN above the horizon and where the lens does not see."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    rays = camera.rays(u, v)
    seen = np.arccos(np.clip(camera.undistort(u, v)[2], -1, 1)) < camera.limit - 1e-9
    with np.errstate(divide='ignore', invalid='ignore'):
        distance = np.where((rays[2] < -1e-9) & seen, -camera.position[2] / rays[2], np.nan)
    return camera.position[0] + rays[0] * distance, camera.position[1] + rays[1] * distance


def exact_labels(ground, x, y):
    """Labels at ground positions (NaN: sky) straight from the field's sizes."""
    left, right, bottom, top = ground.extent
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    labels = np.where(inside, FIELD, BACKGROUND)
    distance = exact_distance(ground.field, np.nan_to_num(x, nan=1e9), np.nan_to_num(y, nan=1e9))
    labels[(distance <= ground.line_width / 2) & inside] = LINE
    return labels


def bare_scene(seed):
    rng = np.random.default_rng(seed)
    scene, stance = sample_scene(BARE, rng)
    camera = stance.camera(320, 240)
    camera = dataclasses.replace(camera, fx=camera.fx / 2, fy=camera.fy / 2, cx=camera.cx / 2, cy=camera.cy / 2)
    return scene, camera, render(BARE, scene, camera, (), rng)


@pytest.mark.parametrize('name', TABLE)
def test_fields_have_the_rule_books_sizes(name):
    field = FIELDS[name]
    goal = (field.goal_width, field.goal_height, field.goal_depth)
    areas = ((field.goal_area_length, field.goal_area_width), (field.penalty_area_length, field.penalty_area_width))
    rest = (field.penalty_mark, field.circle_diameter, field.border, field.ball_diameter)
    assert (field.length, field.width, goal, *areas, *rest) == TABLE[name]
    assert field.line_width == 0.05


@pytest.mark.parametrize('name', FIELDS)
def test_line_map_holds_the_distance_to_the_markings(name):
    field = FIELDS[name]
    lines = line_map(field)
    rows, columns = (np.arange(0, size, 7) for size in lines.values.shape[:2])
    x, y = np.meshgrid(lines.left + columns * MAP_RESOLUTION, lines.bottom + rows * MAP_RESOLUTION)
    expected = np.minimum(exact_distance(field, x, y), 5)
    np.testing.assert_allclose(lines.values[::7, ::7, 0], expected, atol=2e-4)


@given(SEEDS, st.floats(0, 639), st.floats(0, 479))
@settings(QUICK, max_examples=200)
def test_every_lens_inverts(seed, u, v):
    rng = np.random.default_rng(seed)
    rotation = pose(*rng.uniform(-1.5, 1.5, 3))
    camera = sample_lens(SceneConfig().camera, 640, 480, rng).camera(640, 480, rotation, rng.normal(0, 3, 3))
    back = camera.project(camera.position + 3.0 * camera.rays(np.array(u), np.array(v)))
    direction = camera.undistort(np.array(u), np.array(v))
    if math.acos(min(float(direction[2]), 1.0)) < camera.limit - 1e-6:  # inside the lens's image circle
        np.testing.assert_allclose(back, (u, v), atol=1e-3)


@given(SEEDS, st.floats(55, 180))
@QUICK
def test_field_of_view_is_what_was_asked_for(seed, degrees):
    kind = {'fisheye': 1.0, 'fisheye_field_of_view': [degrees, degrees]}
    if degrees <= 110:
        kind = {'fisheye': 0.0, 'field_of_view': [degrees, degrees]}
    wanted = {**kind, 'off_center': 0.0, 'tangential': [0, 0], 'image_circle': 0.0}
    config = SceneConfig.from_mapping({'camera': wanted})
    camera = sample_lens(config.camera, 640, 480, np.random.default_rng(seed)).camera(640, 480, np.eye(3), np.zeros(3))
    left, right = (np.array(camera.undistort(np.array(u), np.array(239.5))) for u in (-0.5, 639.5))
    seen = math.atan2(-left[0], left[2]) + math.atan2(right[0], right[2])
    assert math.degrees(seen) == pytest.approx(degrees, abs=0.01)


@given(SEEDS)
@QUICK
def test_labels_are_the_geometry_at_pixel_centres(seed):
    scene, camera, rendered = bare_scene(seed)
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    differing = rendered.labels != exact_labels(scene.ground, *on_ground(camera, u, v))
    u, v, labels = u[differing], v[differing], rendered.labels[differing]
    x, y = on_ground(camera, u, v)
    away = exact_distance(scene.ground.field, np.nan_to_num(x, nan=1e9), np.nan_to_num(y, nan=1e9))
    near = np.abs(away - scene.ground.line_width / 2) < 0.003  # metres: inner corners, see fields.MAP_RESOLUTION
    for step in (0.02, 0.04, 0.06, 0.09, 0.12, 0.15):  # many, since far lines are thinner than .15 px
        for shift_u, shift_v in ((step, 0), (-step, 0), (0, step), (0, -step)):
            near |= labels == exact_labels(scene.ground, *on_ground(camera, u + shift_u, v + shift_v))
    assert near.all(), 'a label that is nowhere within .15 px of its pixel centre'


@given(SEEDS)
@QUICK
def test_line_centres_within_half_a_pixel(seed):
    scene, camera, rendered = bare_scene(seed)
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rendered.labels == LINE)
    for pick in rng.integers(0, max(rows.size, 1), 10 if rows.size else 0):
        row, column = int(rows[pick]), int(columns[pick])
        across = run_around(rendered.labels[row] == LINE, column)
        along = run_around(rendered.labels[:, column] == LINE, row)
        if min(across[1] - across[0], along[1] - along[0]) > 30:
            continue
        in_row = across[1] - across[0] <= along[1] - along[0]  # measured on the steeper of both cuts
        start, end = across if in_row else along
        if start == 0 or end == (camera.width if in_row else camera.height) - 1:
            continue  # cut by the image's border
        cut = np.arange(start - 1, end + 1.001, 0.02)
        rest = np.full_like(cut, row if in_row else column)
        x, y = on_ground(camera, *((cut, rest) if in_row else (rest, cut)))
        on_line = cut[exact_labels(scene.ground, x, y) == LINE]
        assert abs(on_line.mean() - (start + end) / 2) <= 0.52  # half a pixel, and what .02 px steps add


def run_around(line, at):
    """First and last index of the run of True around an index."""
    before, after = np.flatnonzero(~line[:at]), np.flatnonzero(~line[at:])
    return (int(before[-1]) + 1 if before.size else 0), (at + int(after[0]) - 1 if after.size else line.size - 1)


def hand_camera(rng, fisheye):
    config = SceneConfig.from_mapping({'camera': {'fisheye': float(fisheye), 'image_circle': 0.0}})
    lens = sample_lens(config.camera, 640, 480, rng)
    return lens.camera(
        640, 480, pose(0, math.radians(rng.uniform(10, 50)), rng.uniform(-0.4, 0.4)), np.array([0, 0, 1.0])
    )


@given(SEEDS, st.booleans())
@QUICK
def test_ball_truth_matches_an_oversampled_rendering(seed, fisheye):
    rng = np.random.default_rng(seed)
    camera = hand_camera(rng, fisheye)
    u, v = rng.uniform(60, 580), rng.uniform(60, 420)
    direction = camera.rays(np.array(u), np.array(v))
    radius = float(rng.uniform(0.05, 0.11))
    distance = radius / math.sin(rng.uniform(4.5, 60) / camera.fx)
    body = BallBody(camera.position + distance * direction, radius, np.eye(3), sample_look(SceneConfig().balls, rng))
    view = Viewport(camera)
    canvas = Canvas(np.zeros((480, 640, 3), np.float32), np.full((480, 640), FAR_AWAY, np.float32))
    scene, _ = sample_scene(BARE, rng)
    drawn = draw_ball(body, canvas, view, scene.light, np.ones(3, np.float32))
    assert drawn is not None
    ball = truth(drawn, np.zeros((480, 640), np.float32))
    assert ball is not None
    assert ball.radius < 200
    reach, fine = math.ceil(ball.radius * 1.8 + 3), 16 if ball.radius < 15 else 4
    steps = np.arange(-reach, reach, 1 / fine) + 1 / (2 * fine)
    fine_u, fine_v = np.meshgrid(round(ball.x) + steps, round(ball.y) + steps)
    rays = camera.rays(fine_u, fine_v)
    offset = body.center - camera.position
    toward = offset[0] * rays[0] + offset[1] * rays[1] + offset[2] * rays[2]
    hit = (np.square(rays * toward - offset[:, None, None]).sum(axis=0) <= radius**2) & (toward > 0)
    inside = (fine_u > -0.5) & (fine_u < 639.5) & (fine_v > -0.5) & (fine_v < 479.5)
    area, seen = hit.sum() / fine**2, (hit & inside).sum() / fine**2
    assert math.pi * ball.radius**2 == pytest.approx(area, rel=0.02)
    assert (ball.x, ball.y) == pytest.approx((fine_u[hit].mean(), fine_v[hit].mean()), abs=0.1)
    assert ball.visible == pytest.approx(seen / area, abs=0.02)
    shown = hit & inside
    assert (ball.visible_x, ball.visible_y) == pytest.approx((fine_u[shown].mean(), fine_v[shown].mean()), abs=0.1)
    assert drawn.centers.sum() == pytest.approx(seen, rel=0.02, abs=2 * ball.radius + 2)


def test_camera_info_is_the_camera_that_rendered():
    camera = Camera(640, 480, 'plumb_bob', 400, 410, 320, 240, (-0.1, 0.02, 0.001, 0, 0), np.eye(3), np.zeros(3))
    info = camera.info()
    assert info['k'] == [400, 0, 320, 0, 410, 240, 0, 0, 1]
    assert info['p'][:3] == [400, 0, 320] and len(info['d']) == 5
