"""Where label pixels lie in the received image, and how maps of another grid are brought onto the label grid.

Pixel centres are at integers. Label pixel (u, v) covers the 4x4 block of received pixels centred at (4u + 1.5, 4v +
1.5), whatever size the network ran at. This is the only place where that is written.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError

STRIDE = 4
"""Received pixels per label pixel, along each axis."""

MINIMUM_NETWORK_SIZE = 64
"""Pixels; the encoder's deepest stride is 32, and batch norm wants more than one pixel there."""

MAPS_KEPT = 8
"""Pairs of image and network size whose resampling maps are kept, 0.1 MB each at 640x480."""


def label_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the label image of a (width, height) image, in label pixels: a quarter, rounded up."""
    return -(-width // STRIDE), -(-height // STRIDE)


def label_to_image(coordinate: float) -> float:
    """Received-image coordinate of a label-grid coordinate, either axis; 0 -> 1.5, 1 -> 5.5."""
    return STRIDE * coordinate + (STRIDE - 1) / 2


def image_to_label(coordinate: float) -> float:
    """Inverse of :func:`label_to_image`."""
    return (coordinate - (STRIDE - 1) / 2) / STRIDE


def half_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the half-resolution copy of an image, rounded up.

    Rounded up because then its label grid, ceil(ceil(W/2)/4), has exactly the ceil(W/8) blocks of 8x8 original pixels
    from which its truth is reduced; rounding to nearest would lose the last block at W = 641.
    """
    return -(-width // 2), -(-height // 2)


def parse_network_size(text: str, width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels at which the network runs on a (width, height) image.

    Args:
        text: ``native``, ``half``, or ``WIDTHxHEIGHT`` such as ``320x240``.
        width, height: size of the received image, pixels.

    Raises:
        ConfigurationError: the text is none of these.
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
    """Brings class probabilities of the network's own grid onto the label grid of the received image, bilinearly.

    Done before argmax, never after. A network pixel u' covers the block centred at 4u' + 1.5 of the *resized* image, so
    label pixel u lies at u' = (u + 1/2) * network / image - 1/2, also where neither size is a multiple of four.

    Args:
        probabilities: (C, h', w') float32.
        image_size: (width, height) of the received image.
        network_size: (width, height) of the image the network saw.

    Returns:
        (C, h, w) float32 on the label grid of ``image_size``.
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
        # The two grids cover the same, no block reaches past the border: then it is a plain resize, four times as fast.
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
    """Where each label pixel lies on the network's grid, in cv2.remap's fixed-point form, 1/32 of a pixel fine.

    Kept per pair of sizes, since making them takes longer than using them. Shared by threads: read-only.
    """
    width, height = label_size(*image_size)
    scale_x, scale_y = network_size[0] / image_size[0], network_size[1] / image_size[1]
    x = ((np.arange(width, dtype=np.float32) + 0.5) * scale_x - 0.5).astype(np.float32)
    y = ((np.arange(height, dtype=np.float32) + 0.5) * scale_y - 0.5).astype(np.float32)
    coordinates, fractions = cv2.convertMaps(*np.meshgrid(x, y), cv2.CV_16SC2)
    coordinates.flags.writeable = fractions.flags.writeable = False
    return np.asarray(coordinates, np.int16), np.asarray(fractions, np.uint16)
