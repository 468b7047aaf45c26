"""How well the borders of a class lie: the boundary F-score, which a thin line's IoU hides.

After G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013,
section 3: precision is the share of predicted boundary pixels that lie within a tolerance of a true one, recall the
other way round, F their harmonic mean. There per image and averaged; here the pixels of all images are counted
together, so that images without the class need no rule of their own.
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
"""Label pixels: the eight neighbours count as near. Six pixels at full size, .75 % of the diagonal of 640x480."""

FULL_SIZE_TOLERANCE = TOLERANCE * STRIDE

COUNTS = 4
"""Numbers per class: predicted boundary pixels near a true one, all predicted, true near a predicted, all true."""


def boundary_counts(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], label_id: int, tolerance: float
) -> NDArray[np.int64]:
    """Counts the boundary pixels of one class in one image.

    A boundary pixel is of the class and has one of its four neighbours outside of it; the image's border makes none,
    nor does ignored truth, in which no boundary counts.

    Args:
        truth: (H, W) uint8 ids, 255 = ignore. prediction: (H, W) uint8 ids. tolerance: pixels of these, Euclidean.

    Returns:
        (4,) int64: predicted ones near a true one, all predicted, true ones near a predicted one, all true.
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
    """F-score of (..., 4) summed counts; NaN where neither side has a boundary, 0 where only one has."""
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
    """Pixels whose centre lies within the tolerance of a boundary pixel's."""
    # Up to some ten pixels a disc is several times faster than a distance transform, and exact.
    return np.asarray(cv2.dilate(boundary.view(np.uint8), _disc(tolerance))).view(np.bool_)


@lru_cache(maxsize=8)
def _disc(radius: float) -> NDArray[np.uint8]:
    reach = math.floor(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
