"""A run's events for TensorBoard: scalars and pictures of each epoch. ``metrics.csv`` has the scalars too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minisegnet_core.classes import ClassSet
from minisegnet_core.training.run_folder import EpochRow
from minisegnet_core.training.validation import Picture
from minisegnet_core.visualization import colorize, contact_sheet, enlarge_labels

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

HINT = 'TensorBoard is not installed, so the run has metrics.csv alone: pip install tensorboard, or --tensorboard false'
CELL = 320
"""Width in pixels of each picture."""


def open_events(folder: Path, first_epoch: int) -> SummaryWriter:
    """A writer of events from ``first_epoch`` on; what an interrupted run wrote of later epochs is hidden.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_epoch)


def write_epoch(events: SummaryWriter, row: EpochRow, pictures: list[Picture], classes: ClassSet) -> None:
    """Scalars and pictures of an epoch, and all of it on the disk."""
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
        if math.isfinite(value):
            events.add_scalar(name, value, row.epoch)
    if pictures:
        sheet = picture_sheet(pictures, classes)
        events.add_image('image, truth, prediction', sheet, row.epoch, dataformats='HWC')
    events.flush()


def picture_sheet(pictures: list[Picture], classes: ClassSet) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One row for each picture: the image, its truth (ignore is grey), the network's answer."""
    cells = []
    for picture in pictures:
        height, width = picture.image.shape[:2]
        cells.append(picture.image)
        for labels in (picture.truth, picture.prediction):
            cells.append(colorize(enlarge_labels(labels, width, height), classes))
    captions = [f'{p.name}: {part}' for p in pictures for part in ('image', 'truth', 'prediction')]
    return contact_sheet(cells, 3, CELL, captions)
