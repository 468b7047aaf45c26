"""Images of a kept frame for the report: image, ground truth, prediction, and their difference."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, IGNORE_COLOR, ClassSet
from minisegnet_core.evaluation.scoring.worst import KeptFrame
from minisegnet_core.imaging import decode_png
from minisegnet_core.visualization import colorize, draw_overlay, enlarge_labels

Image = NDArray[np.uint8]

WRONG, CORRECT = (230, 30, 60), (60, 60, 60)
"""RGB of pixels in the difference."""


def panels(kept: KeptFrame, classes: ClassSet, max_width: int) -> dict[str, Image]:
    """Return the images of a kept frame by title: image, ground truth, prediction, difference, as far as known.

    Each is (H, W, 3) uint8 RGB, at most ``max_width`` pixels wide.
    """
    image = decode_png(kept.image)
    labels = kept.score.label_image()
    assert labels is not None, 'only answered frames are kept'
    balls = () if kept.score.ball is None else (kept.score.ball,)
    images = {'image': image}
    truth = None if kept.truth is None else decode_png(kept.truth)
    height, width = image.shape[:2]
    if truth is not None:
        full = truth if truth.shape == (height, width) else enlarge_labels(truth, width, height)
        images['ground truth'] = with_circles(colorize(full, classes), kept.balls or ())
    elif kept.balls is not None:
        images['ground truth'] = with_circles(image.copy(), kept.balls)
    images['prediction'] = draw_overlay(image, labels, classes, balls)
    if truth is not None:
        images['difference'] = difference(full, enlarge_labels(labels, width, height))
    scale = min(1.0, max_width / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return {
        title: np.asarray(cv2.resize(panel, size, interpolation=cv2.INTER_AREA), np.uint8)
        for title, panel in images.items()
    }


def with_circles(image: Image, balls: tuple[BallTruth, ...]) -> Image:
    """Draw circles around the ground-truth balls into the image and return it."""
    for ball in balls:
        center = round(ball.x * 16), round(ball.y * 16)
        cv2.circle(image, center, round(max(ball.radius, 3.0) * 16) + 32, (0, 200, 255), 2, cv2.LINE_AA, shift=4)
    return image


def difference(truth: Image, predicted: Image) -> Image:
    """Return (H, W, 3) RGB of two (H, W) label images: wrong pixels red, correct ones dark, ignored ones grey."""
    image: Image = np.where((truth == predicted)[..., None], np.array(CORRECT, np.uint8), np.array(WRONG, np.uint8))
    image[truth == IGNORE] = IGNORE_COLOR
    return image
