"""The thread that receives images and bypasses the executor, over the real middleware."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String

from minisegnet_ros.listener import Listener, never_called
from minisegnet_ros.rclpy_compat import OutsideExecutor, take_message
from support.peers import RELIABLE, camera_image, stamps


def test_broken_messages_between_good_ones_are_counted(start, wait):
    """The middleware discards a truncated message; rclpy repairs a frame name that is not UTF-8."""
    node, peer, _ = start()
    message = Image(encoding='rgb8', width=64, height=64, step=192, data=bytes(64 * 192))
    message.header.frame_id = 'MARK'
    peer.send(camera_image(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])
    if not node.images.numbered:
        pytest.skip('this middleware, such as Cyclone DDS, gives images no sequence numbers')
    serialized = serialize_message(message)
    peer.images.publish(serialized.replace(b'MARK', b'\xff\xfe\xfd\xfc'))
    wait(lambda: stamps(peer.received['label_image']) == [1, 0])
    peer.images.publish(serialized[:100])
    peer.send(camera_image(1), 2)
    wait(lambda: stamps(peer.received['label_image'])[-1] == 2)
    counts = node.statistics
    wait(
        lambda: (counts.answered, counts.received, counts.lost, counts.dropped) == (3, 3, 1, 1),
        what='the truncated message to be counted',
    )


@pytest.fixture
def texts(wait):
    """A listener with its node, a publisher, and subscriptions on demand; `received` holds what was received."""
    node = rclpy.create_node('texts')
    publisher = node.create_publisher(String, 'text', RELIABLE)
    listener = Listener(node)
    received: list[tuple[str, str]] = []

    def subscribe(name: str):
        subscription = node.create_subscription(
            String, 'text', never_called, RELIABLE, callback_group=OutsideExecutor()
        )
        before = publisher.get_subscription_count()
        wait(lambda: publisher.get_subscription_count() >= max(before, 1), what='the subscription to be seen')

        def receive(one) -> None:
            while (taken := take_message(one)) is not None:
                if taken[0].data == 'fail':
                    raise ValueError('as requested')
                received.append((name, taken[0].data))

        return subscription, receive

    yield SimpleNamespace(node=node, publisher=publisher, listener=listener, received=received, subscribe=subscribe)
    listener.close()
    node.destroy_node()


def test_messages_are_received_without_an_executor(texts, wait):
    texts.listener.listen(dict([texts.subscribe('a')]))
    for text in ('one', 'fail', 'two'):
        texts.publisher.publish(String(data=text))
    wait(lambda: texts.received == [('a', 'one'), ('a', 'two')])


def test_subscriptions_can_be_replaced_while_the_old_one_is_destroyed(texts, wait):
    old, receive = texts.subscribe('old')
    texts.listener.listen({old: receive})
    texts.publisher.publish(String(data='one'))
    wait(lambda: texts.received == [('old', 'one')])
    for count in range(3):
        new, receive = texts.subscribe(f'new {count}')
        texts.listener.listen({new: receive})
        texts.node.destroy_subscription(old)
        wait(lambda: texts.publisher.get_subscription_count() == 1, what='the old one to disappear')
        texts.publisher.publish(String(data='more'))
        wait(lambda count=count: (f'new {count}', 'more') in texts.received)
        old = new


def test_a_subscription_that_was_destroyed_before_is_left_out(texts, wait):
    gone, unused = texts.subscribe('gone')
    there, receive = texts.subscribe('there')
    texts.node.destroy_subscription(gone)
    texts.listener.listen({gone: unused, there: receive})
    texts.publisher.publish(String(data='one'))
    wait(lambda: texts.received == [('there', 'one')])


def test_an_executor_takes_no_message(texts, wait):
    subscription, receive = texts.subscribe('a')
    texts.publisher.publish(String(data='one'))
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(texts.node)
    for _ in range(5):
        executor.spin_once(0.01)
    executor.shutdown()
    texts.listener.listen({subscription: receive})
    wait(lambda: texts.received == [('a', 'one')])


def test_close_ends_the_thread(texts):
    texts.listener.listen(dict([texts.subscribe('a')]))
    other = Listener(texts.node)
    other.close()
    assert not other.alive
