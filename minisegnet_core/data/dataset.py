"""Data sets on disk: ``images/``, ``labels/``, ``dataset.yaml`` and, optionally, ``annotations.jsonl``.

labels/<name>.png holds uint8 ids at the image's size. docs/data.md tells what the two other files hold.
:class:`minisegnet_core.data.writer.DatasetWriter` writes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.annotations import read_annotations
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.imaging import is_image_file, read_image, read_labels

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Sample:
    """One image of a data set. ``balls`` is None where the data set has no ball truth for it."""

    name: str
    image_path: Path
    label_path: Path
    balls: tuple[BallTruth, ...] | None = None
    group: str | None = None
    stamp: int | None = None

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image (H, W, 3) uint8 RGB and labels (H, W) uint8 at the image's size."""
        image = read_image(self.image_path)
        height, width = image.shape[:2]
        return image, read_labels(self.label_path, (height, width))


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, read by :func:`open_dataset`.

    Attributes:
        splits: names of ``dataset.yaml`` to their samples.
        absent: classes this truth never draws, and what it draws instead, by name.
    """

    root: Path
    classes: ClassSet
    splits: dict[str, tuple[Sample, ...]]
    absent: dict[str, str] = field(default_factory=dict)

    def split(self, name: str) -> tuple[Sample, ...]:
        """Samples of one split.

        Raises:
            DatasetError: there is no such split, or it is empty.
        """
        samples = self.splits.get(name, ())
        if not samples:
            raise DatasetError(f'{self.root} has no images in its split {name!r}; it has {self._sizes()}')
        return samples

    def _sizes(self) -> str:
        return ', '.join(f'{name}: {len(samples)}' for name, samples in self.splits.items()) or 'no split at all'

    def map_absent(self, label_image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Predicted ids with each class that this truth never draws replaced by what it draws instead."""
        table = np.arange(256, dtype=np.uint8)
        for name, instead in self.absent.items():
            table[self.classes.names.index(name)] = self.classes.names.index(instead)
        return table[label_image]


def open_dataset(root: Path | str) -> Dataset:
    """Reads a data set's index (no image is opened).

    Raises:
        DatasetError: ``dataset.yaml`` is missing or wrong, or a named image has no file; the text names which.
    """
    root = Path(root)
    index = root / 'dataset.yaml'
    if not index.is_file():
        raise DatasetError(
            f'{root} is no data set: it has no dataset.yaml. '
            '`minisegnet synthesize --output DIR` renders one to look at'
        )
    try:
        content = yaml.safe_load(index.read_text())
        if not isinstance(content, Mapping):
            raise ValueError('it holds no mapping')
        classes = ClassSet.from_list(content['classes'])
        if content.get('ignore', IGNORE) != IGNORE:
            raise ValueError(f'ignore must be {IGNORE}')
        splits = {name: _names(name, names) for name, names in content['split'].items()}
        absent = {str(name): str(instead) for name, instead in (content.get('absent') or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError, ConfigurationError) as error:
        missing = f'it has no {error}' if isinstance(error, KeyError) else error
        raise DatasetError(f'{index} could not be used: {missing}') from error
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise DatasetError(f'{index}: unknown splits {sorted(unknown)}; known are {", ".join(SPLITS)}')
    for name in (*absent, *absent.values()):
        if classes.id_of(name) is None:
            raise DatasetError(f'{index}: absent names {name!r}, which is no class ({", ".join(classes.names)})')
    for name, instead in absent.items():
        if instead in absent:
            raise DatasetError(f'{index}: absent has {instead!r} drawn instead of {name!r}, but that is absent itself')
    _reject_overlap(splits, index)
    annotations = read_annotations(root / 'annotations.jsonl')
    images = _image_paths(root)
    return Dataset(
        root,
        classes,
        {
            split: tuple(_sample(root, name, images, annotations.get(name)) for name in names)
            for split, names in splits.items()
        },
        absent,
    )


def _names(split: object, names: object) -> list[str]:
    if names is None:
        return []
    if not isinstance(names, list):
        raise ValueError(f'split {split} is {names!r}; it must be a list of names')
    for name in names:
        if not isinstance(name, str):  # 0010 would be the number 8, and perhaps another image
            raise ValueError(f'split {split} names {name!r}, which YAML reads as no text; put names in quotes')
    return names


def _reject_overlap(splits: Mapping[str, Sequence[str]], index: Path) -> None:
    seen: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if name in seen:
                raise DatasetError(f'{index}: {name!r} stands in both {seen[name]} and {split}, or twice')
            seen[name] = split


def _image_paths(root: Path) -> dict[str, Path]:
    folder = root / 'images'
    if not folder.is_dir():
        raise DatasetError(f'{root} has no folder images/')
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if is_image_file(p)):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise DatasetError(f'{folder} has both {other.name} and {path.name}, but a label belongs to one image')
    return found


def _sample(root: Path, name: str, images: Mapping[str, Path], annotation: Mapping[str, Any] | None) -> Sample:
    if name not in images:
        raise DatasetError(f'{root}/dataset.yaml names {name!r}, but images/ has no {name}.jpg or {name}.png')
    annotation = annotation or {}
    balls = annotation.get('balls')
    return Sample(
        name,
        images[name],
        root / 'labels' / f'{name}.png',
        None if balls is None else tuple(BallTruth(**ball) for ball in balls),
        annotation.get('group'),
        annotation.get('stamp'),
    )
