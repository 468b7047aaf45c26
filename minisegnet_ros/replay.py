"""Plays a bag to the node over the middleware, at the bag's own rate, and records what comes back.

Used by the demo and by live evaluation. Latency is what a robot would feel: from the publication of an image to the
arrival of its labels, transport both ways included.
"""

from __future__ import annotations

import array
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from minisegnet_core.frames.bag import BagImage, BagImages
from minisegnet_ros.conversions import NANOSECONDS, stamp_nanoseconds
from minisegnet_ros.environment import free_domain, large_images_environment
from minisegnet_ros.node_process import NodeError, NodeProcess

TOPIC = '/minisegnet_replay/image'
NODE = '/segment'

LONGEST_GAP = 2.0
"""Seconds; pauses of the recording are shortened to this."""

ASSUMED_PERIOD = 0.1
"""Seconds between images of a bag that holds no times at all."""

START_TIMEOUT = 180.0
"""Seconds to wait for the node; loading a model on a small computer takes its time."""

SETTLE = 0.5
"""Seconds from when both sides are seen to be connected until the first image: the far side may know a little later."""

LAST_ANSWER = 5.0
"""Seconds without an answer after the last image until the rest counts as dropped."""


@dataclass
class Played:
    """One image that was played, and what came back.

    index: in the bag; stamp: ns; labels: (h, w) uint8 ids or None; latency: s or None; ball: x, y, radius in pixels of
    the image, or None.
    """

    index: int
    stamp: int
    sent: float
    labels: NDArray[np.uint8] | None = None
    latency: float | None = None
    ball: tuple[float, float, float] | None = None


@dataclass
class Recording:
    """All that was played; facts: what the node's diagnostics say, such as engine and model hash."""

    frames: list[Played] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    duration: float = 0.0

    @property
    def answered(self) -> list[Played]:
        return [frame for frame in self.frames if frame.labels is not None]


class ReplayInterrupted(KeyboardInterrupt):
    """Ctrl-C during a replay; recording: what was played and came back until then."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording


class Replay(Node):
    """Plays and records; one per run."""

    def __init__(self, compressed: bool) -> None:
        super().__init__('minisegnet_replay')
        self.recording = Recording()
        # Equal stamps are legal in a bag: answers go to the images of a stamp in the order they were sent.
        self._waiting: dict[int, deque[Played]] = defaultdict(deque)
        self._without_ball: dict[int, deque[Played]] = defaultdict(deque)
        self._early_balls: dict[int, deque[tuple[float, float, float]]] = defaultdict(deque)
        self.last_answer = time.monotonic()
        kind, suffix = (CompressedImage, '/compressed') if compressed else (Image, '')
        reliable = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self.create_publisher(kind, TOPIC + suffix, reliable)
        # Small messages in deep queues: the recorder must not be the one that loses any.
        deep = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, f'{NODE}/label_image', self._record_labels, deep)
        self.create_subscription(PointStamped, f'{NODE}/ball', self._record_ball, deep)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._record_facts, deep)

    @property
    def connected(self) -> bool:
        """Whether the node listens to our images and its labels have a way to us."""
        return self._publisher.get_subscription_count() > 0 and self.count_publishers(f'{NODE}/label_image') > 0

    @property
    def complete(self) -> bool:
        return not any(self._waiting.values())

    def play(self, index: int, image: BagImage) -> None:
        """Publishes one image with its own stamp and frame."""
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

    def _record_labels(self, message: Image) -> None:
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

    def _record_ball(self, message: PointStamped) -> None:
        stamp = stamp_nanoseconds(message.header)
        ball = (message.point.x, message.point.y, message.point.z)
        # The two topics of one frame may arrive in either order.
        if self._without_ball[stamp]:
            self._without_ball[stamp].popleft().ball = ball
        else:
            self._early_balls[stamp].append(ball)

    def _record_facts(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f'{NODE.strip("/")}: segmentation':
                self.recording.facts.update({pair.key: pair.value for pair in status.values})


@contextmanager
def started_node(parameters: dict[str, object]) -> Iterator[NodeProcess]:
    """A node process and, in this one, rclpy, alone together in a free domain of this host."""
    domain = free_domain()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with NodeProcess(domain, {'image': TOPIC}, parameters) as node:
        # After the node's start: the profile serves who publishes the images, and that is this process.
        os.environ.update(large_images_environment())
        rclpy.init(args=[], domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        try:
            yield node
        finally:
            rclpy.try_shutdown()


def replay(
    bag: BagImages, node: NodeProcess, *, rate: float = 1.0, progress: Callable[[int], object] = lambda _: None
) -> Recording:
    """Plays a bag to a node that is starting or running; rclpy must be initialised in the node's domain.

    Args:
        bag: what to play.
        node: who answers; started with ``image`` remapped to :data:`TOPIC`.
        rate: 1: as recorded, 2: twice as fast.
        progress: called with 1 after each image.

    Raises:
        NodeError: the node died, could not start, or did not connect; the text quotes its log.
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

    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not player.connected:
            spin(0.05)
            if time.monotonic() > deadline:
                raise NodeError(f'the node did not connect within {START_TIMEOUT:.0f} s; its log:\n  ' + _text(node))
        spin(SETTLE)
        started = due = time.monotonic()
        previous: BagImage | None = None
        for index, image in enumerate(bag.messages()):
            if previous is not None:
                due += pause(previous, image) / rate
            spin(due - time.monotonic())
            due = max(due, time.monotonic() - LONGEST_GAP)  # a computer that was asleep does not rush to catch up
            player.play(index, image)
            progress(1)
            previous = image
        player.last_answer = time.monotonic()
        while not player.complete and time.monotonic() - player.last_answer < LAST_ANSWER:
            spin(0.05)
        # Balls and the diagnostics of the last frames follow their labels.
        spin(1.2 if not player.recording.facts else 0.2)
        player.recording.duration = time.monotonic() - started
        return player.recording
    except KeyboardInterrupt:
        raise ReplayInterrupted(player.recording) from None
    finally:
        executor.shutdown()
        player.destroy_node()


def _text(node: NodeProcess) -> str:
    return '\n  '.join(node.log[-5:]) or '(nothing)'


def pause(previous: BagImage, image: BagImage) -> float:
    """Seconds between two images of a bag: as received, else by their stamps, else assumed."""
    for earlier, later in ((previous.received, image.received), (previous.stamp, image.stamp)):
        if later > earlier:
            return min((later - earlier) / NANOSECONDS, LONGEST_GAP)
    return ASSUMED_PERIOD
