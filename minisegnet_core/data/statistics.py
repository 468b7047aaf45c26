"""What a data set's truth consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.errors import DatasetError
from minisegnet_core.imaging import read_labels
from minisegnet_core.parallel import map_with_progress

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]


def class_shares(
    samples: Sequence[Sample], classes: ClassSet, progress: Progress = lambda samples: samples
) -> NDArray[np.float64]:
    """(C,) share of each class among the valid blocks of the label grid of all samples; the sum is 1.

    Blocks are counted rather than pixels, since the loss counts blocks too.

    Args:
        progress: wraps the samples that are read.

    Raises:
        DatasetError: a label file cannot be read or holds unknown ids, or no block of all samples is valid.
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
        raise DatasetError(
            f'all labels of these {len(samples)} images are ignore ({IGNORE}); there is nothing to learn'
        )
    return np.asarray(total / total.sum())
