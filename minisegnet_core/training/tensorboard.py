"""A run's events for TensorBoard: scalars and images of each epoch. ``metrics.csv`` holds the scalars too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.training.reporting import EpochRow
from minisegnet_core.training.validation import ShownImage
from minisegnet_core.visualization import colorize, contact_sheet, enlarge_labels

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

HINT = 'TensorBoard is not installed; metrics.csv holds the figures: pip install tensorboard, or use --no-tensorboard'
CELL_WIDTH = 320
"""Width in pixels of each image of the sheet."""


def open_events(folder: Path, first_epoch: int) -> SummaryWriter:
    """Return a writer of events from ``first_epoch`` on; later events of an interrupted run are hidden.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch)


def write_epoch(events: SummaryWriter, row: EpochRow, shown: list[ShownImage], classes: ClassSet) -> None:
    """Write scalars and images of an epoch, and flush them to the disk."""
    scalars = {
        'loss/train': row.train_loss,
        'loss/val': row.val_loss,
        'iou/mean': row.mean_iou,
        **{f'iou/{name}': value for name, value in row.iou.items()},
        'ball/found': row.ball_found,
        'ball/missed': row.ball_missed,
        'ball/false': row.ball_false,
        'ball/error_px': row.ball_error_px,
        'learning_rate': row.lr,
        'seconds/train': row.train_seconds,
        'seconds/val': row.val_seconds,
    }
    for name, value in scalars.items():
        if math.isfinite(value) and (row.has_ball or not name.startswith('ball/')):
            events.add_scalar(name, value, row.epoch)
    if shown:
        events.add_image('image, ground truth, prediction', image_sheet(shown, classes), row.epoch, dataformats='HWC')
    events.flush()


def image_sheet(shown: list[ShownImage], classes: ClassSet) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB with a row per image: the image, its ground truth (ignore is grey), the prediction."""
    cells, captions = [], []
    for entry in shown:
        height, width = entry.image.shape[:2]
        ground_truth, prediction = (
            colorize(enlarge_labels(labels, width, height), classes)
            for labels in (entry.ground_truth, entry.prediction)
        )
        cells += [entry.image, ground_truth, prediction]
        captions += [f'{entry.name}: {part}' for part in ('image', 'ground truth', 'prediction')]
    return contact_sheet(cells, 3, CELL_WIDTH, captions)
