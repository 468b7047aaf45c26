"""Folders of images and of label images painted in colours, as label tools export them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, BALL, FIELD, IGNORE, LINE, ClassSet
from minisegnet_core.data.annotations import Annotation
from minisegnet_core.data.importers.colors import NEAR, ColorMap
from minisegnet_core.data.importers.entry import (
    TURNED,
    UNCHANGED,
    Content,
    Entry,
    annotations_beside,
    balls_of_labels,
    by_name,
    check_max_side,
    copied_file,
    first_folder,
    image_files,
    is_unchanged,
    limit_size,
    safe_name,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, ImageError, listed
from minisegnet_core.files import same_name
from minisegnet_core.frames.folder import reasons
from minisegnet_core.imaging import read_header, read_image, read_stored_pixels, read_stored_values

IMAGE_FOLDERS = ('images', 'JPEGImages', 'imgs')
MASK_FOLDERS = ('masks', 'labels', 'SegmentationClass', 'segmentations', 'annotations')

SEGLIGHT_COLORS = {(0, 0, 0): BACKGROUND, (0, 0, 255): BALL, (255, 255, 255): LINE, (0, 255, 0): FIELD}
"""Colours of SegLight's label images."""

TRANSPARENT = 'transparent pixels of label images, ignored'
UNLABELLED = 'images without a label image'

DARKEST = int(NEAR / 3**0.5)
"""Largest grey value that counts as black."""

FLAT_FRACTION = 0.3
"""Fraction of dark pixels equal to those above and left of them that indicates ids. 40 masks with JPEG noise have up to
0.16, masks of ids 0.65 and more.
"""


@dataclass(frozen=True)
class MaskOptions:
    """How images and their label images are found and read.

    Attributes:
        images, masks: folders of the images and of the label images, searched recursively; None looks for them.
        mask_name: name without suffix of the label image of image ``{name}``.
        max_side: maximum of the longer side in pixels, to which image and labels are shrunk; 0 for no limit.
        skip_unlabelled: leave out images without a label image; otherwise they are an error.

    Raises:
        ConfigurationError: ``mask_name`` does not contain ``{name}``, or ``max_side`` is out of range.
    """

    images: Path | None = None
    masks: Path | None = None
    mask_name: str = '{name}'
    max_side: int = 0
    skip_unlabelled: bool = False

    def __post_init__(self) -> None:
        if '{name}' not in self.mask_name:
            raise ConfigurationError(
                f'mask name {self.mask_name!r} must contain {{name}}, which stands for the image name'
            )
        check_max_side(self.max_side)


class MaskFolders:
    """Images and label images in two folders, paired by name.

    Images of a minisegnet data set keep their groups and stamps.

    Args:
        root: folder that holds both folders, unless the options name them.
        colors: meaning of the colours.
        classes: classes of the ids.
        options: how the files are found and read.

    Raises:
        SourceError: a folder is missing or empty.
        DatasetError: an image has no label image, or a label image no image.
    """

    def __init__(self, root: Path, colors: ColorMap, classes: ClassSet, options: MaskOptions | None = None) -> None:
        self.options = options or MaskOptions()
        self.absent: dict[str, str] = {}
        self.colors, self.classes = colors, classes
        mask_name = self.options.mask_name
        image_folder = self.options.images or first_folder(root, IMAGE_FOLDERS, 'images', '--images')
        mask_folder = self.options.masks or first_folder(root, MASK_FOLDERS, 'label images', '--masks')
        found_images, found_masks = image_files(image_folder), image_files(mask_folder)
        files = by_name(found_images.paths, lambda path: _key(path, image_folder), 'the images')
        masks = by_name(found_masks.paths, lambda path: _key(path, mask_folder), 'the label images')
        wanted = {_mask_key(key, mask_name): key for key in files}
        if image_folder.resolve() == mask_folder.resolve():  # one folder holds both, so label images are not images
            wanted = {mask: key for mask, key in wanted.items() if mask in masks and mask != key}
            masks = {mask: path for mask, path in masks.items() if mask in wanted}
        unlabelled = [files[key] for mask, key in wanted.items() if mask not in masks]
        if unlabelled and not (self.options.skip_unlabelled and len(unlabelled) < len(wanted)):
            called = '' if mask_name == '{name}' else f' called {mask_name}'
            raise DatasetError(
                f'{len(unlabelled)} images have no label image{called} in {mask_folder}: {listed(unlabelled, 3)}; '
                'leave them out with --skip-unlabelled'
            )
        orphans = [path for mask, path in masks.items() if mask not in wanted]
        if orphans:
            raise DatasetError(f'{len(orphans)} label images have no image in {image_folder}: {listed(orphans)}')
        self.left_out = dict(found_images.left_out)
        if image_folder.resolve() != mask_folder.resolve():
            self.left_out |= {f'{reason} in {mask_folder}': n for reason, n in found_masks.left_out.items()}
        self.left_out |= reasons({UNLABELLED: [path.name for path in unlabelled]})
        self._annotations = annotations_beside(image_folder)
        self._pairs = [(key, files[key], masks[mask]) for mask, key in sorted(wanted.items()) if mask in masks]

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Entry]:
        for key, image, mask in self._pairs:
            annotation = self._annotations.get(same_name(image.stem))
            yield Entry(
                safe_name(key),
                partial(self._read, image, mask, annotation),
                group=annotation.group if annotation else None,
                stamp=annotation.stamp if annotation else None,
                image_file=None if self.options.max_side else copied_file(image),
                label_file=mask,
                source=image,
            )

    def _read(self, image_path: Path, mask_path: Path, annotation: Annotation | None) -> Content:
        image = read_image(image_path)
        mask, transparent = read_mask(mask_path, image_path, image.shape[:2], values=self.colors.are_ids)
        self._reject_ids(np.where(transparent[..., None], np.uint8(0), mask), mask_path)
        labels, notes = self.colors.labels(mask, ~transparent)
        notes[TRANSPARENT] = int(transparent.sum())
        notes[TURNED] = int(read_header(image_path).orientation != 1)
        unchanged = is_unchanged(annotation, image_path, labels)
        notes[UNCHANGED] = int(unchanged)
        image, labels = limit_size(image, self.options.max_side), limit_size(labels, self.options.max_side)
        balls = balls_of_labels(labels, self.classes.id_of(BALL))
        return Content(image, labels, balls, notes, predicted=unchanged)

    def _reject_ids(self, mask: NDArray[np.uint8], path: Path) -> None:
        """Reject a mask of ids that no colour maps; they would all count as black.

        Smoothed borders and lossy compression make dark greys too. But those lie beside bright pixels, and do not form
        areas of one value.
        """
        if (mask != mask[..., :1]).any():
            return
        grey = mask[..., 0]
        mapped = {color[0] for color in self.colors.colors if len(set(color)) == 1}
        values = set(np.unique(grey).tolist()) - {0, IGNORE}
        ids = [value for value in sorted(values - mapped) if value <= DARKEST]
        if not ids:
            return
        dark = np.isin(grey[1:, 1:], ids)
        flat = dark & (grey[1:, 1:] == grey[:-1, 1:]) & (grey[1:, 1:] == grey[1:, :-1])
        if flat.sum() <= FLAT_FRACTION * dark.sum() and grey.max() > DARKEST:
            return
        own_ids = ' '.join(f'{name}={label}' for label, name in enumerate(self.classes.names))
        raise DatasetError(
            f'{path} holds ids instead of colours, and --colors does not name {listed(ids, 24)}; name each (ignore=ID '
            f"leaves one out). minisegnet's own ids are --colors {own_ids} ignore=255"
        )


