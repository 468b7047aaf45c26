"""Photos from folders that the user names: turf textures and hall backgrounds. Read once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file, read_image

Floats = NDArray[np.float32]
LARGEST = 1280
"""Pixels; photos with a longer side are reduced, so that a folder of large ones still fits into memory."""


@lru_cache(maxsize=16)
def photo_paths(folder: str) -> tuple[Path, ...]:
    """The photos of a folder, by name.

    Raises:
        ConfigurationError: there is no such folder, or no photo in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigurationError(f'there is no folder {folder} to take photos from')
    paths = tuple(sorted(filter(is_image_file, root.iterdir())))
    if not paths:
        raise ConfigurationError(f'the folder {folder} holds no photos ({", ".join(IMAGE_SUFFIXES)})')
    return paths


@lru_cache(maxsize=96)
def photo(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB.

    Raises:
        ConfigurationError: OpenCV cannot read it.
    """
    try:
        image = read_image(path)
    except ImageError as error:
        raise ConfigurationError(f'{error}; remove it from the folder of photos') from error
    scale = LARGEST / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


@lru_cache(maxsize=16)
def _tile(path: Path, size: int) -> Floats:
    image = photo(path)
    side = min(image.shape[:2])
    square = cv2.resize(image[:side, :side], (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    # Mirrored to both sides, so that it repeats without a seam.
    row = np.hstack([square, square[:, ::-1]])
    linear = (np.vstack([row, row[::-1]]).astype(np.float32) / 255) ** 2.2
    grey = linear.mean(axis=2) + 1e-3
    return np.asarray(np.clip(grey / grey.mean(), 0.15, 3) - 1, np.float32)


def photo_tile(folder: str, pick: int, size: int) -> Floats:
    """(size, size) float32 grey of one of the folder's photos, linear, about 0 in units of its mean, without a seam."""
    paths = photo_paths(folder)
    return _tile(paths[pick % len(paths)], size)
