"""Messages of packages that a robot may or may not have: vision_msgs, and soccer_vision_2d_msgs of RoboCup soccer.

Where a package is missing its message types are None here, and the node has no such topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.classes import ClassSet

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


def detections_message(balls: Sequence[Ball], ball_id: int, header: Header) -> Any:
    """Balls as a vision_msgs/Detection2DArray, the best first; empty where none is seen.

    Args:
        balls: in pixels of the received image.
        ball_id: label id of the class ball; as text it is the hypothesis's ``class_id``, which LabelInfo explains.
        header: of the received image; each detection has it too.
    """
    message = Detection2DArray(header=header)
    for ball in balls:
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = str(ball_id)
        hypothesis.hypothesis.score = float(ball.confidence)
        message.detections.append(Detection2D(header=header, results=[hypothesis], bbox=_bounding_box(ball)))
    return message


def balls_message(balls: Sequence[Ball], header: Header) -> Any:
    """Balls as a soccer_vision_2d_msgs/BallArray in pixels of the received image; empty where none is seen."""
    message = BallArray(header=header)
    for ball in balls:
        entry = SoccerBall(bb=_bounding_box(ball))
        entry.center.x, entry.center.y = float(ball.x), float(ball.y)
        entry.confidence.confidence = float(ball.confidence)
        message.balls.append(entry)
    return message


def label_info_message(classes: ClassSet, threshold: float, header: Header) -> Any:
    """What the ids of the label image and of the detections mean, as a vision_msgs/LabelInfo.

    Args:
        classes: of the model.
        threshold: ball probability from which a label pixel can belong to a ball.
        header: its stamp: since when this holds.
    """
    class_map = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes.names)]
    return LabelInfo(header=header, class_map=class_map, threshold=float(threshold))


def _bounding_box(ball: Ball) -> Any:
    """The square round the ball's circle, in pixels of the received image."""
    box = BoundingBox2D(size_x=2.0 * ball.radius, size_y=2.0 * ball.radius)
    box.center.position.x, box.center.position.y = float(ball.x), float(ball.y)
    return box
