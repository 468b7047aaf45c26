"""Scores of single frames."""

from __future__ import annotations

import numpy as np

from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from support.scores import frame_score


def test_a_frame_is_counted_on_the_label_grid_and_at_full_size():
    truth = np.zeros((16, 16), np.uint8)
    truth[:8] = 3
    predicted = np.zeros((4, 4), np.uint8)
    predicted[:1] = 3
    score = frame_score(truth, predicted)
    assert score.confusion[3].tolist() == [4, 0, 0, 4]
    assert score.confusion_full[3].tolist() == [64, 0, 0, 64]
    assert score.fractions.tolist() == [0.75, 0, 0, 0.25]
    np.testing.assert_array_equal(score.label_image(), predicted)
    on_grid = frame_score(np.zeros((4, 4), np.uint8), predicted)
    assert on_grid.confusion.sum() == 16 and on_grid.confusion_full is None


def test_predictions_of_absent_classes_are_replaced_before_scoring():
    truth = np.full((4, 4), 3, np.uint8)
    predicted = np.full((4, 4), 1, np.uint8)
    score = frame_score(truth, predicted, absent={1: 3})
    assert score.confusion[3, 3] == 16
    evaluation = Evaluation(SOCCER, [score], absent=(1,))
    assert evaluation.confusion().mean_iou(evaluation.absent) == 1.0
