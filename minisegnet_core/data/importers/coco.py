"""COCO segmentations: one JSON file with polygons and run-length masks, and a folder of images.

Run-length masks are decoded here rather than by pycocotools, which would be a compiled dependency for two short loops;
the tests compare with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, BALL, FIELD, IGNORE, LINE, ClassSet
from minisegnet_core.data.importers.balls import balls_of_labels
from minisegnet_core.data.importers.colors import IGNORE_NAME
from minisegnet_core.data.importers.entry import (
    COPIED,
    Content,
    Entry,
    annotations_beside,
    listed,
    safe_name,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.imaging import read_image

IMAGE_FOLDERS = ('images', 'train', 'val', 'train2017', 'val2017', 'data', '.')
PAINTED = {FIELD: 0, LINE: 2, BACKGROUND: 3, IGNORE_NAME: 4, BALL: 5}
"""Which is painted over which: lines on the field, robots on lines, the ball last; other classes after the field."""
OTHERS_PAINTED = 1
OVERSAMPLING = 4
"""Polygons are drawn this many times as large; a pixel belongs to one that covers half of it."""

Annotation = Mapping[str, Any]


class Coco:
    """Images and segmentations of a COCO file. What no segmentation covers is ``rest``.

    Args:
        source: the JSON file, or a folder that holds just one below it.
        classes: of the ids.
        names: category names to class names or ``ignore``; a category named like a class needs no entry.
        rest: class of what is not covered, or ``ignore``.
        images: folder of the images; None: looked for beside the JSON file, and beside its folder ``annotations``.

    Raises:
        SourceError: there is no JSON file, or several.
        DatasetError: it is not laid out like COCO, an image is missing, or a category has no class.
        ConfigurationError: a name is no class.
    """

    def __init__(
        self,
        source: Path,
        classes: ClassSet,
        *,
        names: Mapping[str, str] | None = None,
        rest: str = BACKGROUND,
        images: Path | None = None,
    ) -> None:
        self.absent: dict[str, str] = {}
        self.classes = classes
        self.path = _json_file(source)
        self.rest = self._id(rest)
        try:
            content = json.loads(self.path.read_text())
            categories = {entry['id']: str(entry['name']) for entry in content['categories']}
            files = {entry['id']: str(entry['file_name']) for entry in content['images']}
            sizes = {entry['id']: _size(entry) for entry in content['images']}
            by_image: dict[Any, list[Annotation]] = {image: [] for image in files}
            for annotation in content['annotations']:
                by_image[annotation['image_id']].append(annotation)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f'{self.path} is not laid out like COCO: {error!r}') from error
        used = {annotation['category_id'] for annotations in by_image.values() for annotation in annotations}
        self.ids = self._category_ids(categories, used, names or {})
        folder = images or _image_folder(self.path, next(iter(files.values()), ''))
        self.known = annotations_beside(folder)
        self.images = [(folder / name, sizes[image], by_image[image]) for image, name in files.items()]
        missing = [path for path, _, _ in self.images if not path.is_file()]
        if missing:
            raise DatasetError(
                f'{len(missing)} images of {self.path} are missing: {listed(missing)}; name their folder with --images'
            )

    def _id(self, name: str) -> int:
        label = IGNORE if name == IGNORE_NAME else self.classes.id_of(name)
        if label is None:
            raise ConfigurationError(f'{name!r} is neither a class ({", ".join(self.classes.names)}) nor ignore')
        return label

    def _category_ids(
        self, categories: Mapping[Any, str], used: set[Any], names: Mapping[str, str]
    ) -> dict[Any, tuple[int, int]]:
        """Category to label id and painting order."""
        unknown = sorted(set(names) - set(categories.values()))
        if unknown:
            raise ConfigurationError(
                f'{self.path} has no categories {listed(unknown)}; it has {listed(categories.values(), 20)}'
            )
        lacking = sorted(str(category) for category in used - set(categories))
        if lacking:
            raise DatasetError(
                f'{self.path}: its annotations are of categories that it does not list: {listed(lacking)}'
            )
        ids, without = {}, []
        for category in used:
            name = names.get(categories[category], categories[category].lower())
            if name != IGNORE_NAME and self.classes.id_of(name) is None:
                without.append(f'{categories[category]!r}')
                continue
            ids[category] = self._id(name), PAINTED.get(name, OTHERS_PAINTED)
        if without:
            raise DatasetError(
                f'{self.path}: no class for the categories {listed(sorted(without), 20)}; map each, '
                "such as --map 'sports ball=ball' --map robot=background, or name a dataset.yaml with such classes in "
                '--classes'
            )
        return ids

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Entry]:
        for path, size, segments in self.images:
            copied = path if path.suffix.lower() in COPIED else None
            known = self.known.get(path.stem, {})
            read = partial(self._read, path, size, segments)
            yield Entry(safe_name(path.stem), read, known.get('group'), known.get('stamp'), None, copied, self.path)

    def _read(self, path: Path, size: tuple[int, int] | None, annotations: Sequence[Annotation]) -> Content:
        image = read_image(path)
        shape = image.shape[0], image.shape[1]
        if size is not None and size != shape[::-1]:  # polygons would be painted at the wrong place, in silence
            raise DatasetError(
                f'{path} is {shape[1]}x{shape[0]}, but {self.path} says {size[0]}x{size[1]}: its segmentations were '
                'drawn on images of that size; name their folder with --images'
            )
        labels = np.full(shape, self.rest, np.uint8)
        notes: Counter[str] = Counter()
        for annotation in sorted(annotations, key=lambda entry: self.ids[entry['category_id']][1]):
            segmentation = annotation.get('segmentation')
            if not segmentation:
                notes['annotations without a segmentation, left out'] += 1
                continue
            try:
                mask = segmentation_mask(segmentation, shape)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise DatasetError(
                    f'{self.path}: segmentation of annotation {annotation.get("id")} ({path.name}): {error}'
                ) from error
            labels[mask] = self.ids[annotation['category_id']][0]
        return Content(image, labels, balls_of_labels(labels, self.classes.id_of(BALL)), notes)


def _json_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise SourceError(f'there is no {source}')
    files = sorted(source.glob('*.json')) or sorted(source.glob('annotations/*.json'))
    if len(files) != 1:
        raise SourceError(f'{source} holds {len(files)} JSON files, not one; name it: {listed(files) or "none"}')
    return files[0]


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) in pixels of an image as the JSON file tells it, or None where it does not."""
    width, height = entry.get('width'), entry.get('height')
    return (int(width), int(height)) if width and height else None


