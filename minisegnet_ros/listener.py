"""A thread that waits for messages of some subscriptions, past rclpy's executor.

The executor gathers all entities of a node anew for each message, services and timers included, several times over,
and hands the message from thread to thread. At 30 images per second the node took 14 ms of CPU time for each image
that way, and takes 3 ms with a thread that has a wait set of its own (docs/node.md). Events of the subscriptions are
waited for here too: with Fast DDS, whoever waits for an event of a subscription is woken by each of its messages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

from minisegnet_ros.throttle import ThrottledLog

Receivers = Mapping[Subscription, Callable[[Subscription], None]]

PATIENCE = 500_000_000
"""Nanoseconds after which the thread looks whether ROS is still there."""


class OwnThread(MutuallyExclusiveCallbackGroup):
    """A callback group whose members the executor leaves alone: subscriptions and their events."""

    def can_execute(self, entity: Any) -> bool:
        return False


def unexpected(*_: object) -> None:
    """Callback of subscriptions that a Listener takes from."""
    raise AssertionError('the executor has no part in this subscription')


class Listener:
    """Listens from :meth:`listen` until :meth:`close`.

    Args:
        node: for its context and logger.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = ThrottledLog(node)
        self._receivers: Receivers = {}
        self._closed = False
        self._wake = GuardCondition(None, None, node.context)
        self._thread = threading.Thread(target=self._run, name='listener', daemon=True)
        self._thread.start()

    def listen(self, receivers: Receivers) -> None:
        """Listens to these subscriptions from now on, of the group :class:`OwnThread`, and to no others.

        Args:
            receivers: for each subscription what is called when it may have messages; one call at a time, and so
                with the callbacks of its events.
        """
        self._receivers = dict(receivers)
        self._wake.trigger()

    def close(self) -> None:
        """Stops, after the call in work; waits for it."""
        self._closed = True
        self._wake.trigger()
        self._thread.join()
        self._wake.destroy()

    def _run(self) -> None:
        try:
            while not self._closed and self._node.context.ok():
                self._listen_to(self._receivers)
        except Exception:
            if self._node.context.ok():  # else Ctrl-C took away what we wait for
                raise

    def _listen_to(self, receivers: Receivers) -> None:
        """Waits and receives until there are other receivers."""
        context = self._node.context
        with ExitStack() as held:
            alive = [subscription for subscription in receivers if _entered(held, subscription.handle)]
            events = [event for one in alive for event in one.event_handlers if _entered(held, event)]
            held.enter_context(self._wake.handle)
            held.enter_context(context.handle)
            wait_set = rclpy_implementation.WaitSet(len(alive), 1, 0, 0, 0, len(events), context.handle)
            while receivers is self._receivers and not self._closed and context.ok():
                wait_set.clear_entities()
                wait_set.add_guard_condition(self._wake.handle)
                for subscription in alive:
                    wait_set.add_subscription(subscription.handle)
                for event in events:
                    event.add_to_wait_set(wait_set)
                wait_set.wait(PATIENCE)
                ready = wait_set.get_ready_entities('subscription')
                for subscription in alive:
                    if subscription.handle.pointer in ready:
                        self._call(receivers[subscription], subscription)
                for event in events:
                    if event.is_ready(wait_set) and (happened := event.take_data()) is not None:
                        self._call(event.callback, happened)

    def _call(self, receiver: Callable[[Any], object], what: Any) -> None:
        try:
            receiver(what)
        except Exception as error:  # one message must not end all
            if self._node.context.ok():
                self._log.error('failure', f'could not take a message: {type(error).__name__}: {error}')


def _entered(held: ExitStack, handle: Any) -> bool:
    """Takes hold of a handle, so that it outlives its destruction elsewhere; False: it was destroyed before."""
    try:
        held.enter_context(handle)
    except InvalidHandle:
        return False
    return True
