"""Warnings that repeat: each kind at most once in a while, and none hides another kind."""

from __future__ import annotations

import time

from rclpy.node import Node

THROTTLE = 5.0
"""Seconds between two warnings of the same kind."""


class ThrottledLog:
    """Logs for a node; rclpy's own throttle goes by line of code, and by a clock that may be simulated."""

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
        if self._due(kind):
            self._node.get_logger().warning(text)

    def error(self, kind: str, text: str) -> None:
        if self._due(kind):
            self._node.get_logger().error(text)
