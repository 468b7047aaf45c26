"""ROS messages to the core's values and back. Pure functions: no node, no clock, no logging."""

from __future__ import annotations

import array
import copy

import numpy as np
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.encodings import KNOWN_ENCODINGS, Pixels, decode_compressed, decode_image
from minisegnet_core.errors import ImageError
from minisegnet_core.geometry import STRIDE, image_to_label, label_size
from minisegnet_ros.bridge import bridged

NANOSECONDS = 1_000_000_000


def stamp_nanoseconds(header: Header) -> int:
    """The header's stamp in nanoseconds."""
    return int(header.stamp.sec) * NANOSECONDS + int(header.stamp.nanosec)


def pixels_of(message: Image | CompressedImage) -> Pixels:
    """The pixels of an image message; for rgb8 and bgr8 without row padding a view of the message's own data.

    Raises:
        ImageError: the image is empty, truncated, or of an encoding that cannot be segmented.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data, message.format)
    if message.encoding not in KNOWN_ENCODINGS:
        return bridged(message)
    return decode_image(
        message.data, message.encoding, message.width, message.height, message.step, message.is_bigendian
    )


def image_message(image: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """(H, W) or (H, W, 3) uint8 as a message of an 8-bit encoding, with the given header and no row padding."""
    message = Image()
    message.header = header
    message.height, message.width = image.shape[:2]
    message.encoding = encoding
    message.step = image.shape[1] * (image.shape[2] if image.ndim == 3 else 1)
    # An array of bytes goes through the setter as it is; anything else is checked byte by byte in Python.
    message.data = array.array('B', image.tobytes())
    return message


def ball_message(ball: Ball, header: Header) -> PointStamped:
    """The ball as a point: x, y its centroid and z its radius, in pixels of the received image."""
    message = PointStamped()
    message.header = header
    message.point.x, message.point.y, message.point.z = float(ball.x), float(ball.y), float(ball.radius)
    return message


def received_size(info: CameraInfo) -> tuple[int, int]:
    """(width, height) in pixels of the images a camera info speaks of, region of interest and binning applied."""
    width = info.roi.width or info.width
    height = info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)


def label_camera_info(info: CameraInfo, header: Header, image_size: tuple[int, int]) -> CameraInfo:
    """The camera of the label image: projects a point to the label pixel that covers it.

    The input's region of interest and binning are resolved first, as image_geometry does: pixel u of the full image is
    (u - x_offset) / binning of the received one, which is label coordinate (that - 1.5) / 4. Distortion and
    rectification are of rays, not of pixels, and stay.

    Args:
        info: the received image's camera.
        header: of the received image.
        image_size: (width, height) of the received image, pixels.

    Raises:
        ImageError: the info is of images of another size.
    """
    if info.width and info.height and received_size(info) != image_size:
        width, height = received_size(info)
        raise ImageError(
            f'camera_info is for images of {width}x{height} pixels, the image has {image_size[0]}x{image_size[1]}; '
            'calibrate at this size or mend the camera driver'
        )
    result = copy.deepcopy(info)
    result.header = header
    result.width, result.height = label_size(*image_size)
    result.binning_x = result.binning_y = 0
    result.roi = RegionOfInterest(do_rectify=info.roi.do_rectify)
    binning = max(info.binning_x, 1), max(info.binning_y, 1)
    offset = info.roi.x_offset, info.roi.y_offset
    k, p = np.array(info.k, float).reshape(3, 3), np.array(info.p, float).reshape(3, 4)
    for axis in (0, 1):
        for matrix in (k, p):
            if not matrix.any():
                continue  # all zeros say "not calibrated", and shall go on saying it
            center = image_to_label((matrix[axis, 2] - offset[axis]) / binning[axis])
            matrix[axis] /= binning[axis] * STRIDE
            matrix[axis, 2] = center
    result.k, result.p = k.reshape(-1), p.reshape(-1)
    return result
