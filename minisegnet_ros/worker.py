"""The thread that processes images: takes the newest, segments it and publishes the results. No image can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_core.errors import ImageError
from minisegnet_ros.conversions import NANOSECONDS, pixels_of, stamp_nanoseconds
from minisegnet_ros.diagnostics import OLD_IN_A_ROW, Statistics, ThrottledLog
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.vision import Vision

RATE_CHECK_PERIOD = 0.25
"""Maximum seconds until a change of `max_rate` takes effect."""

Arrival = tuple['Image | CompressedImage', float]
"""An image and its time of arrival (seconds, monotonic)."""

Item = TypeVar('Item')


class NewestSlot(Generic[Item]):
    """Passes items from one thread to another; a new item replaces the one that waits, so the newest comes next."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    @property
    def occupied(self) -> bool:
        """Whether an item waits."""
        return self._item is not None

    def put(self, item: Item) -> bool:
        """Add an item. Return whether it replaced another one, which is thereby dropped."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for an item and remove it. Return None after the slot was closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> bool:
        """Close the slot and wake waiting consumers. Return whether an item was waiting, which is thereby dropped."""
        with self._condition:
            dropped = self._item is not None
            self._closed, self._item = True, None
            self._condition.notify_all()
            return dropped

    def wait_closed(self, timeout: float) -> bool:
        """Wait until the slot is closed, at most ``timeout`` seconds. Return whether it is closed."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closed, timeout)


class Worker:
    """Processes images from construction until :meth:`close`.

    Args:
        node: its clock and logger are used.
        settings: values of the node's parameters by name; read again for each image.
        statistics: counts the images.
        current: returns the model and the outputs. It is called with ``lock`` held.
        camera_info: returns the camera info for a stamp (ns), or None.
        lock: held while an image is processed. The node holds it while it replaces the model, so that models change
            between two images.
        enabled: while it is cleared, images are counted and not processed.
    """

    def __init__(
        self,
        node: Node,
        settings: Mapping[str, Any],
        statistics: Statistics,
        current: Callable[[], tuple[Vision, Outputs]],
        camera_info: Callable[[int], CameraInfo | None],
        lock: threading.Lock,
        enabled: threading.Event,
    ) -> None:
        self._node, self._settings, self._statistics = node, settings, statistics
        self._current, self._camera_info, self._lock, self._enabled = current, camera_info, lock, enabled
        self._log = ThrottledLog(node)
        self._slot: NewestSlot[Arrival] = NewestSlot()
        self._old_in_a_row = 0
        self._free_since = 0.0
        self._thread = threading.Thread(target=self._run, name='segment', daemon=True)
        self._thread.start()

    def put(self, message: Image | CompressedImage, arrived: float, older: int = 0) -> None:
        """Hand over an image; one that still waits is dropped.

        Args:
            message: the image.
            arrived: time of its arrival in seconds, monotonic.
            older: number of older images that were received with it and dropped.
        """
        self._statistics.receive(1 + older)
        replaced = self._slot.put((message, arrived))
        self._statistics.drop(older + replaced)

    def close(self) -> None:
        """Stop after the image in flight and wait for the thread."""
        if self._slot.close():
            self._statistics.drop()
        self._thread.join()

    def _run(self) -> None:
        self._free_since = time.monotonic()
        while (arrival := self._slot.take()) is not None:
            started = time.monotonic()
            try:
                self._process(*arrival)
            except ImageError as error:
                self._statistics.drop(fault=str(error))
                self._log.warning('bad image', f'dropped an image: {error}')
            except Exception as error:
                if not self._node.context.ok():
                    return  # Ctrl-C shut the context down; nothing can be published any more
                text = f'cannot process an image: {type(error).__name__}: {error}'
                self._statistics.drop(fault=text)
                self._log.error('failure', text)
            # During this wait, newer images replace the one in the slot.
            while (rest := self._remaining(started)) > 0 and not self._slot.wait_closed(min(rest, RATE_CHECK_PERIOD)):
                pass
            self._free_since = time.monotonic()

    def _remaining(self, started: float) -> float:
        """Return the seconds to wait, by `max_rate`, after an image whose processing began at ``started``."""
        rate = self._settings['max_rate']
        return started + 1 / rate - time.monotonic() if rate else 0.0

    def _process(self, message: Image | CompressedImage, arrived: float) -> None:
        if not self._enabled.is_set():
            self._statistics.skip(paused=True)
            return
        if self._is_old(message):
            self._statistics.drop(old=True)
            return
        with self._lock:
            vision, outputs = self._current()
            if not outputs.have_subscribers:
                self._statistics.skip()
                return
            pixels = pixels_of(message)
            result = vision.run(pixels)
            outputs.publish(message.header, result)
            now = time.monotonic()
            # Time spent on this image, without the wait for the image before it.
            busy = now - max(arrived, self._free_since)
            self._statistics.answer(now - arrived, result.engine_ms / 1e3, busy)
            # Labels are published before everything below, because other nodes wait for them.
            self._statistics.camera.observe(pixels.image)
            outputs.publish_images(message.header, result, pixels, self._settings['overlay_opacity'])
            info = self._camera_info(stamp_nanoseconds(message.header))
            if info is not None:
                try:
                    outputs.publish_camera_info(info, message.header, result.image_size)
                except ImageError as error:
                    self._log.warning('camera info', str(error))

    def _is_old(self, message: Image | CompressedImage) -> bool:
        """Return whether an image is older than `max_image_age`; images without a stamp never are."""
        limit = self._settings['max_image_age']
        stamp = stamp_nanoseconds(message.header) if limit else 0
        age = (self._node.get_clock().now().nanoseconds - stamp) / NANOSECONDS if stamp else 0.0
        if age <= limit:
            self._old_in_a_row = 0
            return False
        self._old_in_a_row += 1
        if self._old_in_a_row == OLD_IN_A_ROW:
            self._node.get_logger().warning(
                f'the last {OLD_IN_A_ROW} images were dropped because they were older than max_image_age ({limit:g} s; '
                f"the last one {age:.1f} s); compare this host's clock with the camera's, and check use_sim_time"
            )
        return True
