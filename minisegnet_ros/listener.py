"""The thread that receives messages of some subscriptions, bypassing rclpy's executor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from minisegnet_ros.diagnostics import ThrottledLog
from minisegnet_ros.rclpy_compat import Receivers, SubscriptionWaiter

CONTEXT_CHECK_PERIOD = 0.5
"""Seconds after which the thread checks whether the context was shut down."""


def never_called(*_: object) -> None:
    """Serve as the callback of a subscription whose messages a Listener takes.

    Raises:
        AssertionError: always; an executor took a message.
    """
    raise AssertionError('an executor took a message of a subscription that bypasses it')


class Listener:
    """Receives from construction until :meth:`close`.

    Args:
        node: its context and logger are used.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = ThrottledLog(node)
        self._receivers: Receivers = {}
        self._closed = False
        self._waiter = SubscriptionWaiter(node.context)
        self._thread = threading.Thread(target=self._run, name='listener', daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def listen(self, receivers: Receivers) -> None:
        """Replace the subscriptions that are received from.

        Args:
            receivers: for each subscription of a group :class:`OutsideExecutor`, the function to be called when it may
                have messages. Calls are made one at a time, and so are the callbacks of the subscriptions' events.
        """
        self._receivers = dict(receivers)
        self._waiter.wake()

    def close(self) -> None:
        """Stop after the current call and wait for the thread."""
        self._closed = True
        self._waiter.wake()
        self._thread.join()
        self._waiter.close()

    def _run(self) -> None:
        try:
            while not self._closed and self._node.context.ok():
                self._receive_from(self._receivers)
        except Exception:
            if self._node.context.ok():  # otherwise Ctrl-C shut the context down during a wait
                raise

    def _receive_from(self, receivers: Receivers) -> None:
        """Receive until the receivers are replaced."""
        with self._waiter.watching(receivers) as wait:
            while receivers is self._receivers and not self._closed and self._node.context.ok():
                for function, argument in wait(CONTEXT_CHECK_PERIOD):
                    self._call(function, argument)

    def _call(self, function: Callable[[Any], object], argument: Any) -> None:
        try:
            function(argument)
        except Exception as error:  # one bad message must not end the thread
            if self._node.context.ok():
                self._log.error('receive', f'cannot receive a message: {type(error).__name__}: {error}')
