"""The image subscription, whose reliability follows what the publishers offer, and the camera infos beside it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_ros.conversions import stamp_nanoseconds
from minisegnet_ros.gaps import Gaps
from minisegnet_ros.listener import Listener, OwnThread, unexpected
from minisegnet_ros.qos import INPUT_DEPTH, input_profile, mismatch, overridden_reliability, overriding_options
from minisegnet_ros.throttle import ThrottledLog

GRAPH_PERIOD = 0.25
"""Seconds between looks at the publishers. rclpy tells nobody of changes in the graph, and a subscription's `matched`
event is no way: one that waits while the subscription is destroyed makes rclpy's executor raise, and locks its group.
"""

COMPRESSED = '/compressed'
"""What image_transport puts behind the name of the raw images' topic."""

KEPT_INFOS = 16

LOST_PERIOD = 30.0
"""Seconds between two warnings of lost images."""


class ImageInput:
    """Receives images and camera infos while it is open.

    Args:
        node: whose names ``image`` and ``camera_info`` are remapped.
        compressed: CompressedImage on ``<image>/compressed`` instead of Image on ``<image>``; nothing is put behind a
            name that ends so already.
        reliability: ``auto``, ``reliable`` or ``best_effort``; a ``qos_overrides`` parameter of the topic wins over it.
        on_image: called with the message, the time of its arrival (s, monotonic), and how many older ones were taken
            with it, which it replaces. By a thread of its own, which no other work of the node holds up.
        on_lost: called with the number of images that the middleware reports as lost.
    """

    def __init__(
        self,
        node: Node,
        *,
        compressed: bool,
        reliability: str,
        on_image: Callable[[Image | CompressedImage, float, int], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._node = node
        self._on_image = on_image
        self._on_lost = on_lost
        self._type = CompressedImage if compressed else Image
        topic = node.resolve_topic_name('image')
        self.topic = topic.removesuffix(COMPRESSED) + COMPRESSED if compressed else topic
        self._warned = ''
        self._log = ThrottledLog(node, LOST_PERIOD)
        self._lost = 0
        self._numbered = False  # whether gaps in the numbers of images tell what was lost
        self._lock = threading.Lock()  # close() and a new subscription come from different threads
        self._closed = False
        self._taken: deque[tuple[int, Subscription]] = deque(maxlen=2 * INPUT_DEPTH)
        self.publishers: list[TopicEndpointInfo] = node.get_publishers_info_by_topic(self.topic)
        fixed = overridden_reliability(node, self.topic)
        self._automatic = reliability == 'auto' and fixed is None
        policy = {'auto': self._fitting(), 'reliable': ReliabilityPolicy.RELIABLE}
        self.reliability = fixed or policy.get(reliability, ReliabilityPolicy.BEST_EFFORT)
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._subscription = self._subscribe()
        self._info_subscription = node.create_subscription(
            CameraInfo, 'camera_info', unexpected, input_profile(ReliabilityPolicy.BEST_EFFORT),
            callback_group=OwnThread(),
            qos_overriding_options=overriding_options(node, node.resolve_topic_name('camera_info'), 'subscription'),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )  # fmt: skip
        self._listener = Listener(node)
        self._listen()
        # Discovery is no matter of simulated time: a steady clock, whatever use_sim_time says.
        self._timer = node.create_timer(
            GRAPH_PERIOD, self._follow_graph, MutuallyExclusiveCallbackGroup(), clock=steady_clock()
        )

    def _listen(self) -> None:
        self._listener.listen({self._subscription: self._receive, self._info_subscription: self._keep_infos})

    def close(self) -> None:
        """Ends all subscriptions."""
        with self._lock:
            self._closed = True
        self._listener.close()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_subscription(self._info_subscription)

    def camera_info(self, stamp: int) -> CameraInfo | None:
        """The camera info with an image's stamp (ns), else the newest, else None."""
        infos = self._infos
        return infos.get(stamp) or next(reversed(infos.values()), None)

    def _keep_infos(self, subscription: Subscription) -> None:
        # A new mapping each time: the worker reads while we write.
        infos = OrderedDict(self._infos)
        while (taken := subscription.handle.take_message(CameraInfo, False)) is not None:
            stamp = stamp_nanoseconds(taken[0].header)
            infos.pop(stamp, None)
            infos[stamp] = taken[0]
        while len(infos) > KEPT_INFOS:
            infos.popitem(last=False)
        self._infos = infos

    def _receive(self, subscription: Subscription) -> None:
        # Where images come faster than we take them, newer ones wait behind the first: all are taken at once, and of
        # those only the newest is made into a message.
        arrived = time.monotonic()
        take = subscription.handle.take_message
        first = take(self._type, False)
        if first is None:
            return
        message, infos, serialized = first[0], [first[1]], None
        most = max(INPUT_DEPTH, subscription.qos_profile.depth) + 1
        while len(infos) < most and (more := take(self._type, True)) is not None:
            serialized = more[0]
            infos.append(more[1])
        new = [not self._known(subscription, info) for info in infos]
        if serialized is not None:
            message = deserialize_message(serialized, self._type)
        alone = len(self.publishers) <= 1
        losses = [self._gaps.see(info, alone) for info in infos]
        self._numbered = None not in losses
        lost = sum(loss or 0 for loss in losses)
        if lost:
            self._count_lost(lost)
        if new[-1]:
            self._on_image(message, arrived, sum(new) - 1)

    def _known(self, subscription: Subscription, info: Mapping[str, Any]) -> bool:
        """Whether this image was taken from another subscription already.

        While one replaces the other, both get what is published. The order of making and ending them cannot help: an
        image between the end of one and the discovery of the other would be lost.
        """
        stamp = info.get('source_timestamp', 0)  # of the publisher, in ns; 0 where the middleware has none
        known = stamp > 0 and any(taken == stamp and by is not subscription for taken, by in self._taken)
        self._taken.append((stamp, subscription))
        return known

    def _subscribe(self) -> Subscription:
        events = SubscriptionEventCallbacks(
            message_lost=lambda event: self._numbered or self._count_lost(event.total_count_change),
            use_default_callbacks=False,
        )
        silent = SubscriptionEventCallbacks(use_default_callbacks=False)
        options = overriding_options(self._node, self.topic, 'subscription')
        self._gaps = Gaps()
        # A group of its own, thrown away with it: see GRAPH_PERIOD.
        group = OwnThread()
        arguments = (self._type, self.topic, unexpected, input_profile(self.reliability))
        try:
            return self._node.create_subscription(
                *arguments, callback_group=group, event_callbacks=events, qos_overriding_options=options
            )
        except UnsupportedEventTypeError:  # a middleware that does not report losses
            return self._node.create_subscription(
                *arguments, callback_group=group, event_callbacks=silent, qos_overriding_options=options
            )

    @property
    def profile(self) -> QoSProfile:
        """What the subscription asks for, overrides included."""
        return self._subscription.qos_profile

    def _count_lost(self, count: int) -> None:
        self._on_lost(count)
        self._lost += count
        offers = ', '.join(f'{p.node_name} ({_word(p.qos_profile)})' for p in self.publishers) or 'nobody any more'
        if self.profile.reliability == ReliabilityPolicy.RELIABLE:
            # Then nothing is lost on the way: a queue was full, the publisher's or ours, and its oldest went.
            remedy = 'they came faster than this process took them: it lacks CPU time'
        else:
            remedy = (
                "give the middleware of the camera's process memory for whole images (with Fast DDS the profile "
                'config/fastdds.xml), or let the camera publish reliably; see "If images are lost" in docs/node.md'
            )
        self._log.warning(
            'lost',
            f'{self._lost} images of {self.topic} were lost on their way from {offers} to {self._node.get_name()} '
            f'({_word(self.profile)}): {remedy}',
        )

    def _fitting(self) -> ReliabilityPolicy:
        """Reliable if there are publishers and all offer it, else what every publisher can serve."""
        offered = [p.qos_profile.reliability for p in self.publishers]
        all_reliable = bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _follow_graph(self) -> None:
        before, self.publishers = self.publishers, self._node.get_publishers_info_by_topic(self.topic)
        if [p.endpoint_gid for p in before] != [p.endpoint_gid for p in self.publishers]:
            self._gaps = Gaps()  # a camera that is started anew counts anew
        if self._automatic and self.publishers:
            fitting = self._fitting()
            if fitting != self.reliability:
                with self._lock:
                    if self._closed:
                        return
                    self.reliability = fitting
                    old, self._subscription = self._subscription, self._subscribe()
                    self._listen()
                    self._node.destroy_subscription(old)
                self._node.get_logger().info(f'subscribed to {self.topic} with {fitting.name.lower()} reliability')
        self._warn_of_mismatch()

    def _warn_of_mismatch(self) -> None:
        """Says once per change of the graph why nothing can arrive."""
        warning = next(filter(None, map(self._obstacle, self.publishers)), '')
        if warning and warning != self._warned:
            self._node.get_logger().warning(warning)
        self._warned = warning

    def _obstacle(self, publisher: TopicEndpointInfo) -> str:
        """Why no image of this publisher can arrive; empty: nothing hinders."""
        expected = f'sensor_msgs/msg/{self._type.__name__}'
        if publisher.topic_type != expected:
            transport = 'compressed' if publisher.topic_type.endswith('CompressedImage') else 'raw'
            return (
                f'{publisher.node_name} publishes {publisher.topic_type} on {self.topic}, this node expects '
                f'{expected}; set image_transport to {transport}, or remap `image`'
            )
        difference = mismatch(publisher.qos_profile, self.profile)
        if not difference:
            return ''
        return (
            f'no image will arrive from {publisher.node_name} on {self.topic}: it offers less than '
            f'{self._node.get_name()} asks for ({difference}); set the parameter reliability to auto or best_effort, '
            'and look at qos_overrides'
        )


def _word(profile: QoSProfile) -> str:
    return str(profile.reliability.name).lower().replace('_', ' ')


def steady_clock() -> Clock:
    """A clock that neither jumps nor follows simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)
