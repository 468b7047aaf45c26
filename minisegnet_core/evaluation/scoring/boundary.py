"""Boundary F-score: how accurate the borders of a class are. The IoU of thin lines does not show this.

After G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013,
section 3: precision is the fraction of predicted boundary pixels within a tolerance of a true one, recall the fraction
of true boundary pixels within the tolerance of a predicted one, and F their harmonic mean. The paper averages over
images. Here the pixels of all images are counted together, so that images without the class need no special rule.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import IGNORE
from minisegnet_core.geometry import STRIDE
from minisegnet_core.metrics import ratios

TOLERANCE = 1.5
"""Label pixels; the eight neighbours are within it. It is 6 pixels at full size, 0.75 % of the diagonal of 640x480."""

FULL_SIZE_TOLERANCE = TOLERANCE * STRIDE

COUNTS = 4
"""Length of the counts that :func:`boundary_counts` returns."""


def boundary_counts(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], label_id: int, tolerance: float
) -> NDArray[np.int64]:
    """Count the boundary pixels of one class in one image.

    A boundary pixel belongs to the class and has at least one of its four neighbours outside the class. The border of
    the image and ignored pixels create no boundary, and no boundary is counted inside ignored pixels.

    Args:
        truth: (H, W) uint8 ids, 255 = ignore.
        prediction: (H, W) uint8 ids.
        label_id: the class.
        tolerance: Euclidean distance in pixels of these images.

    Returns:
        (4,) int64: predicted pixels near a true one, all predicted, true pixels near a predicted one, all true.
    """
    ignored = truth == IGNORE
    true, predicted = (_boundary(labels == label_id, ignored) for labels in (truth, prediction))
    all_predicted, all_true = int(np.count_nonzero(predicted)), int(np.count_nonzero(true))
    if not all_predicted or not all_true:
        return np.array([0, all_predicted, 0, all_true], np.int64)
    near_true, near_predicted = _near(true, tolerance), _near(predicted, tolerance)
    return np.array(
        [np.count_nonzero(predicted & near_true), all_predicted, np.count_nonzero(true & near_predicted), all_true],
        np.int64,
    )


def boundary_f(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the F-score of (..., 4) summed counts; NaN if neither side has a boundary, 0 if only one has."""
    precision = ratios(counts[..., 0], counts[..., 1])
    recall = ratios(counts[..., 2], counts[..., 3])
    one_sided = np.isnan(precision) != np.isnan(recall)
    total = precision + recall
    score = np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), total)
    return np.where(one_sided, 0.0, score)


_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def _boundary(mask: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner: NDArray[np.bool_] = np.asarray(cv2.erode((mask | ignored).view(np.uint8), _CROSS)).view(np.bool_)
    return mask & ~inner & ~ignored


def _near(boundary: NDArray[np.bool_], tolerance: float) -> NDArray[np.bool_]:
    """Return the pixels whose centre is within the tolerance of the centre of a boundary pixel."""
    # For radii up to about ten pixels, dilation by a disc is exact and several times faster than a distance transform.
    return np.asarray(cv2.dilate(boundary.view(np.uint8), _disc(tolerance))).view(np.bool_)


@lru_cache(maxsize=8)
def _disc(radius: float) -> NDArray[np.uint8]:
    reach = math.floor(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
