"""Plays a bag to the node over the middleware, at the bag's own rate, and records the answers.

Used by the demo and by live evaluation. Latency is what a robot would see: from the publication of an image to the
arrival of its labels, with the transport in both directions.
"""

from __future__ import annotations

import array
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from minisegnet_core.frames.bag import BagImage, BagImages
from minisegnet_ros import diagnostics
from minisegnet_ros.conversions import NANOSECONDS, stamp_nanoseconds
from minisegnet_ros.environment import free_domain, large_images_environment
from minisegnet_ros.node_process import NodeError, NodeProcess

IMAGE_TOPIC = '/minisegnet_replay/image'
NODE = '/segment'

MAXIMUM_PAUSE = 2.0
"""Seconds to which longer pauses of the recording are shortened."""

ASSUMED_PERIOD = 0.1
"""Seconds between images of a bag without times."""

START_TIMEOUT = 180.0
"""Seconds to wait for the node; a small computer takes long to load a model."""

SETTLE = 0.5
"""Seconds between discovery and the first image: the other side may complete discovery a little later."""

ANSWER_TIMEOUT = 5.0
"""Seconds without an answer after the last image until the missing ones count as dropped."""


@dataclass
class Played:
    """One image that was played, and its answer.

    Attributes:
        index: index of the image in the bag.
        stamp: its stamp in nanoseconds.
        sent: time of its publication in seconds, monotonic.
        labels: (h, w) uint8 ids, or None without an answer.
        latency: seconds, or None without an answer.
        ball: x, y, radius in pixels of the image, or None.
    """

    index: int
    stamp: int
    sent: float
    labels: NDArray[np.uint8] | None = None
    latency: float | None = None
    ball: tuple[float, float, float] | None = None


@dataclass
class Recording:
    """All images that were played, with their answers.

    Attributes:
        frames: in the order in which they were played.
        facts: values of the node's diagnostics, such as engine and model hash.
        duration: seconds.
    """

    frames: list[Played] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    duration: float = 0.0

    @property
    def answered(self) -> list[Played]:
        """The images that were answered."""
        return [frame for frame in self.frames if frame.labels is not None]


class ReplayInterrupted(KeyboardInterrupt):
    """Ctrl-C during a replay.

    Attributes:
        recording: what was played and answered before.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording


class Replay(Node):
    """Publishes images and records answers; one per run.

    Attributes:
        recording: all images played so far.
        last_answer: time of the last answer in seconds, monotonic.
        configuration_error: reason why the node could not configure itself, from its diagnostics; otherwise empty.
    """

    def __init__(self, compressed: bool) -> None:
        super().__init__('minisegnet_replay')
        self.recording = Recording()
        self.last_answer = time.monotonic()
        self.configuration_error = ''
        # A bag may repeat a stamp: answers are assigned to the images of a stamp in the order of their publication.
        self._waiting: dict[int, deque[Played]] = defaultdict(deque)
        self._without_ball: dict[int, deque[Played]] = defaultdict(deque)
        self._early_balls: dict[int, deque[tuple[float, float, float]]] = defaultdict(deque)
        kind, suffix = (CompressedImage, '/compressed') if compressed else (Image, '')
        reliable = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self.create_publisher(kind, IMAGE_TOPIC + suffix, reliable)
        # Small messages in deep queues, so that the recorder itself loses none.
        deep = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, f'{NODE}/label_image', self.record_labels, deep)
        self.create_subscription(PointStamped, f'{NODE}/ball', self.record_ball, deep)
        self.create_subscription(DiagnosticArray, diagnostics.TOPIC, self.record_diagnostics, deep)

    @property
    def connected(self) -> bool:
        """Whether the node subscribes to the images and its labels are published."""
        return self._publisher.get_subscription_count() > 0 and self.count_publishers(f'{NODE}/label_image') > 0

    @property
    def complete(self) -> bool:
        """Whether all images were answered."""
        return not any(self._waiting.values())

    def play(self, index: int, image: BagImage) -> None:
        """Publish one image with its own stamp and frame."""
        message = CompressedImage() if image.compressed else Image()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(image.stamp, NANOSECONDS)
        message.header.frame_id = image.frame_id
        message.data = array.array('B', image.data.tobytes())
        if image.compressed:
            message.format = image.encoding
        else:
            message.encoding, message.is_bigendian = image.encoding, image.is_bigendian
            message.width, message.height, message.step = image.width, image.height, image.step
        frame = Played(index, image.stamp, time.monotonic())
        self.recording.frames.append(frame)
        self._waiting[image.stamp].append(frame)
        self._publisher.publish(message)

    def record_labels(self, message: Image) -> None:
        """Assign labels to the oldest unanswered image of their stamp; ignore others."""
        stamp = stamp_nanoseconds(message.header)
        if not self._waiting[stamp]:
            return
        frame = self._waiting[stamp].popleft()
        frame.latency = time.monotonic() - frame.sent
        frame.labels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width).copy()
        self.last_answer = time.monotonic()
        if self._early_balls[stamp]:
            frame.ball = self._early_balls[stamp].popleft()
        else:
            self._without_ball[stamp].append(frame)

    def record_ball(self, message: PointStamped) -> None:
        """Assign a ball to the image of its stamp; it may arrive before or after the labels."""
        stamp = stamp_nanoseconds(message.header)
        ball = (message.point.x, message.point.y, message.point.z)
        if self._without_ball[stamp]:
            self._without_ball[stamp].popleft().ball = ball
        else:
            self._early_balls[stamp].append(ball)

    def record_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep the values of the node's status, and its message if the level is ERROR: it could not configure."""
        for status in message.status:
            if status.name == diagnostics.status_name(NODE):
                self.recording.facts.update({pair.key: pair.value for pair in status.values})
                self.configuration_error = status.message if status.level == DiagnosticStatus.ERROR else ''


