"""Which images a model got most wrong, by the counts that `minisegnet evaluate` leaves of each frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, SourceError

FRAMES_FILE = 'frames.jsonl'


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
    path = evaluation / FRAMES_FILE
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SourceError(
            f'{path} cannot be read ({error.strerror}); `minisegnet evaluate --output {evaluation}` writes it'
        ) from error
    names, confusions = _confusions(path, lines)
    if not names:
        raise SourceError(f'{path} tells of no image with labels')
    errors = errors_of(np.array(confusions, np.int64))
    order = [int(i) for i in np.argsort(-errors, kind='stable')[:count] if errors[i] > 0]
    return tuple(names[i] for i in order)


def _confusions(path: Path, lines: Sequence[str]) -> tuple[list[str], list[list[list[int]]]]:
    """Names and confusion matrices of the frames that have one."""
    names, confusions = [], []
    for number, line in enumerate(lines, 1):
        try:
            frame = json.loads(line)
            name, confusion = frame['name'], frame['confusion']
            if confusion is not None and np.array(confusion, np.int64).ndim != 2:
                raise ValueError('a confusion matrix has two axes')
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f'{path}, line {number} is damaged ({error})') from error
        if confusion is not None:
            names.append(str(name))
            confusions.append(confusion)
    if len(set(names)) < len(names):
        raise SourceError(f'{path} tells of several images with one name; evaluate one data set at a time')
    return names, confusions
