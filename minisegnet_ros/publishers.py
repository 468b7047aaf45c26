"""The node's outputs. A topic costs a conversion and a copy only while somebody listens to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from minisegnet_core.classes import BACKGROUND, BALL, ClassSet
from minisegnet_core.encodings import Pixels
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_core.visualization import draw_overlay
from minisegnet_ros.conversions import ball_message, image_message, label_camera_info
from minisegnet_ros.qos import output_profile, overriding_options
from minisegnet_ros.vision_messages import (
    BallArray,
    Detection2DArray,
    LabelInfo,
    balls_message,
    detections_message,
    label_info_message,
)


class Outputs:
    """Publishers of all that a model with these classes has to say.

    Roles go by class name: no ball, no ball topic. Topics of message packages that are not installed do not exist.
    """

    def __init__(self, node: Node, classes: ClassSet) -> None:
        self._node = node
        self.classes = classes
        self._labels = self._publisher(Image, '~/label_image')
        self._camera_info = self._publisher(CameraInfo, '~/camera_info')
        self._overlay = self._publisher(Image, '~/overlay/image')
        self._masks = {
            class_id: self._publisher(Image, f'~/{name}_mask')
            for class_id, name in enumerate(classes.names)
            if name != BACKGROUND
        }
        self._ball_id = classes.id_of(BALL)
        ball = self._ball_id is not None
        self._ball = self._publisher(PointStamped, '~/ball') if ball else None
        self._detections = self._perhaps(Detection2DArray, '~/detections') if ball else None
        self._balls = self._perhaps(BallArray, 'balls_in_image') if ball else None
        self._label_info = self._perhaps(LabelInfo, '~/label_info', latched=True)

    def _publisher(self, kind: Any, topic: str, *, latched: bool = False) -> Publisher:
        # Without rclpy's own events: one that waits while its publisher is destroyed would lock the node's services.
        events = PublisherEventCallbacks(use_default_callbacks=False)
        options = overriding_options(self._node, self._node.resolve_topic_name(topic), 'publisher')
        return self._node.create_publisher(
            kind, topic, output_profile(latched=latched), event_callbacks=events, qos_overriding_options=options
        )

    def _perhaps(self, kind: Any, topic: str, *, latched: bool = False) -> Publisher | None:
        """A publisher of a message that may be missing (None), or be there and not work."""
        if kind is None:
            return None
        try:
            return self._publisher(kind, topic, latched=latched)
        except Exception as error:  # what fails is the package's own compiled part, in its own ways
            package = kind.__module__.partition('.')[0]
            self._node.get_logger().warning(
                f'no topic {topic}: {package} is installed but cannot be used ({type(error).__name__}: {error}); '
                'source the workspace it was built in, or build it for this ROS distribution'
            )
            return None

    @property
    def per_image(self) -> list[Publisher]:
        """Publishers of what is said anew of each image."""
        perhaps = (self._ball, self._detections, self._balls)
        others = [publisher for publisher in perhaps if publisher is not None]
        return [self._labels, self._camera_info, self._overlay, *others, *self._masks.values()]

    def close(self) -> None:
        """Ends all publishers."""
        for publisher in (*self.per_image, *([] if self._label_info is None else [self._label_info])):
            self._node.destroy_publisher(publisher)

    @property
    def heard(self) -> bool:
        """Whether anybody listens to anything that is made from images."""
        return any(map(_heard, self.per_image))

    def publish(self, header: Header, result: Segmentation) -> None:
        """Publishes labels and balls of one result, every message with the image's own header."""
        if _heard(self._labels):
            self._labels.publish(image_message(result.label_image, 'mono8', header))
        if result.ball is not None and _heard(self._ball):
            self._ball.publish(ball_message(result.ball, header))
        if _heard(self._balls):
            self._balls.publish(balls_message(result.balls, header))
        if _heard(self._detections):
            self._detections.publish(detections_message(result.balls, self._ball_id, header))

    def publish_pictures(self, header: Header, result: Segmentation, pixels: Pixels, opacity: float) -> None:
        """Publishes masks, and the overlay with its colours at this opacity (0..1)."""
        for class_id, publisher in self._masks.items():
            if _heard(publisher):
                mask = np.where(result.label_image == class_id, np.uint8(255), np.uint8(0))
                publisher.publish(image_message(mask, '8UC1', header))
        if _heard(self._overlay):
            picture = draw_overlay(pixels.rgb(), result.label_image, self.classes, result.balls, opacity)
            self._overlay.publish(image_message(picture, 'rgb8', header))

    def publish_camera_info(self, info: CameraInfo, header: Header, image_size: tuple[int, int]) -> None:
        """Publishes the label image's camera.

        Raises:
            ImageError: the info is of images of another size.
        """
        if _heard(self._camera_info):
            self._camera_info.publish(label_camera_info(info, header, image_size))

    def publish_label_info(self, threshold: float) -> None:
        """Publishes what the ids mean, to present and future listeners; threshold: the ball's."""
        if self._label_info is not None:
            header = Header(stamp=self._node.get_clock().now().to_msg())
            self._label_info.publish(label_info_message(self.classes, threshold, header))


def _heard(publisher: Publisher | None) -> bool:
    return publisher is not None and publisher.get_subscription_count() > 0
