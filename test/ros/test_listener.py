"""The thread that takes images past the executor: over the real middleware."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String

from minisegnet_ros.listener import Listener, OwnThread, unexpected
from support.peers import RELIABLE, picture, stamps


def test_messages_that_are_none_between_good_ones(start, wait):
    """Cut off, and with a frame that is no text: the middleware gives the one to nobody, and rclpy mends the other."""
    node, peer, _ = start()
    message = Image(encoding='rgb8', width=64, height=64, step=192, data=bytes(64 * 192))
    message.header.frame_id = 'MARK'
    peer.send(picture(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])
    if not node._input._numbered:
        pytest.skip('this middleware gives images no numbers, such as Cyclone DDS')
    serialized = serialize_message(message)
    peer.images.publish(serialized.replace(b'MARK', b'\xff\xfe\xfd\xfc'))
    wait(lambda: stamps(peer.received['label_image']) == [1, 0])
    peer.images.publish(serialized[:100])
    peer.send(picture(1), 2)
    wait(lambda: stamps(peer.received['label_image'])[-1] == 2)
    counts = node._statistics
    wait(lambda: (counts.answered, counts.taken, counts.lost, counts.dropped) == (3, 3, 1, 1), what='it to be counted')


@pytest.fixture
def texts(wait):
    """A listener's node, a publisher, and subscriptions of it made on demand."""
    node = rclpy.create_node('texts')
    publisher = node.create_publisher(String, 'text', RELIABLE)
    listener = Listener(node)
    heard: list[tuple[str, str]] = []

    def subscribe(name: str):
        subscription = node.create_subscription(String, 'text', unexpected, RELIABLE, callback_group=OwnThread())
        before = publisher.get_subscription_count()
        wait(lambda: publisher.get_subscription_count() >= max(before, 1), what='the subscription to be seen')

        def receive(one) -> None:
            while (taken := one.handle.take_message(String, False)) is not None:
                if taken[0].data == 'fail':
                    raise ValueError('as asked')
                heard.append((name, taken[0].data))

        return subscription, receive

    yield SimpleNamespace(node=node, publisher=publisher, listener=listener, heard=heard, subscribe=subscribe)
    listener.close()
    node.destroy_node()


def test_without_any_executor(texts, wait):
    texts.listener.listen(dict([texts.subscribe('a')]))
    for text in ('one', 'fail', 'two'):
        texts.publisher.publish(String(data=text))
    wait(lambda: texts.heard == [('a', 'one'), ('a', 'two')])


def test_other_subscriptions_while_the_old_one_goes(texts, wait):
    old, receive = texts.subscribe('old')
    texts.listener.listen({old: receive})
    texts.publisher.publish(String(data='one'))
    wait(lambda: texts.heard == [('old', 'one')])
    for count in range(3):
        new, receive = texts.subscribe(f'new {count}')
        texts.listener.listen({new: receive})
        texts.node.destroy_subscription(old)
        wait(lambda: texts.publisher.get_subscription_count() == 1, what='the old one to be gone')
        texts.publisher.publish(String(data='more'))
        wait(lambda count=count: (f'new {count}', 'more') in texts.heard)
        old = new


def test_a_subscription_that_was_destroyed_before(texts, wait):
    gone, nothing = texts.subscribe('gone')
    there, receive = texts.subscribe('there')
    texts.node.destroy_subscription(gone)
    texts.listener.listen({gone: nothing, there: receive})
    texts.publisher.publish(String(data='one'))
    wait(lambda: texts.heard == [('there', 'one')])


def test_the_executor_leaves_it_alone(texts, wait):
    subscription, receive = texts.subscribe('a')
    texts.publisher.publish(String(data='one'))
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(texts.node)
    for _ in range(5):
        executor.spin_once(0.01)
    executor.shutdown()
    texts.listener.listen({subscription: receive})
    wait(lambda: texts.heard == [('a', 'one')])


def test_close_ends_the_thread(texts):
    texts.listener.listen(dict([texts.subscribe('a')]))
    other = Listener(texts.node)
    other.close()
    assert not other._thread.is_alive()
