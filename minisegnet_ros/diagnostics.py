"""What the node reports about its own health: counts, rates, latencies, camera faults, and throttled log messages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from minisegnet_ros.qos import overriding_options

WINDOW = 10.0
"""Seconds over which rate, latency and losses are reported."""

SILENCE = 2.0
"""Seconds without an image after which the camera counts as absent."""

DARK = 8.0
"""Mean pixel value, 0 to 255, below which an image counts as dark."""

FROZEN = 30
"""Identical images in a row after which the camera counts as frozen: no sensor is free of noise."""

OLD_IN_A_ROW = 30
"""Images in a row, dropped because of their age, after which clocks are a more likely cause than delay."""

THROTTLE = 5.0
"""Seconds between two log messages of the same kind."""

TOPIC = '/diagnostics'


def status_name(node_name: str) -> str:
    """Return the name of the status that a node with this fully qualified name publishes."""
    return f'{node_name.lstrip("/")}: segmentation'


def steady_clock() -> Clock:
    """Return a clock that neither jumps nor follows simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)


class CameraWatch:
    """Detects a camera that shows nothing: a covered lens, or the same image again and again."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._same = 0
        self._dark = False

    def observe(self, image: NDArray[np.uint8]) -> None:
        """Compare every 16th pixel of an (H, W, 3) uint8 image with the image before it."""
        sample = image[::16, ::16].copy()
        self._dark = float(sample.mean()) < DARK
        same = self._last is not None and np.array_equal(sample, self._last)
        self._same = self._same + 1 if same else 0
        self._last = sample

    @property
    def problem(self) -> str:
        """A sentence about the fault, or an empty string."""
        if self._dark:
            return 'the image is dark: check for a covered lens or a short exposure'
        if self._same >= FROZEN:
            return f'the camera is frozen: the last {self._same + 1} images are the same'
        return ''


class Statistics:
    """Counts images since the last activation; safe for use from several threads.

    At any time received + lost = answered + dropped + unsubscribed + paused + images in flight.

    Attributes:
        received: images received.
        answered: images whose results were published.
        dropped: images without an answer, including the lost ones.
        lost: of these, images that the middleware lost.
        bad: of the dropped, images that could not be decoded or segmented.
        old: of the dropped, images older than ``max_image_age``.
        unsubscribed: images that were not processed because no output had a subscriber.
        paused: images that were not processed because ``~/enable`` paused the node.
        camera: detects a dark or frozen camera.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.camera = CameraWatch()
        self.received = self.answered = self.dropped = self.lost = 0
        self.bad = self.old = self.unsubscribed = self.paused = 0
        self._answers: deque[tuple[float, float, float, float]] = deque()
        self._losses: deque[tuple[float, int]] = deque()
        self._old_in_a_row = 0
        self._fault = ''
        self._idle = False
        self._last_image = self._started = time.monotonic()

    def receive(self, count: int = 1) -> None:
        """Count received images."""
        with self._lock:
            self.received += count
            self._last_image = time.monotonic()

    def lose(self, count: int) -> None:
        """Count images that the middleware lost."""
        with self._lock:
            self.lost += count
            self.dropped += count
            self._losses.append((time.monotonic(), count))
            self._forget()

    def drop(self, count: int = 1, *, old: bool = False, fault: str = '') -> None:
        """Count dropped images.

        Args:
            count: number of images.
            old: whether they were too old.
            fault: why an image could not be decoded or segmented.
        """
        with self._lock:
            self.dropped += count
            self.bad += bool(fault)
            self.old += old
            self._old_in_a_row += old
            self._fault = fault or self._fault

    def skip(self, *, paused: bool = False) -> None:
        """Count an image that was not processed, because the node is paused or because no output has a subscriber."""
        with self._lock:
            self.paused += paused
            self.unsubscribed += not paused
            self._fault, self._old_in_a_row = '', 0
            self._idle = not paused

    def answer(self, latency: float, engine: float, busy: float) -> None:
        """Count an answer.

        Args:
            latency: seconds from the arrival of the image to the publication of its labels.
            engine: seconds inside the engine.
            busy: seconds of the latency that were spent on this image and not on waiting for the image before it.
        """
        with self._lock:
            self.answered += 1
            self._fault, self._old_in_a_row, self._idle = '', 0, False
            self._answers.append((time.monotonic(), latency, engine, busy - engine))
            self._forget()

    def _forget(self) -> None:
        """Drop records that are older than the window."""
        for records in (self._answers, self._losses):
            while records and records[0][0] < time.monotonic() - WINDOW:
                records.popleft()

    def status(
        self, name: str, facts: Mapping[str, object], publishers: Sequence[str] = (), paused: bool = False
    ) -> DiagnosticStatus:
        """Return the diagnostic status of an active node.

        Args:
            name: name of the status.
            facts: further keys and values, such as the engine.
            publishers: names of the nodes that publish images.
            paused: whether ``~/enable`` paused the node.
        """
        with self._lock:
            self._forget()
            now = time.monotonic()
            milliseconds = np.array([times for _, *times in self._answers]).reshape(-1, 3) * 1e3
            latency, engine, overhead = milliseconds.T if milliseconds.size else np.zeros((3, 1))
            span = min(WINDOW, max(now - self._started, 1e-3))
            values = {
                'rate [Hz]': f'{len(self._answers) / span:.2f}',
                'latency p50 [ms]': f'{np.percentile(latency, 50):.2f}',
                'latency p95 [ms]': f'{np.percentile(latency, 95):.2f}',
                'engine p50 [ms]': f'{np.percentile(engine, 50):.2f}',
                'overhead p50 [ms]': f'{np.percentile(overhead, 50):.2f}',
                'images taken': self.received,
                'images answered': self.answered,
                'dropped': self.dropped,
                'lost by the middleware': self.lost,
                'bad images': self.bad,
                'old images': self.old,
                'unheard': self.unsubscribed,
                'paused': self.paused,
                **facts,
            }
            problem = self._problem(now, publishers)
            idle = self._idle
        if problem:
            return make_status(name, DiagnosticStatus.WARN, problem, values)
        message = 'paused' if paused else 'idle: no output has a subscriber' if idle else 'segmenting'
        return make_status(name, DiagnosticStatus.OK, message, values)

    def _problem(self, now: float, publishers: Sequence[str]) -> str:
        """Return a sentence about the worst problem, or an empty string."""
        silent = now - self._last_image
        if silent > SILENCE:
            cause = f'although {", ".join(publishers)} publishes' if publishers else 'the topic has no publisher'
            return f'no image for {silent:.0f} s, {cause}'
        if self._fault:
            return self._fault
        if self._old_in_a_row >= OLD_IN_A_ROW:
            return (
                f'the last {self._old_in_a_row} images were older than max_image_age; '
                "compare this host's clock with the camera's, and check use_sim_time"
            )
        if self.camera.problem:
            return self.camera.problem
        lost = sum(count for _, count in self._losses)
        return f'the middleware lost {lost} images in the last {WINDOW:.0f} s' if lost else ''


