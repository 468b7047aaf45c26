"""Image files: the one reader and the one writer.

Every command reads images here, so that all of them see the same pixels: RGB, upright (EXIF orientation applied), and
never a file that was cut off and filled up with grey.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.files import write_atomically

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
"""Endings of file names, in lower case, that are read as images."""

JPEG_QUALITY = 95
PNG_COMPRESSION = 3

ORIENTATION_TAG = 0x0112
TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations whose upright image has the stored width as its height."""


def is_image_file(path: Path) -> bool:
    """Return whether the name is that of a visible image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB of an image file, upright.

    Raises:
        ImageError: the file is missing, empty, damaged, or of a format that OpenCV does not read.
    """
    return np.asarray(cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def read_stored_pixels(path: Path) -> NDArray[np.generic]:
    """Return the pixels as the file stores them: channels in OpenCV's order (BGR, BGRA), depth kept, not rotated.

    Raises:
        ImageError: as :func:`read_image`.
    """
    return _decode(path, cv2.IMREAD_UNCHANGED)


def _decode(path: Path, flags: int) -> NDArray[np.generic]:
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, flags) if data.size else None
    except OSError as error:
        raise ImageError(f'cannot read image {path}: {error.strerror or error}') from error
    except cv2.error as error:
        raise ImageError(f'cannot decode image {path}: {error.err or error}') from error
    if image is None:
        reason = 'damaged, cut off, or of an unknown format' if data.size else 'empty'
        raise ImageError(f'image {path} is {reason}')
    return np.asarray(image)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright image, from the file's header alone.

    Raises:
        ImageError: the file is missing or not an image.
    """
    from PIL import Image  # comes with torchvision; running a model does not need it

    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(ORIENTATION_TAG)
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f'{path} is missing or not an image that can be read') from error
    return (int(height), int(width)) if orientation in TRANSPOSED_ORIENTATIONS else (int(width), int(height))


def encode_image(image: NDArray[np.uint8], suffix: str, quality: int = JPEG_QUALITY) -> bytes:
    """Return the bytes of an image file.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) uint8.
        suffix: ``.png`` or ``.jpg``; chooses the format.
        quality: of a JPEG, 1 to 100.

    Raises:
        ImageError: OpenCV cannot encode the image.
    """
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    png = suffix.lower() == '.png'
    settings = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION] if png else [cv2.IMWRITE_JPEG_QUALITY, quality]
    good, data = cv2.imencode(suffix, bgr, settings)
    if not good:
        raise ImageError(f'an image of shape {image.shape} cannot be encoded as {suffix}')
    return bytes(data)


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG or JPEG that :func:`encode_image` made: (H, W, 3) uint8 RGB, or (H, W) uint8."""
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def write_image(path: Path, image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> None:
    """Write (H, W, 3) uint8 RGB, or (H, W) uint8, as PNG or JPEG by the path's suffix; never half a file.

    Raises:
        ImageError: OpenCV cannot encode the image.
        OutputError: the file cannot be written.
    """
    write_atomically(path, encode_image(image, path.suffix, quality))


def read_labels(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return (H, W) uint8 class ids of a label file.

    Raises:
        DatasetError: the file is missing, is not a single-channel PNG with 8 bits per sample, or does not have
            ``shape`` (H, W).
    """
    try:
        labels = read_stored_pixels(path)
    except ImageError as error:
        raise DatasetError(f'label file {path} is missing or not a PNG: {error}') from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise DatasetError(f'{path} must hold one channel of 8-bit class ids; it holds {labels.dtype} {labels.shape}')
    bits = _png_bit_depth(path)
    if bits < 8:  # OpenCV scales grey of fewer bits to 0..255: in a 1-bit file id 1 would become ignore
        raise DatasetError(f'{path} has {bits}-bit grey, whose ids would be misread; save it with 8 bits per pixel')
    if shape is not None and labels.shape != shape:
        raise DatasetError(f'{path} is {labels.shape[1]}x{labels.shape[0]}, its image {shape[1]}x{shape[0]}')
    return np.asarray(labels, np.uint8)


def _png_bit_depth(path: Path) -> int:
    """Return the bits per sample in the header of a PNG; 8 for other files, whose depth is not known."""
    with path.open('rb') as file:
        header = file.read(25)
    return header[24] if header.startswith(b'\x89PNG\r\n\x1a\n') and len(header) == 25 else 8
