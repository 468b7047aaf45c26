"""Figures of the evaluation against scikit-learn, torchmetrics and cases computed by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.report.values import report_values
from minisegnet_core.evaluation.scoring.boundary import boundary_counts, boundary_f
from minisegnet_core.evaluation.scoring.evaluator import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, TruthFrame, clean_labels, score_frame
from minisegnet_core.evaluation.scoring.tracking import class_shares, sequences_of
from minisegnet_core.evaluation.statistics.bootstrap import Units, differences, figures, intervals
from minisegnet_core.metrics import BallScore, ConfusionMatrix, match_ball


def frame_score(truth, prediction, index=0, ball=None, balls=None, group=None, source='s', absent=None, latency=None):
    """A frame whose image is four times its label grid's size."""
    height, width = prediction.shape
    frame = TruthFrame(
        index, f'{index}', np.zeros((4 * height, 4 * width, 3), np.uint8), group=group, labels=truth, balls=balls
    )
    return score_frame(source, frame, Prediction(prediction, ball, latency), SOCCER, absent or {})


def random_labels(seed: int, shape=(24, 32), ids=(0, 1, 2, 3, 255)):
    return np.random.default_rng(seed).choice(np.array(ids, np.uint8), shape)


@pytest.mark.parametrize('ids', [(0, 1, 2, 3, 255), (0, 3), (0, 2, 3, 255)])
def test_every_class_figure_equals_scikit_learn(ids):
    metrics = pytest.importorskip('sklearn.metrics')
    truth, predicted = random_labels(1, ids=ids), random_labels(2, ids=[i for i in ids if i != 255])
    matrix = ConfusionMatrix(4)
    matrix.add(truth, predicted)
    valid = truth != 255
    true, said = truth[valid], predicted[valid]
    present = [c for c in range(4) if (true == c).any() or (said == c).any()]
    np.testing.assert_array_equal(matrix.counts, metrics.confusion_matrix(true, said, labels=range(4)))
    np.testing.assert_allclose(
        matrix.iou()[present], metrics.jaccard_score(true, said, labels=present, average=None), atol=1e-9, rtol=0
    )
    expected = metrics.precision_recall_fscore_support(true, said, labels=present, zero_division=np.nan)
    for found, reference in zip((matrix.precision(), matrix.recall(), matrix.f1()), expected, strict=False):
        np.testing.assert_allclose(found[present], reference, atol=1e-9, rtol=0)
    absent = [c for c in range(4) if c not in present]
    assert np.isnan(matrix.f1()[absent]).all(), 'a class that nobody names has no figure, and is in no mean'
    assert matrix.mean_iou() == pytest.approx(matrix.iou()[present].mean(), abs=1e-12)


@pytest.mark.slow
def test_iou_equals_torchmetrics():
    torch = pytest.importorskip('torch')
    segmentation = pytest.importorskip('torchmetrics.classification')
    truth, predicted = random_labels(3), random_labels(4, ids=(0, 1, 2, 3))
    metric = segmentation.MulticlassJaccardIndex(4, average=None, ignore_index=255)
    reference = metric(torch.from_numpy(predicted).long(), torch.from_numpy(truth).long()).double().numpy()
    matrix = ConfusionMatrix(4)
    matrix.add(truth, predicted)
    np.testing.assert_allclose(matrix.iou(), reference, atol=1e-7, rtol=0)  # torchmetrics counts in single precision


@given(st.integers(2, 20), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_confusion_of_any_number_of_classes(classes, seed):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, 50).astype(np.uint8)
    predicted = random.integers(0, classes, 50).astype(np.uint8)
    truth[random.random(50) < 0.2] = 255
    matrix = ConfusionMatrix(classes)
    matrix.add(truth, predicted)
    expected = np.zeros((classes, classes), int)
    for true, said in zip(truth.tolist(), predicted.tolist(), strict=True):
        if true != 255:
            expected[true, said] += 1
    np.testing.assert_array_equal(matrix.counts, expected)


def test_boundary_by_hand():
    truth = np.zeros((7, 9), np.uint8)
    truth[3, 1:8] = 2  # a line of one pixel: all seven are boundary
    shifted = np.roll(truth, 1, axis=0)
    far = np.roll(truth, 3, axis=0)
    assert boundary_counts(truth, truth, 2, 1.5).tolist() == [7, 7, 7, 7]
    assert boundary_counts(truth, shifted, 2, 1.5).tolist() == [7, 7, 7, 7]
    assert boundary_counts(truth, shifted, 2, 0.5).tolist() == [0, 7, 0, 7]
    assert boundary_counts(truth, far, 2, 2.0).tolist() == [0, 7, 0, 7]
    half = truth.copy()
    half[3, 4:] = 0  # columns 1..3 are left; true column 4 is beside column 3
    assert boundary_counts(truth, half, 2, 1.0).tolist() == [3, 3, 4, 7]
    assert float(boundary_f(np.array([3, 3, 4, 7]))) == pytest.approx(2 * 1 * (4 / 7) / (1 + 4 / 7))
    ignored = truth.copy()
    ignored[3, 1:4] = 255
    assert boundary_counts(ignored, truth, 2, 1.5).tolist() == [4, 4, 4, 4], 'nothing in ignored truth counts'


