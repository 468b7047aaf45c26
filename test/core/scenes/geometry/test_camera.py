"""Cameras: every drawn lens can be inverted, has the field of view that was asked for, and describes itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.scenes import SceneConfig
from minisegnet_core.scenes.geometry.camera import Camera, pose
from minisegnet_core.scenes.layout import sample_lens
from support.scenes import QUICK, SEEDS


@given(SEEDS, st.floats(0, 639), st.floats(0, 479))
@settings(QUICK, max_examples=200)
def test_every_lens_can_be_inverted(seed, u, v):
    rng = np.random.default_rng(seed)
    rotation = pose(*rng.uniform(-1.5, 1.5, 3))
    camera = sample_lens(SceneConfig().camera, 640, 480, rng).camera(640, 480, rotation, rng.normal(0, 3, 3))
    back = camera.project(camera.position + 3.0 * camera.rays(np.array(u), np.array(v)))
    direction = camera.undistort(np.array(u), np.array(v))
    if math.acos(min(float(direction[2]), 1.0)) < camera.limit - 1e-6:  # inside the lens's image circle
        np.testing.assert_allclose(back, (u, v), atol=1e-3)


@given(SEEDS, st.floats(55, 180))
@QUICK
def test_a_lens_has_the_field_of_view_of_its_settings(seed, degrees):
    kind = {'fisheye': 1.0, 'fisheye_field_of_view': [degrees, degrees]}
    if degrees <= 110:
        kind = {'fisheye': 0.0, 'field_of_view': [degrees, degrees]}
    wanted = {**kind, 'off_center': 0.0, 'tangential': [0, 0], 'image_circle': 0.0}
    config = SceneConfig.from_mapping({'camera': wanted})
    camera = sample_lens(config.camera, 640, 480, np.random.default_rng(seed)).camera(640, 480, np.eye(3), np.zeros(3))
    left, right = (np.array(camera.undistort(np.array(u), np.array(239.5))) for u in (-0.5, 639.5))
    seen = math.atan2(-left[0], left[2]) + math.atan2(right[0], right[2])
    assert math.degrees(seen) == pytest.approx(degrees, abs=0.01)


def test_camera_info_describes_the_camera():
    camera = Camera(640, 480, 'plumb_bob', 400, 410, 320, 240, (-0.1, 0.02, 0.001, 0, 0), np.eye(3), np.zeros(3))
    info = camera.info()
    assert info['k'] == [400, 0, 320, 0, 410, 240, 0, 0, 1]
    assert info['p'][:3] == [400, 0, 320] and len(info['d']) == 5
