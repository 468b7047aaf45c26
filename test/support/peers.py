"""The node's surroundings in tests: a camera that is its listener too, and pictures whose labels can be foretold."""

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
    """The camera and the listener in one."""

    def __init__(self, outputs=('label_image',), compressed=False, namespace='', qos=RELIABLE) -> None:
        super().__init__('peer', namespace=namespace)
        self.received: dict[str, list] = {name: [] for name in outputs}
        for name in outputs:
            self.create_subscription(OUTPUTS[name], f'segment/{name}', self.received[name].append, RELIABLE)
        self.infos = self.create_publisher(CameraInfo, 'camera_info', RELIABLE)
        kind, topic = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        # Last, as the node subscribes anew when it sees the camera.
        self.images = self.create_publisher(kind, topic, qos)

    def send(self, image: np.ndarray, stamp: int, encoding='rgb8', frame='camera_optical', **changes) -> None:
        message = Image(encoding=encoding, height=image.shape[0], width=image.shape[1])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        message.header.frame_id = frame
        message.step = image.size // image.shape[0]
        message.data = array.array('B', image.tobytes())
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)


def picture(red: int, width: int = 128, height: int = 96) -> np.ndarray:
    image = np.full((height, width, 3), (red, 100, 50), np.uint8)
    image[height // 2 :, :, 0] = 200
    return image


def stamps(messages: list) -> list[int]:
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]
