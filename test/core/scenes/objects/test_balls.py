"""Balls: ground truth agrees with an oversampled rendering, and motion blur leaves it unchanged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.geometry.camera import pose
from minisegnet_core.scenes.geometry.viewport import Viewport
from minisegnet_core.scenes.layout import sample_lens, sample_scene
from minisegnet_core.scenes.objects.balls import BallBody, draw_ball, ground_truth, sample_look
from support.scenes import BARE, QUICK, SEEDS, blank, upright_camera


def handheld_camera(rng, fisheye):
    config = SceneConfig.from_mapping({'camera': {'fisheye': float(fisheye), 'image_circle': 0.0}})
    lens = sample_lens(config.camera, 640, 480, rng)
    return lens.camera(
        640, 480, pose(0, math.radians(rng.uniform(10, 50)), rng.uniform(-0.4, 0.4)), np.array([0, 0, 1.0])
    )


@given(SEEDS, st.booleans())
@QUICK
def test_ground_truth_matches_an_oversampled_rendering(seed, fisheye):
    rng = np.random.default_rng(seed)
    camera = handheld_camera(rng, fisheye)
    u, v = rng.uniform(60, 580), rng.uniform(60, 420)
    direction = camera.rays(np.array(u), np.array(v))
    radius = float(rng.uniform(0.05, 0.11))
    distance = radius / math.sin(rng.uniform(4.5, 60) / camera.fx)
    body = BallBody(camera.position + distance * direction, radius, np.eye(3), sample_look(SceneConfig().balls, rng))
    view = Viewport(camera)
    canvas = blank(640, 480)
    scene, _ = sample_scene(BARE, rng)
    drawn = draw_ball(body, canvas, view, scene.light, np.ones(3, np.float32))
    assert drawn is not None
    ball = ground_truth(drawn, np.zeros((480, 640), np.float32))
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


def test_motion_of_the_ball_blurs_it_but_not_its_ground_truth():
    rng = np.random.default_rng(0)
    scene, _ = sample_scene(SceneConfig(), rng)
    body = BallBody(np.array([1.2, 0.1, 0.9]), 0.1, np.eye(3), sample_look(SceneConfig().balls, rng))
    view, level = Viewport(upright_camera()), np.ones(3, np.float32)
    drawn, light = [], []
    for blur in ((0.0, 0.0), (1.0, 0.4)):
        canvas = blank()
        drawn.append(draw_ball(dataclasses.replace(body, blur=blur), canvas, view, scene.light, level))
        light.append(canvas.light)
    assert np.array_equal(drawn[0].cover, drawn[1].cover) and np.array_equal(drawn[0].centers, drawn[1].centers)
    assert (light[1] > 0).sum() > 1.2 * (light[0] > 0).sum()
    assert light[1].sum() == pytest.approx(light[0].sum(), rel=0.01)
