"""Encodings that minisegnet does not convert itself, through cv_bridge if a working one is installed.

cv_bridge 3.4 converts no encoding to bgr8 that minisegnet does not convert too. This module serves encodings that later
or modified versions add. A cv_bridge that was built for another NumPy or OpenCV crashes the process instead of raising
an error. Each kind of image is therefore converted once in a child process first.
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
"""Seconds; a small busy computer takes long to import ROS and OpenCV."""

PROBE = """
import sys
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
encoding, (width, height, step, length, bigendian) = sys.argv[1], map(int, sys.argv[2:7])
message = Image(
    encoding=encoding, width=width, height=height, step=step, is_bigendian=bigendian, data=bytes(length)
)
image = CvBridge().imgmsg_to_cv2(message, 'bgr8')
assert image.shape == (height, width, 3) and image.dtype == 'uint8', (image.shape, image.dtype)
"""


@lru_cache(maxsize=64)
def cv_bridge_problem(encoding: str, width: int, height: int, step: int, length: int, is_bigendian: int = 0) -> str:
    """Return why cv_bridge cannot convert such images, from a conversion in a child process; empty if it can."""
    if find_spec('cv_bridge') is None:
        return 'cv_bridge, which may support it, is not installed'
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
    lines = result.stderr.strip().splitlines()
    reason = lines[-1] if lines else f'the process ended with exit code {result.returncode}'
    return f'cv_bridge cannot convert it either: {reason}'


def convert_with_cv_bridge(message: Image) -> Pixels:
    """Return the pixels of an image as cv_bridge converts it to bgr8.

    Raises:
        ImageError: the image is empty or truncated, or cv_bridge is not installed, does not work, or does not support
            the encoding.
    """
    encoding = message.encoding
    if not (message.width and message.height and message.step):
        raise ImageError(f'the image is empty: {message.width}x{message.height} pixels, step {message.step}')
    if len(message.data) < message.step * message.height:
        raise ImageError(
            f'the image is truncated: {len(message.data)} bytes of data, expected {message.step * message.height}'
        )
    size = message.width, message.height, message.step, len(message.data)
    problem = cv_bridge_problem(encoding, *size, int(message.is_bigendian))
    if problem:
        raise ImageError(f'unknown image encoding {encoding!r}; {problem}')
    from cv_bridge import CvBridge

    try:
        image = CvBridge().imgmsg_to_cv2(message, 'bgr8')
    except Exception as error:  # cv_bridge raises its own types and lets OpenCV's pass
        raise ImageError(f'cv_bridge cannot convert encoding {encoding!r}: {error}') from error
    return Pixels(image, 'bgr')
