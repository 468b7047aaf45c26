"""Data sets of our own format: to merge several into one, to split one anew, or to take out what is hard in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import yaml

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.dataset import Sample, open_dataset
from minisegnet_core.data.importers.entry import Content, Entry, listed
from minisegnet_core.errors import ConfigurationError, DatasetError

INDEX = 'dataset.yaml'


def classes_of(index: Path) -> ClassSet:
    """The classes that a ``dataset.yaml``, or a file with its ``classes`` alone, lists.

    Raises:
        DatasetError: it cannot be read, or lists no classes.
    """
    try:
        return ClassSet.from_list(yaml.safe_load(index.read_text(encoding='utf-8'))['classes'])
    except OSError as error:
        raise DatasetError(f'{index} could not be read: {error.strerror}') from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError, ConfigurationError) as error:
        missing = f'it has no {error}' if isinstance(error, KeyError) else error
        raise DatasetError(f'{index} tells no classes: {missing}') from error


class OwnFormat:
    """A data set's images with their groups, stamps and balls.

    Args:
        only: names of those to take; None: all.

    Raises:
        DatasetError: it cannot be read, or has no image of such a name.
    """

    def __init__(self, root: Path, only: Collection[str] | None = None) -> None:
        self.dataset = open_dataset(root)
        self.absent = self.dataset.absent
        self._only = None if only is None else set(only)
        if self._only is not None:
            unknown = self._only - {sample.name for samples in self.dataset.splits.values() for sample in samples}
            if unknown:
                raise DatasetError(f'{root} has no image called {listed(sorted(unknown))}')

    def __len__(self) -> int:
        if self._only is not None:
            return len(self._only)
        return sum(len(samples) for samples in self.dataset.splits.values())

    def __iter__(self) -> Iterator[Entry]:
        for split, samples in self.dataset.splits.items():
            for sample in samples:
                if self._only is not None and sample.name not in self._only:
                    continue
                yield Entry(
                    sample.name,
                    partial(_read, sample),
                    sample.group,
                    sample.stamp,
                    split,
                    sample.image_path,
                    sample.label_path,
                )


def _read(sample: Sample) -> Content:
    return Content(*sample.read(), sample.balls)
