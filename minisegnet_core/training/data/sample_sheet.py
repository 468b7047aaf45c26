"""A sheet of augmented training samples, for checking by eye what the network is trained on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, IGNORE, ClassSet
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.imaging import write_image
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.data.loader import SegmentationDataset
from minisegnet_core.training.data.reader import SampleReader
from minisegnet_core.visualization import contact_sheet

SAMPLES = 8
VARIANTS = 4
"""Columns after the first: the sample in each of the first epochs."""
CELL_WIDTH = 240
MAX_CAPTION = 40


def write_sample_sheet(config: TrainConfig, path: Path) -> None:
    """Write a sheet of the first stage's training samples as PNG or JPEG.

    Raises:
        ConfigurationError, DatasetError, ImageError: settings or data cannot be used.
        OutputError: the file cannot be written.
    """
    if not config.data:
        raise ConfigurationError('data is empty; it must be the folder of a data set')
    dataset = open_dataset(config.data)
    stage = next(stage for stage in config.stages.values() if stage.epochs)
    samples, reader = dataset.split('train'), SampleReader(stage.resolution)
    data = SegmentationDataset(samples, dataset.classes, reader, augment=config.augment, seed=config.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, augmented_samples_sheet(data, dataset.classes, SAMPLES))


def augmented_samples_sheet(dataset: SegmentationDataset, classes: ClassSet, count: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB with a row for each of ``count`` samples, spread evenly over the data set.

    The first cell of a row shows the sample itself, the others show it as in the first epochs. Each cell shows the
    image alone on the left, and tinted by its labels on the right. Ignored pixels are striped.

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
                captions.append(f'epoch {variant - 1}' if variant else _caption(dataset.samples[index].name))
    finally:
        dataset.epoch, dataset.transform = epoch, transform
    return contact_sheet(cells, VARIANTS + 1, 2 * CELL_WIDTH, captions)


def _half_and_half(image: NDArray[np.uint8], labels: NDArray[np.uint8], classes: ClassSet) -> NDArray[np.uint8]:
    """Return the image beside itself tinted by its labels, each CELL_WIDTH wide."""
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


def _caption(name: str) -> str:
    return name if len(name) <= MAX_CAPTION else f'{name[: MAX_CAPTION - 3]}...'
