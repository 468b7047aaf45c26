"""COCO segmentations: one JSON file with polygons and run-length masks, and a folder of images.

Run-length masks are decoded here, since pycocotools would be a compiled dependency for two short loops. The tests
compare both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, BALL, FIELD, IGNORE, LINE, ClassSet
from minisegnet_core.data.importers.colors import IGNORE_NAME
from minisegnet_core.data.importers.entry import (
    Content,
    Entry,
    annotations_beside,
    balls_of_labels,
    copied_file,
    safe_name,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError, listed
from minisegnet_core.files import read_json
from minisegnet_core.imaging import read_image

IMAGE_FOLDERS = ('images', 'train', 'val', 'train2017', 'val2017', 'data', '.')

PAINTING_ORDER = {FIELD: 0, LINE: 2, BACKGROUND: 3, IGNORE_NAME: 4, BALL: 5}
"""Layer of each class; higher ones are painted over lower ones: lines over the field, robots over lines, balls last."""

OTHER_CLASSES_ORDER = 1

OVERSAMPLING = 4
"""Factor by which polygons are enlarged for drawing. A pixel belongs to a polygon that covers more than half of it."""

Segment = Mapping[str, Any]
"""An entry of COCO's list ``annotations``."""


class Coco:
    """Images and segmentations of a COCO file.

    Args:
        source: the JSON file, or a folder that holds exactly one, directly or in a folder ``annotations``.
        classes: classes of the ids.
        names: category names to class names or ``ignore``; a category named like a class needs no entry.
        rest: class of pixels without a segmentation, or ``ignore``; None is background, or ignore in sets without it.
        images: folder of the images; None looks beside the JSON file, and beside its folder ``annotations``.

    Raises:
        SourceError: there is no JSON file, or there are several.
        DatasetError: the file does not have COCO's layout, an image is missing, or a category has no class.
        ConfigurationError: a name is not a class.
    """

    def __init__(
        self,
        source: Path,
        classes: ClassSet,
        *,
        names: Mapping[str, str] | None = None,
        rest: str | None = None,
        images: Path | None = None,
    ) -> None:
        self.absent: dict[str, str] = {}
        self.left_out: dict[str, int] = {}
        self.classes = classes
        self.path = _json_file(source)
        self._rest = self._id(rest or (BACKGROUND if BACKGROUND in classes.names else IGNORE_NAME))
        content = read_json(self.path, DatasetError)
        try:
            categories = {entry['id']: str(entry['name']) for entry in content['categories']}
            files = {entry['id']: str(entry['file_name']) for entry in content['images']}
            sizes = {entry['id']: _size(entry) for entry in content['images']}
            by_image: dict[Any, list[Segment]] = {image: [] for image in files}
            for annotation in content['annotations']:
                by_image[annotation['image_id']].append(annotation)
            used = {annotation['category_id'] for annotations in by_image.values() for annotation in annotations}
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f'{self.path} does not have the layout of COCO: {error!r}') from error
        self._ids = self._category_ids(categories, used, names or {})
        folder = images or _image_folder(self.path, next(iter(files.values()), ''))
        self._annotations = annotations_beside(folder)
        self._images = [(folder / name, sizes[image], by_image[image]) for image, name in files.items()]
        missing = [path for path, _, _ in self._images if not path.is_file()]
        if missing:
            raise DatasetError(
                f'{len(missing)} images of {self.path} are missing: {listed(missing)}; name their folder with --images'
            )

    def _id(self, name: str) -> int:
        label = IGNORE if name == IGNORE_NAME else self.classes.id_of(name)
        if label is None:
            raise ConfigurationError(f'{name!r} is neither a class nor ignore; use {", ".join(self.classes.names)}')
        return label

    def _category_ids(
        self, categories: Mapping[Any, str], used: set[Any], names: Mapping[str, str]
    ) -> dict[Any, tuple[int, int]]:
        """Return the label id and the painting order of each used category."""
        unknown = sorted(set(names) - set(categories.values()))
        if unknown:
            raise ConfigurationError(
                f'{self.path} has no categories {listed(unknown)}; it has {listed(categories.values(), 20)}'
            )
        unlisted = sorted(str(category) for category in used - set(categories))
        if unlisted:
            raise DatasetError(f'{self.path} has annotations of categories that it does not list: {listed(unlisted)}')
        ids, unmapped = {}, []
        for category in used:
            name = names.get(categories[category], categories[category].lower())
            if name != IGNORE_NAME and self.classes.id_of(name) is None:
                unmapped.append(f'{categories[category]!r}')
                continue
            ids[category] = self._id(name), PAINTING_ORDER.get(name, OTHER_CLASSES_ORDER)
        if unmapped:
            raise DatasetError(
                f'{self.path}: no class for the categories {listed(sorted(unmapped), 20)}; map each, such as '
                "--map 'sports ball=ball' robot=background, or give a dataset.yaml with these classes by --classes"
            )
        return ids

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Entry]:
        for path, size, segments in self._images:
            annotation = self._annotations.get(path.stem)
            yield Entry(
                safe_name(path.stem),
                partial(self._read, path, size, segments),
                group=annotation.group if annotation else None,
                stamp=annotation.stamp if annotation else None,
                image_file=copied_file(path),
                label_file=self.path,
            )

    def _read(self, path: Path, size: tuple[int, int] | None, segments: Sequence[Segment]) -> Content:
        image = read_image(path)
        shape = image.shape[0], image.shape[1]
        if size is not None and size != shape[::-1]:  # polygons would be painted at the wrong place
            raise DatasetError(
                f'{path} is {shape[1]}x{shape[0]}, but {self.path} states {size[0]}x{size[1]}; give the folder of the '
                'images on which the segmentations were drawn by --images'
            )
        labels = np.full(shape, self._rest, np.uint8)
        notes: Counter[str] = Counter()
        for segment in sorted(segments, key=lambda segment: self._ids[segment['category_id']][1]):
            segmentation = segment.get('segmentation')
            if not segmentation:
                notes['annotations without a segmentation, left out'] += 1
                continue
            try:
                mask = segmentation_mask(segmentation, shape)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise DatasetError(
                    f'{self.path}: segmentation of annotation {segment.get("id")} ({path.name}): {error}'
                ) from error
            labels[mask] = self._ids[segment['category_id']][0]
        return Content(image, labels, balls_of_labels(labels, self.classes.id_of(BALL)), notes)


