"""ROS messages to the core's values and back. Pure functions: no node, no clock, no logging.

vision_msgs and soccer_vision_2d_msgs (RoboCup soccer) are optional. If a package is not installed, its message types
are None here, and the node does not have its topics.
"""

from __future__ import annotations

import array
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.classes import ClassSet
from minisegnet_core.encodings import KNOWN_ENCODINGS, Pixels, decode_compressed, decode_image
from minisegnet_core.errors import ImageError
from minisegnet_core.geometry import STRIDE, image_to_label, label_size
from minisegnet_ros.bridge import convert_with_cv_bridge

try:
    from vision_msgs.msg import (
        BoundingBox2D,
        Detection2D,
        Detection2DArray,
        LabelInfo,
        ObjectHypothesisWithPose,
        VisionClass,
    )
except ImportError:
    Detection2DArray = LabelInfo = None

try:
    from soccer_vision_2d_msgs.msg import Ball as SoccerBall
    from soccer_vision_2d_msgs.msg import BallArray
except ImportError:
    BallArray = None

NANOSECONDS = 1_000_000_000
"""Nanoseconds of a second."""


def stamp_nanoseconds(header: Header) -> int:
    """Return the stamp of a header in nanoseconds."""
    return int(header.stamp.sec) * NANOSECONDS + int(header.stamp.nanosec)


def pixels_of(message: Image | CompressedImage) -> Pixels:
    """Return the pixels of an image message; a view of its data for rgb8 and bgr8 without row padding.

    Raises:
        ImageError: the image is empty, truncated, or of an encoding that cannot be segmented.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data, message.format)
    if message.encoding not in KNOWN_ENCODINGS:
        return convert_with_cv_bridge(message)
    return decode_image(
        message.data, message.encoding, message.width, message.height, message.step, message.is_bigendian
    )


def image_message(image: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Return an image as a message of an 8-bit encoding without row padding.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        encoding: such as ``mono8`` or ``rgb8``.
        header: header of the message.
    """
    message = Image()
    message.header = header
    message.height, message.width = image.shape[:2]
    message.encoding = encoding
    message.step = image.shape[1] * (image.shape[2] if image.ndim == 3 else 1)
    # The setter takes an array of bytes as it is and checks anything else byte by byte in Python.
    message.data = array.array('B', image.tobytes())
    return message


def ball_message(ball: Ball, header: Header) -> PointStamped:
    """Return a ball as a point: x, y its centroid and z its radius, in pixels of the received image."""
    message = PointStamped()
    message.header = header
    message.point.x, message.point.y, message.point.z = float(ball.x), float(ball.y), float(ball.radius)
    return message


def detections_message(balls: Sequence[Ball], ball_id: int, header: Header) -> Any:
    """Return balls as a vision_msgs/Detection2DArray.

    Args:
        balls: in pixels of the received image, the best first; may be empty.
        ball_id: label id of the class ball. As text it is the ``class_id`` of the hypotheses; LabelInfo gives its name.
        header: header of the received image; each detection gets it too.
    """
    message = Detection2DArray(header=header)
    for ball in balls:
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = str(ball_id)
        hypothesis.hypothesis.score = float(ball.confidence)
        message.detections.append(Detection2D(header=header, results=[hypothesis], bbox=_bounding_box(ball)))
    return message


def balls_message(balls: Sequence[Ball], header: Header) -> Any:
    """Return balls, in pixels of the received image, as a soccer_vision_2d_msgs/BallArray; may be empty."""
    message = BallArray(header=header)
    for ball in balls:
        entry = SoccerBall(bb=_bounding_box(ball))
        entry.center.x, entry.center.y = float(ball.x), float(ball.y)
        entry.confidence.confidence = float(ball.confidence)
        message.balls.append(entry)
    return message


def _bounding_box(ball: Ball) -> Any:
    """Return the square around the circle of a ball, in pixels of the received image."""
    box = BoundingBox2D(size_x=2.0 * ball.radius, size_y=2.0 * ball.radius)
    box.center.position.x, box.center.position.y = float(ball.x), float(ball.y)
    return box


def label_info_message(classes: ClassSet, threshold: float, header: Header) -> Any:
    """Return the meaning of the ids in label image and detections as a vision_msgs/LabelInfo.

    Args:
        classes: classes of the model.
        threshold: ball probability from which a label pixel can belong to a ball.
        header: its stamp is the time from which the message is valid.
    """
    class_map = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes.names)]
    return LabelInfo(header=header, class_map=class_map, threshold=float(threshold))


def received_size(info: CameraInfo) -> tuple[int, int]:
    """Return (width, height), in pixels, of the images that a camera info describes, with ROI and binning applied."""
    width = info.roi.width or info.width
    height = info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)


def label_camera_info(info: CameraInfo, header: Header, image_size: tuple[int, int]) -> CameraInfo:
    """Return the camera of the label image, which projects a point to the label pixel that covers it.

    The region of interest and the binning of the input are resolved first, as in image_geometry. Pixel u of the full
    image is pixel u' = (u - x_offset) / binning of the received image, and this is label coordinate (u' - 1.5) / 4.
    Distortion and rectification apply to rays and not to pixels, and are copied.

    Args:
        info: camera of the received image.
        header: header of the received image.
        image_size: (width, height) of the received image in pixels.

    Raises:
        ImageError: the info describes images of another size.
    """
    if info.width and info.height and received_size(info) != image_size:
        width, height = received_size(info)
        raise ImageError(
            f'camera_info describes images of {width}x{height} pixels, the image has {image_size[0]}x{image_size[1]}; '
            'calibrate the camera at this size or correct its driver'
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
                continue  # all zeros mean "not calibrated" and stay so
            center = image_to_label((matrix[axis, 2] - offset[axis]) / binning[axis])
            matrix[axis] /= binning[axis] * STRIDE
            matrix[axis, 2] = center
    result.k, result.p = k.reshape(-1), p.reshape(-1)
    return result
