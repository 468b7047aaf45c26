"""Comparison of two segmenters, with results computed by hand."""

import numpy as np

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.inference.agreement import compare
from minisegnet_core.inference.segmenter import Segmentation


class ConstantRunner:
    """Return one label in the left half of every image, another in the right half, and a ball."""

    classes = SOCCER

    def __init__(self, left, right, ball):
        self.labels = np.full((2, 4), left, np.uint8)
        self.labels[:, 2:] = right
        self.balls = (Ball(*ball, 2.0, 0.9),) if ball else ()

    def run(self, image):
        return Segmentation(self.labels, self.balls, (16, 8), 0.0)


def test_labels_iou_and_ball_shift_are_those_computed_by_hand():
    truth = np.zeros((8, 16), np.uint8)
    truth[:, 8:] = 3
    image = np.zeros((8, 16, 3), np.uint8)
    # The candidate predicts only background, so its IoU is 4/8 and 0/4; the reference is correct.
    reference, candidate = ConstantRunner(0, 3, (10.0, 5.0)), ConstantRunner(0, 0, (13.0, 1.0))
    result = compare(reference, candidate, [(image, truth)])
    assert result.label_agreement == 0.5
    assert (result.reference_mean_iou, result.mean_iou, result.drop) == (1.0, 0.25, 0.75)
    assert (result.ball_shift, result.balls, result.images) == (5.0, 1, 1)


def test_figures_without_ground_truth_or_common_balls_are_undefined():
    image = np.zeros((8, 16, 3), np.uint8)
    result = compare(ConstantRunner(0, 3, None), ConstantRunner(0, 3, (1.0, 1.0)), [(image, None)])
    assert np.isnan([result.drop, result.ball_shift]).all()
