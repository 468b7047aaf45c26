"""The label grid: where label pixels lie in the received image, and resampling of other grids onto it.

Pixel centres are at integers. Label pixel (u, v) covers the 4x4 block of received pixels centred at (4u + 1.5, 4v +
1.5), whatever size the network ran at. No other module repeats this arithmetic.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError

STRIDE = 4
"""Received pixels per label pixel along each axis."""

MINIMUM_NETWORK_SIZE = 64
"""Smallest width and height in pixels. The encoder's deepest stride is 32, and batch norm needs two pixels there."""

MAPS_KEPT = 8
"""Number of (image size, network size) pairs whose resampling maps are cached; 0.1 MB each at 640x480."""


def label_size(width: int, height: int) -> tuple[int, int]:
    """Return (width, height) of the label image of a (width, height) image: a quarter, rounded up."""
    return -(-width // STRIDE), -(-height // STRIDE)


def label_to_image(coordinate: float) -> float:
    """Convert a label-grid coordinate of either axis to received pixels: 0 to 1.5, 1 to 5.5."""
    return STRIDE * coordinate + (STRIDE - 1) / 2


def image_to_label(coordinate: float) -> float:
    """Convert a received-pixel coordinate of either axis to the label grid; the inverse of :func:`label_to_image`."""
    return (coordinate - (STRIDE - 1) / 2) / STRIDE


def half_size(width: int, height: int) -> tuple[int, int]:
    """Return (width, height) of the half-resolution copy of an image, rounded up.

    Rounding up gives its label grid, ceil(ceil(W/2)/4), exactly the ceil(W/8) blocks of 8x8 original pixels from which
    its ground truth is reduced. Rounding to nearest would lose the last block at W = 641.
    """
    return -(-width // 2), -(-height // 2)


def parse_network_size(text: str, width: int, height: int) -> tuple[int, int]:
    """Return (width, height) in pixels at which the network runs on a (width, height) image.

    Args:
        text: ``native``, ``half``, or ``WIDTHxHEIGHT`` such as ``320x240``.
        width, height: size of the received image, pixels.

    Raises:
        ConfigurationError: the text has none of these forms.
    """
    if text == 'native':
        size = width, height
    elif text == 'half':
        size = half_size(width, height)
    else:
        try:
            size = tuple(int(part) for part in text.lower().split('x'))  # type: ignore[assignment]
            if len(size) != 2 or min(size) < MINIMUM_NETWORK_SIZE:
                raise ValueError
        except ValueError:
            raise ConfigurationError(
                f'network size {text!r} must be native, half, or WIDTHxHEIGHT with both at least '
                f'{MINIMUM_NETWORK_SIZE}, such as 320x240'
            ) from None
    return size


def resample_to_label_grid(
    probabilities: NDArray[np.float32], image_size: tuple[int, int], network_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Resample class probabilities from the network's grid to the label grid of the received image, bilinearly.

    Resample before argmax, never after. A network pixel u' covers the block centred at 4u' + 1.5 of the *resized*
    image. So label pixel u lies at u' = (u + 1/2) * network / image - 1/2, whatever the sizes are.

    Args:
        probabilities: (C, h', w') float32.
        image_size: (width, height) of the received image.
        network_size: (width, height) of the network's input.

    Returns:
        (C, h, w) float32 on the label grid of ``image_size``; ``probabilities`` itself where the sizes are equal.
    """
    if network_size == image_size:
        return probabilities
    width, height = label_size(*image_size)
    inner_height, inner_width = probabilities.shape[1:]
    resampled = np.empty((len(probabilities), height, width), np.float32)
    if (
        inner_width * image_size[0] == network_size[0] * width
        and inner_height * image_size[1] == network_size[1] * height
    ):
        # Both grids cover the same area, no block reaches past the border: a plain resize does, at four times the
        # speed.
        for plane, result in zip(probabilities, resampled, strict=True):
            cv2.resize(plane, (width, height), dst=result, interpolation=cv2.INTER_LINEAR)
    else:
        coordinates, fractions = _resampling_maps(image_size, network_size)
        for plane, result in zip(probabilities, resampled, strict=True):
            cv2.remap(plane, coordinates, fractions, cv2.INTER_LINEAR, dst=result, borderMode=cv2.BORDER_REPLICATE)
    return resampled


@lru_cache(maxsize=MAPS_KEPT)
def _resampling_maps(
    image_size: tuple[int, int], network_size: tuple[int, int]
) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Return the place of each label pixel on the network's grid, in cv2.remap's fixed-point form of 1/32 pixel.

    The maps are cached, since computing them takes longer than using them. They are read-only, since threads share
    them.
    """
    width, height = label_size(*image_size)
    scale_x, scale_y = network_size[0] / image_size[0], network_size[1] / image_size[1]
    x = ((np.arange(width, dtype=np.float32) + 0.5) * scale_x - 0.5).astype(np.float32)
    y = ((np.arange(height, dtype=np.float32) + 0.5) * scale_y - 0.5).astype(np.float32)
    coordinates, fractions = cv2.convertMaps(*np.meshgrid(x, y), cv2.CV_16SC2)
    coordinates.flags.writeable = fractions.flags.writeable = False
    return np.asarray(coordinates, np.int16), np.asarray(fractions, np.uint16)
