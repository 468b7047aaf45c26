"""Which images a model got most wrong, by the counts that `minisegnet evaluate` leaves of each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.statistics.comparison import read_frames


def errors_of(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much of each class an image got wrong: pixels missed and pixels taken for it, over the class's pixels in all
    images, summed over the classes. Without that weight the field, of which there is most, would choose alone.

    Args:
        confusions: (N, C, C), rows are the truth.

    Returns:
        (N,), 0 where all is right.
    """
    right = np.diagonal(confusions, axis1=1, axis2=2)  # (N, C)
    wrong = confusions.sum(2) + confusions.sum(1) - 2 * right  # (N, C)
    pixels = confusions.sum((0, 2))  # (C,)
    return np.asarray((wrong[:, pixels > 0] / pixels[pixels > 0]).sum(1), np.float64)


def hardest(evaluation: Path, count: int) -> tuple[str, ...]:
    """Names of the ``count`` images of an evaluation that the model got most wrong, the worst first.

    Args:
        evaluation: output folder of `minisegnet evaluate` of one data set with labels.
        count: at least 1; where there are fewer with any error, those.

    Raises:
        ConfigurationError: the count.
        SourceError: there is no such evaluation, it is damaged, or it had no labels to compare with.
    """
    if count < 1:
        raise ConfigurationError(f'{count} hardest images must be at least 1')
    frames = read_frames(evaluation)
    if len({frame.name for frame in frames}) < len(frames):
        raise SourceError(f'{evaluation} tells of several images with one name; evaluate one data set at a time')
    judged = {frame.name: frame.confusion for frame in frames if frame.confusion is not None}
    if not judged:
        raise SourceError(f'{evaluation} tells of no image with labels')
    if len({confusion.shape for confusion in judged.values()}) > 1:
        raise SourceError(f'{evaluation} is damaged: its images have different numbers of classes')
    errors = errors_of(np.stack(list(judged.values())))
    names = list(judged)
    return tuple(names[i] for i in np.argsort(-errors, kind='stable')[:count] if errors[i] > 0)
