"""Write data sets: images and labels one by one, then the index."""

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
from minisegnet_core.data.dataset import ANNOTATIONS, INDEX, SPLITS, open_dataset
from minisegnet_core.errors import ConfigurationError, DatasetError, OutputError
from minisegnet_core.files import write_text_atomically
from minisegnet_core.imaging import write_image


class DatasetWriter:
    """Write a data set. After an interruption it holds all images added so far, provided that :meth:`close` runs.

    Args:
        output: folder of the data set; created if it does not exist.
        classes: classes of the label ids.
        absent: names of classes that the ground truth never draws, with the class that it draws in their place.
        append: add to an existing data set; otherwise its index is replaced.

    Raises:
        DatasetError: ``absent`` is not valid, or the existing data set has other classes or another ``absent``.
        OutputError: the folder cannot be created.
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
        try:
            classes.absent_ids(self.absent)
        except ConfigurationError as error:
            raise DatasetError(str(error)) from error
        self._splits: dict[str, list[str]] = {name: [] for name in SPLITS}
        self._annotations: list[Mapping[str, Any]] = []
        if append and (self.root / INDEX).is_file():
            self._read_existing()
        self._names = {name for names in self._splits.values() for name in names}
        try:
            for folder in ('images', 'labels'):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'cannot create a data set in {self.root}: {error.strerror or error}') from error

    def _read_existing(self) -> None:
        existing = open_dataset(self.root)
        if existing.classes.names != self.classes.names:
            raise DatasetError(
                f'{self.root} has the classes {", ".join(existing.classes.names)}, but the new images have '
                f'{", ".join(self.classes.names)}; they must be the same in one data set'
            )
        if existing.absent != self.absent:
            raise DatasetError(
                f'{self.root} has absent: {existing.absent}, but the new images have {self.absent}; keep them as two '
                'data sets'
            )
        for split, samples in existing.splits.items():
            self._splits[split] = [sample.name for sample in samples]
        annotations = read_annotations(self.root / ANNOTATIONS)
        self._annotations = [annotation.entry for annotation in annotations.values()]

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
        """Add one image with its labels.

        Args:
            image: (H, W, 3) uint8 RGB; None if both files exist already, written by a worker or an earlier run.
            labels: (H, W) uint8 ids; None if ``image`` is None.
            split: one of ``train``, ``val``, ``test``.
            group: match, venue or sequence.
            balls: all balls in the image; None if they are unknown.
            stamp: nanoseconds.
            camera: camera parameters of rendered images.
            extension: suffix of the image file, ``jpg`` or ``png``; JPEG is lossy.

        Raises:
            DatasetError: shapes differ, the split is unknown, or the name exists.
            OutputError: a file cannot be written.
        """
        if split not in self._splits:
            raise DatasetError(f'unknown split {split!r}; use {", ".join(SPLITS)}')
        if name in self._names:
            raise DatasetError(f'{self.root} has an image {name!r} already; give it another name')
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
        """Write ``dataset.yaml`` and ``annotations.jsonl``.

        Raises:
            OutputError: a file cannot be written.
        """
        content: dict[str, Any] = {'classes': self.classes.to_list(), 'ignore': IGNORE, 'split': self._splits}
        if self.absent:
            content['absent'] = self.absent
        annotations = ''.join(json.dumps(entry) + '\n' for entry in self._annotations)
        write_text_atomically(self.root / ANNOTATIONS, annotations)
        write_text_atomically(self.root / INDEX, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_sample(
    root: Path, name: str, image: NDArray[np.uint8], labels: NDArray[np.uint8], extension: str = 'jpg'
) -> None:
    """Write the two files of a sample, the image last, so that a sample with an image is complete.

    Raises:
        DatasetError: ``labels`` and ``image`` differ in height or width.
        OutputError: a file cannot be written.
    """
    if labels.shape != image.shape[:2]:
        raise DatasetError(f'labels of {name!r} have the shape {labels.shape}, but its image has {image.shape[:2]}')
    write_image(root / 'labels' / f'{name}.png', labels)
    write_image(root / 'images' / f'{name}.{extension}', image)
