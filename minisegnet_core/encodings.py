"""Decoding of ROS image messages, raw and compressed, without ROS.

The bag reader and the node share this module. The common encodings ``rgb8`` and ``bgr8`` are not copied: the result is
a view of the message's buffer with its channel order, which ``Segmenter.run(image, order=...)`` accepts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import EncodingError, ImageError, listed, shortened

Order = Literal['rgb', 'bgr']


@dataclass(frozen=True)
class Pixels:
    """A decoded image, (H, W, 3) uint8, with the order of its channels."""

    image: NDArray[np.uint8]
    order: Order

    def rgb(self) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8 RGB, C-contiguous; a copy only where the order is BGR."""
        if self.order == 'rgb':
            return self.image
        image: NDArray[np.uint8] = cv2.cvtColor(self.image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        return image


@dataclass(frozen=True)
class _Encoding:
    """Memory layout of an encoding, and its conversion to three channels.

    Attributes:
        channels: values per pixel.
        depth: bytes per value.
        order: channel order after the conversion.
        conversion: OpenCV's code of the conversion, None where the values are three channels already.
        even: whether the width, and of planar formats the height, must be even, since neighbours share chroma.
        planar: whether half as many rows again follow the image's rows, holding chroma.
    """

    channels: int
    depth: int
    order: Order = 'rgb'
    conversion: int | None = None
    even: bool = False
    planar: bool = False


# OpenCV names a Bayer pattern by the second and third pixel of the second row, ROS by the first two of the first row.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}

_ENCODINGS: dict[str, _Encoding] = {
    'rgb8': _Encoding(3, 1),
    'bgr8': _Encoding(3, 1, 'bgr'),
    '8UC3': _Encoding(3, 1, 'bgr'),  # unnamed channels are BGR, as in cv_bridge and OpenCV
    'rgba8': _Encoding(4, 1, 'rgb', cv2.COLOR_RGBA2RGB),
    'bgra8': _Encoding(4, 1, 'rgb', cv2.COLOR_BGRA2RGB),
    '8UC4': _Encoding(4, 1, 'rgb', cv2.COLOR_BGRA2RGB),
    'mono8': _Encoding(1, 1, 'rgb', cv2.COLOR_GRAY2RGB),
    '8UC1': _Encoding(1, 1, 'rgb', cv2.COLOR_GRAY2RGB),
    'mono16': _Encoding(1, 2, 'rgb', cv2.COLOR_GRAY2RGB),
    'rgb16': _Encoding(3, 2),
    'bgr16': _Encoding(3, 2, 'bgr'),
    'rgba16': _Encoding(4, 2, 'rgb', cv2.COLOR_RGBA2RGB),
    'bgra16': _Encoding(4, 2, 'rgb', cv2.COLOR_BGRA2RGB),
    'uyvy': _Encoding(2, 1, 'rgb', cv2.COLOR_YUV2RGB_UYVY, even=True),
    'yuv422': _Encoding(2, 1, 'rgb', cv2.COLOR_YUV2RGB_UYVY, even=True),
    'yuyv': _Encoding(2, 1, 'rgb', cv2.COLOR_YUV2RGB_YUY2, even=True),
    'yuv422_yuy2': _Encoding(2, 1, 'rgb', cv2.COLOR_YUV2RGB_YUY2, even=True),
    'nv12': _Encoding(1, 1, 'rgb', cv2.COLOR_YUV2RGB_NV12, even=True, planar=True),
    'nv21': _Encoding(1, 1, 'rgb', cv2.COLOR_YUV2RGB_NV21, even=True, planar=True),
    **{f'bayer_{p}8': _Encoding(1, 1, 'rgb', code) for p, code in _BAYER.items()},
    **{f'bayer_{p}16': _Encoding(1, 2, 'rgb', code) for p, code in _BAYER.items()},
}

SUPPORTED_ENCODINGS = tuple(_ENCODINGS)
"""Names of the encodings that :func:`decode_image` reads."""

_NOT_IMAGES = {
    '16UC1': 'it holds depth in millimetres or raw counts without a range; publish mono16 if it is a grey image',
    '32FC1': 'it holds depth or measurements, not brightness; subscribe to the colour or grey image',
    '16SC1': 'it holds signed measurements, not brightness; subscribe to the colour or grey image',
}

KNOWN_ENCODINGS = frozenset((*_ENCODINGS, *_NOT_IMAGES))
"""The supported encodings, and those that hold no brightness, which are rejected with the reason."""


def decode_image(
    data: Any, encoding: str, width: int, height: int, step: int, is_bigendian: bool | int = False
) -> Pixels:
    """Decode the fields of a ``sensor_msgs/Image`` to three 8-bit channels.

    Args:
        data: a buffer of bytes (``array.array('B')``, ``bytes``, uint8 array) of at least ``step * height`` bytes; the
            padding of the last row may be missing.
        encoding: one of :data:`SUPPORTED_ENCODINGS`.
        width, height: in pixels, both positive.
        step: bytes from the start of one row to the start of the next.
        is_bigendian: byte order of 16-bit values, which are scaled to 8 bits by 255 / 65535.

    Returns:
        The pixels: a view of ``data`` for rgb8, bgr8 and 8UC3 without row padding, otherwise a new array.

    Raises:
        EncodingError: the encoding is unknown or holds no brightness.
        ImageError: the image is empty or truncated, or a row does not fit ``step``.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f'the image is empty: {width}x{height} pixels')
    layout = _ENCODINGS.get(encoding)
    if layout is None:
        if encoding in _NOT_IMAGES:
            raise EncodingError(f'cannot segment encoding {encoding!r}: {_NOT_IMAGES[encoding]}')
        raise EncodingError(
            f'unknown image encoding {shortened(repr(encoding))}; supported are {listed(SUPPORTED_ENCODINGS, 20)}'
        )
    if layout.even and (width % 2 or (layout.planar and height % 2)):
        raise ImageError(f'encoding {encoding} needs an even size, but the image has {width}x{height} pixels')
    row = width * layout.channels * layout.depth
    if step < row:
        raise ImageError(f'step of {step} bytes is too short: a row of {width} pixels {encoding} takes {row} bytes')
    rows = height * 3 // 2 if layout.planar else height
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size < step * (rows - 1) + row:
        raise ImageError(
            f'the image is truncated: it has {buffer.size} bytes of data, but {width}x{height} {encoding} with step '
            f'{step} needs {step * rows}'
        )
    values = _values(buffer, layout, rows, width, row, step, bool(is_bigendian))
    if layout.conversion is not None:
        try:
            values = cv2.cvtColor(values, layout.conversion)
        except cv2.error as error:  # an image that is too small to demosaic
            raise ImageError(f'cannot convert {width}x{height} {encoding}: {" ".join(str(error).split())}') from error
    return Pixels(_eight_bits(values), layout.order)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16-bit values to 8 bits by 255 / 65535, rounded exactly in integers; return 8-bit values as they are."""
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) + 128) // 257
    return values.astype(np.uint8, copy=False)


