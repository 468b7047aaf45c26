"""Fields: the rule books' sizes, and line maps that agree with the markings."""

from __future__ import annotations

import numpy as np
import pytest

from minisegnet_core.scenes.geometry.fields import FIELDS, MAP_RESOLUTION, line_map
from support.scenes import exact_distance

TABLE = {  # length, width, goal (width, height, depth), goal area, penalty area, mark, circle, border, ball
    'kid': (9, 6, (2.6, 1.2, 0.6), (1, 3), (2, 5), 1.5, 1.5, 1, (0.13, 0.155)),
    'adult': (14, 9, (2.6, 1.8, 0.6), (1, 4), (3, 6), 2.1, 3, 1, (0.216, 0.223)),
    'humanoid2018': (9, 6, (2.6, 1.8, 0.6), (1, 5), (0, 0), 2.1, 1.5, 0.7, (0.13, 0.22)),
    'spl': (9, 6, (1.5, 0.8, 0.5), (0.6, 2.2), (1.65, 4), 1.3, 1.5, 0.7, (0.10, 0.10)),
}


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
