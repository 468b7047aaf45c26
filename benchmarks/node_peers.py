"""The node's surroundings in `benchmark_node.py`: a camera that is its listener too, and a stub for the engine."""

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
from minisegnet_ros.segment_node import RCLError

WIDTH, HEIGHT = 640, 480


class StubSegmenter:
    """Stands for an engine: takes its time and nothing of the CPU."""

    classes, engine, precision, device, notes = SOCCER, 'stub', 'float32', 'CPU', ()
    model_path, model_hash, ball_threshold = Path('stub'), '0' * 12, 0.5

    def __init__(self, work: float) -> None:
        self._work = work
        self._labels = np.zeros((HEIGHT // 4, WIDTH // 4), np.uint8)

    def run(self, image: np.ndarray, order: str = 'rgb') -> Segmentation:
        started = time.perf_counter()
        time.sleep(self._work)
        milliseconds = (time.perf_counter() - started) * 1e3
        return Segmentation(self._labels.copy(), (), (image.shape[1], image.shape[0]), milliseconds)


class Camera(Node):
    """Publishes one image again and again, its stamp the time of publication, and notes when labels come back."""

    def __init__(self, topic_qos: QoSProfile) -> None:
        super().__init__('camera')
        self.images = self.create_publisher(Image, 'image', topic_qos)
        deep = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, 'segment/label_image', self._note, deep)
        self.latencies: list[float] = []
        self.refused = 0
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._message = image_message(noise, 'bgr8', Image().header)
        self._message.header.frame_id = 'camera'
        self._data = array.array('B', noise.tobytes())
        self._message.data = self._data

    def _note(self, message: Image) -> None:
        self.latencies.append((time.monotonic_ns() - stamp_nanoseconds(message.header)) / 1e6)

    def send(self, index: int) -> None:
        self._data[index % len(self._data)] ^= 255  # no two images in a row are the same
        stamp = time.monotonic_ns()
        self._message.header.stamp.sec, self._message.header.stamp.nanosec = divmod(stamp, 10**9)
        try:
            self.images.publish(self._message)
        except RCLError:  # the middleware has no room: whom we publish to has had no CPU time for a while
            self.refused += 1
