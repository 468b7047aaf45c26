"""Balls: their truth, their estimate from a probability map, in received pixels.

Estimation: connected blobs of label pixels where the ball's probability reaches a threshold; the blob's centroid is
weighted by probability over the blob and its one-pixel rim, so that it is finer than the label grid. A ball is round,
sure all over and more than a speck; telephones, lamps and pieces of lines or robots that pass for balls mostly are not.
What is judged to be none need not stay ball in the label image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.geometry import STRIDE, label_to_image

DOUBTED_AREA = 2.0
"""Label pixels of a blob whose confidence is halved for its size: specks are mostly no balls, however round."""

MINIMUM_CONFIDENCE = 0.5
"""Confidence below which a blob is no ball, where nothing else is asked for."""

RIM = np.ones((3, 3), np.uint8)
"""Neighbours of a label pixel, itself among them."""


@dataclass(frozen=True)
class Ball:
    """A ball seen in an image.

    x, y: probability-weighted centroid, pixels of the received image; radius: of the circle of the same area, in
    received pixels; confidence: the blob's highest probability times its roundness times a / (a + 2) of its area a
    in label pixels, 0..1.
    """

    x: float
    y: float
    radius: float
    confidence: float

    def scaled(self, scale_x: float, scale_y: float | None = None) -> Ball:
        """The same ball in an image resized by these factors (received over network size), pixel centres at
        integers.
        """
        scale_y = scale_x if scale_y is None else scale_y
        return Ball(
            (self.x + 0.5) * scale_x - 0.5,
            (self.y + 0.5) * scale_y - 0.5,
            self.radius * math.sqrt(scale_x * scale_y),
            self.confidence,
        )


@dataclass(frozen=True)
class BallTruth:
    """A ball as it truly is.

    x, y, radius: the whole ball's projected outline, pixels of the image; visible: unoccluded share of the outline's
    area inside the image's unbounded plane, 0..1; visible_x, visible_y: centroid of the visible part.
    """

    x: float
    y: float
    radius: float
    visible: float
    visible_x: float
    visible_y: float


def find_balls(
    probability: NDArray[np.float32],
    *,
    threshold: float = 0.5,
    minimum_confidence: float = MINIMUM_CONFIDENCE,
    most: int = 5,
    blobs: NDArray[np.bool_] | None = None,
) -> tuple[Ball, ...]:
    """Finds balls in a ball-probability map.

    Args:
        probability: (h, w) float32, 0..1, on the label grid.
        threshold: probability from which a label pixel can belong to a blob, 0..1.
        minimum_confidence: what is less is no ball, 0..1. Of a blob's confidence, the area is the sum of its and its
            rim's probabilities, and the roundness this area over that of a disc with the same mean square distance from
            the centroid: 1 is a disc with sharp edges, a half disc has .78, a line of 1x10 .19; what is spread out at
            low probabilities has little, too.
        most: number of balls returned at most.
        blobs: (h, w) bool in which the label pixels of every ball are set, of those beyond ``most`` too.

    Returns:
        Balls in received pixels, the one of the highest confidence first.
    """
    mask = (probability >= threshold).view(np.uint8)
    # Blobs are sought only where the mask is not empty: usually a few pixels.
    first_x, first_y, columns, rows = cv2.boundingRect(mask)
    if not columns:
        return ()
    part = np.s_[first_y : first_y + rows, first_x : first_x + columns]
    count, inside, stats, _ = cv2.connectedComponentsWithStats(mask[part], connectivity=8)
    found: list[Ball] = []
    for index in range(1, count):
        left, top, width, height = stats[index, :4].tolist()
        area = np.s_[top : top + height, left : left + width]
        left, top = left + first_x, top + first_y
        # One label pixel of rim holds the partial coverage that makes the centroid finer than the grid.
        x0, y0 = max(left - 1, 0), max(top - 1, 0)
        window = np.s_[y0 : top + height + 1, x0 : left + width + 1]
        near = probability[window]
        most_area = float(near.sum())
        if most_area < minimum_confidence * (most_area + DOUBTED_AREA):
            continue  # a speck, whatever its shape: soon seen, since noise has many
        blob = np.zeros(near.shape, np.uint8)
        blob[top - y0 : top - y0 + height, left - x0 : left - x0 + width] = inside[area] == index
        rim = cv2.dilate(blob, RIM) > mask[window]  # beside the blob, and of no other one
        weights = np.where(blob.view(bool) | rim, near, 0).astype(np.float64)
        along_x, along_y = weights.sum(0), weights.sum(1)
        total = float(along_x.sum())
        x, y = float(along_x @ np.arange(along_x.size)) / total, float(along_y @ np.arange(along_y.size)) / total
        spread = float(
            along_x @ np.square(np.arange(along_x.size) - x) + along_y @ np.square(np.arange(along_y.size) - y)
        )
        roundness = min(1.0, total * total / (2 * math.pi * max(spread, 1e-6)))
        confidence = float(near[blob.view(bool)].max()) * roundness * total / (total + DOUBTED_AREA)
        if confidence < minimum_confidence:
            continue
        if blobs is not None:
            blobs[window] |= blob.view(bool)
        radius = STRIDE * math.sqrt(total / math.pi)
        found.append(Ball(label_to_image(x0 + x), label_to_image(y0 + y), radius, confidence))
    found.sort(key=lambda ball: -ball.confidence)
    return tuple(found[:most])


def relabel_stray_balls(
    labels: NDArray[np.uint8], probabilities: NDArray[np.float32], ball_id: int, blobs: NDArray[np.bool_]
) -> None:
    """Gives connected regions of ball labels in which no ball was found the class that is most probable but for ball.

    So that the label image and the balls agree: a telephone that is too angular to be a ball is none in either.

    Args:
        labels: (h, w) uint8 class ids, changed in place.
        probabilities: (C, h, w) float32.
        ball_id: the ball's class id.
        blobs: (h, w) bool, the label pixels of the balls that were found, by :func:`find_balls`.
    """
    mask = (labels == ball_id).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = np.s_[top : top + height, left : left + width]
    count, regions = cv2.connectedComponents(mask[part], connectivity=8)
    stray = np.ones(count, bool)
    stray[regions[blobs[part]]] = False
    stray[0] = False  # what is no ball label
    ys, xs = np.nonzero(stray[regions])
    if ys.size:
        others = probabilities[:, top + ys, left + xs]  # (C, stray pixels), a copy
        others[ball_id] = -1
        labels[top + ys, left + xs] = others.argmax(0)