def _image_folder(path: Path, name: str) -> Path:
    """The first folder beside a JSON file that holds the image ``name``; else the first one, of which errors tell.

    Label tools put the file into a folder ``annotations`` of its own.
    """
    parent = path.absolute().parent
    roots = [parent.parent, parent] if parent.name == 'annotations' else [path.parent]
    folders = [root / below for root in roots for below in IMAGE_FOLDERS if (root / below).is_dir()]
    return next((folder for folder in folders if (folder / name).is_file()), folders[0])


def segmentation_mask(segmentation: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool of a COCO segmentation: polygons ``[[x, y, x, y, ...], ...]``, or ``{size, counts}``, the counts as a
    list or as COCO's compressed text.

    Raises:
        ValueError: it is none of these, or not of ``shape`` (H, W).
    """
    if isinstance(segmentation, Mapping):
        if tuple(segmentation['size']) != shape:
            raise ValueError(f'its mask is {segmentation["size"]} (rows, columns), its image {list(shape)}')
        counts = segmentation['counts']
        return _runs_to_mask(decode_counts(counts) if isinstance(counts, str) else counts, shape)
    mask = np.zeros(shape, bool)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f'a polygon of {len(polygon)} numbers; it needs x and y of three corners or more')
        _add_polygon(mask, np.array(polygon, np.float64).reshape(-1, 2))
    return mask


def _add_polygon(mask: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Adds the pixels whose larger part lies inside; corners (K, 2) are measured from the image's corner."""
    height, width = mask.shape
    low = np.floor(corners.min(axis=0)).astype(int).clip(0, [width, height])
    high = np.ceil(corners.max(axis=0)).astype(int).clip(0, [width, height])
    if (high <= low).any():
        return
    columns, rows = (high - low).tolist()
    fine = np.zeros((rows * OVERSAMPLING, columns * OVERSAMPLING), np.uint8)
    fixed = ((corners - low) * OVERSAMPLING - 0.5) * 16  # 1/16 of a fine pixel, centres at integers
    cv2.fillPoly(fine, [fixed.round().astype(np.int32)], 1, cv2.LINE_8, 4)
    covered = fine.reshape(rows, OVERSAMPLING, columns, OVERSAMPLING).sum(axis=(1, 3))
    mask[low[1] : high[1], low[0] : high[0]] |= 2 * covered > OVERSAMPLING**2


def _runs_to_mask(counts: Sequence[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Runs alternate between outside and inside, down the columns, and begin outside."""
    if sum(counts) != shape[0] * shape[1] or min(counts, default=0) < 0:
        raise ValueError(f'its runs cover {sum(counts)} pixels, its image has {shape[0] * shape[1]}')
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(shape, order='F')


def decode_counts(text: str) -> list[int]:
    """Runs of COCO's compressed text: characters from ``0`` on hold five bits each, the lowest first, and a sixth that
    tells whether more follow; from the fourth run on the difference to the run before the last is stored.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
