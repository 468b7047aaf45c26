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
from minisegnet_core.data.annotations import Annotation
from minisegnet_core.data.importers.colors import IGNORE_NAME
from minisegnet_core.data.importers.entry import (
    MAX_COORDINATE,
    TURNED,
    UNCHANGED,
    Content,
    Entry,
    annotations_beside,
    balls_of_labels,
    copied_file,
    existing_file,
    is_unchanged,
    safe_name,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError, listed, shortened
from minisegnet_core.files import finite_number, read_json, same_name, whole_number
from minisegnet_core.frames.folder import find_images, reasons
from minisegnet_core.imaging import read_header, read_image

IMAGE_FOLDERS = ('images', 'train', 'val', 'train2017', 'val2017', 'data', '.')

PAINTING_ORDER = {FIELD: 0, LINE: 2, BACKGROUND: 3, IGNORE_NAME: 4, BALL: 5}
"""Layer of each class; higher ones are painted over lower ones: lines over the field, robots over lines, balls last."""

OTHER_CLASSES_ORDER = 1

MAX_SHIFT = 35
"""Bits of the largest run of compressed text; COCO's runs have 32 bits."""

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
        self.classes = classes
        self.path = _json_file(source)
        self._rest = self._id(rest or (BACKGROUND if BACKGROUND in classes.names else IGNORE_NAME))
        listing = _Listing(self.path)
        self._ids = self._category_ids(listing.categories, listing.used_categories(), names or {})
        files = [str(entry['file_name']) for entry in listing.images.values()]
        folder = images or _image_folder(self.path, next(iter(files), ''))
        self._annotations = annotations_beside(folder)
        paths = [existing_file(folder, name) for name in files]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise DatasetError(
                f'{len(missing)} images of {self.path} are missing: {listed(missing, 3)}; name their folder with '
                '--images'
            )
        sizes = [listing.size(entry) for entry in listing.images.values()]
        self._images = list(zip(paths, sizes, listing.segments.values(), strict=True))
        self.left_out = _left_out(folder, paths)

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
            raise DatasetError(
                f'{self.path} has annotations of categories that it does not list: {shortened(listed(unlisted), 100)}'
            )
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
            annotation = self._annotations.get(same_name(path.stem))
            yield Entry(
                safe_name(path.stem),
                partial(self._read, path, size, segments, annotation),
                group=annotation.group if annotation else None,
                stamp=annotation.stamp if annotation else None,
                image_file=copied_file(path),
                label_file=self.path,
                source=path,
            )

    def _read(
        self,
        path: Path,
        size: tuple[int, int] | None,
        segments: Sequence[Segment],
        annotation: Annotation | None,
    ) -> Content:
        image = read_image(path)
        shape = image.shape[0], image.shape[1]
        if size is not None and size != shape[::-1]:  # polygons would be painted at the wrong place
            header = read_header(path)
            if size == (header.width, header.height):
                raise DatasetError(
                    f'{path} is {shape[1]}x{shape[0]} upright, but {self.path} says {size[0]}x{size[1]}, as it is '
                    f'stored: the segmentations were drawn before EXIF orientation {header.orientation} is applied; '
                    'rewrite the images upright and label those'
                )
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
            except ValueError as error:
                number = shortened(str(segment.get('id')))
                raise DatasetError(
                    f'{self.path}: the segmentation of annotation {number} ({path.name}): {error}'
                ) from error
            labels[mask] = self._ids[segment['category_id']][0]
        notes[TURNED] = int(read_header(path).orientation != 1)
        unchanged = is_unchanged(annotation, path, labels)
        notes[UNCHANGED] = int(unchanged)
        return Content(image, labels, balls_of_labels(labels, self.classes.id_of(BALL)), notes, predicted=unchanged)


class _Listing:
    """The content of a COCO file, checked.

    Attributes:
        categories: names by id.
        images: entries of the list ``images`` by id.
        segments: annotations of each image, by the image's id.

    Raises:
        DatasetError: the file cannot be read, does not have COCO's layout, or uses an id twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_json(path, DatasetError)
        if not isinstance(content, Mapping):
            raise DatasetError(f'{path} does not have the layout of COCO: it must be an object with images')
        self.categories = {
            key: str(entry.get('name')) for key, entry in self._by_id(content, 'categories', 'name').items()
        }
        self.images = self._by_id(content, 'images', 'file_name')
        self._reject_repeated_files()
        self.segments: dict[Any, list[Segment]] = {image: [] for image in self.images}
        for number, entry in enumerate(self._list(content, 'annotations')):
            image = self._id_of(entry, 'image_id', f'annotations[{number}]')
            if image not in self.segments:
                raise DatasetError(f'{path}: {self._unlisted(entry, number, image)}')
            self._id_of(entry, 'category_id', f'annotations[{number}]')
            self.segments[image].append(entry)

    def _list(self, content: Mapping[str, Any], name: str) -> list[Any]:
        entries = content.get(name)
        if not isinstance(entries, list):
            raise DatasetError(f'{self.path} does not have the layout of COCO: it has no list {name}')
        return entries

    def _id_of(self, entry: Any, key: str, where: str) -> int | str:
        value = entry.get(key) if isinstance(entry, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise DatasetError(
                f'{self.path}: {key} of {where} is {shortened(repr(value))}; it must be a whole number, or text'
            )
        return value

    def _by_id(self, content: Mapping[str, Any], name: str, label: str) -> dict[int | str, Any]:
        """Return the entries of a list by id. Two entries with one id are refused, since annotations mean one."""
        entries: dict[int | str, Any] = {}
        for number, entry in enumerate(self._list(content, name)):
            key = self._id_of(entry, 'id', f'{name}[{number}]')
            if not isinstance(entry.get(label), (str, int)):
                raise DatasetError(
                    f'{self.path}: {label} of {name}[{number}] is {shortened(repr(entry.get(label)))}; it must be text'
                )
            if key in entries:
                both = ' and '.join(shortened(repr(str(e[label]))) for e in (entries[key], entry))
                raise DatasetError(
                    f'{self.path} gives the id {shortened(repr(key))} to two {name}, {both}; export them together, so '
                    'that each has its own, or import the exports one by one'
                )
            entries[key] = entry
        return entries

    def _reject_repeated_files(self) -> None:
        seen: dict[str, Any] = {}
        for key, entry in self.images.items():
            name = same_name(str(entry['file_name']))
            if name in seen:
                raise DatasetError(
                    f'{self.path} lists the image {shortened(name)} twice, with the ids {shortened(repr(seen[name]))} '
                    f'and {shortened(repr(key))}; keep one'
                )
            seen[name] = key

    def _unlisted(self, entry: Segment, number: int, image: int | str) -> str:
        where = f'annotation {shortened(str(entry.get("id", number)))} is of image {shortened(repr(image))}'
        as_other = str(image) if isinstance(image, int) else int(image) if image.isdecimal() and len(image) < 20 else ''
        if as_other in self.images:
            return f'{where}, but images has the id {as_other!r}; write both as numbers'
        return f'{where}, which images does not list; delete the annotation or list its image'

    def used_categories(self) -> set[int | str]:
        """Return the ids of the categories that annotations have."""
        return {entry['category_id'] for segments in self.segments.values() for entry in segments}

    def size(self, entry: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return (width, height) in pixels of an image, or None where they are not given."""
        given = entry.get('width'), entry.get('height')
        if not all(given):
            return None
        try:
            return whole_number(given[0]), whole_number(given[1])
        except ValueError as error:
            raise DatasetError(
                f'{self.path}: the size of {shortened(str(entry["file_name"]))} is not in whole numbers: {error}'
            ) from error


def _left_out(folder: Path, paths: Sequence[Path]) -> dict[str, int]:
    """Return the images of a folder that the file does not list."""
    used = {path.resolve() for path in paths}
    found = find_images(folder, recursive=True, companions=('.json',))
    unlisted = [path.name for path in found.paths if path.resolve() not in used]
    return {**found.left_out, **reasons({'images that the COCO file does not list': unlisted})}


def _json_file(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise SourceError(f'{source} does not exist; give a COCO file or its folder')
    files = sorted(source.glob('*.json')) or sorted(source.glob('annotations/*.json'))
    if len(files) != 1:
        raise SourceError(f'{source} holds {len(files)} JSON files instead of one ({listed(files)}); name the file')
    return files[0]


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
        size, counts = segmentation.get('size'), segmentation.get('counts')
        if not isinstance(size, list) or tuple(size) != shape:
            raise ValueError(f'its mask is {shortened(repr(size))} (rows, columns), its image {list(shape)}')
        if not isinstance(counts, (str, list)):
            raise ValueError('its counts must be a list of runs, or compressed text')
        runs = decode_counts(counts) if isinstance(counts, str) else [whole_number(run) for run in counts]
        return _runs_to_mask(runs, shape)
    if not isinstance(segmentation, list):
        raise ValueError(f'it is {type(segmentation).__name__}; it must be a list of polygons, or size and counts')
    mask = np.zeros(shape, bool)
    for polygon in segmentation:
        _add_polygon(mask, _corners(polygon))
    return mask


def _corners(polygon: Any) -> NDArray[np.float64]:
    """Return the (K, 2) corners of a polygon.

    Raises:
        ValueError: the polygon is not a list of x and y of three corners or more.
    """
    if not isinstance(polygon, list):
        raise ValueError('its polygon is not inside a list of polygons; write [[x1, y1, x2, y2, ...]]')
    if polygon and isinstance(polygon[0], list):
        raise ValueError('its polygon is a list of points; COCO writes the numbers in one list, [x1, y1, x2, y2, ...]')
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f'a polygon has {len(polygon)} numbers; it needs x and y of three corners or more')
    values = [finite_number(value) for value in polygon]
    if max(map(abs, values)) > MAX_COORDINATE:
        raise ValueError(f'a corner lies at {max(values, key=abs):g}, outside any image')
    return np.array(values, np.float64).reshape(-1, 2)


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

    Raises:
        ValueError: the text has other characters, or a run of more than 35 bits.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > MAX_SHIFT:
            raise ValueError('its compressed counts are damaged')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
