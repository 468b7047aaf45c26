"""A picture of augmented samples, to see with one's own eyes what a training sees."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.training.data.loader import SegmentationDataset
from minisegnet_core.visualization import contact_sheet

VARIANTS = 4
"""Columns after the first: the sample as the first epochs see it."""
CELL_WIDTH = 240


def augmented_samples_sheet(dataset: SegmentationDataset, classes: ClassSet, count: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: a row for each of ``count`` samples, evenly spread over the data set.

    First the sample as it is, then as the first epochs see it; on the left half of each cell the image alone, on the
    right half under its labels' colours. What is ignored is striped.

    Raises:
        ImageError, DatasetError: a sample cannot be read.
    """
    count = min(count, len(dataset))
    cells, captions = [], []
    epoch, transform = dataset.epoch, dataset.transform
    try:
        for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
            for variant in range(VARIANTS + 1):
                dataset.transform = transform if variant else None
                dataset.epoch = variant - 1
                image, labels = dataset.view(index)
                cells.append(_half_and_half(image.permute(1, 2, 0).numpy(), labels.numpy(), classes))
                captions.append(f'epoch {variant - 1}' if variant else _short(dataset.samples[index]))
    finally:
        dataset.epoch, dataset.transform = epoch, transform
    return contact_sheet(cells, VARIANTS + 1, 2 * CELL_WIDTH, captions)


def _half_and_half(image: NDArray[np.uint8], labels: NDArray[np.uint8], classes: ClassSet) -> NDArray[np.uint8]:
    """The image beside itself under its labels, each CELL_WIDTH wide."""
    size = CELL_WIDTH, max(1, round(CELL_WIDTH * image.shape[0] / image.shape[1]))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    ids = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    tinted = np.asarray(cv2.addWeighted(small, 0.45, classes.palette[ids], 0.55, 0), np.uint8)
    background = classes.id_of(BACKGROUND)
    if background is not None:
        tinted[ids == background] = small[ids == background]
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]]
    tinted[(ids == IGNORE) & ((xs + ys) % 8 < 4)] = (255, 0, 255)
    return np.hstack([small, tinted])


def _short(sample: Sample) -> str:
    return sample.name if len(sample.name) <= 40 else f'{sample.name[:37]}...'
