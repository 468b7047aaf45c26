"""Which images are worked on: the newest, of any camera, each once."""

from __future__ import annotations

import threading
import time

import pytest
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from minisegnet_ros.gaps import Gaps
from minisegnet_ros.segment_node import SegmentNode
from support.peers import BEST_EFFORT, RELIABLE, Peer, picture, stamps


def test_newest_only(start, wait):
    node, peer, segmenter = start()
    segmenter.gate.clear()
    segmenter.working.clear()
    peer.send(picture(1), 1)
    wait(segmenter.working.is_set)
    for stamp in (2, 3, 4, 5):
        peer.send(picture(1), stamp)
    wait(lambda: node._statistics.taken == 5)
    segmenter.gate.set()
    wait(lambda: 5 in stamps(peer.received['label_image']))
    assert stamps(peer.received['label_image']) == [1, 5]
    assert node._statistics.dropped == 3
    assert node._statistics.answered == 2


@pytest.fixture
def held_up(start, wait, monkeypatch):
    """held_up(count) gives a node that takes an image and then none until the next ``count`` lie in the middleware."""
    node, peer, _ = start()
    worker = node._worker
    put, reached, released = worker.put, threading.Event(), threading.Event()

    def waiting_put(*arrival) -> None:
        put(*arrival)
        reached.set()
        released.wait(60)

    monkeypatch.setattr(node._input, '_on_image', waiting_put)

    def send(count: int):
        peer.send(picture(1), 1)
        wait(reached.is_set, what='the first image')
        wait(lambda: stamps(peer.received['label_image']) == [1])
        for stamp in range(2, count + 2):
            peer.send(picture(1), stamp)
        assert peer.images.wait_for_all_acked(Duration(seconds=30)), 'all went to the subscription'
        assert node._statistics.taken == 1
        released.set()
        wait(lambda: node._statistics.taken > 1, what='the others')
        return node, peer

    yield send
    released.set()


def test_a_backlog_is_taken_at_once(held_up, wait):
    """Images that piled up in the middleware: the newest is worked on, the others are counted."""
    node, peer = held_up(4)
    assert (node._statistics.taken, node._statistics.lost) == (5, 0)
    wait(lambda: stamps(peer.received['label_image']) == [1, 5])
    wait(lambda: (node._statistics.answered, node._statistics.dropped) == (2, 3))


def test_images_that_a_full_queue_lost_are_counted(held_up, wait):
    """A process without CPU time: the middleware keeps the newest five, and says nothing of the others."""
    node, peer = held_up(8)
    if not node._input._numbered:
        pytest.skip('this middleware gives images no numbers, such as Cyclone DDS')
    assert (node._statistics.taken, node._statistics.lost) == (6, 3)
    wait(lambda: stamps(peer.received['label_image']) == [1, 9])
    wait(lambda: (node._statistics.answered, node._statistics.dropped) == (2, 7))


def test_gaps_in_the_numbers_of_images():
    gaps = Gaps()

    def info(number, publisher=b'a'):
        return {'publication_sequence_number': number, 'publisher_gid': publisher and {'data': publisher}}

    assert [gaps.see(info(n), True) for n in (7, 8, 10, 15, 15, 3, 4)] == [0, 0, 1, 4, 0, 0, 0]
    assert gaps.see(info(100, b'b'), False) == 0, 'each publisher has numbers of its own'
    assert gaps.see(info(6), False) == 1
    assert gaps.see(info(9, None), False) is None, 'whose number is it?'
    assert [gaps.see(info(n, None), True) for n in (9, 11)] == [0, 1]
    assert gaps.see({'publication_sequence_number': None}, True) is None


def test_model_changes_under_load(start, wait):
    """Images keep coming while models come and go: every one is answered or counted, in order, by a whole model."""
    node, peer, _ = start()
    stop = threading.Event()
    sent = 0

    def stream() -> None:
        nonlocal sent
        while not stop.wait(0.005):
            sent += 1
            peer.send(picture(1), sent)

    camera = threading.Thread(target=stream)
    camera.start()
    try:
        for name in ('one', 'two', 'missing', 'three'):
            answered = node._statistics.answered
            (result,) = node.set_parameters([Parameter('model', value=name)])
            assert result.successful == (name != 'missing')
            wait(lambda before=answered: node._statistics.answered > before + 2, what='answers by the new model')
    finally:
        stop.set()
        camera.join()
    assert node._vision.segmenter.model_path.name == 'three'
    counts = node._statistics
    wait(lambda: counts.answered + counts.dropped == sent == counts.taken + counts.lost, what='all to be counted')
    assert counts.bad == 0
    wait(lambda: len(peer.received['label_image']) == counts.answered)
    answers = stamps(peer.received['label_image'])
    assert answers == sorted(set(answers))


