"""The surroundings of the node in benchmarks: a camera that also receives the labels, and a stub for the engine."""

from __future__ import annotations

import array
import time
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from minisegnet_core.classes import SOCCER
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_ros.conversions import image_message, stamp_nanoseconds
from minisegnet_ros.rclpy_compat import RCLError

WIDTH, HEIGHT = 640, 480


class StubSegmenter:
    """Stands for an engine: takes time and no CPU.

    Args:
        seconds: duration of one image.
    """

    classes, engine, precision, device, notes = SOCCER, 'stub', 'float32', 'CPU', ()
    model_path, model_hash, ball_threshold = Path('stub'), '0' * 12, 0.5

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._labels = np.zeros((HEIGHT // 4, WIDTH // 4), np.uint8)

    def run(self, image: np.ndarray, order: str = 'rgb') -> Segmentation:
        """Sleep, and return an image of background."""
        started = time.perf_counter()
        time.sleep(self._seconds)
        milliseconds = (time.perf_counter() - started) * 1e3
        return Segmentation(self._labels.copy(), (), (image.shape[1], image.shape[0]), milliseconds)


class Camera(Node):
    """Publishes images whose stamps are the times of publication, and records when their labels arrive.

    Attributes:
        latencies: milliseconds from publication of an image to arrival of its labels.
        refused: images that the middleware did not accept.
    """

    def __init__(self, qos: QoSProfile) -> None:
        super().__init__('camera')
        self.images = self.create_publisher(Image, 'image', qos)
        deep = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, 'segment/label_image', self._record, deep)
        self.latencies: list[float] = []
        self.refused = 0
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._message = image_message(noise, 'bgr8', Image().header)
        self._message.header.frame_id = 'camera'
        self._data = array.array('B', noise.tobytes())
        self._message.data = self._data

    def _record(self, message: Image) -> None:
        self.latencies.append((time.monotonic_ns() - stamp_nanoseconds(message.header)) / 1e6)

    def send(self, index: int) -> None:
        """Publish an image that differs from the one before it."""
        self._data[index % len(self._data)] ^= 255
        stamp = time.monotonic_ns()
        self._message.header.stamp.sec, self._message.header.stamp.nanosec = divmod(stamp, 10**9)
        try:
            self.images.publish(self._message)
        except RCLError:  # the middleware's memory is full, because the subscriber has had no CPU time
            self.refused += 1