def make_status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """Return a DiagnosticStatus with the values as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id='minisegnet', values=pairs)


class DiagnosticsPublisher:
    """Publishes a status periodically, by a steady clock.

    Args:
        node: the publisher and the timer belong to it.
        report: called with the name of the status; returns the status.
    """

    def __init__(self, node: Node, report: Callable[[str], DiagnosticStatus]) -> None:
        self._node, self._report = node, report
        options = overriding_options(node, node.resolve_topic_name(TOPIC), 'publisher')
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, 10, qos_overriding_options=options)
        self._group = MutuallyExclusiveCallbackGroup()  # continues while a model is loaded in the default group
        self._timer = None

    def restart(self, period: float) -> None:
        """Publish every ``period`` seconds from now on."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._timer = self._node.create_timer(period, self._publish, self._group, clock=steady_clock())

    def _publish(self) -> None:
        message = DiagnosticArray(status=[self._report(status_name(self._node.get_fully_qualified_name()))])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


class ThrottledLog:
    """Logs for a node, each kind of message at most once per period.

    rclpy's own throttle identifies messages by the line of code, and uses a clock that may be simulated.
    """

    def __init__(self, node: Node, period: float = THROTTLE) -> None:
        self._node, self._period = node, period
        self._last: dict[str, float] = {}

    def _due(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(kind, -self._period) < self._period:
            return False
        self._last[kind] = now
        return True

    def warning(self, kind: str, text: str) -> None:
        """Log a warning unless one of this kind was logged within the period."""
        if self._due(kind):
            self._node.get_logger().warning(text)

    def error(self, kind: str, text: str) -> None:
        """Log an error unless one of this kind was logged within the period."""
        if self._due(kind):
            self._node.get_logger().error(text)