@contextmanager
def started_node(parameters: Mapping[str, object]) -> Iterator[NodeProcess]:
    """Start a node for a replay, and rclpy in this process, together in a free domain that only this host sees."""
    domain = free_domain()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with NodeProcess(domain, {'image': IMAGE_TOPIC}, parameters) as node:
        # After the start of the node: the profile is for the process that publishes images, which is this one.
        os.environ.update(large_images_environment())
        rclpy.init(args=[], domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        try:
            yield node
        finally:
            rclpy.try_shutdown()


def replay(
    bag: BagImages, node: NodeProcess, *, rate: float = 1.0, progress: Callable[[int], object] = lambda _: None
) -> Recording:
    """Play a bag to a node that is starting or running; rclpy must be initialised in the node's domain.

    Args:
        bag: images to play.
        node: from :func:`started_node`.
        rate: playback speed: 1 as recorded, 2 twice as fast.
        progress: called with 1 after each image.

    Raises:
        NodeError: the node ended, could not configure itself, or did not connect; the message says why.
        ReplayInterrupted: Ctrl-C.
    """
    player = Replay(bag.compressed)
    executor = SingleThreadedExecutor()
    executor.add_node(player)

    def spin(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and rclpy.ok():
            executor.spin_once(timeout_sec=min(left, 0.2))
            node.check()
            if player.configuration_error:
                raise NodeError(f'the node cannot start: {player.configuration_error}')

    try:
        _wait_until_connected(player, node, spin)
        started = due = time.monotonic()
        previous: BagImage | None = None
        for index, image in enumerate(bag.messages()):
            if previous is not None:
                due += pause(previous, image) / rate
            spin(due - time.monotonic())
            due = max(due, time.monotonic() - MAXIMUM_PAUSE)  # after a suspend, images are not played in a burst
            player.play(index, image)
            progress(1)
            previous = image
        player.last_answer = time.monotonic()
        while not player.complete and time.monotonic() - player.last_answer < ANSWER_TIMEOUT:
            spin(0.05)
        # Balls and diagnostics of the last images follow their labels.
        spin(1.2 if not player.recording.facts else 0.2)
        player.recording.duration = time.monotonic() - started
        return player.recording
    except KeyboardInterrupt:
        raise ReplayInterrupted(player.recording) from None
    finally:
        executor.shutdown()
        player.destroy_node()


def _wait_until_connected(player: Replay, node: NodeProcess, spin: Callable[[float], None]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not player.connected:
        spin(0.05)
        if time.monotonic() > deadline:
            raise NodeError(
                f'the node did not connect within {START_TIMEOUT:.0f} s; the end of its log:\n  {node.log_tail}'
            )
    spin(SETTLE)


def pause(previous: BagImage, image: BagImage) -> float:
    """Return the seconds between two images of a bag: by reception, else by their stamps, else an assumed period."""
    for earlier, later in ((previous.received, image.received), (previous.stamp, image.stamp)):
        if later > earlier:
            return min((later - earlier) / NANOSECONDS, MAXIMUM_PAUSE)
    return ASSUMED_PERIOD
