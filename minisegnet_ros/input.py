"""The image subscription, whose reliability follows the publishers, and the camera info subscription beside it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_ros.conversions import stamp_nanoseconds
from minisegnet_ros.diagnostics import ThrottledLog, steady_clock
from minisegnet_ros.listener import Listener, never_called
from minisegnet_ros.qos import INPUT_DEPTH, input_profile, mismatch, overridden_reliability, overriding_options
from minisegnet_ros.rclpy_compat import MessageInfo, OutsideExecutor, take_message, take_serialized

GRAPH_PERIOD = 0.25
"""Seconds between two looks at the publishers.

rclpy reports no changes of the graph. The subscription's event `matched` cannot serve instead: if it waits to be
handled while the subscription is destroyed, rclpy's executor raises an error and its callback group stays locked.
"""

COMPRESSED = '/compressed'
"""Suffix that image_transport appends to the topic of the raw images."""

KEPT_INFOS = 16
"""Camera infos kept for images that are still in flight."""

LOST_PERIOD = 30.0
"""Seconds between two warnings about lost images."""


class SequenceGaps:
    """Counts lost messages of one subscription by the sequence numbers of its publishers.

    The middleware's event `message_lost` does not cover messages that newer ones push out of a full queue, which is
    what happens in a process without CPU time.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}

    def count(self, info: MessageInfo, single_publisher: bool) -> int | None:
        """Return the number of messages lost between the previous message of this publisher and this one.

        Args:
            info: middleware information of the message.
            single_publisher: whether the topic has one publisher; some distributions do not name the publisher of a
                message.

        Returns:
            None if the middleware gives no usable sequence number.
        """
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None or (publisher is None and not single_publisher):
            return None
        key = b'' if publisher is None else bytes(publisher['data'])
        last = self._last.get(key, number)
        self._last[key] = number
        return max(0, number - last - 1)


