"""The sensor: motion blur keeps light and position, halos appear around overexposed areas only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from minisegnet_core.scenes.appearance.sensor import motion_blur, streak
from minisegnet_core.scenes.layout import sample_scene
from support.scenes import small


@pytest.mark.parametrize('length', [2.0, 4.9, 5.1, 9.0, 16.0])
@pytest.mark.parametrize('angle', [0.0, 0.5, 1.2, 2.8])
def test_motion_blur_keeps_the_light_and_its_centre(length, angle):
    point = np.zeros((61, 61, 3), np.float32)
    point[30, 30] = 1
    blurred = motion_blur(point, length, angle)[..., 0]
    rows, columns = np.mgrid[-30:31, -30:31]
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    assert abs((blurred * rows).sum()) < 0.02 and abs((blurred * columns).sum()) < 0.02
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = columns * math.sin(angle) - rows * math.cos(angle)
    assert math.sqrt((blurred * along**2).sum()) == pytest.approx(length / math.sqrt(12), abs=0.55)
    assert math.sqrt((blurred * across**2).sum()) < 0.75
    assert streak(length, angle).sum() == pytest.approx(1, abs=1e-5)


def test_halos_surround_overexposed_areas_and_leave_the_rest():
    light = np.zeros((64, 64, 3), np.float32)
    light[28:36, 28:36] = 5.0
    sensor = dataclasses.replace(
        sample_scene(small(), np.random.default_rng(0))[0].sensor,
        gains=np.ones(3, np.float32),
        saturation=1.0,
        gamma=2.0,
        lift=0.0,
        vignetting=0.0,
        sigma=0.0,
        motion=(0.0, 0.0),
        noise=(0.0, 0.0),
        quality=0,
        veil=0.0,
        bleach=0.0,
    )
    plain, glaring = (
        dataclasses.replace(sensor, glare=(strength, 16.0)).expose(light, 1.0, np.random.default_rng(0)).astype(int)
        for strength in (0.0, 0.5)
    )
    assert plain[32, 48].max() == 0 and glaring[32, 48].min() > 20  # beside the lamp
    assert glaring[32, 48, 0] > glaring[32, 60, 0]  # it fades
    dim = np.minimum(light, 0.9)  # nothing is overexposed
    assert np.array_equal(
        *(
            dataclasses.replace(sensor, glare=g).expose(dim, 1.0, np.random.default_rng(0))
            for g in ((0.0, 1.0), (0.5, 16.0))
        )
    )
