"""Nets: they hide the fraction of a pixel that their threads cover, near and far."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.scenes.geometry.viewport import Viewport
from minisegnet_core.scenes.objects.goals import Net
from support.scenes import HEIGHT, WIDTH, blank, upright_camera


def test_a_net_hides_the_fraction_that_its_threads_cover():
    config = SceneConfig.from_mapping({'camera': {'fisheye': 0, 'barrel': [0, 0], 'roll': [0, 0], 'off_center': 0}})
    camera = render_scene(config, 0, 0).camera
    camera = dataclasses.replace(camera, rotation=np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]]))
    view = Viewport(camera)
    canvas = blank(640, 480)
    hidden = np.zeros((480, 640), np.float32)
    corner = camera.position + np.array([2.0, -9.0, -9.0])
    net = Net(corner, np.array([0, 18.0, 0]), np.array([0, 0, 18.0]), 0.1, 0.01, False, 0.0, np.ones(3, np.float32))
    net.draw(canvas, view, np.ones(3, np.float32), hidden)
    assert hidden.mean() == pytest.approx(1 - 0.9**2, abs=0.01)


def test_a_distant_net_is_a_uniform_veil():
    view, canvas, hidden = Viewport(upright_camera()), blank(), np.zeros((HEIGHT, WIDTH), np.float32)
    net = Net(
        np.array([8.0, -9, -9]), np.array([0, 18.0, 0]), np.array([0, 0, 18.0]), 0.04, 0.004, False, 0.0, np.ones(3)
    )
    net.draw(canvas, view, np.ones(3, np.float32), hidden)
    np.testing.assert_allclose(hidden, 1 - 0.9**2, atol=1e-6)
    np.testing.assert_allclose(canvas.light, 1 - 0.9**2, atol=1e-6)
