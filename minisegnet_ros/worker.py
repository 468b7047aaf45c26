"""The thread that works on images: takes the newest, segments, publishes; no image can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_core.errors import ImageError
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_ros.conversions import NANOSECONDS, pixels_of, stamp_nanoseconds
from minisegnet_ros.diagnostics import Statistics
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.slot import NewestSlot

THROTTLE = 5.0
"""Seconds between two warnings of the same kind."""

OLD_IN_A_ROW = 30
"""So many images dropped for their age in a row are most likely a matter of clocks, not of delay."""

Arrival = tuple['Image | CompressedImage', float]


class Worker:
    """Works while it lives; made on activation, closed on deactivation.

    Args:
        node: for its clock and logger.
        settings: the node's parameter values by name, read anew for each image.
        tools: gives the present model and outputs; called with :attr:`lock` held, which a change of model takes too, so
            that models change between two frames.
        camera_info: gives the camera info for a stamp (ns).
    """

    def __init__(
        self,
        node: Node,
        settings: dict[str, Any],
        statistics: Statistics,
        tools: Callable[[], tuple[Segmenter, Outputs]],
        camera_info: Callable[[int], CameraInfo | None],
        lock: threading.Lock,
    ) -> None:
        self._node, self._settings, self._statistics = node, settings, statistics
        self._tools, self._camera_info, self._lock = tools, camera_info, lock
        self._slot: NewestSlot[Arrival] = NewestSlot()
        self._old_in_a_row = 0
        self._thread = threading.Thread(target=self._run, name='segment', daemon=True)
        self._thread.start()

    def put(self, message: Image | CompressedImage, arrived: float) -> None:
        """Hands over an image; arrived: seconds, monotonic. One that still waits is dropped."""
        self._statistics.take()
        if self._slot.put((message, arrived)):
            self._statistics.drop()

    def close(self) -> None:
        """Stops after the image in work, at most; waits for it."""
        if self._slot.close():
            self._statistics.drop()
        self._thread.join()

    def _run(self) -> None:
        while (arrival := self._slot.take()) is not None:
            started = time.monotonic()
            try:
                self._work(*arrival)
            except ImageError as error:
                self._statistics.drop(bad=True)
                self._warn(f'dropped an image: {error}')
            except Exception as error:
                if not self._node.context.ok():
                    return  # Ctrl-C came in between; nothing can be published any more
                self._statistics.drop(bad=True)
                self._node.get_logger().error(
                    f'could not work on an image: {type(error).__name__}: {error}', throttle_duration_sec=THROTTLE
                )
            if self._settings['max_rate']:
                # Waiting here lets newer images replace the one that waits.
                self._slot.wait_closed(max(0.0, started + 1 / self._settings['max_rate'] - time.monotonic()))

    def _work(self, message: Image | CompressedImage, arrived: float) -> None:
        if self._is_old(message):
            self._statistics.drop(old=True)
            return
        with self._lock:
            segmenter, outputs = self._tools()
            if not outputs.heard:
                self._statistics.skip_unheard()
                return
            pixels = pixels_of(message)
            self._statistics.camera.see(pixels.image)
            result = segmenter.run(pixels.image, order=pixels.order)
            outputs.publish(message.header, result, pixels, self._settings['overlay_opacity'])
            self._statistics.answer(time.monotonic() - arrived)
            info = self._camera_info(stamp_nanoseconds(message.header))
            if info is not None:
                try:
                    outputs.publish_camera_info(info, message.header, result.image_size)
                except ImageError as error:
                    self._warn(str(error))

    def _is_old(self, message: Image | CompressedImage) -> bool:
        limit = self._settings['max_image_age']
        stamp = stamp_nanoseconds(message.header)
        if not limit or not stamp:
            return False
        age = (self._node.get_clock().now().nanoseconds - stamp) / NANOSECONDS
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

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=THROTTLE)
