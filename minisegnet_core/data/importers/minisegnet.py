"""Data sets in minisegnet's own format: to merge several, to split one by group again, or to select images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.data.dataset import INDEX, Sample, open_dataset, read_classes
from minisegnet_core.data.importers.entry import Content, Entry
from minisegnet_core.errors import DatasetError, listed


def classes_beside(folders: Iterable[Path]) -> ClassSet:
    """Return the classes of the first folder that is a data set; the soccer classes if none is.

    Raises:
        DatasetError: that data set's classes cannot be read.
    """
    return next((read_classes(folder / INDEX) for folder in folders if (folder / INDEX).is_file()), SOCCER)


class MinisegnetDataset:
    """The images of a data set with their groups, stamps and balls.

    Args:
        root: folder of the data set.
        only: names of the images to list; None lists all.

    Raises:
        DatasetError: the data set cannot be read, or has no image of a name in ``only``.
    """

    def __init__(self, root: Path, only: Collection[str] | None = None) -> None:
        self._dataset = open_dataset(root)
        self.classes = self._dataset.classes
        self.absent = self._dataset.absent
        self.left_out: dict[str, int] = {}
        self._splits: dict[str, tuple[Sample, ...]] = dict(self._dataset.splits)
        if only is not None:
            chosen = set(only)
            unknown = chosen - {sample.name for samples in self._splits.values() for sample in samples}
            if unknown:
                raise DatasetError(f'{root} has no image called {listed(sorted(unknown))}')
            self._splits = {
                split: tuple(sample for sample in samples if sample.name in chosen)
                for split, samples in self._splits.items()
            }

    def __len__(self) -> int:
        return sum(len(samples) for samples in self._splits.values())

    def __iter__(self) -> Iterator[Entry]:
        for split, samples in self._splits.items():
            for sample in samples:
                yield Entry(
                    sample.name,
                    partial(_read, sample),
                    group=sample.group,
                    stamp=sample.stamp,
                    split=split,
                    image_file=sample.image_path,
                    label_file=sample.label_path,
                )


def _read(sample: Sample) -> Content:
    return Content(*sample.read(), sample.balls)
