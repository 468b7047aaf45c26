"""Reduce label ids from the image's size to the label grid, and measure the class fractions on the grid.

:func:`reduce_labels` is the only such function. A block becomes ignore if more than half of its pixels are ignore. Else
it becomes ball if at least a quarter of its valid pixels are ball, or line if at least a quarter are line. Otherwise it
becomes the class of the majority. A plain majority would erase lines: of random lines it keeps 0 % at 1.5 px width,
23 % at 2 px, 62 % at 3 px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BALL, IGNORE, LINE, SOCCER, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.errors import DatasetError
from minisegnet_core.geometry import STRIDE
from minisegnet_core.imaging import read_labels
from minisegnet_core.parallel import Progress, map_with_progress

THIN_CLASSES = (BALL, LINE)
"""Classes that win a block with a quarter of its valid pixels, in order of precedence."""


def reduce_labels(labels: NDArray[np.uint8], classes: ClassSet = SOCCER, block: int = STRIDE) -> NDArray[np.uint8]:
    """Reduce full-size label ids to the label grid.

    Args:
        labels: (H, W) uint8 ids, 255 = ignore.
        classes: classes of the ids; without ball or line, the rule for that class does not apply.
        block: pixels of ``labels`` per label pixel along each axis: 4, or 8 for the half-resolution stages, whose
            ground truth is reduced from the original as well.

    Returns:
        (ceil(H/block), ceil(W/block)) uint8 ids. A block that extends beyond the image counts only the pixels inside.

    Raises:
        DatasetError: an id is neither a class nor ignore.
    """
    height, width = labels.shape
    rows, columns = -(-height // block), -(-width // block)
    padded = np.pad(labels, ((0, rows * block - height), (0, columns * block - width)), constant_values=IGNORE)
    # counts: (C + 1, h, w), pixels of each class and of ignore
    counts = np.stack([_block_sums(padded == label, block) for label in (*range(len(classes)), IGNORE)])
    existing = np.outer(_extents(height, block), _extents(width, block))
    counts[-1] -= block * block - existing  # the padding
    total = counts.sum(axis=0)
    if (total != existing).any():
        stray = sorted(set(np.unique(labels).tolist()) - set(range(len(classes))) - {IGNORE})
        raise DatasetError(f'label ids {stray} are neither a class (0..{len(classes) - 1}) nor ignore ({IGNORE})')
    ignored = counts[-1]
    valid = total - ignored
    reduced: NDArray[np.uint8] = counts[:-1].argmax(axis=0).astype(np.uint8)
    for name in reversed(THIN_CLASSES):  # the last assignment wins
        label_id = classes.id_of(name)
        if label_id is not None:
            reduced[(4 * counts[label_id] >= valid) & (valid > 0)] = label_id
    reduced[2 * ignored > existing] = IGNORE
    return reduced


def _block_sums(mask: NDArray[np.bool_], block: int) -> NDArray[np.int32]:
    """Count the True values in each block of a (rows * block, columns * block) mask; return (rows, columns)."""
    # Summing over rows first, in the smallest type that holds a block, takes a fifth of the time of summing both axes
    # at once. This runs for every training image.
    small = np.uint8 if block * block <= np.iinfo(np.uint8).max else np.uint32
    bands = np.add.reduce(mask.view(np.uint8).reshape(-1, block, mask.shape[1]), axis=1, dtype=small)
    sums = bands[:, ::block].copy()
    for offset in range(1, block):
        sums += bands[:, offset::block]
    return np.asarray(sums, np.int32)


def _extents(length: int, block: int) -> NDArray[np.int32]:
    """Return the number of pixels of each block along an axis; the last block may have fewer."""
    starts = np.arange(0, length, block, dtype=np.int32)
    return np.asarray(np.minimum(block, length - starts))


def class_fractions(
    samples: Sequence[Sample], classes: ClassSet, progress: Progress[Sample] = lambda samples: samples
) -> NDArray[np.float64]:
    """Return the (C,) fraction of each class among the valid label pixels of all samples; they sum to 1.

    Label pixels are counted, not pixels of the image, since the loss counts them too.

    Args:
        progress: wraps the samples, for a progress display.

    Raises:
        DatasetError: a label file cannot be read or holds unknown ids, or all labels are ignored.
    """

    def count(sample: Sample) -> NDArray[np.int64]:
        try:
            reduced = reduce_labels(read_labels(sample.label_path), classes)
        except DatasetError as error:
            named = str(error) if str(sample.label_path) in str(error) else f'{sample.label_path}: {error}'
            raise DatasetError(named) from error
        return np.bincount(reduced[reduced != IGNORE], minlength=len(classes))

    total = np.zeros(len(classes), np.float64)
    for _, of_sample in map_with_progress(count, samples, progress):
        total += of_sample
    if not total.sum():
        raise DatasetError(f'all labels of these {len(samples)} images are ignore ({IGNORE}); label some of them')
    return np.asarray(total / total.sum())
