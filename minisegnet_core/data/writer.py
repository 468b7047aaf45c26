"""Writing data sets: samples one by one, and the index that makes a data set of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, SOCCER, ClassSet
from minisegnet_core.data.annotations import read_annotations
from minisegnet_core.data.dataset import SPLITS, open_dataset
from minisegnet_core.errors import DatasetError
from minisegnet_core.files import write_atomically
from minisegnet_core.imaging import write_image


class DatasetWriter:
    """Writes a data set; what was added stays usable when the writing is cut off, if :meth:`close` is reached.

    Args:
        output: folder, made where it lacks.
        classes: of the label ids.
        absent: classes this truth never draws, and what it draws instead, by name.
        append: keep the data set that is there already, where there is one, and add to it; else its index is replaced.

    Raises:
        DatasetError: the folder cannot be made, ``absent`` names no class, or the data set to append to has other
            classes or another ``absent``.
    """

    def __init__(
        self,
        output: Path | str,
        classes: ClassSet = SOCCER,
        *,
        absent: Mapping[str, str] | None = None,
        append: bool = False,
    ) -> None:
        self.root = Path(output)
        self.classes = classes
        self.absent = dict(absent or {})
        for name in (*self.absent, *self.absent.values()):
            if classes.id_of(name) is None:
                raise DatasetError(f'absent names {name!r}, which is no class ({", ".join(classes.names)})')
        self._splits: dict[str, list[str]] = {name: [] for name in SPLITS}
        self._annotations: list[dict[str, Any]] = []
        if append and (self.root / 'dataset.yaml').is_file():
            self._take_over()
        self._names = {name for names in self._splits.values() for name in names}
        try:
            for folder in ('images', 'labels'):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f'{self.root} cannot hold a data set: {error.strerror or error}') from error

    def _take_over(self) -> None:
        there = open_dataset(self.root)
        if there.classes.names != self.classes.names:
            raise DatasetError(
                f'{self.root} has the classes {", ".join(there.classes.names)}, what is to be added '
                f'{", ".join(self.classes.names)}; they must be the same in one data set'
            )
        if there.absent != self.absent:
            raise DatasetError(
                f'{self.root} has absent: {there.absent}, what is to be added {self.absent}; keep them as two data sets'
            )
        for split, samples in there.splits.items():
            self._splits[split] = [sample.name for sample in samples]
        self._annotations = list(read_annotations(self.root / 'annotations.jsonl').values())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(
        self,
        name: str,
        image: NDArray[np.uint8] | None,
        labels: NDArray[np.uint8] | None,
        *,
        split: str,
        group: str | None = None,
        balls: Iterable[BallTruth] | None = None,
        stamp: int | None = None,
        camera: Mapping[str, Any] | None = None,
        extension: str = 'jpg',
    ) -> None:
        """Adds one image (H, W, 3) uint8 RGB with its labels (H, W) uint8 ids at the image's size.

        ``image`` and ``labels`` may be None where their files were written already (by a worker, or an earlier run).

        Args:
            stamp: ns.
            extension: of the image file; jpg loses a little, png nothing.

        Raises:
            DatasetError: shapes differ, the split is unknown, the name is taken, or a file cannot be written.
        """
        if split not in self._splits:
            raise DatasetError(f'unknown split {split!r}; known are {", ".join(SPLITS)}')
        if name in self._names:
            raise DatasetError(f'{self.root} has an image {name!r} already; names must differ')
        if image is not None and labels is not None:
            write_sample(self.root, name, image, labels, extension)
        self._names.add(name)
        self._splits[split].append(name)
        entry: dict[str, Any] = {'name': name, 'stamp': stamp, 'group': group}
        if balls is not None:
            entry['balls'] = [{key: round(value, 4) for key, value in asdict(ball).items()} for ball in balls]
        if camera is not None:
            entry['camera'] = dict(camera)
        self._annotations.append(entry)

    def close(self) -> None:
        """Writes ``dataset.yaml`` and ``annotations.jsonl``.

        Raises:
            DatasetError: a file cannot be written.
        """
        content: dict[str, Any] = {'classes': self.classes.to_list(), 'ignore': IGNORE, 'split': self._splits}
        if self.absent:
            content['absent'] = self.absent
        annotations = ''.join(json.dumps(entry) + '\n' for entry in self._annotations)
        write_atomically(self.root / 'annotations.jsonl', annotations.encode())
        index = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
        write_atomically(self.root / 'dataset.yaml', index.encode())

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_sample(
    root: Path, name: str, image: NDArray[np.uint8], labels: NDArray[np.uint8], extension: str = 'jpg'
) -> None:
    """Writes one sample's two files; the image last, so that a sample with an image is whole.

    Raises:
        DatasetError: ``labels`` is not (H, W) of the (H, W, 3) image, or a file cannot be written.
    """
    if labels.shape != image.shape[:2]:
        raise DatasetError(f'labels of {name!r} are {labels.shape}, its image {image.shape[:2]}')
    write_image(root / 'labels' / f'{name}.png', labels)
    write_image(root / 'images' / f'{name}.{extension}', image)