def test_best_effort_camera_is_heard(start, wait):
    node, peer, _ = start(qos=BEST_EFFORT)
    assert node._input.reliability == ReliabilityPolicy.BEST_EFFORT
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1], what='an answer')


@pytest.mark.parametrize('qos', [RELIABLE, BEST_EFFORT], ids=['reliable', 'best effort'])
def test_camera_before_the_node(spin, wait, fake, qos):
    peer = spin(Peer(qos=qos), 1)
    node = spin(SegmentNode(fake))
    wait(lambda: node._input and node._input.publishers, what='the node to see the camera')
    wait(lambda: node._input.reliability == qos.reliability, what='the reliability to fit')
    wait(lambda: peer.images.get_subscription_count() == 1 and node._outputs.heard)
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1], what='an answer')


def test_camera_that_changes_kind(start, spin, wait):
    node, peer, _ = start()
    assert node._input.reliability == ReliabilityPolicy.RELIABLE
    peer.destroy_publisher(peer.images)
    peer.images = peer.create_publisher(Image, 'image', BEST_EFFORT)
    wait(lambda: node._input.reliability == ReliabilityPolicy.BEST_EFFORT, what='the reliability to follow')
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1], what='an answer')


def test_an_image_that_both_subscriptions_get_while_one_replaces_the_other_is_answered_once(start, wait):
    node, peer, _ = start()
    images = node._input
    second = images._subscribe()
    listener = images._listener
    listener.listen(
        dict.fromkeys((images._subscription, second), images._receive) | {images._info_subscription: images._keep_infos}
    )
    wait(lambda: peer.images.get_subscription_count() == 2, what='both subscriptions')
    for stamp in range(1, 6):
        peer.send(picture(1), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']), what=f'answer {stamp}')
    time.sleep(0.2)
    assert stamps(peer.received['label_image']) == [1, 2, 3, 4, 5]
    assert node._statistics.taken == 5
    images._listen()
    node.destroy_subscription(second)


def test_publisher_that_dies_and_returns(start, wait):
    node, peer, _ = start()
    peer.send(picture(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])
    for stamp in (2, 3):
        peer.destroy_publisher(peer.images)
        wait(lambda: not node._input.publishers, what='the camera to be gone')
        peer.images = peer.create_publisher(Image, 'image', RELIABLE)
        wait(lambda: node._input.publishers and peer.images.get_subscription_count() == 1, what='the camera to be back')
        wait(lambda stamp=stamp: (peer.send(picture(1), stamp), stamp in stamps(peer.received['label_image']))[1])
    assert node._input.reliability == ReliabilityPolicy.RELIABLE


def test_a_second_camera_of_the_other_kind(start, wait):
    """Both are heard: best effort serves either."""
    node, peer, _ = start()
    other = peer.create_publisher(Image, 'image', BEST_EFFORT)
    wait(lambda: node._input.reliability == ReliabilityPolicy.BEST_EFFORT, what='the reliability to follow')
    for stamp, publisher in enumerate((peer.images, other), 1):
        wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        peer.images = publisher
        wait(lambda stamp=stamp: (peer.send(picture(1), stamp), stamp in stamps(peer.received['label_image']))[1])
    peer.destroy_publisher(other)
    wait(lambda: node._input.reliability == ReliabilityPolicy.RELIABLE, what='the reliability to follow back')


@pytest.mark.parametrize('name', ['/camera/image_raw', '/camera/image_raw/compressed'])
def test_compressed_images_by_either_name(spin, wait, fake, name):
    arguments = ['--ros-args', '-r', f'image:={name}', '-p', 'image_transport:=compressed']
    node = spin(SegmentNode(fake, cli_args=arguments))
    assert node._input.topic == '/camera/image_raw/compressed'


def test_two_nodes_in_two_namespaces(start, wait):
    peers = [start(namespace=name)[1] for name in ('/left', '/right')]
    for stamp, peer in enumerate(peers, 1):
        peer.send(picture(1), stamp)
    for stamp, peer in enumerate(peers, 1):
        wait(lambda peer=peer: peer.received['label_image'])
        assert stamps(peer.received['label_image']) == [stamp]
