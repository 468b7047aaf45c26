"""The node's outputs. A topic costs a conversion and a copy only while it has subscribers."""

from __future__ import annotations

from collections.abc import Mapping
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
from minisegnet_ros.conversions import (
    BallArray,
    Detection2DArray,
    LabelInfo,
    ball_message,
    balls_message,
    detections_message,
    image_message,
    label_camera_info,
    label_info_message,
)
from minisegnet_ros.qos import output_profile, overriding_options


class Outputs:
    """Publishers of the results of a model.

    Roles go by class name: a model without the class `ball` has no ball topics. Topics whose message package is not
    installed do not exist.

    Attributes:
        classes: classes of the model.
    """

    def __init__(self, node: Node, classes: ClassSet) -> None:
        self._node = node
        self.classes = classes
        self._labels = self._create(Image, '~/label_image')
        self._camera_info = self._create(CameraInfo, '~/camera_info')
        self._overlay = self._create(Image, '~/overlay/image')
        self._masks = {
            class_id: self._create(Image, f'~/{name}_mask')
            for class_id, name in enumerate(classes.names)
            if name != BACKGROUND
        }
        self._ball_id = classes.id_of(BALL)
        ball = self._ball_id is not None
        self._ball = self._create(PointStamped, '~/ball') if ball else None
        self._detections = self._create_optional(Detection2DArray, '~/detections') if ball else None
        self._balls = self._create_optional(BallArray, 'balls_in_image') if ball else None
        self._label_info = self._create_optional(LabelInfo, '~/label_info', latched=True)

    def _create(self, kind: Any, topic: str, *, latched: bool = False) -> Publisher:
        # rclpy's default events stay off: one that waits while its publisher is destroyed blocks the node's services.
        events = PublisherEventCallbacks(use_default_callbacks=False)
        options = overriding_options(self._node, self._node.resolve_topic_name(topic), 'publisher')
        return self._node.create_publisher(
            kind, topic, output_profile(latched=latched), event_callbacks=events, qos_overriding_options=options
        )

    def _create_optional(self, kind: Any, topic: str, *, latched: bool = False) -> Publisher | None:
        """Create a publisher, or return None if the message package is not installed or does not work."""
        if kind is None:
            return None
        try:
            return self._create(kind, topic, latched=latched)
        except Exception as error:  # raised by the package's compiled part, with its own types
            package = kind.__module__.partition('.')[0]
            self._node.get_logger().warning(
                f'no topic {topic}: {package} is installed but cannot be used ({type(error).__name__}: {error}); '
                'source the workspace it was built in, or build it for this ROS distribution'
            )
            return None

    @property
    def per_image(self) -> list[Publisher]:
        """Publishers that publish for each image."""
        optional = (self._ball, self._detections, self._balls)
        others = [publisher for publisher in optional if publisher is not None]
        return [self._labels, self._camera_info, self._overlay, *others, *self._masks.values()]

    @property
    def publishers(self) -> Mapping[str, Publisher]:
        """All publishers by the resolved names of their topics."""
        return {publisher.topic_name: publisher for publisher in self._all()}

    @property
    def have_subscribers(self) -> bool:
        """Whether any output that is made from images has a subscriber."""
        return any(map(_has_subscribers, self.per_image))

    def close(self) -> None:
        """Destroy all publishers."""
        for publisher in self._all():
            self._node.destroy_publisher(publisher)

    def _all(self) -> list[Publisher]:
        return [*self.per_image, *([] if self._label_info is None else [self._label_info])]

    def publish(self, header: Header, result: Segmentation) -> None:
        """Publish labels and balls of a result with the header of the image."""
        if _has_subscribers(self._labels):
            self._labels.publish(image_message(result.label_image, 'mono8', header))
        if result.ball is not None and _has_subscribers(self._ball):
            self._ball.publish(ball_message(result.ball, header))
        if _has_subscribers(self._balls):
            self._balls.publish(balls_message(result.balls, header))
        if _has_subscribers(self._detections):
            self._detections.publish(detections_message(result.balls, self._ball_id, header))

    def publish_images(self, header: Header, result: Segmentation, pixels: Pixels, opacity: float) -> None:
        """Publish the masks and the overlay, whose colours have an opacity in [0, 1]."""
        for class_id, publisher in self._masks.items():
            if _has_subscribers(publisher):
                mask = np.where(result.label_image == class_id, np.uint8(255), np.uint8(0))
                publisher.publish(image_message(mask, '8UC1', header))
        if _has_subscribers(self._overlay):
            overlay = draw_overlay(pixels.rgb(), result.label_image, self.classes, result.balls, opacity)
            self._overlay.publish(image_message(overlay, 'rgb8', header))

    def publish_camera_info(self, info: CameraInfo, header: Header, image_size: tuple[int, int]) -> None:
        """Publish the camera of the label image.

        Raises:
            ImageError: the info describes images of another size.
        """
        if _has_subscribers(self._camera_info):
            self._camera_info.publish(label_camera_info(info, header, image_size))

    def publish_label_info(self, threshold: float) -> None:
        """Publish the meaning of the ids, with the ball threshold, to present and future subscribers."""
        if self._label_info is not None:
            header = Header(stamp=self._node.get_clock().now().to_msg())
            self._label_info.publish(label_info_message(self.classes, threshold, header))


def _has_subscribers(publisher: Publisher | None) -> bool:
    return publisher is not None and publisher.get_subscription_count() > 0