def _json_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise SourceError(f'{source} does not exist; give a COCO file or its folder')
    files = sorted(source.glob('*.json')) or sorted(source.glob('annotations/*.json'))
    if len(files) != 1:
        raise SourceError(f'{source} holds {len(files)} JSON files instead of one ({listed(files)}); name the file')
    return files[0]


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) in pixels of an image in the JSON file, or None where they are not given."""
    width, height = entry.get('width'), entry.get('height')
    return (int(width), int(height)) if width and height else None


def _image_folder(path: Path, name: str) -> Path:
    """Return the first folder beside a JSON file that holds the image ``name``, or else the first folder.

    Label tools write the file into a folder ``annotations`` of its own.
    """
    parent = path.absolute().parent
    roots = [parent.parent, parent] if parent.name == 'annotations' else [path.parent]
    folders = [root / below for root in roots for below in IMAGE_FOLDERS if (root / below).is_dir()]
    return next((folder for folder in folders if (folder / name).is_file()), folders[0])


def segmentation_mask(segmentation: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a COCO segmentation as an (H, W) bool mask.

    Args:
        segmentation: polygons ``[[x, y, x, y, ...], ...]``, or ``{size, counts}`` with the counts as a list or as
            COCO's compressed text.
        shape: (H, W) of the image.

    Raises:
        ValueError: the segmentation has another form or another size.
    """
    if isinstance(segmentation, Mapping):
        if tuple(segmentation['size']) != shape:
            raise ValueError(f'its mask is {segmentation["size"]} (rows, columns), its image {list(shape)}')
        counts = segmentation['counts']
        return _runs_to_mask(decode_counts(counts) if isinstance(counts, str) else counts, shape)
    mask = np.zeros(shape, bool)
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f'a polygon has {len(polygon)} numbers; it needs x and y of three corners or more')
        _add_polygon(mask, np.array(polygon, np.float64).reshape(-1, 2))
    return mask


def _add_polygon(mask: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Add the pixels whose larger part lies inside; corners (K, 2) are relative to the image's corner."""
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
    """Return the mask of runs that alternate between outside and inside, down the columns, starting outside."""
    if sum(counts) != shape[0] * shape[1] or min(counts, default=0) < 0:
        raise ValueError(f'its runs cover {sum(counts)} pixels, its image has {shape[0] * shape[1]}')
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(shape, order='F')


def decode_counts(text: str) -> list[int]:
    """Return the runs of COCO's compressed text.

    Each character from ``0`` on holds five bits, the lowest first, and a sixth bit that is set if more characters
    follow. From the fourth run on, the difference to the run before the last is stored.
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
