"""Photos from the user's folders, as turf textures and hall backgrounds. Each is read once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image

Floats = NDArray[np.float32]
MAX_SIDE = 1280
"""Pixels; larger photos are scaled down to this longer side, so that a whole folder fits into memory."""


@lru_cache(maxsize=16)
def photo_paths(folder: str) -> tuple[Path, ...]:
    """Return the paths of a folder's photos, sorted by name.

    Raises:
        ConfigurationError: the folder is missing or holds no photo.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigurationError(f'there is no folder {folder}; name an existing folder of photos')
    paths = tuple(sorted(filter(is_image_file, root.iterdir())))
    if not paths:
        raise ConfigurationError(f'the folder {folder} holds no photos; add files of type {", ".join(IMAGE_SUFFIXES)}')
    return paths


@lru_cache(maxsize=96)
def photo(path: Path) -> NDArray[np.uint8]:
    """Return a photo, (H, W, 3) uint8 RGB, with a longer side of at most MAX_SIDE pixels.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        image = read_image(path)
    except ImageError as error:
        raise ConfigurationError(f'{error}; remove it from the folder of photos') from error
    scale = MAX_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


@lru_cache(maxsize=16)
def _tile(path: Path, size: int) -> Floats:
    image = photo(path)
    side = min(image.shape[:2])
    square = cv2.resize(image[:side, :side], (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    # Mirrored to both sides, so that the tile is seamless.
    row = np.hstack([square, square[:, ::-1]])
    linear = (np.vstack([row, row[::-1]]).astype(np.float32) / 255) ** 2.2
    grey = linear.mean(axis=2) + 1e-3
    return np.asarray(np.clip(grey / grey.mean(), 0.15, 3) - 1, np.float32)


def photo_tile(folder: str, pick: int, size: int) -> Floats:
    """Return a seamless grey tile (size, size) float32 from one of a folder's photos.

    Values are the deviation of the linear grey level from its mean, relative to the mean.

    Args:
        folder: of the photos.
        pick: any whole number; selects the photo.
        size: in pixels, even.

    Raises:
        ConfigurationError: as :func:`photo_paths` and :func:`photo`.
    """
    paths = photo_paths(folder)
    return _tile(paths[pick % len(paths)], size)
