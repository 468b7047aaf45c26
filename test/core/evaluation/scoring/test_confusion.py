"""Figures of the confusion matrix against scikit-learn, torchmetrics and a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.metrics import ConfusionMatrix
from support.scores import random_labels


@pytest.mark.parametrize('ids', [(0, 1, 2, 3, 255), (0, 3), (0, 2, 3, 255)])
def test_every_figure_equals_scikit_learns(ids):
    metrics = pytest.importorskip('sklearn.metrics')
    truth, predicted = random_labels(1, ids=ids), random_labels(2, ids=[i for i in ids if i != 255])
    matrix = ConfusionMatrix(4)
    matrix.add(truth, predicted)
    valid = truth != 255
    true, guess = truth[valid], predicted[valid]
    present = [c for c in range(4) if (true == c).any() or (guess == c).any()]
    np.testing.assert_array_equal(matrix.counts, metrics.confusion_matrix(true, guess, labels=range(4)))
    np.testing.assert_allclose(
        matrix.iou()[present], metrics.jaccard_score(true, guess, labels=present, average=None), atol=1e-9, rtol=0
    )
    expected = metrics.precision_recall_fscore_support(true, guess, labels=present, zero_division=np.nan)
    for found, reference in zip((matrix.precision(), matrix.recall(), matrix.f1()), expected, strict=False):
        np.testing.assert_allclose(found[present], reference, atol=1e-9, rtol=0)
    absent = [c for c in range(4) if c not in present]
    assert np.isnan(matrix.f1()[absent]).all(), 'a class on neither side has no figure and is in no mean'
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
def test_counts_equal_a_loop_over_pixels_for_any_number_of_classes(classes, seed):
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, 50).astype(np.uint8)
    predicted = random.integers(0, classes, 50).astype(np.uint8)
    truth[random.random(50) < 0.2] = 255
    matrix = ConfusionMatrix(classes)
    matrix.add(truth, predicted)
    expected = np.zeros((classes, classes), int)
    for true, guess in zip(truth.tolist(), predicted.tolist(), strict=True):
        if true != 255:
            expected[true, guess] += 1
    np.testing.assert_array_equal(matrix.counts, expected)