class ImageInput:
    """Receives images and camera infos from construction until :meth:`close`.

    Args:
        node: the topics ``image`` and ``camera_info`` are resolved by its remappings.
        compressed: subscribe to CompressedImage on ``<image>/compressed`` instead of Image on ``<image>``. Nothing is
            appended to a name that ends with ``/compressed`` already.
        reliability: ``auto``, ``reliable`` or ``best_effort``; a ``qos_overrides`` parameter of the topic has priority.
        on_image: called with the message, its time of arrival (seconds, monotonic), and the number of older images
            that were received with it and that it replaces. The calling thread does nothing else for the node.
        on_lost: called with a number of images that the middleware lost.

    Attributes:
        topic: resolved name of the image topic.
        reliability: reliability that the image subscription requests at present.
        publishers: publishers of the image topic, as last seen.
        numbered: whether sequence numbers reveal lost images; not with every middleware.
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
        self.numbered = False
        self._lock = threading.Lock()  # close() and a new subscription come from different threads
        self._closed = False
        self._received: deque[tuple[int, Subscription]] = deque(maxlen=2 * INPUT_DEPTH)
        self.publishers: list[TopicEndpointInfo] = node.get_publishers_info_by_topic(self.topic)
        fixed = overridden_reliability(node, self.topic)
        self._automatic = reliability == 'auto' and fixed is None
        policy = {'auto': self._matching_reliability(), 'reliable': ReliabilityPolicy.RELIABLE}
        self.reliability = fixed or policy.get(reliability, ReliabilityPolicy.BEST_EFFORT)
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._subscription = self._subscribe()
        self._info_subscription = node.create_subscription(
            CameraInfo, 'camera_info', never_called, input_profile(ReliabilityPolicy.BEST_EFFORT),
            callback_group=OutsideExecutor(),
            qos_overriding_options=overriding_options(node, node.resolve_topic_name('camera_info'), 'subscription'),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )  # fmt: skip
        self._listener = Listener(node)
        self._listen()
        # Discovery does not depend on simulated time.
        self._timer = node.create_timer(
            GRAPH_PERIOD, self._follow_graph, MutuallyExclusiveCallbackGroup(), clock=steady_clock()
        )

    @property
    def profile(self) -> QoSProfile:
        """The requested QoS profile of the image subscription, with overrides applied."""
        return self._subscription.qos_profile

    def camera_info(self, stamp: int) -> CameraInfo | None:
        """Return the camera info with a stamp (ns), otherwise the newest one, or None before the first one."""
        infos = self._infos
        return infos.get(stamp) or next(reversed(infos.values()), None)

    def count_lost(self, count: int) -> None:
        """Report lost images to the owner and, throttled, to the log."""
        self._on_lost(count)
        self._lost += count
        offers = ', '.join(f'{p.node_name} ({_reliability(p.qos_profile)})' for p in self.publishers) or 'no publisher'
        if self.profile.reliability == ReliabilityPolicy.RELIABLE:
            # Reliable transport loses nothing on the way: a queue was full, and its oldest image was removed.
            cause = 'they arrived faster than this process received them; give it more CPU time'
        else:
            cause = (
                "give the middleware of the camera's process memory for whole images (Fast DDS: config/fastdds.xml) or "
                'publish reliably; see docs/how-to/stop-losing-images.md'
            )
        self._log.warning(
            'lost',
            f'{self._lost} images of {self.topic} were lost between {offers} and {self._node.get_name()} '
            f'({_reliability(self.profile)}): {cause}',
        )

    def close(self) -> None:
        """End all subscriptions."""
        with self._lock:
            self._closed = True
        self._listener.close()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_subscription(self._info_subscription)

    # Subscriptions

    def _subscribe(self) -> Subscription:
        events = SubscriptionEventCallbacks(
            message_lost=lambda event: self.numbered or self.count_lost(event.total_count_change),
            use_default_callbacks=False,
        )
        silent = SubscriptionEventCallbacks(use_default_callbacks=False)
        options = overriding_options(self._node, self.topic, 'subscription')
        self._gaps = SequenceGaps()
        # Each subscription has a callback group of its own, which is discarded with it: see GRAPH_PERIOD.
        group = OutsideExecutor()
        arguments = (self._type, self.topic, never_called, input_profile(self.reliability))
        try:
            return self._node.create_subscription(
                *arguments, callback_group=group, event_callbacks=events, qos_overriding_options=options
            )
        except UnsupportedEventTypeError:  # a middleware that does not report losses
            return self._node.create_subscription(
                *arguments, callback_group=group, event_callbacks=silent, qos_overriding_options=options
            )

    def _listen(self) -> None:
        self._listener.listen({self._subscription: self._receive, self._info_subscription: self._receive_infos})

    def _receive_infos(self, subscription: Subscription) -> None:
        infos = OrderedDict(self._infos)  # a copy, because the worker reads the mapping at the same time
        while (taken := take_message(subscription)) is not None:
            stamp = stamp_nanoseconds(taken[0].header)
            infos.pop(stamp, None)
            infos[stamp] = taken[0]
        while len(infos) > KEPT_INFOS:
            infos.popitem(last=False)
        self._infos = infos

    def _receive(self, subscription: Subscription) -> None:
        # All waiting images are taken at once, and only the newest is deserialized.
        arrived = time.monotonic()
        first = take_message(subscription)
        if first is None:
            return
        message, infos, serialized = first[0], [first[1]], None
        limit = max(INPUT_DEPTH, subscription.qos_profile.depth) + 1
        while len(infos) < limit and (more := take_serialized(subscription)) is not None:
            serialized = more[0]
            infos.append(more[1])
        new = [not self._is_duplicate(subscription, info) for info in infos]
        if serialized is not None:
            message = deserialize_message(serialized, self._type)
        single_publisher = len(self.publishers) <= 1
        losses = [self._gaps.count(info, single_publisher) for info in infos]
        self.numbered = None not in losses
        lost = sum(loss or 0 for loss in losses)
        if lost:
            self.count_lost(lost)
        if new[-1]:
            self._on_image(message, arrived, sum(new) - 1)

    def _is_duplicate(self, subscription: Subscription, info: MessageInfo) -> bool:
        """Return whether an image was received from another subscription already.

        While one subscription replaces another, both receive what is published. Ending the old one first would lose
        the images that are published before the new one is discovered.
        """
        stamp = info.get('source_timestamp', 0)  # set by the publisher, ns; 0 if the middleware has none
        duplicate = stamp > 0 and any(s == stamp and other is not subscription for s, other in self._received)
        self._received.append((stamp, subscription))
        return duplicate

    # Graph

    def _matching_reliability(self) -> ReliabilityPolicy:
        """Return reliable if there are publishers and all offer it, otherwise best effort, which all can serve."""
        offered = [p.qos_profile.reliability for p in self.publishers]
        all_reliable = bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _follow_graph(self) -> None:
        before, self.publishers = self.publishers, self._node.get_publishers_info_by_topic(self.topic)
        if [p.endpoint_gid for p in before] != [p.endpoint_gid for p in self.publishers]:
            self._gaps = SequenceGaps()  # a restarted camera counts from the beginning
        if self._automatic and self.publishers:
            reliability = self._matching_reliability()
            if reliability != self.reliability:
                with self._lock:
                    if self._closed:
                        return
                    self.reliability = reliability
                    old, self._subscription = self._subscription, self._subscribe()
                    self._listen()
                    self._node.destroy_subscription(old)
                name = reliability.name.lower()
                self._node.get_logger().info(f'subscribed to {self.topic} with {name} reliability')
        self._warn_about_mismatch()

    def _warn_about_mismatch(self) -> None:
        """Warn, once per change of the graph, if images of a publisher cannot arrive."""
        warning = next(filter(None, map(self._obstacle, self.publishers)), '')
        if warning and warning != self._warned:
            self._node.get_logger().warning(warning)
        self._warned = warning

    def _obstacle(self, publisher: TopicEndpointInfo) -> str:
        """Return why no image of a publisher can arrive, or an empty string."""
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
            f'no image from {publisher.node_name} will arrive on {self.topic}: it offers less than '
            f'{self._node.get_name()} requests ({difference}); set the parameter reliability to auto or best_effort '
            'and check qos_overrides'
        )


def _reliability(profile: QoSProfile) -> str:
    return str(profile.reliability.name).lower().replace('_', ' ')
