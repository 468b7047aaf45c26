"""The frozen validation set keeps what config/validation.yaml promises."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from minisegnet_core.commands.synthesize import make_parser, read_settings
from minisegnet_core.scenes import render_scene

CONFIG = Path(__file__).resolve().parents[3] / 'config' / 'validation.yaml'


def options(*arguments: str) -> argparse.Namespace:
    return make_parser('synthesize').parse_args(['--config', str(CONFIG), *arguments])


def test_it_is_500_scenes_of_the_preset_mixed():
    config, run = read_settings(options())
    assert run == {'count': 500, 'seed': 20251, 'val_share': 1.0}
    assert not config.hall.backgrounds and not config.turf.textures
    assert 'preset: mixed' in CONFIG.read_text()


@pytest.mark.slow
def test_small_balls_and_dark_images():
    config, run = read_settings(options())
    diameters, brightness = [], []
    for index in range(run['count']):
        rendered = render_scene(config, run['seed'], index)
        diameters += [2 * ball.radius for ball in rendered.balls]
        brightness.append(rendered.image[::4, ::4].mean())
    assert np.mean(np.array(diameters) < 15) >= 0.2
    assert np.mean(np.array(brightness) < 40) >= 0.2
    assert len(diameters) > 400
