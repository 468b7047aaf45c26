"""Compare two ways of running a model on the same labelled images: labels, IoU and balls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.inference.segmenter import ImageSegmenter
from minisegnet_core.metrics import ConfusionMatrix

LabelledPair = tuple[NDArray[np.uint8], 'NDArray[np.uint8] | None']
"""Image, (H, W, 3) uint8 RGB, and its labels, (H, W) uint8 ids with 255 = ignore, or None without ground truth."""


@dataclass(frozen=True)
class Agreement:
    """How closely a candidate matches a reference.

    Attributes:
        images: number of images compared.
        label_agreement: fraction of label pixels that are equal, 0..1; NaN without images.
        mean_iou: mean IoU of the candidate against the ground truth, 0..1; NaN without ground truth.
        reference_mean_iou: the same of the reference.
        ball_shift: median distance between the best balls of the two, in pixels of the received image; NaN if there is
            no image in which both detect a ball.
        balls: number of images in which both detect a ball.
    """

    images: int
    label_agreement: float
    mean_iou: float
    reference_mean_iou: float
    ball_shift: float
    balls: int

    @property
    def drop(self) -> float:
        """Mean IoU of the reference minus that of the candidate; NaN without ground truth."""
        return self.reference_mean_iou - self.mean_iou


def compare(reference: ImageSegmenter, candidate: ImageSegmenter, pairs: Iterable[LabelledPair]) -> Agreement:
    """Run both on all images and compare their results. IoU is computed on the label grid.

    Raises:
        ImageError: an image is too small for the network.
    """
    classes = reference.classes
    candidate_confusion, reference_confusion = ConfusionMatrix(len(classes)), ConfusionMatrix(len(classes))
    equal = total = images = 0
    shifts: list[float] = []
    for image, labels in pairs:
        expected, actual = reference.run(image), candidate.run(image)
        equal += int((expected.label_image == actual.label_image).sum())
        total += expected.label_image.size
        images += 1
        if labels is not None:
            truth = reduce_labels(labels, classes)
            reference_confusion.add(truth, expected.label_image)
            candidate_confusion.add(truth, actual.label_image)
        if expected.ball is not None and actual.ball is not None:
            shifts.append(math.hypot(expected.ball.x - actual.ball.x, expected.ball.y - actual.ball.y))
    return Agreement(
        images,
        equal / total if total else math.nan,
        candidate_confusion.mean_iou(),
        reference_confusion.mean_iou(),
        float(np.median(shifts)) if shifts else math.nan,
        len(shifts),
    )
