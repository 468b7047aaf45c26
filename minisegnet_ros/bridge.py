"""Encodings that we do not convert ourselves, by cv_bridge where there is one that works.

cv_bridge 3.4 converts none to bgr8 that we do not; it is for what later ones, and those of others, may bring.

A cv_bridge built for another NumPy or OpenCV does not raise an error, it crashes the process. So each encoding is tried
out in a child process first, once.
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec

from sensor_msgs.msg import Image

from minisegnet_core.encodings import Pixels
from minisegnet_core.errors import ImageError

PROBE_TIMEOUT = 30.0
"""Seconds; to import ROS and OpenCV anew on a busy small computer."""

PROBE = """
import sys
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
encoding, (width, height, step, length, bigendian) = sys.argv[1], map(int, sys.argv[2:7])
image = Image(
    encoding=encoding, width=width, height=height, step=step, is_bigendian=bigendian, data=bytes(length)
)
picture = CvBridge().imgmsg_to_cv2(image, 'bgr8')
assert picture.shape == (height, width, 3) and picture.dtype == 'uint8', (picture.shape, picture.dtype)
"""


@lru_cache(maxsize=64)
def trouble_with(encoding: str, width: int, height: int, step: int, length: int, is_bigendian: int = 0) -> str:
    """Why cv_bridge cannot be used for such images, by its last words in a child process; empty: it can."""
    if find_spec('cv_bridge') is None:
        return 'cv_bridge, which may know it, is not installed'
    shape = [str(value) for value in (width, height, step, length, is_bigendian)]
    try:
        result = subprocess.run(
            [sys.executable, '-c', PROBE, encoding, *shape],
            capture_output=True, text=True, errors='replace', timeout=PROBE_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'cv_bridge could not be tried: {error}'
    if result.returncode == 0:
        return ''
    said = result.stderr.strip().splitlines()
    words = said[-1] if said else f'it ended with code {result.returncode}'
    return f'cv_bridge cannot convert it either: {words}'


def bridged(message: Image) -> Pixels:
    """The pixels of an image of an encoding that we do not know, as cv_bridge converts it to bgr8.

    Raises:
        ImageError: cv_bridge is not installed, does not work here, or does not know the encoding either.
    """
    encoding = message.encoding
    if not (message.width and message.height and message.step):
        raise ImageError(f'the image is empty: {message.width}x{message.height} pixels, step {message.step}')
    if len(message.data) < message.step * message.height:
        raise ImageError(
            f'the image is truncated: {len(message.data)} bytes of data, {message.step * message.height} are needed'
        )
    size = message.width, message.height, message.step, len(message.data)
    trouble = trouble_with(encoding, *size, int(message.is_bigendian))
    if trouble:
        raise ImageError(f'unknown image encoding {encoding!r}; {trouble}')
    from cv_bridge import CvBridge

    try:
        picture = CvBridge().imgmsg_to_cv2(message, 'bgr8')
    except Exception as error:  # cv_bridge has its own types, and OpenCV's pass through
        raise ImageError(f'cv_bridge cannot convert encoding {encoding!r}: {error}') from error
    return Pixels(picture, 'bgr')
