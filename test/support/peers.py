"""The surroundings of the node in tests: a camera that also subscribes to the outputs, and images with known labels."""

from __future__ import annotations

import array

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUTS = {
    'label_image': Image,
    'camera_info': CameraInfo,
    'ball': PointStamped,
    'ball_mask': Image,
    'line_mask': Image,
    'field_mask': Image,
    'overlay/image': Image,
}


class Peer(Node):
    """Publishes images and camera infos, and collects what the node publishes."""

    def __init__(self, outputs=('label_image',), compressed=False, namespace='', qos=RELIABLE) -> None:
        super().__init__('peer', namespace=namespace)
        self.received: dict[str, list] = {name: [] for name in outputs}
        for name in outputs:
            self.create_subscription(OUTPUTS[name], f'segment/{name}', self.received[name].append, RELIABLE)
        self.infos = self.create_publisher(CameraInfo, 'camera_info', RELIABLE)
        kind, topic = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        # Last, because the node subscribes again when it discovers the camera.
        self.images = self.create_publisher(kind, topic, qos)

    def send(self, image: np.ndarray, stamp: int, encoding='rgb8', frame='camera_optical', **changes) -> None:
        """Publish an image with a stamp (ns); ``changes`` are fields of the message."""
        message = Image(encoding=encoding, height=image.shape[0], width=image.shape[1])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        message.header.frame_id = frame
        message.step = image.size // image.shape[0]
        message.data = array.array('B', image.tobytes())
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)


def camera_image(red: int, width: int = 128, height: int = 96) -> np.ndarray:
    """Return an RGB image whose upper half has the given red value, and whose lower half has 200 (label 0)."""
    image = np.full((height, width, 3), (red, 100, 50), np.uint8)
    image[height // 2 :, :, 0] = 200
    return image


def stamps(messages: list) -> list[int]:
    """Return the stamps of messages in nanoseconds."""
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]
