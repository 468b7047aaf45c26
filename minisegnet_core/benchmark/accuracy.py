"""How much the rows of a benchmark agree with a reference, and with the ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.inference.agreement import LabelledPair
from minisegnet_core.inference.engines.base import ImageSize
from minisegnet_core.metrics import ConfusionMatrix

REFERENCES = (('torch', 'float32'), ('onnxruntime', 'float32'), ('openvino', 'float32'))
"""Engine and precision of the reference; the first that was measured is used."""

Row = dict[str, Any]
"""One row of the report; its keys are those of the JSON output."""


def add_accuracy(
    rows: Sequence[Row],
    labels: Mapping[int, NDArray[np.uint8]],
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
) -> None:
    """Add ``mean_iou``, ``reference``, ``label_agreement`` and ``iou_drop`` to the rows that were measured.

    Rows are compared with the reference of the same size.

    Args:
        rows: rows of the report, changed in place.
        labels: (N, h, w) uint8 label images by the index of their row.
        pairs: the N images with their ground truth, at any size.
        classes: classes of the models.
    """
    for size in dict.fromkeys(row['size'] for row in rows):
        _add_accuracy_of_size([index for index in labels if rows[index]['size'] == size], rows, labels, pairs, classes)


def _add_accuracy_of_size(
    indices: Sequence[int],
    rows: Sequence[Row],
    labels: Mapping[int, NDArray[np.uint8]],
    pairs: Sequence[LabelledPair],
    classes: ClassSet,
) -> None:
    by_kind = {(rows[index]['engine'], rows[index]['precision']): index for index in reversed(indices)}
    reference = next((by_kind[kind] for kind in REFERENCES if kind in by_kind), None)
    for index in indices:
        row = rows[index]
        row['mean_iou'] = _mean_iou(labels[index], row['size'], pairs, classes)
        row['reference'] = None if reference is None else '{engine} {precision}'.format(**rows[reference])
        row['label_agreement'] = None if reference is None else float((labels[index] == labels[reference]).mean())
    for index in indices:
        own, other = rows[index]['mean_iou'], None if reference is None else rows[reference]['mean_iou']
        rows[index]['iou_drop'] = None if own is None or other is None else other - own


def _mean_iou(labels: NDArray[np.uint8], size: str, pairs: Sequence[LabelledPair], classes: ClassSet) -> float | None:
    """Return the mean IoU of label images on the label grid; None without ground truth."""
    width, height = (int(part) for part in size.split('x'))
    confusion = ConfusionMatrix(len(classes))
    for pair, predicted in zip(pairs, labels, strict=True):
        truth = resized(pair, (width, height))[1]
        if truth is not None:
            confusion.add(reduce_labels(truth, classes), predicted)
    mean = confusion.mean_iou()
    return None if math.isnan(mean) else mean


def resized(pair: LabelledPair, size: ImageSize) -> LabelledPair:
    """Return a pair resized to (width, height): the image by area, its labels by nearest neighbour."""
    image, labels = pair
    if (image.shape[1], image.shape[0]) != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if labels is not None:
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return image, labels
