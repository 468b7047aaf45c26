"""Image files: the one reader and the one writer.

Every command reads images here, so that all of them see the same pixels. Pillow reads the header: size, orientation,
palette, bits. OpenCV decodes the pixels. These rules hold for every format:

- Images are upright: the EXIF orientation is applied once.
- Truncated and damaged files are refused. Some versions of OpenCV fill the missing part of a JPEG with grey instead.
- Grey of 1, 2 or 4 bits becomes 0..255, and 16 bits are scaled to 8.
- A palette is resolved. Alpha is dropped from photos; masks keep it, see :func:`read_stored_pixels`.
- Images above the size limit are refused before they are decoded, see :func:`max_pixels`.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, DatasetError, ImageError, shortened
from minisegnet_core.files import write_atomically
from minisegnet_core.limits import MAX_MEGAPIXELS

IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.jfif', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm',
    *(('.avif',) if cv2.haveImageWriter('a.avif') else ()),
)  # fmt: skip
"""Suffixes, in lower case, of the files that are read as images; AVIF only where OpenCV supports it."""

MAX_MEGAPIXELS_VARIABLE = 'MINISEGNET_MAX_MEGAPIXELS'
"""Environment variable that sets another size limit, in 10^6 pixels."""

JPEG_QUALITY = 95
PNG_COMPRESSION = 3

ORIENTATION_TAG = 0x0112
WIDTH_TAG, HEIGHT_TAG = 256, 257
TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations in which the upright image has the stored width as its height."""

UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""For each EXIF orientation, the operation that turns the stored pixels upright."""

WIDE_MODES = ('I', 'F')
"""Pillow's modes of 32 bits per sample, which OpenCV would convert without a scale. PNG has no such samples."""

JPEG_START, JPEG_END = b'\xff\xd8', b'\xff\xd9'
JPEG_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd7\xff])', re.DOTALL)
"""A marker of a JPEG file; stuffed bytes and restart markers belong to the compressed pixels."""

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
PNG_HEADER = 25
"""Bytes of a PNG up to its bits per sample."""

LFS_POINTER = b'version https://git-lfs'


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file.

    Attributes:
        format: Pillow's name of the format, such as ``JPEG``.
        mode: Pillow's mode, such as ``RGB``; ``P`` is a palette and ``1`` is one bit per pixel.
        width, height: size in pixels of the stored image, before the orientation is applied.
        orientation: EXIF orientation, 1..8; 1 is upright.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the upright image."""
        transposed = self.orientation in TRANSPOSED_ORIENTATIONS
        return (self.height, self.width) if transposed else (self.width, self.height)


def max_pixels() -> float:
    """Return the number of pixels of the largest image that is read.

    Raises:
        ConfigurationError: the environment variable is not a number above 0.
    """
    text = os.environ.get(MAX_MEGAPIXELS_VARIABLE, '')
    try:
        megapixels = float(text) if text else MAX_MEGAPIXELS
    except ValueError:
        megapixels = math.nan
    if not 0 < megapixels < math.inf:
        raise ConfigurationError(f'{MAX_MEGAPIXELS_VARIABLE} is {shortened(repr(text))}; it must be a number above 0')
    return megapixels * 1e6


def is_image_file(path: Path) -> bool:
    """Return whether a path has the suffix of an image and is not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB of an image file, upright.

    Raises:
        ImageError: the file is missing, empty, damaged, truncated, too large, or of a format that is not read.
    """
    image = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_stored_pixels(path: Path) -> NDArray[np.generic]:
    """Return the upright pixels with the file's channels, in OpenCV's order (BGR, BGRA), and its depth.

    Grey and alpha become BGRA; so does a palette with transparent entries.

    Raises:
        ImageError: as :func:`read_image`.
    """
    return _decode(path, cv2.IMREAD_UNCHANGED)


def read_stored_values(path: Path) -> NDArray[np.uint8] | None:
    """Return the (H, W) uint8 values that a file stores, upright: palette indices, or grey levels of 1 to 8 bits.

    Returns:
        None if the file has several channels or more than 8 bits, so that a pixel has no single such value.

    Raises:
        ImageError: as :func:`read_image`.
    """
    data = _read_bytes(path)
    header = _checked_header(data, path)
    if header.mode not in ('1', 'L', 'P'):
        return None
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(data)) as image:
            stored = np.asarray(image).astype(np.uint8)
    except Exception as error:  # the decoders of several formats raise errors of any type
        raise ImageError(f'image {path} is damaged; copy it again') from error
    if header.mode == 'L' and header.format == 'PNG':
        stored //= 255 // (2 ** min(_png_bits(data), 8) - 1)  # Pillow scales 2 and 4 bits to 0..255
    return np.ascontiguousarray(stored if header.format == 'TIFF' else _upright(stored, header))


def read_header(path: Path) -> ImageHeader:
    """Return the header of an image file; no pixel is decoded.

    Raises:
        ImageError: the file is missing, is not an image, or exceeds the size limit.
    """
    return _parse_header(path, path)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright image, from the file's header alone.

    Raises:
        ImageError: as :func:`read_header`.
    """
    return read_header(path).size


def reject_too_large(data: bytes) -> None:
    """Refuse an image file in memory whose header announces more pixels than the limit; damage is not detected.

    Raises:
        ImageError: the image is too large.
    """
    _pillow()
    try:
        header = _open_header(io.BytesIO(data))
    except Exception:  # its decoder reports what is wrong with the file
        return
    _check_size(header, 'the compressed image')


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f'cannot read image {path}: {error.strerror or error}') from error


