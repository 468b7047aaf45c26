"""The node's outputs. A topic costs a conversion and a copy only while somebody listens to it."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from minisegnet_core.classes import BACKGROUND, BALL, ClassSet
from minisegnet_core.encodings import Pixels
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_core.visualization import draw_overlay
from minisegnet_ros.conversions import ball_message, image_message, label_camera_info

# Reliable serves listeners of both kinds; a slow one costs the network, not us, as only the newest few are kept.
OUTPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Outputs:
    """Publishers of all that a model with these classes has to say. Roles go by class name: no ball, no ball topic."""

    def __init__(self, node: Node, classes: ClassSet) -> None:
        self._node = node
        self.classes = classes
        self._labels = self._publisher(Image, '~/label_image')
        self._camera_info = self._publisher(CameraInfo, '~/camera_info')
        self._overlay = self._publisher(Image, '~/overlay/image')
        self._ball = self._publisher(PointStamped, '~/ball') if BALL in classes.names else None
        self._masks = {
            class_id: self._publisher(Image, f'~/{name}_mask')
            for class_id, name in enumerate(classes.names)
            if name != BACKGROUND
        }

    def _publisher(self, kind: type, topic: str) -> Publisher:
        # Without rclpy's own events: one that waits while its publisher is destroyed would lock the node's services.
        events = PublisherEventCallbacks(use_default_callbacks=False)
        return self._node.create_publisher(kind, topic, OUTPUT_QOS, event_callbacks=events)

    def _all(self) -> list[Publisher]:
        others = [] if self._ball is None else [self._ball]
        return [self._labels, self._camera_info, self._overlay, *others, *self._masks.values()]

    def close(self) -> None:
        """Ends all publishers."""
        for publisher in self._all():
            self._node.destroy_publisher(publisher)

    @property
    def heard(self) -> bool:
        """Whether anybody listens to anything."""
        return any(publisher.get_subscription_count() for publisher in self._all())

    def publish(self, header: Header, result: Segmentation, pixels: Pixels, opacity: float) -> None:
        """Publishes one result, every message with the image's own header; opacity (0..1) is the overlay's."""
        labels = result.label_image
        if self._labels.get_subscription_count():
            self._labels.publish(image_message(labels, 'mono8', header))
        if self._ball is not None and result.ball is not None:
            self._ball.publish(ball_message(result.ball, header))
        for class_id, publisher in self._masks.items():
            if publisher.get_subscription_count():
                mask = np.where(labels == class_id, np.uint8(255), np.uint8(0))
                publisher.publish(image_message(mask, '8UC1', header))
        if self._overlay.get_subscription_count():
            picture = draw_overlay(pixels.rgb(), labels, self.classes, result.balls, opacity)
            self._overlay.publish(image_message(picture, 'rgb8', header))

    def publish_camera_info(self, info: CameraInfo, header: Header, image_size: tuple[int, int]) -> None:
        """Publishes the label image's camera.

        Raises:
            ImageError: the info is of images of another size.
        """
        self._camera_info.publish(label_camera_info(info, header, image_size))
