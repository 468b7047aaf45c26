"""Data sets on disk: ``images/``, ``labels/``, ``dataset.yaml`` and, optionally, ``annotations.jsonl``.

``labels/NAME.png`` holds uint8 ids at the image's size. The reference of data sets in the documentation describes the
other two files. :class:`~minisegnet_core.data.writer.DatasetWriter` writes data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, ClassSet, replace_absent
from minisegnet_core.data.annotations import Annotation, read_annotations
from minisegnet_core.errors import ConfigurationError, DatasetError, shortened
from minisegnet_core.files import read_yaml
from minisegnet_core.imaging import is_image_file, read_image, read_labels

SPLITS = ('train', 'val', 'test')

INDEX = 'dataset.yaml'
ANNOTATIONS = 'annotations.jsonl'


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes:
        name: name of the image, without suffix.
        image_path, label_path: files of the image and of its labels.
        balls: all balls in the image; None where they are unknown.
        group: match, venue or sequence; None where it is unknown.
        stamp: nanoseconds; None where it is unknown.
    """

    name: str
    image_path: Path
    label_path: Path
    balls: tuple[BallTruth, ...] | None = None
    group: str | None = None
    stamp: int | None = None

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the image, (H, W, 3) uint8 RGB, and its labels, (H, W) uint8.

        Raises:
            ImageError: the image cannot be read.
            DatasetError: the labels cannot be read, or have another size than the image.
        """
        image = read_image(self.image_path)
        height, width = image.shape[:2]
        return image, read_labels(self.label_path, (height, width))


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, as :func:`open_dataset` returns it.

    Attributes:
        root: the folder.
        classes: classes of the label ids.
        splits: samples of each split of ``dataset.yaml``.
        absent: names of classes that the ground truth never draws, with the class that it draws in their place.
    """

    root: Path
    classes: ClassSet
    splits: dict[str, tuple[Sample, ...]]
    absent: dict[str, str] = field(default_factory=dict)

    def split(self, name: str) -> tuple[Sample, ...]:
        """Return the samples of one split.

        Raises:
            DatasetError: the split does not exist or is empty.
        """
        samples = self.splits.get(name, ())
        if not samples:
            sizes = ', '.join(f'{split}: {len(content)}' for split, content in self.splits.items()) or 'no split'
            raise DatasetError(f'{self.root} has no images in its split {name!r}; it has {sizes}')
        return samples

    def map_absent(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return predicted ids with each absent class replaced by what the ground truth draws in its place."""
        return replace_absent(labels, self.classes.absent_ids(self.absent))


def open_dataset(root: Path | str) -> Dataset:
    """Read the index of a data set; no image is opened.

    Raises:
        DatasetError: ``dataset.yaml`` or ``annotations.jsonl`` is missing or wrong, or an image has no file.
    """
    root = Path(root)
    index = root / INDEX
    if not index.is_file():
        raise DatasetError(
            f'{root} is not a data set, it has no {INDEX}; render one with `minisegnet synthesize --output DIR`'
        )
    content = _read_index(index)
    classes = _classes(content, index)
    splits, absent = _splits(content, index), _absent(content, classes, index)
    annotations = read_annotations(root / ANNOTATIONS)
    images = _image_paths(root)
    samples = {
        split: tuple(_sample(root, name, images, annotations.get(name)) for name in names)
        for split, names in splits.items()
    }
    return Dataset(root, classes, samples, absent)


def read_classes(index: Path) -> ClassSet:
    """Return the classes that a ``dataset.yaml`` lists, or another YAML file with a list ``classes``.

    Raises:
        DatasetError: the file cannot be read, or does not list classes.
    """
    return _classes(_read_index(index), index)


def _read_index(index: Path) -> Mapping[str, object]:
    content = read_yaml(index, DatasetError)
    if not isinstance(content, Mapping):
        raise DatasetError(f'{index} must be a mapping with classes and split')
    return content


def _classes(content: Mapping[str, object], index: Path) -> ClassSet:
    entries = content.get('classes')
    if not isinstance(entries, list):
        raise DatasetError(f'{index} has no list of classes; write classes: [{{name: ball, color: [255, 64, 0]}}, ...]')
    try:
        return ClassSet.from_list(entries)
    except ConfigurationError as error:
        raise DatasetError(f'{index}: {error}') from error


def _splits(content: Mapping[str, object], index: Path) -> dict[str, list[str]]:
    """Return the image names of each split, checked: every name is text and belongs to one split."""
    if content.get('ignore', IGNORE) != IGNORE:
        raise DatasetError(f'{index}: ignore is {content["ignore"]}, but must be {IGNORE}')
    given = content.get('split')
    if not isinstance(given, Mapping):
        raise DatasetError(f'{index} has no split; write split: {{train: [NAMES], val: [NAMES]}}')
    unknown = sorted(map(str, set(given) - set(SPLITS)))
    if unknown:
        raise DatasetError(f'{index} has the unknown splits {unknown}; use {", ".join(SPLITS)}')
    splits = {split: _names(split, names, index) for split, names in given.items()}
    seen: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if name in seen:
                raise DatasetError(f'{index} lists {name!r} twice, in {seen[name]} and {split}; keep one')
            seen[name] = split
    return splits


def _names(split: str, names: object, index: Path) -> list[str]:
    if names is None:
        return []
    if not isinstance(names, list):
        raise DatasetError(f'{index}: split {split} is {shortened(repr(names))}, but must be a list of names')
    for name in names:
        if not isinstance(name, str):  # YAML reads 0010 as the number 8, which may be another image's name
            raise DatasetError(f'{index}: split {split} names {name!r}, which YAML does not read as text; quote it')
    return names


def _absent(content: Mapping[str, object], classes: ClassSet, index: Path) -> dict[str, str]:
    given = content.get('absent') or {}
    if not isinstance(given, Mapping):
        raise DatasetError(f'{index}: absent is {shortened(repr(given))}; it must be a mapping such as {{ball: field}}')
    absent = {str(name): str(drawn) for name, drawn in given.items()}
    try:
        classes.absent_ids(absent)
    except ConfigurationError as error:
        raise DatasetError(f'{index}: {error}') from error
    return absent


def _image_paths(root: Path) -> dict[str, Path]:
    folder = root / 'images'
    if not folder.is_dir():
        raise DatasetError(f'{root} has no folder images/')
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if is_image_file(p)):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise DatasetError(
                f'{folder} has both {other.name} and {path.name}, but a label belongs to one image; rename one'
            )
    return found


def _sample(root: Path, name: str, images: Mapping[str, Path], annotation: Annotation | None) -> Sample:
    if name not in images:
        raise DatasetError(f'{root / INDEX} names {name!r}, but images/ has no {name}.jpg or {name}.png')
    label_path = root / 'labels' / f'{name}.png'
    if annotation is None:
        return Sample(name, images[name], label_path)
    return Sample(name, images[name], label_path, annotation.balls, annotation.group, annotation.stamp)
