"""Balls in received pixels: ground truth, and detection in a probability map.

Detection groups label pixels whose ball probability reaches a threshold into connected blobs. The centroid of a blob is
weighted by probability over the blob and its one-pixel rim, which makes it finer than the label grid. The confidence is
high for blobs that are round, probable all over, and large. Telephones, lamps and pieces of lines or robots rarely are.
Ball labels outside the detected blobs can be relabelled, so that the label image agrees with the balls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.geometry import STRIDE, label_to_image

DOUBTED_AREA = 2.0
"""Area in label pixels of a blob whose confidence its size halves. Specks are rarely balls, however round they are."""

MINIMUM_CONFIDENCE = 0.5
"""Default confidence below which a blob is not reported as a ball."""

RIM = np.ones((3, 3), np.uint8)
"""The 3x3 neighbourhood of a label pixel."""


@dataclass(frozen=True)
class Ball:
    """A ball detected in an image.

    Attributes:
        x, y: probability-weighted centroid, in received pixels.
        radius: radius of the circle of the same area, in received pixels.
        confidence: the blob's highest probability times its roundness times a / (a + 2), where a is its area in label
            pixels; 0..1.
    """

    x: float
    y: float
    radius: float
    confidence: float

    def scaled(self, scale_x: float, scale_y: float | None = None) -> Ball:
        """Return the ball in an image resized by these factors, such as received size over network size."""
        scale_y = scale_x if scale_y is None else scale_y
        return Ball(
            (self.x + 0.5) * scale_x - 0.5,
            (self.y + 0.5) * scale_y - 0.5,
            self.radius * math.sqrt(scale_x * scale_y),
            self.confidence,
        )


@dataclass(frozen=True)
class BallTruth:
    """Ground truth of a ball.

    Attributes:
        x, y, radius: centre and radius of the whole ball's projected outline, in pixels of the image.
        visible: unoccluded fraction of the outline's area, 0..1; the image's border does not count as an occlusion.
        visible_x, visible_y: centroid of the visible part, in pixels of the image.
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
    max_balls: int = 5,
    blobs: NDArray[np.bool_] | None = None,
) -> tuple[Ball, ...]:
    """Find balls in a map of ball probabilities.

    A blob's area is the sum of the probabilities of its pixels and its rim's. Its roundness is this area over that of a
    disc with the same mean square distance from the centroid, at most 1. A disc with sharp edges has 1, half a disc
    0.78, a line of 1x10 pixels 0.19. Blobs of low probability, spread out, have a low roundness too.

    Args:
        probability: (h, w) float32, 0..1, on the label grid.
        threshold: probability from which a label pixel belongs to a blob, 0..1.
        minimum_confidence: confidence below which a blob is not a ball, 0..1; see :class:`Ball`.
        max_balls: maximum number of balls to return.
        blobs: (h, w) bool array or None; the label pixels of all balls are set in it, whatever ``max_balls`` is.

    Returns:
        Balls in received pixels, in descending order of confidence.
    """
    mask = (probability >= threshold).view(np.uint8)
    # Restrict the search to the bounding rectangle of the mask, which is usually small.
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
        largest_area = float(near.sum())
        if largest_area < minimum_confidence * (largest_area + DOUBTED_AREA):
            continue  # too small whatever its shape; noise has many specks, so reject them early
        blob = np.zeros(near.shape, np.uint8)
        blob[top - y0 : top - y0 + height, left - x0 : left - x0 + width] = inside[area] == index
        rim = cv2.dilate(blob, RIM) > mask[window]  # pixels beside this blob that belong to no blob
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
    return tuple(found[:max_balls])


def relabel_stray_balls(
    labels: NDArray[np.uint8], probabilities: NDArray[np.float32], ball_id: int, blobs: NDArray[np.bool_]
) -> None:
    """Relabel connected regions of ball labels that hold no detected ball with their most probable other class.

    The label image then agrees with the balls: a telephone that is too angular to be a ball has no ball labels.

    Args:
        labels: (h, w) uint8 class ids, changed in place.
        probabilities: (C, h, w) float32.
        ball_id: class id of the ball.
        blobs: (h, w) bool, the label pixels of the detected balls, as :func:`find_balls` sets them.
    """
    mask = (labels == ball_id).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = np.s_[top : top + height, left : left + width]
    count, regions = cv2.connectedComponents(mask[part], connectivity=8)
    stray = np.ones(count, bool)
    stray[regions[blobs[part]]] = False
    stray[0] = False  # the region outside the ball labels
    ys, xs = np.nonzero(stray[regions])
    if ys.size:
        others = probabilities[:, top + ys, left + xs]  # (C, stray pixels), a copy
        others[ball_id] = -1
        labels[top + ys, left + xs] = others.argmax(0)
