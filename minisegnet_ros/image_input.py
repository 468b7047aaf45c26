"""The image subscription, whose reliability follows what the publishers offer, and the camera infos beside it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_ros.conversions import stamp_nanoseconds

DEPTH = 5
"""Images that the middleware keeps for us. We take each at once; deep queues are what makes others lag."""

GRAPH_PERIOD = 0.25
"""Seconds between looks at the publishers. rclpy tells nobody of changes in the graph, and a subscription's `matched`
event is no way: one that waits while the subscription is destroyed makes rclpy's executor raise, and locks its group.
"""

KEPT_INFOS = 16


class ImageInput:
    """Receives images and camera infos while it is open.

    Args:
        node: whose names ``image`` and ``camera_info`` are remapped.
        compressed: CompressedImage on ``<image>/compressed`` instead of Image on ``<image>``.
        reliability: ``auto``, ``reliable`` or ``best_effort``.
        on_image: called with the message and the time of its arrival (s, monotonic).
        on_lost: called with the number of images that the middleware reports as lost.
    """

    def __init__(
        self,
        node: Node,
        *,
        compressed: bool,
        reliability: str,
        on_image: Callable[[Image | CompressedImage, float], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._node = node
        self._on_image = on_image
        self._on_lost = on_lost
        self._automatic = reliability == 'auto'
        self._type = CompressedImage if compressed else Image
        self.topic = node.resolve_topic_name('image') + ('/compressed' if compressed else '')
        self._warned = ''
        policy = {'auto': self._fitting(), 'reliable': ReliabilityPolicy.RELIABLE}
        self.reliability = policy.get(reliability, ReliabilityPolicy.BEST_EFFORT)
        self._subscription = self._subscribe()
        # Discovery is no matter of simulated time: a steady clock, whatever use_sim_time says.
        self._timer = node.create_timer(
            GRAPH_PERIOD, self._follow_graph, MutuallyExclusiveCallbackGroup(), clock=steady_clock()
        )
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._info_subscription = node.create_subscription(
            CameraInfo, 'camera_info', self._keep_info, _profile(ReliabilityPolicy.BEST_EFFORT),
            callback_group=MutuallyExclusiveCallbackGroup(),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )  # fmt: skip

    def close(self) -> None:
        """Ends all subscriptions."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_subscription(self._info_subscription)

    def camera_info(self, stamp: int) -> CameraInfo | None:
        """The camera info with an image's stamp (ns), else the newest, else None."""
        infos = self._infos
        return infos.get(stamp) or next(reversed(infos.values()), None)

    def _keep_info(self, info: CameraInfo) -> None:
        # A new mapping each time: the worker reads while we write.
        infos = OrderedDict(self._infos)
        infos.pop(stamp_nanoseconds(info.header), None)
        infos[stamp_nanoseconds(info.header)] = info
        while len(infos) > KEPT_INFOS:
            infos.popitem(last=False)
        self._infos = infos

    def _receive(self, message: Image | CompressedImage) -> None:
        self._on_image(message, time.monotonic())

    def _subscribe(self) -> Subscription:
        events = SubscriptionEventCallbacks(
            message_lost=lambda event: self._on_lost(event.total_count_change), use_default_callbacks=False
        )
        silent = SubscriptionEventCallbacks(use_default_callbacks=False)
        # A group of its own, thrown away with it: see GRAPH_PERIOD.
        group = MutuallyExclusiveCallbackGroup()
        arguments = (self._type, self.topic, self._receive, _profile(self.reliability))
        try:
            return self._node.create_subscription(*arguments, callback_group=group, event_callbacks=events)
        except UnsupportedEventTypeError:  # a middleware that does not report losses
            return self._node.create_subscription(*arguments, callback_group=group, event_callbacks=silent)

    def _fitting(self) -> ReliabilityPolicy:
        """Reliable if there are publishers and all offer it, else what every publisher can serve."""
        offered = [p.qos_profile.reliability for p in self._node.get_publishers_info_by_topic(self.topic)]
        all_reliable = bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _follow_graph(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if self._automatic and publishers:
            fitting = self._fitting()
            if fitting != self.reliability:
                self.reliability = fitting
                old, self._subscription = self._subscription, self._subscribe()
                self._node.destroy_subscription(old)
                self._node.get_logger().info(f'subscribed to {self.topic} with {fitting.name.lower()} reliability')
        self._warn_of_mismatch(publishers)

    def _warn_of_mismatch(self, publishers: list) -> None:
        """Says once per change of the graph why nothing can arrive."""
        expected = f'sensor_msgs/msg/{self._type.__name__}'
        warning = ''
        for publisher in publishers:
            reliable = publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            if publisher.topic_type != expected:
                transport = 'compressed' if publisher.topic_type.endswith('CompressedImage') else 'raw'
                warning = (
                    f'{publisher.node_name} publishes {publisher.topic_type} on {self.topic}, this node expects '
                    f'{expected}; set image_transport to {transport}, or remap `image`'
                )
            elif self.reliability == ReliabilityPolicy.RELIABLE and not reliable:
                warning = (
                    f'{publisher.node_name} publishes {self.topic} best effort, this node asks for reliable: no image '
                    'will arrive; set the parameter reliability to auto or best_effort'
                )
        if warning and warning != self._warned:
            self._node.get_logger().warning(warning)
        self._warned = warning


def _profile(reliability: ReliabilityPolicy) -> QoSProfile:
    return QoSProfile(depth=DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=reliability)


def steady_clock() -> Clock:
    """A clock that neither jumps nor follows simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)
