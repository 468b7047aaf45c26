"""IoU and the ball rule, computed by hand and compared with scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.metrics import BallScore, ConfusionMatrix

NEAR = Ball(x=100, y=50, radius=10, confidence=1)


def truth(x=100.0, y=50.0, radius=10.0, visible=1.0):
    return BallTruth(x, y, radius, visible, x, y)


def test_iou_and_accuracy_equal_hand_computed_values():
    matrix = ConfusionMatrix(4)
    matrix.add(
        np.array([[0, 0, 1, 1], [2, 2, 255, 3]], np.uint8),
        np.array([[0, 1, 1, 1], [2, 0, 0, 3]], np.uint8),
    )
    # class 0: 1 of 3 in the union; class 1: 2 of 3; class 2: 1 of 2; class 3: 1 of 1
    np.testing.assert_allclose(matrix.iou(), [1 / 3, 2 / 3, 1 / 2, 1])
    assert matrix.mean_iou() == pytest.approx((1 / 3 + 2 / 3 + 1 / 2 + 1) / 4)
    assert matrix.mean_iou(leave_out=[0]) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert matrix.accuracy() == pytest.approx(5 / 7)


def test_a_class_on_neither_side_has_no_iou_and_a_wrongly_predicted_one_has_zero():
    matrix = ConfusionMatrix(4)
    matrix.add(np.array([0, 0], np.uint8), np.array([0, 3], np.uint8))
    iou = matrix.iou()
    assert iou[0] == 0.5
    assert iou[3] == 0
    assert np.isnan(iou[[1, 2]]).all()
    assert matrix.mean_iou() == 0.25


def test_an_empty_matrix_has_undefined_means():
    assert math.isnan(ConfusionMatrix(3).mean_iou())
    assert math.isnan(ConfusionMatrix(3).accuracy())


def test_iou_equals_scikit_learn():
    metrics = pytest.importorskip('sklearn.metrics')
    random = np.random.default_rng(0)
    true, predicted = random.integers(0, 4, (2, 5000)).astype(np.uint8)
    matrix = ConfusionMatrix(4)
    matrix.add(true, predicted)
    np.testing.assert_array_equal(matrix.counts, metrics.confusion_matrix(true, predicted))
    np.testing.assert_allclose(matrix.iou(), metrics.jaccard_score(true, predicted, average=None), atol=1e-12)


@pytest.mark.parametrize(('shape', 'value'), [((2,), 0), ((3,), 4)])
def test_other_shapes_and_ids_are_rejected(shape, value):
    with pytest.raises(ValueError, match=r'ground truth has the shape|label id 4 is not below'):
        ConfusionMatrix(4).add(np.zeros(3, np.uint8), np.full(shape, value, np.uint8))


@pytest.mark.parametrize(
    ('truths', 'ball', 'found', 'missed', 'false'),
    [
        ([truth()], NEAR, 1, 0, 0),
        ([truth(x=109.9)], NEAR, 1, 0, 0),  # within the radius
        ([truth(x=110.1)], NEAR, 0, 1, 1),
        ([truth(x=103.9, radius=2)], NEAR, 0, 0, 0),  # too small to count
        ([truth(x=105, radius=2)], NEAR, 0, 0, 1),
        ([truth(visible=0.49)], NEAR, 0, 0, 0),  # too hidden to count
        ([truth(visible=0.0)], NEAR, 0, 0, 1),  # not visible at all
        ([truth(x=103.9, radius=4)], NEAR, 1, 0, 0),
        ([truth()], None, 0, 1, 0),
        ([], NEAR, 0, 0, 1),
        ([], None, 0, 0, 0),
        ([truth(), truth(x=300)], NEAR, 1, 1, 0),
    ],
)
def test_the_ball_rule_counts_found_missed_and_false(truths, ball, found, missed, false):
    score = BallScore()
    score.add(truths, ball)
    assert (score.found, score.missed, score.false) == (found, missed, false)


def test_the_error_is_the_distance_to_the_visible_centroid():
    score = BallScore()
    score.add([BallTruth(100, 50, 10, 0.6, 103, 54)], NEAR)
    assert score.errors == [5.0]
    assert score.error_percentile(50) == 5.0


def test_precision_recall_and_f1_equal_hand_computed_values():
    score = BallScore(found=6, missed=2, false=1)
    assert score.precision == pytest.approx(6 / 7)
    assert score.recall == pytest.approx(6 / 8)
    assert score.f1 == pytest.approx(12 / 15)
    assert math.isnan(BallScore().f1)


def test_with_every_prediction_counted_a_ball_is_found_once():
    far, small = truth(x=300), truth(x=200, radius=2)
    seen = [NEAR, Ball(101, 50, 10, 0.8), Ball(302, 50, 10, 0.7), Ball(201, 50, 3, 0.6), Ball(500, 50, 7, 0.5)]
    score = BallScore()
    score.add_every([truth(), far, small, truth(x=600)], seen)
    # Found: at 100 and 300. False: the second one at 100, and the one at 500. Missed: at 600. Not counted: at 201.
    assert (score.found, score.missed, score.false) == (2, 1, 2)
    assert score.errors == [math.hypot(NEAR.x - 100, NEAR.y - 50), 2.0]
    assert (score.found_radii, score.missed_radii, score.false_radii) == ([10, 10], [10], [10, 7])
    both = BallScore()
    both.add_every([far], [])
    both.merge(score)
    assert (both.found, both.missed, both.false, both.missed_radii) == (2, 2, 2, [10, 10])


@given(st.lists(st.sampled_from([100.0, 200.0, 300.0]), unique=True), st.sampled_from([100.0, 300.0, 400.0, None]))
def test_both_ways_of_counting_agree_for_a_single_prediction(places, seen):
    truths, ball = [truth(x=x) for x in places], None if seen is None else Ball(seen, 50, 10, 0.9)
    best, every = BallScore(), BallScore()
    best.add(truths, ball)
    every.add_every(truths, [] if ball is None else [ball])
    assert best == every
