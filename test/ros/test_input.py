"""The image input: the newest image of any camera is processed, and each image once."""

from __future__ import annotations

import threading
import time

import pytest
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from minisegnet_ros.input import SequenceGaps
from minisegnet_ros.segment_node import SegmentNode
from minisegnet_ros.worker import Worker
from support.peers import BEST_EFFORT, RELIABLE, Peer, camera_image, stamps


def test_only_the_newest_image_is_processed(start, wait):
    node, peer, segmenter = start()
    segmenter.gate.clear()
    segmenter.working.clear()
    peer.send(camera_image(1), 1)
    wait(segmenter.working.is_set)
    for stamp in (2, 3, 4, 5):
        peer.send(camera_image(1), stamp)
    wait(lambda: node.statistics.received == 5)
    segmenter.gate.set()
    wait(lambda: 5 in stamps(peer.received['label_image']))
    assert stamps(peer.received['label_image']) == [1, 5]
    assert node.statistics.dropped == 3
    assert node.statistics.answered == 2


@pytest.fixture
def held_up(start, wait, monkeypatch):
    """held_up(count) returns a node that receives one image, and none until the middleware holds ``count`` more."""
    put, reached, released = Worker.put, threading.Event(), threading.Event()

    def waiting_put(worker, *arrival) -> None:
        put(worker, *arrival)
        reached.set()
        released.wait(60)

    monkeypatch.setattr(Worker, 'put', waiting_put)
    node, peer, _ = start()

    def send(count: int):
        peer.send(camera_image(1), 1)
        wait(reached.is_set, what='the first image')
        wait(lambda: stamps(peer.received['label_image']) == [1])
        for stamp in range(2, count + 2):
            peer.send(camera_image(1), stamp)
        assert peer.images.wait_for_all_acked(Duration(seconds=30)), 'the subscription received all'
        assert node.statistics.received == 1
        released.set()
        wait(lambda: node.statistics.received > 1, what='the others')
        return node, peer

    yield send
    released.set()


def test_of_a_backlog_the_newest_image_is_processed_and_the_others_are_counted(held_up, wait):
    node, peer = held_up(4)
    assert (node.statistics.received, node.statistics.lost) == (5, 0)
    wait(lambda: stamps(peer.received['label_image']) == [1, 5])
    wait(lambda: (node.statistics.answered, node.statistics.dropped) == (2, 3))


def test_images_that_a_full_queue_lost_are_counted(held_up, wait):
    """In a process without CPU time, the middleware keeps the newest five images and does not report the others."""
    node, peer = held_up(8)
    if not node.images.numbered:
        pytest.skip('this middleware, such as Cyclone DDS, gives images no sequence numbers')
    assert (node.statistics.received, node.statistics.lost) == (6, 3)
    wait(lambda: stamps(peer.received['label_image']) == [1, 9])
    wait(lambda: (node.statistics.answered, node.statistics.dropped) == (2, 7))


def test_lost_images_are_counted_by_gaps_in_their_sequence_numbers():
    gaps = SequenceGaps()

    def info(number, publisher=b'a'):
        return {'publication_sequence_number': number, 'publisher_gid': publisher and {'data': publisher}}

    assert [gaps.count(info(n), True) for n in (7, 8, 10, 15, 15, 3, 4)] == [0, 0, 1, 4, 0, 0, 0]
    assert gaps.count(info(100, b'b'), False) == 0, 'each publisher has its own numbers'
    assert gaps.count(info(6), False) == 1
    assert gaps.count(info(9, None), False) is None, 'the publisher of the number is unknown'
    assert [gaps.count(info(n, None), True) for n in (9, 11)] == [0, 1]
    assert gaps.count({'publication_sequence_number': None}, True) is None


def test_model_changes_under_load_lose_no_image(start, wait):
    """Every image is answered or counted, in order, while models are replaced."""
    node, peer, _ = start()
    stop = threading.Event()
    sent = 0

    def stream() -> None:
        nonlocal sent
        while not stop.wait(0.005):
            sent += 1
            peer.send(camera_image(1), sent)

    camera = threading.Thread(target=stream)
    camera.start()
    try:
        for name in ('one', 'two', 'missing', 'three'):
            answered = node.statistics.answered
            (result,) = node.set_parameters([Parameter('model', value=name)])
            assert result.successful == (name != 'missing')
            wait(lambda before=answered: node.statistics.answered > before + 2, what='answers by the new model')
    finally:
        stop.set()
        camera.join()
    assert node.vision.segmenter.model_path.name == 'three'
    counts = node.statistics
    wait(lambda: counts.answered + counts.dropped == sent == counts.received + counts.lost, what='all to be counted')
    assert counts.bad == 0
    wait(lambda: len(peer.received['label_image']) == counts.answered)
    answers = stamps(peer.received['label_image'])
    assert answers == sorted(set(answers))


