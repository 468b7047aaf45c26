"""Scenes: solids drawn in one batch are what single rays meet; prints, nets far away, blurred balls, motion blur."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.appearance import prints
from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.patterns import sample_look
from minisegnet_core.scenes.appearance.sensor import streak
from minisegnet_core.scenes.appearance.shading import Surface
from minisegnet_core.scenes.geometry.camera import Camera, pose
from minisegnet_core.scenes.geometry.solids import Box, Canvas, Capsule, Ellipsoid
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, Viewport
from minisegnet_core.scenes.layout import sample_lens, sample_scene
from minisegnet_core.scenes.objects import actors, people, robots
from minisegnet_core.scenes.objects.balls import BallBody, draw_ball
from minisegnet_core.scenes.objects.nets import Net

QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
GREY = Surface(np.full(3, 0.5, np.float32))
LAMP = Light(np.ones(3, np.float32), np.ones(3, np.float32), np.array([0.0, 0.0, 1.0]))
WIDTH, HEIGHT = 96, 72


def blank(width=WIDTH, height=HEIGHT):
    return Canvas(np.zeros((height, width, 3), np.float32), np.full((height, width), FAR_AWAY, np.float32))


def view_of(rng):
    lens = sample_lens(SceneConfig().camera, WIDTH, HEIGHT, rng)
    rotation = pose(rng.uniform(-3, 3), rng.uniform(-0.2, 1.0), rng.uniform(-0.3, 0.3))
    return Viewport(lens.camera(WIDTH, HEIGHT, rotation, np.array([0.0, 0.0, 1.0])))


def some_solids(rng, count):
    """Capsules, boxes and ellipsoids of all shapes around the eye, none of which holds it."""
    solids = []
    for number in range(count):
        away = rng.normal(0, 1, 3)
        center = np.array([0, 0, 1.0]) + away / np.linalg.norm(away) * rng.uniform(1.3, 5)
        half = np.exp(rng.uniform(math.log(0.03), math.log(0.5), 3))
        axes, _ = np.linalg.qr(rng.normal(0, 1, (3, 3)))
        if number % 3 == 0:
            reach = axes[0] * half[0]
            solids.append(Capsule(center - reach, center + reach, float(half[1] / 3), GREY))
        elif number % 3 == 1:
            solids.append(Box(center, half, axes, GREY))
        else:
            solids.append(Ellipsoid(center, half, GREY))
    return solids


def inside(solid, points):
    """Which of (3, n) points lie in a solid, straight from its definition."""
    if isinstance(solid, Capsule):
        axis = solid.end - solid.start
        from_start = points - solid.start[:, None]
        along = np.clip(axis @ from_start / (axis @ axis), 0, 1)
        return np.linalg.norm(from_start - axis[:, None] * along, axis=0) <= solid.radius
    relative = points - solid.center[:, None]
    if isinstance(solid, Box):
        return (np.abs(solid.axes @ relative) <= solid.half[:, None]).all(axis=0)
    return np.square(relative / solid.half[:, None]).sum(axis=0) <= 1


@given(SEEDS)
@QUICK
def test_depth_is_where_the_ray_enters_the_nearest_solid(seed):
    rng = np.random.default_rng(seed)
    view, solids, canvas = view_of(rng), some_solids(rng, 12), blank()
    canvas.draw(solids, np.ones((12, 3), np.float32), view, LAMP)
    rays = view.rays.reshape(3, -1).astype(np.float64)
    eye = view.camera.position[:, None]
    depth = canvas.depth.reshape(-1).astype(np.float64)
    hit = canvas.solid.reshape(-1).astype(bool)
    # Just behind the surface lies a solid, just before it none; rays that hit nothing meet none all the way.
    for step, most in ((2e-3, 0.02), (-2e-3, 0.0)):
        within = np.any([inside(s, eye + rays[:, hit] * (depth[hit] + step)) for s in solids], axis=0)
        wrong = within.sum() if step < 0 else (~within).sum()
        assert wrong <= 2 + most * hit.sum()  # rays that graze an edge leave again within 2 mm
    free = rays[:, ~hit][:, ::5]
    for distance in np.arange(0.05, 7, 0.07):
        points = eye + free * distance
        assert sum(int(inside(s, points).sum()) for s in solids) <= 1


def test_rays_are_unit_vectors_between_the_nodes():
    """Interpolated rays were shorter by 5e-5, so posts at 5 m lost a quarter of their width between the nodes."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        np.testing.assert_allclose(np.square(view_of(rng).rays).sum(axis=0), 1, atol=1e-6)


def test_the_order_of_solids_does_not_matter():
    rng = np.random.default_rng(4)
    view, solids = view_of(rng), some_solids(rng, 30)
    first, second = blank(), blank()
    levels = rng.uniform(0.5, 1, (30, 3)).astype(np.float32)
    first.draw(solids, levels, view, LAMP)
    second.draw(solids[::-1], levels[::-1], view, LAMP)
    assert first.solid.sum() > 300
    assert np.array_equal(first.depth, second.depth) and np.array_equal(first.light, second.light)


