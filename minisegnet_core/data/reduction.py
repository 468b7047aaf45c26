"""Reduction of truth: from label ids at the image's size to label ids on the label grid. The one such function.

A block becomes ball if at least a quarter of its valid pixels are ball, else line if at least a quarter are line, else
what most of its valid pixels are; ignore if more than half of its pixels are ignore. Plain majority would erase lines:
of random lines it keeps 0 % at 1.5 px width, 23 % at 2 px, 62 % at 3 px.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BALL, IGNORE, LINE, SOCCER, ClassSet
from minisegnet_core.errors import DatasetError
from minisegnet_core.geometry import STRIDE

THIN_CLASSES = (BALL, LINE)
"""Classes that win a block from a quarter of its valid pixels on, in this order."""


def reduce_labels(labels: NDArray[np.uint8], classes: ClassSet = SOCCER, block: int = STRIDE) -> NDArray[np.uint8]:
    """Reduces full-size label ids to the label grid.

    Args:
        labels: (H, W) uint8 ids, 255 = ignore.
        classes: what the ids mean; of sets without ball or line, those rules fall away.
        block: pixels of ``labels`` per label pixel along each axis: 4, or 8 for the half-resolution stages, whose truth
            is reduced from the original too, never from a reduction.

    Returns:
        (ceil(H/block), ceil(W/block)) uint8 ids. Blocks that reach past the image count the pixels that exist.

    Raises:
        DatasetError: an id is neither a class's nor ignore.
    """
    height, width = labels.shape
    rows, columns = -(-height // block), -(-width // block)
    counts = np.empty((len(classes) + 1, rows, columns), np.int32)  # (C + 1, h, w), the last: ignore
    row_starts = np.arange(0, height, block)
    column_starts = np.arange(0, width, block)
    for index, label in enumerate((*range(len(classes)), IGNORE)):
        mask = (labels == label).view(np.uint8)
        if height % block == 0 and width % block == 0:
            counts[index] = mask.reshape(rows, block, columns, block).sum(axis=(1, 3), dtype=np.int32)
        else:
            sums = np.add.reduceat(mask, row_starts, axis=0, dtype=np.int32)
            counts[index] = np.add.reduceat(sums, column_starts, axis=1)
    existing = np.outer(
        np.minimum(row_starts + block, height) - row_starts, np.minimum(column_starts + block, width) - column_starts
    )
    total = counts.sum(axis=0)
    if (total != existing).any():
        stray = sorted(set(np.unique(labels).tolist()) - set(range(len(classes))) - {IGNORE})
        raise DatasetError(f'label ids {stray} are neither a class (0..{len(classes) - 1}) nor ignore ({IGNORE})')
    ignored = counts[-1]
    valid = total - ignored
    reduced: NDArray[np.uint8] = counts[:-1].argmax(axis=0).astype(np.uint8)
    for name in reversed(THIN_CLASSES):  # the last one written wins, and ball goes before line
        label_id = classes.id_of(name)
        if label_id is not None:
            reduced[(4 * counts[label_id] >= valid) & (valid > 0)] = label_id
    reduced[2 * ignored > existing] = IGNORE
    return reduced