def test_images_of_a_best_effort_camera_are_answered(start, wait):
    node, peer, _ = start(qos=BEST_EFFORT)
    assert node.images.reliability == ReliabilityPolicy.BEST_EFFORT
    wait(lambda: (peer.send(camera_image(1), 1), peer.received['label_image'])[1], what='an answer')


@pytest.mark.parametrize('qos', [RELIABLE, BEST_EFFORT], ids=['reliable', 'best effort'])
def test_a_camera_that_starts_before_the_node_is_answered(spin, wait, fake, qos):
    peer = spin(Peer(qos=qos), 1)
    node = spin(SegmentNode(fake))
    wait(lambda: node.images and node.images.publishers, what='the node to see the camera')
    wait(lambda: node.images.reliability == qos.reliability, what='the reliability to fit')
    wait(lambda: peer.images.get_subscription_count() == 1 and node.outputs.have_subscribers)
    wait(lambda: (peer.send(camera_image(1), 1), peer.received['label_image'])[1], what='an answer')


def test_the_subscription_follows_a_camera_that_changes_its_reliability(start, spin, wait):
    node, peer, _ = start()
    assert node.images.reliability == ReliabilityPolicy.RELIABLE
    peer.destroy_publisher(peer.images)
    peer.images = peer.create_publisher(Image, 'image', BEST_EFFORT)
    wait(lambda: node.images.reliability == ReliabilityPolicy.BEST_EFFORT, what='the reliability to follow')
    wait(lambda: (peer.send(camera_image(1), 1), peer.received['label_image'])[1], what='an answer')


def test_an_image_that_two_subscriptions_receive_is_answered_once(start, wait):
    """While one subscription replaces another, both receive.

    The test reaches into ImageInput, because the moment when both exist is too short to be hit from outside.
    """
    node, peer, _ = start()
    images = node.images
    second = images._subscribe()
    listener = images._listener
    listener.listen(
        dict.fromkeys((images._subscription, second), images._receive)
        | {images._info_subscription: images._receive_infos}
    )
    wait(lambda: peer.images.get_subscription_count() == 2, what='both subscriptions')
    for stamp in range(1, 6):
        peer.send(camera_image(1), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']), what=f'answer {stamp}')
    time.sleep(0.2)
    assert stamps(peer.received['label_image']) == [1, 2, 3, 4, 5]
    assert node.statistics.received == 5
    images._listen()
    node.destroy_subscription(second)


def test_a_camera_that_ends_and_returns_is_answered_again(start, wait):
    node, peer, _ = start()
    peer.send(camera_image(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])
    for stamp in (2, 3):
        peer.destroy_publisher(peer.images)
        wait(lambda: not node.images.publishers, what='the camera to be gone')
        peer.images = peer.create_publisher(Image, 'image', RELIABLE)
        wait(lambda: node.images.publishers and peer.images.get_subscription_count() == 1, what='the camera to be back')
        wait(lambda stamp=stamp: (peer.send(camera_image(1), stamp), stamp in stamps(peer.received['label_image']))[1])
    assert node.images.reliability == ReliabilityPolicy.RELIABLE


def test_a_reliable_and_a_best_effort_camera_are_both_answered(start, wait):
    node, peer, _ = start()
    other = peer.create_publisher(Image, 'image', BEST_EFFORT)
    wait(lambda: node.images.reliability == ReliabilityPolicy.BEST_EFFORT, what='the reliability to follow')
    for stamp, publisher in enumerate((peer.images, other), 1):
        wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        peer.images = publisher
        wait(lambda stamp=stamp: (peer.send(camera_image(1), stamp), stamp in stamps(peer.received['label_image']))[1])
    peer.destroy_publisher(other)
    wait(lambda: node.images.reliability == ReliabilityPolicy.RELIABLE, what='the reliability to follow back')


@pytest.mark.parametrize('name', ['/camera/image_raw', '/camera/image_raw/compressed'])
def test_compressed_images_can_be_named_with_or_without_the_suffix(spin, wait, fake, name):
    arguments = ['--ros-args', '-r', f'image:={name}', '-p', 'image_transport:=compressed']
    node = spin(SegmentNode(fake, cli_args=arguments))
    assert node.images.topic == '/camera/image_raw/compressed'


def test_nodes_in_two_namespaces_answer_their_own_cameras(start, wait):
    peers = [start(namespace=name)[1] for name in ('/left', '/right')]
    for stamp, peer in enumerate(peers, 1):
        peer.send(camera_image(1), stamp)
    for stamp, peer in enumerate(peers, 1):
        wait(lambda peer=peer: peer.received['label_image'])
        assert stamps(peer.received['label_image']) == [stamp]