def test_boundary_equals_distances_by_brute_force():
    truth, predicted = (cv2.medianBlur(random_labels(s, (40, 50), (0, 2)), 5) for s in (5, 6))

    def boundary(mask):
        padded = np.pad(mask, 1, mode='edge')
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return np.argwhere(mask & ~inner).astype(float)

    true, said = boundary(truth == 2), boundary(predicted == 2)
    distances = np.linalg.norm(true[:, None] - said[None], axis=2)
    for tolerance in (1.0, 1.5, 3.0, 6.0):
        expected = [(distances.min(0) <= tolerance).sum(), len(said), (distances.min(1) <= tolerance).sum(), len(true)]
        assert boundary_counts(truth, predicted, 2, tolerance).tolist() == expected


def test_boundary_of_one_side_only_is_zero_and_of_none_undefined():
    assert float(boundary_f(np.array([0, 5, 0, 0]))) == 0
    assert float(boundary_f(np.array([0, 0, 0, 5]))) == 0
    assert float(boundary_f(np.array([0, 5, 0, 5]))) == 0
    assert math.isnan(float(boundary_f(np.array([0, 0, 0, 0]))))


def test_frame_is_counted_on_both_grids():
    truth = np.zeros((16, 16), np.uint8)
    truth[:8] = 3
    predicted = np.zeros((4, 4), np.uint8)
    predicted[:1] = 3
    score = frame_score(truth, predicted)
    assert score.confusion[3].tolist() == [4, 0, 0, 4]
    assert score.confusion_full[3].tolist() == [64, 0, 0, 64]
    assert score.shares.tolist() == [0.75, 0, 0, 0.25]
    np.testing.assert_array_equal(score.label_image(), predicted)
    on_grid = frame_score(np.zeros((4, 4), np.uint8), predicted)
    assert on_grid.confusion.sum() == 16 and on_grid.confusion_full is None


def test_absent_classes_are_mapped_before_scoring():
    truth = np.full((4, 4), 3, np.uint8)
    predicted = np.full((4, 4), 1, np.uint8)
    score = frame_score(truth, predicted, absent={1: 3})
    assert score.confusion[3, 3] == 16
    evaluation = Evaluation(SOCCER, [score], absent=(1,))
    assert evaluation.confusion().mean_iou(evaluation.absent) == 1.0


def test_stray_ids_and_sizes_are_told():
    labels = np.array([[0, 7, 255], [4, 4, 3]], np.uint8)
    usable, stray = clean_labels(labels, (3, 2), 4)
    assert stray == {4: 2, 7: 1}
    assert usable.tolist() == [[0, 255, 255], [255, 255, 3]]
    assert clean_labels(labels, (12, 8), 4)[0] is not None, 'truth may stand on the label grid'
    assert clean_labels(labels, (6, 4), 4) == (None, {})


def ball(x, radius=10.0, confidence=1.0):
    return Ball(x, 50, radius, confidence)


def truth_ball(x, radius=10.0):
    return BallTruth(x, 50, radius, 1, x, 50)


def test_ball_errors_in_radii_and_by_size():
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


def test_match_says_which_ball_was_found():
    near, far = truth_ball(100), truth_ball(300)
    match = match_ball([far, near], ball(104))
    assert match.hit is near and match.missed == (far,) and match.distance == 4 and not match.false


def test_curve_over_confidence_by_hand():
    labels = np.zeros((4, 4), np.uint8)
    scores = [
        frame_score(None, labels, 0, ball(100, confidence=0.9), (truth_ball(100),)),
        frame_score(None, labels, 1, ball(300, confidence=0.7), (truth_ball(100),)),
        frame_score(None, labels, 2, ball(101, confidence=0.6), (truth_ball(100),)),
    ]
    curve = Evaluation(SOCCER, scores).ball_curve()
    assert curve == [(0.6, 2 / 3, 2 / 3), (0.7, 1 / 2, 1 / 3), (0.9, 1.0, 1 / 3)]


def many_frames(seed: int, wrong: float, count=30):
    """Frames whose truth depends on the number only; of a share ``wrong`` of label pixels the class is another."""
    scores = []
    for index in range(count):
        truth = random_labels(index, (8, 8), (0, 2, 3))
        random = np.random.default_rng([seed, index])
        predicted = np.where(random.random((8, 8)) < wrong, 3 - truth, truth).astype(np.uint8)
        scores.append(frame_score(truth, predicted, index, group=f'{index // 3}'))
    return Evaluation(SOCCER, scores)


def test_figures_of_a_draw_equal_the_evaluation_of_those_frames():
    evaluation = many_frames(0, 0.3, 6)
    units = Units.of(evaluation.scores, 'image')
    drawn = figures(evaluation, units, np.array([[2, 0, 1, 1, 0, 2]]))
    chosen = [evaluation.scores[i] for i in (0, 0, 2, 3, 5, 5)]
    again = Evaluation(SOCCER, chosen)
    assert drawn['mean_iou'][0] == pytest.approx(again.confusion().mean_iou(), abs=1e-12)
    assert drawn['mean_iou_without_background'][0] == pytest.approx(again.confusion().mean_iou([0]), abs=1e-12)
    assert drawn['boundary_f.line'][0] == pytest.approx(again.lines(), abs=1e-12)


