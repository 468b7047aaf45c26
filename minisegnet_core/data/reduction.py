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
    padded = np.pad(labels, ((0, rows * block - height), (0, columns * block - width)), constant_values=IGNORE)
    counts = np.stack([_block_sums(padded == label, block) for label in (*range(len(classes)), IGNORE)])
    # counts: (C + 1, h, w), the last of ignore
    existing = np.outer(_extents(height, block), _extents(width, block))
    counts[-1] -= block * block - existing  # what was padded
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


def _block_sums(mask: NDArray[np.bool_], block: int) -> NDArray[np.int32]:
    """(rows * block, columns * block) to (rows, columns): number of True in each block."""
    # Summed by rows, then by every block-th column, in the smallest type that holds a block: this runs for every
    # training image, and takes a fifth of the time of a sum over both axes at once.
    small = np.uint8 if block * block <= np.iinfo(np.uint8).max else np.uint32
    bands = np.add.reduce(mask.view(np.uint8).reshape(-1, block, mask.shape[1]), axis=1, dtype=small)
    sums = bands[:, ::block].copy()
    for offset in range(1, block):
        sums += bands[:, offset::block]
    return np.asarray(sums, np.int32)


def _extents(length: int, block: int) -> NDArray[np.int32]:
    """How many pixels each block has along an axis; the last one may have fewer."""
    starts = np.arange(0, length, block, dtype=np.int32)
    return np.asarray(np.minimum(block, length - starts))