def _checked_header(data: bytes, path: Path) -> ImageHeader:
    """Return the header of a file's content.

    Raises:
        ImageError: the content is not a complete image, or is too large.
    """
    if not data:
        raise ImageError(f'image {path} is empty; copy it again')
    if is_truncated_jpeg(data) or is_truncated_png(data):
        raise ImageError(f'image {path} is truncated; copy it again')
    return _parse_header(io.BytesIO(data), path)


def _parse_header(source: Path | io.BytesIO, path: Path) -> ImageHeader:
    try:
        header = _open_header(source)
    except Exception as error:  # the plugins of Pillow raise errors of any type for damaged headers
        if isinstance(error, OSError) and error.errno:
            raise ImageError(f'cannot read image {path}: {error.strerror}') from error
        raise ImageError(f'image {path} {_unreadable(source)}') from error
    _check_size(header, f'image {path}')
    if header.mode in WIDE_MODES and header.format != 'PNG':
        raise ImageError(f'image {path} has 32 bits per sample; save it with 8 or 16')
    return header


def _unreadable(source: Path | io.BytesIO) -> str:
    """Return what is wrong with a file that is not an image."""
    try:
        start = source.read_bytes()[:64] if isinstance(source, Path) else source.getvalue()[:64]
    except OSError:
        start = b''
    if start.startswith(LFS_POINTER):
        return 'is a Git LFS pointer, not an image; fetch the images with git lfs pull'
    return 'is damaged, or of a format that is not read; copy it again, or save it as PNG or JPEG'


def _open_header(source: Path | io.BytesIO) -> ImageHeader:
    with _pillow().open(source) as image:
        width, height = image.size
        if image.format == 'TIFF':  # newer versions of Pillow exchange the size themselves
            width, height = image.tag_v2.get(WIDTH_TAG, width), image.tag_v2.get(HEIGHT_TAG, height)
            orientation = image.tag_v2.get(ORIENTATION_TAG, 1)
        else:
            orientation = _exif_orientation(image)
        known = orientation if orientation in UPRIGHT else 1
        return ImageHeader(str(image.format), image.mode, int(width), int(height), known)


def _exif_orientation(image: Any) -> object:
    """Return the orientation of EXIF data; not of XMP, which viewers ignore."""
    try:
        exif = _pillow().Exif()
        exif.load(image.info.get('exif', b''))
        return exif.get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF data does not make an image unreadable
        return 1


def _check_size(header: ImageHeader, name: str) -> None:
    limit = max_pixels()
    if header.width * header.height > limit:
        raise ImageError(
            f'{name} is {header.width}x{header.height}, more than {limit / 1e6:g} megapixels; shrink it, or set '
            f'{MAX_MEGAPIXELS_VARIABLE} to a larger number'
        )


@functools.cache
def _pillow() -> ModuleType:
    """Return Pillow's module Image. It is imported at the first image, since the node's raw images do not need it."""
    from PIL import Image

    # Pillow's own limit raises an error of another type, from twice its value on, and only warns below. max_pixels()
    # replaces it.
    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings('ignore', category=UserWarning, module=r'PIL\.')  # such as corrupt EXIF data
    return Image


def _decode(path: Path, flags: int) -> NDArray[np.generic]:
    data = _read_bytes(path)
    header = _checked_header(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f'image {path} is damaged, or stored in a way that OpenCV does not read; save it as PNG')
    # OpenCV applies the orientation of TIFF files itself, whatever the flags.
    upright = np.asarray(image) if header.format == 'TIFF' else _upright(np.asarray(image), header)
    if upright.shape[1::-1] != header.size:
        raise ImageError(f'image {path} contradicts its header, {header.size[0]}x{header.size[1]}; save it again')
    return upright


def _upright(pixels: NDArray[Any], header: ImageHeader) -> NDArray[Any]:
    turn = UPRIGHT.get(header.orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def is_truncated_png(data: bytes) -> bool:
    """Return whether a file's content begins as a PNG and breaks off, or is damaged, before the end of the image."""
    if not data.startswith(PNG_SIGNATURE):
        return False
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], 'big'), data[position + 4 : position + 8]
        end = position + 8 + length
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], 'big'):
            return True
        if kind == b'IEND':
            return False
        position = end + 4
    return True


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
    header = read_header(path)
    if header.mode == 'P':
        raise DatasetError(f'{path} has a palette; its ids would be read as colours. Save it as 8-bit grey')
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise DatasetError(f'{path} must hold one channel of 8-bit class ids; it holds {labels.dtype} {labels.shape}')
    bits = _png_bits(path.read_bytes()[:PNG_HEADER])
    if bits < 8:  # OpenCV scales grey of fewer bits to 0..255: in a 1-bit file id 1 would become ignore
        raise DatasetError(f'{path} has {bits}-bit grey, whose ids would be misread; save it with 8 bits per pixel')
    if shape is not None and labels.shape != shape:
        raise DatasetError(f'{path} is {labels.shape[1]}x{labels.shape[0]}, but its image is {shape[1]}x{shape[0]}')
    return np.asarray(labels, np.uint8)


def _png_bits(data: bytes) -> int:
    """Return the bits per sample of a PNG from its header; 8 for other formats."""
    return data[PNG_HEADER - 1] if data.startswith(PNG_SIGNATURE) and len(data) >= PNG_HEADER else 8
