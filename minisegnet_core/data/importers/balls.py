"""Balls as truth, from what other formats tell of them."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth

SMALLEST = 12
"""Pixels of the smallest blob that is taken for a ball."""


def balls_of_labels(labels: NDArray[np.uint8], ball_id: int | None) -> tuple[BallTruth, ...] | None:
    """A ball for each connected blob of the ball's id: its centroid, and the radius of the circle of its area.

    Labels do not tell what is hidden, so every ball counts as wholly visible; a hidden part makes it smaller.

    Args:
        labels: (H, W) uint8 ids.
        ball_id: None where there is no such class; then nothing is known of balls.
    """
    if ball_id is None:
        return None
    count, _, stats, centroids = cv2.connectedComponentsWithStats((labels == ball_id).astype(np.uint8), connectivity=8)
    balls = []
    for blob in range(1, count):
        area = int(stats[blob, cv2.CC_STAT_AREA])
        if area >= SMALLEST:
            x, y = (float(value) for value in centroids[blob])
            balls.append(BallTruth(x, y, math.sqrt(area / math.pi), 1.0, x, y))
    return tuple(balls)