def test_windows_hold_what_they_are_asked_for():
    rng = np.random.default_rng(8)
    for _ in range(12):
        view = view_of(rng)
        centers, radii = np.array([0, 0, 1.0]) + rng.normal(0, 2, (20, 3)), rng.uniform(0.02, 0.9, 20)
        for center, radius, (top, bottom, left, right) in zip(
            centers, radii, view.windows(centers, radii), strict=True
        ):
            offset = (center - view.camera.position)[:, None, None].astype(np.float32)
            toward = (view.rays * offset).sum(axis=0)
            hit = (np.square(view.rays * toward - offset).sum(axis=0) < radius**2) & (toward > 0)
            if view.rim is not None:
                hit &= view.rim > 0
            hit[top:bottom, left:right] = False
            assert not hit.any()


@pytest.mark.parametrize('make', [robots.humanoid, robots.wheeled, people.person, actors.furniture, actors.distractor])
def test_actors_stand_on_the_ground_and_repeat(make):
    for seed in range(12):
        one, again = (make(1.0, 2.0, np.random.default_rng(seed)) for _ in range(2))
        assert len(one.solids) == len(again.solids) > 0
        for first, second in zip(one.solids, again.solids, strict=True):
            middle = (first.start + first.end) / 2 if isinstance(first, Capsule) else first.center
            assert math.hypot(middle[0] - 1, middle[1] - 2) < 3 and -0.05 < middle[2] < 2.3
            assert type(first) is type(second)
            for field in dataclasses.fields(first):
                if field.name != 'surface':
                    assert np.array_equal(getattr(first, field.name), getattr(second, field.name))
            assert first.surface.print in prints.NAMES


def test_prints_repeat_or_stand_once():
    pictures = prints.atlas()
    assert pictures.shape == (len(prints.NAMES), prints.SIZE, prints.SIZE)
    assert pictures.min() >= 0 and pictures.max() <= 1 and not pictures[0].any()
    assert len({picture.tobytes() for picture in pictures}) == len(prints.NAMES)
    u, v = (np.array(values, np.float32) for values in ([0.2, 1.2, -0.8], [0.3, 5.3, -0.7]))
    stripes = prints.sample(np.full(3, prints.NAMES.index('stripes')), u, v)
    assert stripes.tolist() == [1, 1, 1]
    beyond = prints.sample(
        np.full(2, prints.NAMES.index('8')), np.array([0.6, 0.0], np.float32), np.zeros(2, np.float32)
    )
    assert beyond[0] == 0  # beside the number
    digit = pictures[prints.NAMES.index('7')]
    assert digit[prints.SIZE // 2 :].sum() > digit[: prints.SIZE // 2].sum()  # row 0 is at the bottom: 7 is heavy above


def upright_camera():
    rotation = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
    return Camera(WIDTH, HEIGHT, 'plumb_bob', 90, 90, 47.5, 35.5, (0.0,) * 5, rotation, np.array([0, 0, 1.0]))


def test_a_far_net_is_a_veil():
    view, canvas, hidden = Viewport(upright_camera()), blank(), np.zeros((HEIGHT, WIDTH), np.float32)
    net = Net(
        np.array([8.0, -9, -9]), np.array([0, 18.0, 0]), np.array([0, 0, 18.0]), 0.04, 0.004, False, 0.0, np.ones(3)
    )
    net.draw(canvas, view, np.ones(3, np.float32), hidden)
    np.testing.assert_allclose(hidden, 1 - 0.9**2, atol=1e-6)
    np.testing.assert_allclose(canvas.light, 1 - 0.9**2, atol=1e-6)


def test_motion_of_the_ball_alone_blurs_it_and_leaves_its_truth():
    rng = np.random.default_rng(0)
    scene, _ = sample_scene(SceneConfig(), rng)
    body = BallBody(np.array([1.2, 0.1, 0.9]), 0.1, np.eye(3), sample_look(SceneConfig().balls, rng))
    view, level = Viewport(upright_camera()), np.ones(3, np.float32)
    drawn, light = [], []
    for blur in ((0.0, 0.0), (1.0, 0.4)):
        canvas = blank()
        drawn.append(draw_ball(dataclasses.replace(body, blur=blur), canvas, view, scene.light, level))
        light.append(canvas.light)
    assert np.array_equal(drawn[0].share, drawn[1].share) and np.array_equal(drawn[0].centers, drawn[1].centers)
    assert (light[1] > 0).sum() > 1.2 * (light[0] > 0).sum()
    assert light[1].sum() == pytest.approx(light[0].sum(), rel=0.01)


@pytest.mark.parametrize('length', [2.0, 4.9, 5.1, 9.0, 16.0])
@pytest.mark.parametrize('angle', [0.0, 0.5, 1.2, 2.8])
def test_a_streak_keeps_the_light_and_its_middle(length, angle):
    from minisegnet_core.scenes.appearance.sensor import _smear

    point = np.zeros((61, 61, 3), np.float32)
    point[30, 30] = 1
    smeared = _smear(point, length, angle)[..., 0]
    rows, columns = np.mgrid[-30:31, -30:31]
    assert smeared.sum() == pytest.approx(1, abs=1e-4)
    assert abs((smeared * rows).sum()) < 0.02 and abs((smeared * columns).sum()) < 0.02
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = columns * math.sin(angle) - rows * math.cos(angle)
    assert math.sqrt((smeared * along**2).sum()) == pytest.approx(length / math.sqrt(12), abs=0.55)
    assert math.sqrt((smeared * across**2).sum()) < 0.75
    assert streak(length, angle).sum() == pytest.approx(1, abs=1e-5)
