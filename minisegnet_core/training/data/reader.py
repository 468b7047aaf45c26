"""Reads samples at a stage's resolution, from the cache of decoded pixels or from their files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.data.dataset import Sample
from minisegnet_core.geometry import STRIDE, half_size
from minisegnet_core.imaging import image_size, read_image, read_labels
from minisegnet_core.training.config import Resolution

LABELS = 'labels'


@dataclass(frozen=True)
class Place:
    """Where the cache holds the decoded pixels of one image or label image.

    Attributes:
        file: name in the cache's folder. A name is never used again for another file.
        offset: bytes from the beginning of the file.
        shape: (H, W, 3) or (H, W), uint8.
    """

    file: str
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return int(np.prod(self.shape))


class SampleReader:
    """Reads samples at one resolution.

    Args:
        resolution: of the images. Labels are always read at full size.
        folder: of the cache; None without a cache.
        places: its valid entries: (kind, name of the sample) to place. Kinds are ``half``, ``full`` and ``labels``.
    """

    def __init__(
        self,
        resolution: Resolution = 'full',
        folder: Path | None = None,
        places: Mapping[tuple[str, str], Place] | None = None,
    ) -> None:
        self.resolution: Resolution = resolution
        self._folder = folder
        self._places = dict(places or {})
        self._files: dict[str, BinaryIO] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_files': {}}  # a process that is not forked opens its own files

    @property
    def block(self) -> int:
        """Label pixels reduced to one along each axis: 4, or 8 at half resolution."""
        return STRIDE * (2 if self.resolution == 'half' else 1)

    @property
    def cached(self) -> int:
        """Number of images in the cache."""
        return sum(kind == self.resolution for kind, _ in self._places)

    def size(self, sample: Sample) -> tuple[int, int]:
        """Return (height, width) of a sample's image at this resolution, in pixels.

        Raises:
            ImageError: the image is not in the cache and its file cannot be read.
        """
        place = self._places.get((self.resolution, sample.name))
        if place is not None:
            return place.shape[0], place.shape[1]
        width, height = image_size(sample.image_path)
        if self.resolution == 'half':
            width, height = half_size(width, height)
        return height, width

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB; at half resolution (ceil(H/2), ceil(W/2), 3).

        Raises:
            ImageError: the image is not in the cache and its file cannot be read.
        """
        cached = self._cached_pixels(self.resolution, sample)
        return at_resolution(read_image(sample.image_path), self.resolution) if cached is None else cached

    def labels(self, sample: Sample) -> NDArray[np.uint8]:
        """Return (H, W) uint8 ids at the full size of the sample's image.

        Raises:
            DatasetError: the labels are not in the cache and their file cannot be read.
        """
        cached = self._cached_pixels(LABELS, sample)
        return read_labels(sample.label_path) if cached is None else cached

    def _cached_pixels(self, kind: str, sample: Sample) -> NDArray[np.uint8] | None:
        place = self._places.get((kind, sample.name))
        if place is None or self._folder is None:
            return None
        try:
            if place.file not in self._files:
                self._files[place.file] = (self._folder / place.file).open('rb', buffering=0)
            pixels = np.empty(place.shape, np.uint8)
            read = os.preadv(self._files[place.file].fileno(), [pixels.data], place.offset)
        except OSError:  # the cache was deleted, or its disk fails: the source is still there
            return None
        return pixels if read == place.size else None


def at_resolution(image: NDArray[np.uint8], resolution: Resolution) -> NDArray[np.uint8]:
    """Return a full-size image (H, W, 3) at a stage's resolution: unchanged, or halved by averaging areas."""
    if resolution == 'full':
        return image
    size = half_size(image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
