"""Bootstrap intervals, and differences between two models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.statistics.bootstrap import Units, differences, figures, intervals
from support.scores import ball, frame_score, many_frames, truth_ball


def test_figures_of_a_draw_equal_the_evaluation_of_those_frames():
    evaluation = many_frames(0, 0.3, 6)
    units = Units.of(evaluation.scores, 'image')
    drawn = figures(evaluation, units, np.array([[2, 0, 1, 1, 0, 2]]))
    chosen = [evaluation.scores[i] for i in (0, 0, 2, 3, 5, 5)]
    again = Evaluation(SOCCER, chosen)
    assert drawn['mean_iou'][0] == pytest.approx(again.confusion().mean_iou(), abs=1e-12)
    assert drawn['mean_iou_without_background'][0] == pytest.approx(again.confusion().mean_iou([0]), abs=1e-12)
    assert drawn['boundary_f.line'][0] == pytest.approx(again.line_boundary_f(), abs=1e-12)


def test_intervals_contain_the_value_and_groups_of_equal_frames_widen_them():
    evaluation = many_frames(0, 0.3)
    units, found = intervals(evaluation)
    assert (units.kind, units.count) == ('group', 10)
    interval = found['mean_iou']
    assert interval.low < interval.value < interval.high
    assert intervals(evaluation)[1] == found, 'equal seeds give equal intervals'
    copies = Evaluation(SOCCER, [s for s in many_frames(0, 0.3, 8).scores for _ in range(8)])
    groups = [replace(s, group=s.name) for s in copies.scores]
    alike = intervals(Evaluation(SOCCER, groups), 'group')[1]['mean_iou']
    alone = intervals(copies, 'image')[1]['mean_iou']
    assert alike.high - alike.low > 1.5 * (alone.high - alone.low)


def test_the_standard_error_of_a_fraction_is_binomial():
    """The standard error of the recall p of n balls is sqrt(p (1 - p) / n)."""
    labels = np.zeros((4, 4), np.uint8)
    scores = [frame_score(None, labels, i, ball(100) if i % 4 else None, (truth_ball(100),)) for i in range(200)]
    interval = intervals(Evaluation(SOCCER, scores))[1]['ball.recall']
    assert interval.value == 0.75
    assert interval.error == pytest.approx(math.sqrt(0.75 * 0.25 / 200), rel=0.1)


def test_a_better_model_differs_clearly_and_an_equal_one_does_not():
    worse, better = many_frames(0, 0.3), many_frames(0, 0.2)
    interval = differences(worse, better)[1]['mean_iou']
    assert 0 < interval.low < interval.value < interval.high
    same = differences(worse, worse)[1]['mean_iou']
    assert (same.value, same.low, same.high) == (0, 0, 0)
