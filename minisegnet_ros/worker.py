"""The thread that works on images: takes the newest, segments, publishes; no image can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_core.errors import ImageError
from minisegnet_ros.conversions import NANOSECONDS, pixels_of, stamp_nanoseconds
from minisegnet_ros.diagnostics import OLD_IN_A_ROW, Statistics
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.slot import NewestSlot
from minisegnet_ros.throttle import ThrottledLog
from minisegnet_ros.vision import Vision

Arrival = tuple['Image | CompressedImage', float]

RATE_PERIOD = 0.25
"""Seconds after which a change of `max_rate` is seen at the latest."""


class Worker:
    """Works while it lives; made on activation, closed on deactivation.

    Args:
        node: for its clock and logger.
        settings: the node's parameter values by name, read anew for each image.
        tools: gives the present model and outputs; called with ``lock`` held, which a change of model takes too, so
            that models change between two frames.
        camera_info: gives the camera info for a stamp (ns).
        enabled: while it is not set, images are counted and left alone.
    """

    def __init__(
        self,
        node: Node,
        settings: dict[str, Any],
        statistics: Statistics,
        tools: Callable[[], tuple[Vision, Outputs]],
        camera_info: Callable[[int], CameraInfo | None],
        lock: threading.Lock,
        enabled: threading.Event,
    ) -> None:
        self._node, self._settings, self._statistics = node, settings, statistics
        self._tools, self._camera_info, self._lock, self._enabled = tools, camera_info, lock, enabled
        self._log = ThrottledLog(node)
        self._slot: NewestSlot[Arrival] = NewestSlot()
        self._old_in_a_row = 0
        self._free_since = 0.0
        self._thread = threading.Thread(target=self._run, name='segment', daemon=True)
        self._thread.start()

    def put(self, message: Image | CompressedImage, arrived: float, older: int = 0) -> None:
        """Hands over an image. One that still waits is dropped.

        Args:
            message: the image.
            arrived: when; seconds, monotonic.
            older: so many were taken with it and are dropped already.
        """
        self._statistics.take(1 + older)
        replaced = self._slot.put((message, arrived))
        self._statistics.drop(older + replaced)

    def close(self) -> None:
        """Stops after the image in work, at most; waits for it."""
        if self._slot.close():
            self._statistics.drop()
        self._thread.join()

    def _run(self) -> None:
        self._free_since = time.monotonic()
        while (arrival := self._slot.take()) is not None:
            started = time.monotonic()
            try:
                self._work(*arrival)
            except ImageError as error:
                self._statistics.drop(fault=str(error))
                self._log.warning('bad image', f'dropped an image: {error}')
            except Exception as error:
                if not self._node.context.ok():
                    return  # Ctrl-C came in between; nothing can be published any more
                text = f'could not work on an image: {type(error).__name__}: {error}'
                self._statistics.drop(fault=text)
                self._log.error('failure', text)
            # Waiting here lets newer images replace the one that waits.
            while (rest := self._rest(started)) > 0 and not self._slot.wait_closed(min(rest, RATE_PERIOD)):
                pass
            self._free_since = time.monotonic()

    def _rest(self, started: float) -> float:
        """Seconds that `max_rate` still leaves to wait after an image whose work began at ``started``."""
        rate = self._settings['max_rate']
        return started + 1 / rate - time.monotonic() if rate else 0.0

    def _work(self, message: Image | CompressedImage, arrived: float) -> None:
        if not self._enabled.is_set():
            self._statistics.skip(paused=True)
            return
        if self._is_old(message):
            self._statistics.drop(old=True)
            return
        with self._lock:
            vision, outputs = self._tools()
            if not outputs.heard:
                self._statistics.skip()
                return
            pixels = pixels_of(message)
            result = vision.run(pixels)
            outputs.publish(message.header, result)
            now = time.monotonic()
            # What it cost here, less the time it waited for the image before it.
            busy = now - max(arrived, self._free_since)
            self._statistics.answer(now - arrived, result.engine_ms / 1e3, busy)
            # All below follows the labels, which somebody waits for.
            self._statistics.camera.see(pixels.image)
            outputs.publish_pictures(message.header, result, pixels, self._settings['overlay_opacity'])
            info = self._camera_info(stamp_nanoseconds(message.header))
            if info is not None:
                try:
                    outputs.publish_camera_info(info, message.header, result.image_size)
                except ImageError as error:
                    self._log.warning('camera info', str(error))

    def _is_old(self, message: Image | CompressedImage) -> bool:
        limit = self._settings['max_image_age']
        stamp = stamp_nanoseconds(message.header) if limit else 0
        age = (self._node.get_clock().now().nanoseconds - stamp) / NANOSECONDS if stamp else 0.0
        if age <= limit:
            self._old_in_a_row = 0
            return False
        self._old_in_a_row += 1
        if self._old_in_a_row == OLD_IN_A_ROW:
            self._node.get_logger().warning(
                f'the last {OLD_IN_A_ROW} images were all dropped, being older than max_image_age ({limit:g} s; the '
                f'last one {age:.1f} s): the clocks differ, or use_sim_time should be true'
            )
        return True
