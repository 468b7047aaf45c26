"""Sequences: smooth motion, and frames that can be rendered in any order."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.scenes import SceneSequence, render_sequence
from support.scenes import small


def test_motion_is_smooth_and_frames_do_not_depend_on_their_order():
    config = small(camera={'tumble': 0.0}, balls={'none': 0.0}, motion={'ball_speed': [1, 1], 'speed': [0.3, 0.3]})
    sequence = SceneSequence(config, 5, 20.0)
    stances = [sequence.stance_at(t / 20) for t in range(40)]
    for before, after in pairwise(stances):
        assert math.hypot(after.x - before.x, after.y - before.y) <= 0.3 / 20 + 1e-6
        assert abs(after.yaw - before.yaw) < 0.1 and abs(after.roll - before.roll) < 0.06
    assert len({round(s.height, 6) for s in stances}) > 10
    places = np.array([next(sequence.balls_at(t / 20)).center for t in range(40)])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() <= 1 / 20 + 1e-6 and steps[:5].min() > 0.02
    third = list(render_sequence(config, 5, 3, 20.0))[2]
    assert np.array_equal(third.image, sequence.frame(2).image)
    with pytest.raises(ConfigurationError, match='fps'):
        SceneSequence(config, 5, 0)
