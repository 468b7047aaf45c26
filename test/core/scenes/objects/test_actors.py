"""Actors: robots, people, furniture and distractors are on the ground and depend on their seed alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from minisegnet_core.scenes.appearance.surfaces import PRINTS
from minisegnet_core.scenes.objects import bystanders, robots
from minisegnet_core.scenes.objects.solids import Capsule


@pytest.mark.parametrize(
    'make', [robots.humanoid, robots.wheeled, bystanders.person, bystanders.furniture, bystanders.distractor]
)
def test_actors_stand_on_the_ground_and_depend_on_their_seed_alone(make):
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
            assert first.surface.print in PRINTS
