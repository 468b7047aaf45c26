"""Every use of rclpy's private parts, each with its reason, its upstream reference and the condition for its removal.

No other module of this package names a private attribute of rclpy, its compiled module, or the handle of an entity. A
test checks this. The versions read are rclpy 9.1.2 (Kilted) and 7.1 (Jazzy).

Why images bypass the executor
------------------------------
A model is loaded in a parameter callback, which takes seconds and must not delay images. So the node needs either a
MultiThreadedExecutor or a separate thread for images. Both were measured with ``benchmarks/executors.py`` (640x480
bgr8, reliable, a stub instead of the network; at 30 Hz two runs of 20 s with a stub of 10 ms, at 200 Hz one of 10 s
with 20 ms; Kilted, two busy cores of an AMD EPYC, 2026-12-01). Latency is from publication of an image to arrival of
its labels, CPU time is that of the node's process per image.

==========================================  ==============  ==============  ============  =============
images are received by                      p50, 30 Hz      p95, 30 Hz      CPU, 30 Hz    CPU, 200 Hz
==========================================  ==============  ==============  ============  =============
:class:`SubscriptionWaiter` (the node)      12.6, 12.9 ms   16.9, 16.4 ms   2.1, 2.5 ms   1.2 ms
SingleThreadedExecutor                      13.0, 13.2 ms   18.6, 18.5 ms   2.4, 2.4 ms   1.4 ms
MultiThreadedExecutor, own callback group   15.5, 16.0 ms   29.9, 30.0 ms   5.0, 5.6 ms   3.2 ms
EventsExecutor                              12.3, 12.5 ms   16.8, 17.5 ms   1.6, 1.6 ms   1.1 ms
SingleThreadedExecutor on a second node     13.1, 13.0 ms   20.2, 19.5 ms   2.3, 2.2 ms   1.2 ms
EventsExecutor on a second node             12.9, 12.4 ms   18.6, 18.9 ms   2.3, 1.7 ms   1.0 ms
==========================================  ==============  ==============  ============  =============

- MultiThreadedExecutor costs twice the CPU time and doubles p95: it collects all entities of the node and builds a wait
  set for each wake-up, and hands messages from thread to thread (ros2/rclpy issues 1223, 1389, 1452).
- SingleThreadedExecutor and EventsExecutor alone run one callback at a time; EventsExecutor ignores callback groups
  (ros2/rclpy pull request 1478). Loading a model would stop images and diagnostics.
- EventsExecutor does not exist in Jazzy. With the wheels of rclpy 9.1.2 its ``spin`` delivered no message, and
  publishing in the process of a subscription deadlocked; ``spin_once`` in a loop was measured.
- An executor takes whole nodes (ros2/rclpy issue 850), so a separate one needs a second node. It costs no more than the
  waiter, and is the alternative if rclpy changes its wait sets. It would appear in the graph, be renamed together with
  the first by ``__node``, and not get remappings and QoS overrides that are addressed to ``segment``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

Receivers = Mapping[Subscription, Callable[[Subscription], object]]
"""For each subscription, the function to be called when it may have messages."""

Call = tuple[Callable[[Any], object], Any]
"""A function and its argument."""

MessageInfo = Mapping[str, Any]
"""Middleware information that comes with a message, such as ``source_timestamp`` (ns)."""

RCLError: type[Exception] = rclpy_implementation.RCLError
"""Error of the C layer, such as a rejected publication or an impossible transition.