def _values(
    buffer: NDArray[np.uint8], layout: _Encoding, rows: int, width: int, row: int, step: int, is_bigendian: bool
) -> NDArray[Any]:
    """Return the buffer's values as (rows, width[, channels]); a view of the buffer where rows have no padding."""
    shape = (rows, width) if layout.channels == 1 else (rows, width, layout.channels)
    if step == row:
        packed = buffer[: rows * row]
    else:
        packed = np.ascontiguousarray(np.lib.stride_tricks.as_strided(buffer, (rows, row), (step, 1))).reshape(-1)
    if layout.depth == 1:
        return packed.reshape(shape)
    native = packed.view(np.uint16).reshape(shape)
    return native.byteswap() if is_bigendian != (sys.byteorder == 'big') else native


def decode_compressed(data: Any, image_format: str = '') -> Pixels:
    """Decode a ``sensor_msgs/CompressedImage``: JPEG, PNG or another format that OpenCV reads.

    Args:
        data: a buffer with the bytes of the image file.
        image_format: the message's ``format``: ``jpeg``, ``png``, or image_transport's
            ``<encoding>; <codec> compressed <encoding of the compressed pixels>``.

    Returns:
        The pixels, a new array, 16 bits scaled to 8. EXIF orientation is not applied, since the camera's calibration
        refers to the stored pixels.

    Raises:
        EncodingError: the format holds depth or measurements.
        ImageError: there are no bytes, or the file is damaged or truncated.
    """
    encoding, _, codec = (part.strip() for part in image_format.partition(';'))
    if encoding in _NOT_IMAGES:
        raise EncodingError(f'cannot segment compressed {encoding!r}: {_NOT_IMAGES[encoding]}')
    if 'compressedDepth' in codec:
        raise EncodingError(
            f'cannot segment format {image_format!r}: it holds depth, not brightness; use the colour or grey topic'
        )
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size == 0:
        raise ImageError('the compressed image is empty: no bytes of data')
    if buffer[:2].tobytes() == b'\xff\xd8' and buffer.tobytes().rfind(b'\xff\xd9') < 0:
        # Some versions of OpenCV fill the missing part of a JPEG with grey, without an error.
        raise ImageError(
            f'the compressed image ({image_format}, {buffer.size} bytes) is truncated: it has no end of JPEG data'
        )
    mosaic = encoding.startswith('bayer_') and 'compressed bgr' not in codec and 'compressed rgb' not in codec
    colors = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    flags = cv2.IMREAD_UNCHANGED if mosaic else colors
    try:
        image: NDArray[Any] | None = cv2.imdecode(buffer, flags)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(
            f'cannot decode the compressed image ({image_format or "no format given"}, {buffer.size} bytes): '
            'it is damaged or neither JPEG nor PNG'
        )
    if mosaic and image.ndim == 2:
        return decode_image(
            image.tobytes(), encoding, image.shape[1], image.shape[0], image.shape[1] * image.itemsize,
            sys.byteorder == 'big',
        )  # fmt: skip
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
        raise EncodingError(
            f'cannot segment the compressed image ({image_format}): it needs three 8 or 16-bit channels'
        )
    # Encoders expect BGR. A publisher that compressed RGB says so in the format, and its file has the channels swapped.
    return Pixels(_eight_bits(image), 'rgb' if 'compressed rgb' in codec else 'bgr')
