"""The boundary F-score against cases computed by hand and distances by brute force."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from minisegnet_core.evaluation.scoring.boundary import boundary_counts, boundary_f
from support.scores import random_labels


def test_counts_equal_those_computed_by_hand():
    truth = np.zeros((7, 9), np.uint8)
    truth[3, 1:8] = 2  # a line one pixel wide: all seven pixels are boundary
    shifted = np.roll(truth, 1, axis=0)
    far = np.roll(truth, 3, axis=0)
    assert boundary_counts(truth, truth, 2, 1.5).tolist() == [7, 7, 7, 7]
    assert boundary_counts(truth, shifted, 2, 1.5).tolist() == [7, 7, 7, 7]
    assert boundary_counts(truth, shifted, 2, 0.5).tolist() == [0, 7, 0, 7]
    assert boundary_counts(truth, far, 2, 2.0).tolist() == [0, 7, 0, 7]
    half = truth.copy()
    half[3, 4:] = 0  # columns 1 to 3 remain; true column 4 is next to column 3
    assert boundary_counts(truth, half, 2, 1.0).tolist() == [3, 3, 4, 7]
    assert float(boundary_f(np.array([3, 3, 4, 7]))) == pytest.approx(2 * 1 * (4 / 7) / (1 + 4 / 7))
    ignored = truth.copy()
    ignored[3, 1:4] = 255
    assert boundary_counts(ignored, truth, 2, 1.5).tolist() == [4, 4, 4, 4], 'ignored pixels are not counted'


def test_counts_equal_distances_by_brute_force():
    truth, predicted = (cv2.medianBlur(random_labels(s, (40, 50), (0, 2)), 5) for s in (5, 6))

    def boundary(mask):
        padded = np.pad(mask, 1, mode='edge')
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return np.argwhere(mask & ~inner).astype(float)

    true, guess = boundary(truth == 2), boundary(predicted == 2)
    distances = np.linalg.norm(true[:, None] - guess[None], axis=2)
    for tolerance in (1.0, 1.5, 3.0, 6.0):
        expected = [(distances.min(0) <= tolerance).sum(), len(guess), (distances.min(1) <= tolerance).sum(), len(true)]
        assert boundary_counts(truth, predicted, 2, tolerance).tolist() == expected


def test_f_score_is_zero_for_one_side_only_and_undefined_for_none():
    assert float(boundary_f(np.array([0, 5, 0, 0]))) == 0
    assert float(boundary_f(np.array([0, 0, 0, 5]))) == 0
    assert float(boundary_f(np.array([0, 5, 0, 5]))) == 0
    assert math.isnan(float(boundary_f(np.array([0, 0, 0, 0]))))