def read_mask(
    path: Path, image_path: Path, shape: tuple[int, ...], *, values: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a painted label image; the file may be grey, palette or RGB, with or without alpha.

    Args:
        image_path: its image, for messages.
        shape: (H, W) of the upright image.
        values: return the stored values where a pixel has one: the indices of a palette, and the levels of 1, 2 or 4
            bits. Otherwise they become the colours that a viewer shows.

    Returns:
        (H, W, 3) uint8 RGB, and (H, W) bool of the transparent pixels (alpha 0). Their colour is whatever the editor
        left there, so it means nothing.

    Raises:
        DatasetError: the file cannot be read, has more than 8 bits per sample, has another size, or has a palette of
            greys that contradict their indices.
    """
    try:
        mask = read_stored_pixels(path)
        stored = read_stored_values(path) if values else None
    except ImageError as error:
        raise DatasetError(f'label {error}') from error
    if mask.dtype != np.uint8:
        raise DatasetError(f'label image {path} has {8 * mask.dtype.itemsize} bits per sample; save it with 8')
    if mask.shape[:2] != shape:
        raise DatasetError(_size_fault(path, mask.shape, image_path, shape))
    channels = 1 if mask.ndim == 2 else mask.shape[2]
    transparent = mask[..., 3] == 0 if channels == 4 else np.zeros(mask.shape[:2], bool)
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    rgb = np.asarray(cv2.cvtColor(mask, code), np.uint8)
    if stored is not None:
        if channels > 1:
            _reject_contradiction(path, rgb[~transparent], stored[~transparent])
        rgb = np.repeat(stored[..., None], 3, axis=2)
    return rgb, transparent


def _size_fault(path: Path, mask_shape: tuple[int, ...], image_path: Path, shape: tuple[int, ...]) -> str:
    sizes = f'{path} is {mask_shape[1]}x{mask_shape[0]}, but its image is {shape[1]}x{shape[0]}'
    header = read_header(image_path)
    if header.orientation == 1 or (header.height, header.width) != mask_shape[:2]:
        return sizes
    return (
        f'{sizes} upright and {header.width}x{header.height} as stored: the label image was drawn before EXIF '
        f'orientation {header.orientation} is applied; turn the label image, or rewrite the image upright'
    )


def _reject_contradiction(path: Path, rgb: NDArray[np.uint8], indices: NDArray[np.uint8]) -> None:
    """Reject a palette of small greys other than their indices: either could be the ids."""
    grey = (rgb == rgb[..., :1]).all()
    if grey and rgb.size and (rgb[..., 0] != indices).any() and not (rgb[..., 0] > DARKEST).any():
        raise DatasetError(
            f'{path} has a palette whose greys differ from their indices, and both may be the ids; save it as grey'
        )


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix('').as_posix()


def _mask_key(key: str, mask_name: str) -> str:
    mask_name = same_name(mask_name)
    parent, slash, name = key.rpartition('/')
    return f'{parent}{slash}{mask_name.replace("{name}", name)}'
