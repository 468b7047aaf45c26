"""The frozen validation set has the properties that config/validation.yaml states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minisegnet_core.scenes import Series

CONFIG = Path(__file__).resolve().parents[3] / 'config' / 'validation.yaml'


def test_it_is_500_scenes_of_the_preset_mixed():
    series = Series.from_yaml(CONFIG)
    assert (series.count, series.seed, series.val_fraction, series.sequence) == (500, 20251, 1.0, False)
    assert not series.config.hall.backgrounds and not series.config.turf.textures
    assert 'preset: mixed' in CONFIG.read_text()


@pytest.mark.slow
def test_it_has_small_balls_and_dark_images():
    series = Series.from_yaml(CONFIG)
    diameters, brightness = [], []
    for index in range(series.count):
        rendered = series.render(index)
        diameters += [2 * ball.radius for ball in rendered.balls]
        brightness.append(rendered.image[::4, ::4].mean())
    assert np.mean(np.array(diameters) < 15) >= 0.2
    assert np.mean(np.array(brightness) < 40) >= 0.2
    assert len(diameters) > 400
