"""Image files: the one reader and the one writer.

Every command reads images here, so that all of them see the same pixels: RGB, upright (EXIF orientation applied), and
never a truncated JPEG whose missing part some versions of OpenCV fill with grey.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.files import write_atomically

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
"""Suffixes, in lower case, of the files that are read as images."""

JPEG_QUALITY = 95
PNG_COMPRESSION = 3

ORIENTATION_TAG = 0x0112
TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations in which the upright image has the stored width as its height."""

JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
JPEG_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd7\xff])', re.DOTALL)
"""A marker of a JPEG file; stuffed bytes and restart markers belong to the compressed pixels."""

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


def is_image_file(path: Path) -> bool:
    """Return whether a path has the suffix of an image and is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB of an image file, upright.

    Raises:
        ImageError: the file is missing, empty, damaged, truncated, or of a format that OpenCV does not read.
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
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f'cannot read image {path}: {error.strerror or error}') from error
    if not data:
        raise ImageError(f'image {path} is empty; copy it again')
    if is_truncated_jpeg(data):
        raise ImageError(f'image {path} is truncated; copy it again')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f'cannot decode image {path}: {error.err or error}') from error
    if image is None:
        raise ImageError(f'image {path} is damaged, or OpenCV does not read its format')
    return np.asarray(image)


def is_truncated_jpeg(data: bytes) -> bool:
    """Return whether a file's content begins as a JPEG and breaks off before the end of the image."""
    if not data.startswith(JPEG_START) or data.endswith(JPEG_END):
        return False
    # Bytes may follow the end of the image, and a preview inside may have an end of its own: walk from marker to
    # marker.
    position = len(JPEG_START)
    while (marker := JPEG_MARKER.search(data, position)) is not None:
        if marker.group() == JPEG_END:
            return False
        position = marker.end() + max(int.from_bytes(data[marker.end() : marker.end() + 2], 'big'), 2)
    return True


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright image, from the file's header alone.

    Raises:
        ImageError: the file is missing or is not an image.
    """
    from PIL import Image  # comes with torchvision; running a model does not need it

    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(ORIENTATION_TAG)
    except (OSError, Image.DecompressionBombError) as error:
        raise ImageError(f'image {path} is missing, damaged, or of an unknown format') from error
    return (int(height), int(width)) if orientation in TRANSPOSED_ORIENTATIONS else (int(width), int(height))


def encode_image(image: NDArray[np.uint8], suffix: str, quality: int = JPEG_QUALITY) -> bytes:
    """Return the bytes of an image file.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) uint8.
        suffix: ``.png`` or ``.jpg``; selects the format.
        quality: of a JPEG, 1 to 100.

    Raises:
        ImageError: OpenCV cannot encode the image.
    """
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    png = suffix.lower() == '.png'
    settings = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION] if png else [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        encoded, data = cv2.imencode(suffix, bgr, settings)
    except cv2.error as error:
        raise ImageError(f'cannot encode an image of shape {image.shape} as {suffix}: {error.err or error}') from error
    if not encoded:
        raise ImageError(f'cannot encode an image of shape {image.shape} as {suffix}')
    return bytes(data)


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG or JPEG that :func:`encode_image` made: (H, W, 3) uint8 RGB, or (H, W) uint8."""
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def write_image(path: Path, image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> None:
    """Write (H, W, 3) uint8 RGB, or (H, W) uint8, as PNG or JPEG by the path's suffix; never a part of a file.

    Raises:
        ImageError: OpenCV cannot encode the image.
        OutputError: the file cannot be written.
    """
    write_atomically(path, encode_image(image, path.suffix, quality))


def read_labels(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return (H, W) uint8 class ids of a label file.

    Args:
        shape: (H, W) that the labels must have; None accepts any.

    Raises:
        DatasetError: the file is missing, is not a single-channel image with 8 bits per sample, or has another shape.
    """
    try:
        labels = read_stored_pixels(path)
    except ImageError as error:
        raise DatasetError(f'{error}; it must be a label file, a PNG of class ids') from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise DatasetError(f'{path} must hold one channel of 8-bit class ids; it holds {labels.dtype} {labels.shape}')
    bits = _png_bit_depth(path)
    if bits < 8:  # OpenCV scales grey of fewer bits to 0..255: in a 1-bit file id 1 would become ignore
        raise DatasetError(f'{path} has {bits}-bit grey, whose ids would be misread; save it with 8 bits per pixel')
    if shape is not None and labels.shape != shape:
        raise DatasetError(f'{path} is {labels.shape[1]}x{labels.shape[0]}, but its image is {shape[1]}x{shape[0]}')
    return np.asarray(labels, np.uint8)


def _png_bit_depth(path: Path) -> int:
    """Return the bits per sample of a PNG from its header; 8 for other formats."""
    with path.open('rb') as file:
        header = file.read(25)
    return header[24] if header.startswith(PNG_SIGNATURE) and len(header) == 25 else 8
