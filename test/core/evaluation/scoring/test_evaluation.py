"""Ball figures of an evaluation against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.report.values import report_values
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import Prediction, score_frame
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.metrics import BallScore, match_ball
from support.scores import ball, frame_score, truth_ball


def test_ball_errors_are_given_in_radii_and_by_radius():
    score = BallScore()
    score.add([truth_ball(100, 10)], ball(103))
    score.add([truth_ball(100, 20)], ball(104))
    score.add([truth_ball(100, 6)], None)
    score.add([], ball(7, radius=5))
    assert score.errors_in_radii == pytest.approx([0.3, 0.2])
    small, middle, large = (score.of_size(*limits) for limits in ((4, 8), (8, 16), (16, 32)))
    assert (small.found, small.missed, small.false) == (0, 1, 1)
    assert (middle.found, middle.errors) == (1, [3.0])
    assert (large.recall, large.false) == (1.0, 0)


def test_a_match_names_the_ball_that_was_found():
    near, far = truth_ball(100), truth_ball(300)
    match = match_ball([far, near], ball(104))
    assert match.hit is near and match.missed == (far,) and match.distance == 4 and not match.false


def test_precision_and_recall_over_confidence_equal_those_computed_by_hand():
    labels = np.zeros((4, 4), np.uint8)
    scores = [
        frame_score(None, labels, 0, ball(100, confidence=0.9), (truth_ball(100),)),
        frame_score(None, labels, 1, ball(300, confidence=0.7), (truth_ball(100),)),
        frame_score(None, labels, 2, ball(101, confidence=0.6), (truth_ball(100),)),
    ]
    curve = Evaluation(SOCCER, scores).ball_curve()
    assert curve == [(0.6, 2 / 3, 2 / 3), (0.7, 1 / 2, 1 / 3), (0.9, 1.0, 1 / 3)]


def test_maximum_f1_of_one_prediction_per_frame():
    """Three balls in two frames: one found ball per frame gives recall 2/3, precision 1, F1 0.8. Here one is found."""
    labels = np.zeros((4, 4), np.uint8)
    two, one = (truth_ball(100), truth_ball(300)), (truth_ball(100),)
    frames = [(ball(100), two), (None, one), (None, ())]
    evaluation = Evaluation(SOCCER, [frame_score(None, labels, i, b, t) for i, (b, t) in enumerate(frames)])
    assert (evaluation.frames_with_a_ball, evaluation.frames_with_ball_truth) == (2, 3)
    values = report_values(evaluation, {}, '')['ball']
    assert (values['frames_with_ball'], values['f1_at_most']) == (2, 0.8)
    assert (values['found'], values['missed'], values['f1']) == (1, 2, 0.5)
    assert values['every'] is None, 'other predictions are unknown'


def test_every_predicted_ball_is_reported_beside_the_best():
    labels, two = np.zeros((4, 4), np.uint8), (truth_ball(100), truth_ball(300))
    frame = SourceFrame(0, '0', np.zeros((16, 16, 3), np.uint8), balls=two)
    seen = (ball(100), ball(300), ball(500))
    scores = [score_frame('s', frame, Prediction(labels, seen[0], None, seen), SOCCER, {}) for _ in range(2)]
    values = report_values(Evaluation(SOCCER, scores), {}, '')['ball']
    assert (values['found'], values['missed'], values['false']) == (2, 2, 0)
    assert [values['every'][key] for key in ('found', 'missed', 'false', 'f1')] == [4, 0, 2, 0.8]
