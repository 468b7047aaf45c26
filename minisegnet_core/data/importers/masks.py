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
from minisegnet_core.data.importers.colors import NEAR, ColorMap
from minisegnet_core.data.importers.entry import (
    Content,
    Entry,
    annotations_beside,
    balls_of_labels,
    check_max_side,
    copied_file,
    first_folder,
    image_files,
    limit_size,
    safe_name,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, ImageError, listed
from minisegnet_core.imaging import read_image, read_stored_pixels

IMAGE_FOLDERS = ('images', 'JPEGImages', 'imgs')
MASK_FOLDERS = ('masks', 'labels', 'SegmentationClass', 'segmentations', 'annotations')

SEGLIGHT_COLORS = {(0, 0, 0): BACKGROUND, (0, 0, 255): BALL, (255, 255, 255): LINE, (0, 255, 0): FIELD}
"""Colours of SegLight's label images."""

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
        files = {_key(path, image_folder): path for path in image_files(image_folder)}
        masks = {_key(path, mask_folder): path for path in image_files(mask_folder)}
        wanted = {_mask_key(key, mask_name): key for key in files}
        if image_folder.resolve() == mask_folder.resolve():  # one folder holds both, so label images are not images
            wanted = {mask: key for mask, key in wanted.items() if mask in masks and mask != key}
            masks = {mask: path for mask, path in masks.items() if mask in wanted}
        unlabelled = [files[key] for mask, key in wanted.items() if mask not in masks]
        if unlabelled and not (self.options.skip_unlabelled and len(unlabelled) < len(wanted)):
            raise DatasetError(
                f'{len(unlabelled)} images have no label image {mask_name} in {mask_folder}: {listed(unlabelled)}; '
                'leave them out with --skip-unlabelled'
            )
        orphans = [path for mask, path in masks.items() if mask not in wanted]
        if orphans:
            raise DatasetError(f'{len(orphans)} label images have no image in {image_folder}: {listed(orphans)}')
        self.left_out = {'images without a label image': len(unlabelled)}
        self._annotations = annotations_beside(image_folder)
        self._pairs = [(key, files[key], masks[mask]) for mask, key in sorted(wanted.items()) if mask in masks]

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Entry]:
        for key, image, mask in self._pairs:
            annotation = self._annotations.get(image.stem)
            yield Entry(
                safe_name(key),
                partial(self._read, image, mask),
                group=annotation.group if annotation else None,
                stamp=annotation.stamp if annotation else None,
                image_file=None if self.options.max_side else copied_file(image),
                label_file=mask,
            )

    def _read(self, image_path: Path, mask_path: Path) -> Content:
        image = read_image(image_path)
        mask = read_mask(mask_path, image.shape[:2])
        self._reject_ids(mask, mask_path)
        labels, notes = self.colors.labels(mask)
        image, labels = limit_size(image, self.options.max_side), limit_size(labels, self.options.max_side)
        return Content(image, labels, balls_of_labels(labels, self.classes.id_of(BALL)), notes)

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


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a painted label image as (H, W, 3) uint8 RGB; the file may be grey, palette or RGB, with or without alpha.

    Args:
        shape: (H, W) of the image.

    Raises:
        DatasetError: the file cannot be read, does not have 8 bits per sample, or has another size.
    """
    try:
        mask = read_stored_pixels(path)
    except ImageError as error:
        raise DatasetError(f'label {error}') from error
    if mask.dtype != np.uint8:
        raise DatasetError(f'label image {path} has {8 * mask.dtype.itemsize} bits per sample; save it with 8')
    if mask.shape[:2] != shape:
        raise DatasetError(f'{path} is {mask.shape[1]}x{mask.shape[0]}, but its image is {shape[1]}x{shape[0]}')
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[1 if mask.ndim == 2 else mask.shape[2]]
    return np.asarray(cv2.cvtColor(mask, code), np.uint8)


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix('').as_posix()


def _mask_key(key: str, mask_name: str) -> str:
    parent, slash, name = key.rpartition('/')
    return f'{parent}{slash}{mask_name.replace("{name}", name)}'