Reason: rclpy raises it from public methods but exports it nowhere; rclpy/exceptions.py of 9.1.2 re-exports only
InvalidHandle. Remove when ``rclpy.exceptions`` exports it.
"""


# Nodes


def parameter_overrides(node: Node) -> Mapping[str, Parameter]:
    """Return the parameter values of the command line, of files and of the constructor, by name.

    Reason: the node checks values before it declares them, warns about unknown names, and applies QoS overrides only
    for the policies that a user set. rclpy has no getter for overrides (``Node._parameter_overrides`` in
    rclpy/node.py); ``automatically_declare_parameters_from_overrides`` would turn every misspelt name into a parameter.
    Remove when ``rclpy.node.Node`` has a public getter, as ``NodeOptions::parameter_overrides`` of rclcpp.
    """
    overrides: Mapping[str, Parameter] = node._parameter_overrides
    return overrides


def lifecycle_state(node: LifecycleNode) -> str:
    """Return the label of a managed node's state: ``unconfigured``, ``inactive``, ``active`` or ``finalized``.

    Reason: rclpy reports the state through the service ``~/get_state`` only, which a node cannot call on itself from a
    callback (``LifecycleNodeMixin._state_machine`` in rclpy/lifecycle/node.py). Remove when LifecycleNode has a public
    getter, as ``LifecycleNode::get_current_state`` of rclcpp.
    """
    return str(node._state_machine.current_state[1])


class SafeTransitionsNode(LifecycleNode):
    """Managed node that rejects an impossible transition instead of raising out of the executor.

    Reason: up to rclpy 7 (Jazzy), a request such as ``activate`` in the state ``unconfigured`` raises RCLError from the
    service callback and ends the process (ros2/rclpy issue 1209). Fixed by pull request 1319 in rclpy 8.0. Remove when
    Jazzy is no longer supported.
    """

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except RCLError as error:
            self.get_logger().error(f'transition {transition_id} is not possible now: {str(error).strip()}')
            return TransitionCallbackReturn.ERROR


# Executors


def spin_until(executor: Executor, stopped: Callable[[], bool], period: float = 0.5) -> None:
    """Spin an executor until ``stopped`` returns True.

    Reason: ``Executor.spin`` ends with InvalidHandle if a subscription is destroyed while one of its events is waiting
    to be handled (ros2/rclpy issue 1284). Fixed by pull request 1590 of 2026, which neither Jazzy nor Kilted had when
    this was written. Afterwards ``spin_once`` in a loop suffices.

    Args:
        stopped: called after each callback and at least every ``period`` seconds.
        period: seconds.
    """
    while not stopped():
        try:
            executor.spin_once(timeout_sec=period)
        except InvalidHandle:
            continue


class OutsideExecutor(MutuallyExclusiveCallbackGroup):
    """Callback group whose subscriptions, and their events, no executor waits for.

    Reason: an executor cannot be given some callback groups of a node only (ros2/rclpy issue 850). ``can_execute`` is
    public, but that executors also ask it before they wait is an implementation detail (``Executor.can_execute`` in
    rclpy/executors.py). EventsExecutor ignores callback groups. Remove with :class:`SubscriptionWaiter`.
    """

    def can_execute(self, entity: Any) -> bool:
        return False


class SubscriptionWaiter:
    """Waits for messages and events of some subscriptions without an executor.

    A wait set is built once per set of subscriptions and refilled for each wait. Events belong in it too: with Fast
    DDS, a thread that waits for an event of a subscription is woken by every message of that subscription.

    Reason: see the table above. ``rclpy.wait_for_message`` works in the same way (rclpy/wait_for_message.py), but it
    takes one message and returns. Remove when Jazzy and Kilted are no longer supported: rclpy 10 has
    ``Subscription.set_on_new_message_callback`` (ros2/rclpy pull request 1496).
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wake = GuardCondition(None, None, context)  # a node's own guard conditions belong to its executor

    def wake(self) -> None:
        """End the current wait, or the next one; may be called from any thread."""
        self._wake.trigger()

    def close(self) -> None:
        """Release the resources. No wait may be in progress."""
        self._wake.destroy()

    @contextmanager
    def watching(self, receivers: Receivers) -> Iterator[Callable[[float], Iterator[Call]]]:
        """Yield a function that waits up to a number of seconds and then yields the calls that are due.

        The subscriptions stay alive until the end of the context, also if the node destroys them. Those that were
        destroyed before are left out.

        Args:
            receivers: for each subscription the function to be called with it when it may have messages.
        """
        with ExitStack() as held:
            subscriptions = [one for one in receivers if _hold(held, one.handle)]
            events = [event for one in subscriptions for event in one.event_handlers if _hold(held, event)]
            held.enter_context(self._wake.handle)
            held.enter_context(self._context.handle)
            wait_set = rclpy_implementation.WaitSet(len(subscriptions), 1, 0, 0, 0, len(events), self._context.handle)

            def wait(timeout: float) -> Iterator[Call]:
                wait_set.clear_entities()
                wait_set.add_guard_condition(self._wake.handle)
                for subscription in subscriptions:
                    wait_set.add_subscription(subscription.handle)
                for event in events:
                    event.add_to_wait_set(wait_set)
                wait_set.wait(round(timeout * 1e9))
                ready = wait_set.get_ready_entities('subscription')
                for subscription in subscriptions:
                    if subscription.handle.pointer in ready:
                        yield receivers[subscription], subscription
                for event in events:
                    if event.is_ready(wait_set) and (data := event.take_data()) is not None:
                        yield event.callback, data

            yield wait


def _hold(held: ExitStack, handle: Any) -> bool:
    """Keep a handle alive until ``held`` closes. False: it was destroyed already."""
    try:
        held.enter_context(handle)
    except InvalidHandle:
        return False
    return True


def take_message(subscription: Subscription) -> tuple[Any, MessageInfo] | None:
    """Take the oldest waiting message of a subscription with its middleware information; None if no message waits.

    Reason: a thread that bypasses the executor takes messages itself, as rclpy/executors.py does. Remove with
    :class:`SubscriptionWaiter`.
    """
    taken: tuple[Any, MessageInfo] | None = subscription.handle.take_message(subscription.msg_type, False)
    return taken


def take_serialized(subscription: Subscription) -> tuple[bytes, MessageInfo] | None:
    """Take the oldest waiting message without deserializing it; see :func:`take_message`.

    Of several images that wait, only the newest is worth deserializing.
    """
    taken: tuple[bytes, MessageInfo] | None = subscription.handle.take_message(subscription.msg_type, True)
    return taken
