"""Two ways of running a model, compared on the same labelled images: labels, IoU, balls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_core.metrics import ConfusionMatrix

LabelledPair = tuple[NDArray[np.uint8], 'NDArray[np.uint8] | None']
"""image (H, W, 3) uint8 RGB; labels (H, W) uint8 ids at its size, 255 = ignore, or None where there is no truth."""


class Runner(Protocol):
    """A :class:`~minisegnet_core.inference.segmenter.Segmenter`, or what stands for one."""

    classes: ClassSet

    def run(self, image: NDArray[np.uint8]) -> Segmentation: ...


@dataclass(frozen=True)
class Agreement:
    """How well a candidate does what a reference does.

    images: compared; label_agreement: share of label pixels that are equal; mean_iou, reference_mean_iou: against the
    truth, NaN without; ball_shift: median distance between the two's best balls, pixels of the received image, NaN
    where never both saw one; balls: images in which both saw one.
    """

    images: int
    label_agreement: float
    mean_iou: float
    reference_mean_iou: float
    ball_shift: float
    balls: int

    @property
    def drop(self) -> float:
        """By how much the mean IoU fell; negative where it rose."""
        return self.reference_mean_iou - self.mean_iou


def compare(reference: Runner, candidate: Runner, pairs: Iterable[LabelledPair]) -> Agreement:
    """Runs both over the images. IoU is on the label grid."""
    classes = reference.classes
    own, others = ConfusionMatrix(len(classes)), ConfusionMatrix(len(classes))
    equal = total = images = 0
    shifts: list[float] = []
    for image, labels in pairs:
        expected, got = reference.run(image), candidate.run(image)
        equal += int((expected.label_image == got.label_image).sum())
        total += expected.label_image.size
        images += 1
        if labels is not None:
            truth = reduce_labels(labels, classes)
            others.add(truth, expected.label_image)
            own.add(truth, got.label_image)
        if expected.ball is not None and got.ball is not None:
            shifts.append(math.hypot(expected.ball.x - got.ball.x, expected.ball.y - got.ball.y))
    return Agreement(
        images,
        equal / total if total else math.nan,
        own.mean_iou(),
        others.mean_iou(),
        float(np.median(shifts)) if shifts else math.nan,
        len(shifts),
    )