def test_intervals_hold_the_value_and_groups_widen_what_is_alike():
    evaluation = many_frames(0, 0.3)
    units, found = intervals(evaluation)
    assert (units.kind, units.count) == ('group', 10)
    interval = found['mean_iou']
    assert interval.low < interval.value < interval.high
    assert intervals(evaluation)[1] == found, 'the same seed, the same interval'
    copies = Evaluation(SOCCER, [s for s in many_frames(0, 0.3, 8).scores for _ in range(8)])
    groups = [FrameScore(**{**vars(s), 'group': s.name}) for s in copies.scores]
    alike = intervals(Evaluation(SOCCER, groups), 'group')[1]['mean_iou']
    alone = intervals(copies, 'image')[1]['mean_iou']
    assert alike.high - alike.low > 1.5 * (alone.high - alone.low)


def test_bootstrap_error_of_a_share_is_the_binomial_one():
    """Recall of n balls each found or not: its standard error is sqrt(p (1 - p) / n)."""
    labels = np.zeros((4, 4), np.uint8)
    scores = [frame_score(None, labels, i, ball(100) if i % 4 else None, (truth_ball(100),)) for i in range(200)]
    interval = intervals(Evaluation(SOCCER, scores))[1]['ball.recall']
    assert interval.value == 0.75
    assert interval.error == pytest.approx(math.sqrt(0.75 * 0.25 / 200), rel=0.1)


def test_the_most_that_one_prediction_a_frame_can_find():
    """Three balls in two frames: whoever finds one in each has recall 2/3, precision 1, so F1 .8; here one is found."""
    labels = np.zeros((4, 4), np.uint8)
    two, one = (truth_ball(100), truth_ball(300)), (truth_ball(100),)
    frames = [(ball(100), two), (None, one), (None, ())]
    evaluation = Evaluation(SOCCER, [frame_score(None, labels, i, b, t) for i, (b, t) in enumerate(frames)])
    assert (evaluation.frames_with_a_ball, evaluation.frames_with_ball_truth) == (2, 3)
    values = report_values(evaluation, {}, '')['ball']
    assert (values['frames_with_ball'], values['f1_at_most']) == (2, 0.8)
    assert (values['found'], values['missed'], values['f1']) == (1, 2, 0.5)
    assert values['every'] is None  # nobody told of others


def test_every_predicted_ball_is_reported_beside_the_best():
    labels, two = np.zeros((4, 4), np.uint8), (truth_ball(100), truth_ball(300))
    frame = TruthFrame(0, '0', np.zeros((16, 16, 3), np.uint8), balls=two)
    seen = (ball(100), ball(300), ball(500))
    scores = [score_frame('s', frame, Prediction(labels, seen[0], None, seen), SOCCER, {}) for _ in range(2)]
    values = report_values(Evaluation(SOCCER, scores), {}, '')['ball']
    assert (values['found'], values['missed'], values['false']) == (2, 2, 0)
    assert [values['every'][key] for key in ('found', 'missed', 'false', 'f1')] == [4, 0, 2, 0.8]


def test_a_better_model_is_told_from_an_equal_one():
    worse, better = many_frames(0, 0.3), many_frames(0, 0.2)
    interval = differences(worse, better)[1]['mean_iou']
    assert 0 < interval.low < interval.value < interval.high
    same = differences(worse, worse)[1]['mean_iou']
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_flicker_and_track_by_hand():
    first, other = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    other[0, :] = 3
    ball_at = [ball(100), ball(104), None, ball(110), ball(300), None]
    labels = [first, other, first, first, other, other]
    scores = [frame_score(None, image, i, b) for i, (image, b) in enumerate(zip(labels, ball_at, strict=True))]
    found = sequences_of(scores)
    assert found.changed == [0.25, 0.25, 0, 0.25, 0]
    assert found.flicker == [0.25, 0, 0, 0], 'only what changes and changes back'
    assert (found.frames, found.seen, found.tracks, found.longest_track) == (6, 4, 2, 2)
    assert (found.blinks, found.jumps, found.steps) == (1, ['4'], [4.0, 190.0])
    assert class_shares(scores).tolist() == [1 - 0.125, 0, 0, 0.125]


def test_a_frame_without_an_answer_parts_the_sequence():
    labels = np.zeros((4, 4), np.uint8)
    frame = TruthFrame(1, '1', np.zeros((16, 16, 3), np.uint8), labels=np.zeros((16, 16), np.uint8), balls=())
    dropped = score_frame('s', frame, None, SOCCER, {})
    found = sequences_of([frame_score(None, labels, 0), dropped, frame_score(None, labels + 3, 2)])
    assert found.changed == [] and not dropped.answered
    evaluation = Evaluation(SOCCER, [dropped])
    assert (evaluation.dropped, evaluation.frames_with_labels(), evaluation.frames_with_ball_truth) == (1, 0, 0)
