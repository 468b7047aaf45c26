"""Image messages' bytes to pixels: the encodings of sensor_msgs, raw and compressed, without ROS.

Shared by the bag reader and the node. The common encodings ``rgb8`` and ``bgr8`` are not copied: what comes back is a
view of the message's own buffer together with its channel order, which ``Segmenter.run(image, order=...)`` takes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import EncodingError, ImageError

Order = Literal['rgb', 'bgr']


@dataclass(frozen=True)
class Pixels:
    """A decoded image: (H, W, 3) uint8, and which of its channels comes first, red or blue."""

    image: NDArray[np.uint8]
    order: Order

    def rgb(self) -> NDArray[np.uint8]:
        """The image as (H, W, 3) uint8 RGB, C-contiguous; a copy only where the order is not RGB already."""
        if self.order == 'rgb':
            return self.image
        image: NDArray[np.uint8] = cv2.cvtColor(self.image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        return image


@dataclass(frozen=True)
class _Encoding:
    """How an encoding lies in memory: values per pixel, bytes per value, and what makes three 8-bit channels of it."""

    channels: int
    depth: int
    order: Order = 'rgb'
    conversion: int | None = None
    even: bool = False
    """Whether the width (and for planar formats the height) must be even, as chroma is shared between neighbours."""
    planar: bool = False
    """Whether half as many rows again, holding chroma, follow the picture's rows."""


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's first two.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}

_ENCODINGS: dict[str, _Encoding] = {
    'rgb8': _Encoding(3, 1),
    'bgr8': _Encoding(3, 1, 'bgr'),
    '8UC3': _Encoding(3, 1, 'bgr'),  # nameless channels are blue first, as in cv_bridge and OpenCV
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
"""Names of the encodings :func:`decode_image` reads."""

_NO_PICTURE = {
    '16UC1': 'it holds depth in millimetres or raw counts without a range; publish mono16 if it is a grey picture',
    '32FC1': 'it holds depth or measurements, not brightness',
    '16SC1': 'it holds signed measurements, not brightness',
}

KNOWN_ENCODINGS = frozenset((*_ENCODINGS, *_NO_PICTURE))
"""Those, and the names of encodings that hold no picture, which are refused with the reason."""


def decode_image(
    data: Any, encoding: str, width: int, height: int, step: int, is_bigendian: bool | int = False
) -> Pixels:
    """Makes three 8-bit channels of a ``sensor_msgs/Image``'s fields.

    Args:
        data: a buffer of bytes (``array.array('B')``, ``bytes``, uint8 array); at least ``step * height`` of them,
            where the last row's padding may lack.
        encoding: a name of :data:`SUPPORTED_ENCODINGS`.
        width, height: pixels, both positive.
        step: bytes from one row's beginning to the next's, at least a row's own bytes.
        is_bigendian: byte order of 16-bit values. They are scaled to 8 bits by 255 / 65535.

    Returns:
        The pixels. For rgb8, bgr8 and 8UC3 without row padding a view of ``data``, else an array of its own.

    Raises:
        ImageError: empty or truncated image, step shorter than a row, encoding unknown or without a picture.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f'the image is empty: {width}x{height} pixels')
    layout = _ENCODINGS.get(encoding)
    if layout is None:
        if encoding in _NO_PICTURE:
            raise EncodingError(f'cannot segment encoding {encoding!r}: {_NO_PICTURE[encoding]}')
        raise EncodingError(f'unknown image encoding {encoding!r}; supported are {", ".join(SUPPORTED_ENCODINGS)}')
    if layout.even and (width % 2 or (layout.planar and height % 2)):
        raise ImageError(f'encoding {encoding} needs an even size, the image has {width}x{height} pixels')
    row = width * layout.channels * layout.depth
    if step < row:
        raise ImageError(f'step of {step} bytes is too short: a row of {width} pixels {encoding} takes {row} bytes')
    rows = height * 3 // 2 if layout.planar else height
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size < step * (rows - 1) + row:
        raise ImageError(
            f'the image is truncated: {buffer.size} bytes of data, {width}x{height} {encoding} with step {step} needs '
            f'{step * rows}'
        )
    values = _values(buffer, layout, rows, width, row, step, bool(is_bigendian))
    if layout.conversion is not None:
        try:
            values = cv2.cvtColor(values, layout.conversion)
        except cv2.error as error:  # images too small to demosaic
            raise ImageError(f'cannot convert {width}x{height} {encoding}: {str(error).strip()}') from error
    return Pixels(_eight_bits(values), layout.order)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """8 or 16-bit values as 8-bit ones: rounded 255 / 65535, exactly, in integers."""
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) + 128) // 257
    return values.astype(np.uint8, copy=False)


def _values(
    buffer: NDArray[np.uint8], layout: _Encoding, rows: int, width: int, row: int, step: int, is_bigendian: bool
) -> NDArray[Any]:
    """(rows, width[, channels]) values of the buffer; a view of it where rows follow each other without padding."""
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
    """Decodes a ``sensor_msgs/CompressedImage``: JPEG, PNG and whatever else OpenCV reads.

    Args:
        data: a buffer with the file's bytes.
        image_format: the message's ``format``: ``jpeg``, ``png``, or as image_transport writes it,
            ``<encoding>; <codec> compressed <encoding of what was compressed>``.

    Returns:
        The pixels, an array of their own, 16 bits scaled to 8. An EXIF orientation is not applied: the camera's
        calibration knows none.

    Raises:
        ImageError: no bytes, damaged or cut off file, depth image.
    """
    encoding, _, codec = (part.strip() for part in image_format.partition(';'))
    if encoding in _NO_PICTURE:
        raise EncodingError(f'cannot segment compressed {encoding!r}: {_NO_PICTURE[encoding]}')
    if 'compressedDepth' in codec:
        raise EncodingError(f'cannot segment format {image_format!r}: it holds depth, not a picture')
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size == 0:
        raise ImageError('the compressed image is empty: no bytes of data')
    if buffer[:2].tobytes() == b'\xff\xd8' and buffer.tobytes().rfind(b'\xff\xd9') < 0:
        # OpenCV fills what is missing of a JPEG with grey and says nothing.
        raise ImageError(
            f'the compressed image ({image_format}, {buffer.size} bytes) is truncated: no end of JPEG data'
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
            f'cannot segment the compressed image ({image_format}): it has no three 8 or 16-bit channels'
        )
    # The encoder takes blue first; who fed it red first says so, and then the file's channels are swapped.
    return Pixels(_eight_bits(image), 'rgb' if 'compressed rgb' in codec else 'bgr')
