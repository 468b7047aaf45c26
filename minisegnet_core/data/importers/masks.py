"""Folders of images and of label images painted in colours: also what label tools export."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BALL, IGNORE, ClassSet
from minisegnet_core.data.importers.balls import balls_of_labels
from minisegnet_core.data.importers.colors import NEAR, ColorMap
from minisegnet_core.data.importers.entry import (
    COPIED,
    Content,
    Entry,
    annotations_beside,
    checked_longest_side,
    first_folder,
    image_files,
    listed,
    safe_name,
    shrunk,
)
from minisegnet_core.errors import ConfigurationError, DatasetError, ImageError
from minisegnet_core.imaging import read_image, read_stored_pixels

IMAGE_FOLDERS = ('images', 'JPEGImages', 'imgs')
MASK_FOLDERS = ('masks', 'labels', 'SegmentationClass', 'segmentations', 'annotations')
SEGLIGHT = {(0, 0, 0): 'background', (0, 0, 255): 'ball', (255, 255, 255): 'line', (0, 255, 0): 'field'}
"""Colours of SegLight's label images."""
DARKEST = int(NEAR / 3**0.5)
"""Grey value up to which black is near."""
FLAT = 0.3
"""Share of pixels that equal those above and left of them: up to 0.16 in JPEG's noise of 40 masks, from 0.65 in ids."""


class MaskFolders:
    """Images and label images in two folders, paired by name.

    Where the images are those of a data set of ours, their groups and stamps come along.

    Args:
        root: holds both folders, unless they are named.
        colors: what the colours stand for.
        classes: of the ids.
        images, masks: the folders; subfolders are searched too.
        mask_name: name of the label image, less its ending, of the image ``{name}``.
        longest_side: larger images are shrunk to it with their labels, pixels; 0: all stay as they are.
        skip_unlabelled: leave images without a label image out, instead of refusing them all.

    Attributes:
        unlabelled: images that were left out.

    Raises:
        SourceError: a folder is missing or empty.
        DatasetError: an image has no label image, or a label image no image.
        ConfigurationError: ``mask_name`` has no ``{name}``, or ``longest_side`` is out of range.
    """

    def __init__(
        self,
        root: Path,
        colors: ColorMap,
        classes: ClassSet,
        *,
        images: Path | None = None,
        masks: Path | None = None,
        mask_name: str = '{name}',
        longest_side: int = 0,
        skip_unlabelled: bool = False,
    ) -> None:
        if '{name}' not in mask_name:
            raise ConfigurationError(f'mask name {mask_name!r} must contain {{name}}, which stands for the image')
        self.longest_side = checked_longest_side(longest_side)
        self.absent: dict[str, str] = {}
        self.colors, self.classes = colors, classes
        image_folder = images or first_folder(root, IMAGE_FOLDERS, 'images')
        mask_folder = masks or first_folder(root, MASK_FOLDERS, 'label images')
        files = {_key(path, image_folder): path for path in image_files(image_folder)}
        found = {_key(path, mask_folder): path for path in image_files(mask_folder)}
        wanted = {_mask_key(key, mask_name): key for key in files}
        if image_folder.resolve() == mask_folder.resolve():  # one folder holds both: label images are no images
            wanted = {mask: key for mask, key in wanted.items() if mask in found and mask != key}
            found = {mask: path for mask, path in found.items() if mask in wanted}
        without = [files[key] for mask, key in wanted.items() if mask not in found]
        if without and not (skip_unlabelled and len(without) < len(wanted)):
            raise DatasetError(
                f'{len(without)} images have no label image {mask_name} in {mask_folder}: {listed(without)}'
            )
        self.unlabelled = len(without)
        orphans = [path for mask, path in found.items() if mask not in wanted]
        if orphans:
            raise DatasetError(f'{len(orphans)} label images have no image in {image_folder}: {listed(orphans)}')
        self.known = annotations_beside(image_folder)
        self.pairs = [(key, files[key], found[mask]) for mask, key in sorted(wanted.items()) if mask in found]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Entry]:
        for key, image, mask in self.pairs:
            copied = image if image.suffix.lower() in COPIED and not self.longest_side else None
            known = self.known.get(image.stem, {})
            yield Entry(
                safe_name(key),
                partial(self._read, image, mask),
                group=known.get('group'),
                stamp=known.get('stamp'),
                image_file=copied,
                label_file=mask,
            )

    def _read(self, image_path: Path, mask_path: Path) -> Content:
        image = read_image(image_path)
        mask = read_mask(mask_path, image.shape[:2])
        self._reject_ids(mask, mask_path)
        labels, notes = self.colors.labels(mask)
        image, labels = shrunk(image, self.longest_side), shrunk(labels, self.longest_side)
        return Content(image, labels, balls_of_labels(labels, self.classes.id_of(BALL)), notes)

    def _reject_ids(self, mask: NDArray[np.uint8], path: Path) -> None:
        """Ids that nobody mapped would all pass for black, in silence.

        Smoothed borders and lossy packing make such dark greys too, beside something bright, but no areas of one value.
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
        if flat.sum() <= FLAT * dark.sum() and grey.max() > DARKEST:
            return
        ours = ' '.join(f'{name}={label}' for label, name in enumerate(self.classes.names))
        raise DatasetError(
            f'{path} holds ids, not colours, and these stand for no class: {listed(ids, 24)}; name each in --colors, '
            f'ignore=ID for what is to be left out; if they are ours, say --colors {ours} ignore=255'
        )


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a painted label image, whatever its file holds: grey, palette, with or without alpha.

    Raises:
        DatasetError: it cannot be read, has not 8 bits, or is not of the image's ``shape`` (H, W).
    """
    try:
        mask = read_stored_pixels(path)
    except ImageError as error:
        raise DatasetError(f'label {error}') from error
    if mask.dtype != np.uint8:
        raise DatasetError(f'label image {path} has {8 * mask.dtype.itemsize} bits a channel; it must have 8')
    if mask.shape[:2] != shape:
        raise DatasetError(f'{path} is {mask.shape[1]}x{mask.shape[0]}, its image {shape[1]}x{shape[0]}')
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[1 if mask.ndim == 2 else mask.shape[2]]
    return np.asarray(cv2.cvtColor(mask, code), np.uint8)


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix('').as_posix()


def _mask_key(key: str, mask_name: str) -> str:
    parent, slash, name = key.rpartition('/')
    return f'{parent}{slash}{mask_name.replace("{name}", name)}'
