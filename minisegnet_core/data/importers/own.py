"""Data sets of our own format: to merge several into one, or to split one anew."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from minisegnet_core.data.dataset import Sample, open_dataset
from minisegnet_core.data.importers.entry import Content, Entry


class OwnFormat:
    """A data set's images with their groups, stamps and balls.

    Raises:
        DatasetError: it cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.dataset = open_dataset(root)
        self.absent = self.dataset.absent

    def __len__(self) -> int:
        return sum(len(samples) for samples in self.dataset.splits.values())

    def __iter__(self) -> Iterator[Entry]:
        for split, samples in self.dataset.splits.items():
            for sample in samples:
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
