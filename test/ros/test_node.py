"""The node over the middleware: what comes in, what goes out, with which header, and what cannot stop it."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from minisegnet_ros.segment_node import SegmentNode

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUTS = {
    'label_image': Image,
    'camera_info': CameraInfo,
    'ball': PointStamped,
    'ball_mask': Image,
    'line_mask': Image,
    'field_mask': Image,
    'overlay/image': Image,
}


class Peer(Node):
    """The camera and the listener in one."""

    def __init__(self, outputs=('label_image',), compressed=False, namespace='', qos=RELIABLE) -> None:
        super().__init__('peer', namespace=namespace)
        self.received: dict[str, list] = {name: [] for name in outputs}
        for name in outputs:
            self.create_subscription(OUTPUTS[name], f'segment/{name}', self.received[name].append, RELIABLE)
        kind, topic = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        self.images = self.create_publisher(kind, topic, qos)
        self.infos = self.create_publisher(CameraInfo, 'camera_info', RELIABLE)

    def send(self, image: np.ndarray, stamp: int, encoding='rgb8', frame='camera_optical', **changes) -> None:
        message = Image(encoding=encoding, height=image.shape[0], width=image.shape[1])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        message.header.frame_id = frame
        message.step = image.size // image.shape[0]
        message.data = array.array('B', image.tobytes())
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)


def picture(red: int, width: int = 128, height: int = 96) -> np.ndarray:
    image = np.full((height, width, 3), (red, 100, 50), np.uint8)
    image[height // 2 :, :, 0] = 200
    return image


def stamps(messages: list) -> list[int]:
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]


@pytest.fixture
def start(spin, wait, fake):
    """start(outputs, parameters) gives a running node, its peer and its segmenter, connected both ways."""

    def begin(outputs=('label_image',), compressed=False, namespace='', qos=RELIABLE, **parameters):
        if compressed:
            parameters['image_transport'] = 'compressed'
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = spin(SegmentNode(fake, parameter_overrides=overrides, namespace=namespace))
        peer = spin(Peer(outputs, compressed, namespace, qos), 1)
        wait(lambda: node._input and peer.images.get_subscription_count() == 1, what='the node to subscribe')
        if parameters.get('reliability', 'auto') == 'auto':
            wait(lambda: node._input.reliability == qos.reliability, what='the reliability to follow the camera')
        wait(lambda: peer.images.get_subscription_count() == 1, what='the node to subscribe anew')
        for name in outputs:
            topic = f'{namespace}/segment/{name}'
            wait(lambda topic=topic: node.count_publishers(topic) and node.count_subscribers(topic), what=topic)
        wait(lambda: node._outputs.heard, what='outputs to be heard')
        return node, peer, fake.created[0]

    return begin


def test_every_output_with_the_header_of_its_input(start, wait):
    node, peer, _ = start(tuple(OUTPUTS))
    wait(lambda: all(p.get_subscription_count() for p in node._outputs._all()), what='every output to be heard')
    wait(peer.infos.get_subscription_count, what='camera_info to be subscribed')
    info = CameraInfo(width=128, height=96, k=[100.0, 0, 63.5, 0, 100, 47.5, 0, 0, 1])
    info.header.stamp.sec, info.header.stamp.nanosec = 12, 34
    peer.infos.publish(info)
    wait(lambda: node._input.camera_info(0), what='the camera info')
    peer.send(picture(1), 12 * 10**9 + 34)
    for name, messages in peer.received.items():
        (message,) = wait(lambda messages=messages: messages, what=name)
        assert stamps([message]) == [12 * 10**9 + 34], name
        assert message.header.frame_id == 'camera_optical', name
    got = {name: messages[0] for name, messages in peer.received.items()}
    labels = got['label_image']
    assert (labels.encoding, labels.width, labels.height, labels.step) == ('mono8', 32, 24, 32)
    values = np.frombuffer(labels.data, np.uint8).reshape(24, 32)
    assert np.all(values[:12] == 1) and np.all(values[12:] == 0)
    point = got['ball'].point
    assert (point.x, point.y, point.z) == (10.5, 20.25, 4.0)
    mask = got['ball_mask']
    assert mask.encoding == '8UC1'
    np.testing.assert_array_equal(np.frombuffer(mask.data, np.uint8).reshape(24, 32), np.where(values == 1, 255, 0))
    assert not np.frombuffer(got['field_mask'].data, np.uint8).any()
    overlay = got['overlay/image']
    assert (overlay.encoding, overlay.width, overlay.height) == ('rgb8', 128, 96)
    pixels = np.frombuffer(overlay.data, np.uint8).reshape(96, 128, 3)
    np.testing.assert_array_equal(pixels[90, 100], (200, 100, 50), 'background is left as it is')
    assert (pixels[5, 100] != (1, 100, 50)).any(), 'the ball class is coloured'
    assert (got['camera_info'].width, got['camera_info'].k[2]) == (32, 15.5)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_channels_are_not_swapped(start, wait, encoding):
    _, peer, segmenter = start()
    image = picture(3)
    peer.send(np.ascontiguousarray(image if encoding == 'rgb8' else image[:, :, ::-1]), 5, encoding)
    (labels,) = wait(lambda: peer.received['label_image'])
    assert np.frombuffer(labels.data, np.uint8)[0] == 3
    assert segmenter.seen[-1] == ((96, 128, 3), encoding[:3])


def test_no_ball_no_message(start, wait):
    _, peer, _ = start(('label_image', 'ball'))
    peer.send(picture(2), 1)
    peer.send(picture(2), 2)
    wait(lambda: 2 in stamps(peer.received['label_image']))
    peer.send(picture(1), 3)
    wait(lambda: peer.received['ball'])
    assert stamps(peer.received['ball']) == [3]


def test_compressed_input(start, wait):
    _, peer, _ = start(compressed=True)
    message = CompressedImage(format='rgb8; jpeg compressed bgr8')
    message.header.stamp.sec = 7
    data = cv2.imencode('.png', picture(3)[:, :, ::-1])[1].tobytes()
    message.data = array.array('B', data)
    peer.images.publish(message)
    (labels,) = wait(lambda: peer.received['label_image'])
    assert stamps([labels]) == [7 * 10**9]
    assert np.frombuffer(labels.data, np.uint8)[0] == 3


def test_bad_images_between_good_ones(start, wait):
    node, peer, _ = start()
    bad = [
        {'encoding': 'no_such'},
        {'encoding': '16UC1'},
        {'width': 0},
        {'height': 0},
        {'step': 3},
        {'data': array.array('B', bytes(100))},
        {'data': array.array('B')},
        {'width': 4_000_000_000, 'step': 4_000_000_000},
    ]
    for index, changes in enumerate(bad):
        peer.send(picture(1), 2 * index + 1, **changes)
        wait(lambda index=index: node._statistics.bad == index + 1, what=f'bad image {changes}')
        peer.send(picture(1), 2 * index + 2)
        wait(lambda index=index: 2 * index + 2 in stamps(peer.received['label_image']), what=f'answer after {changes}')
    assert stamps(peer.received['label_image']) == [2 * i + 2 for i in range(len(bad))]
    assert node._statistics.dropped == len(bad)


def test_engine_error_is_survived(start, wait):
    node, peer, segmenter = start()
    good = segmenter.run

    def fail(*_, **__):
        raise RuntimeError('the device is gone')

    segmenter.run = fail
    peer.send(picture(1), 1)
    wait(lambda: node._statistics.bad == 1)
    segmenter.run = good
    peer.send(picture(1), 2)
    wait(lambda: stamps(peer.received['label_image']) == [2])


def test_images_of_changing_size(start, wait):
    _, peer, _ = start()
    for stamp, (width, height) in enumerate([(128, 96), (641, 481), (64, 64), (130, 97)], 1):
        peer.send(picture(1, width, height), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']))
        labels = peer.received['label_image'][-1]
        assert (labels.width, labels.height) == (-(-width // 4), -(-height // 4))


def test_newest_only(start, wait):
    node, peer, segmenter = start()
    segmenter.delay = 0.4
    segmenter.working.clear()
    peer.send(picture(1), 1)
    wait(segmenter.working.is_set)
    for stamp in (2, 3, 4, 5):
        peer.send(picture(1), stamp)
    wait(lambda: node._statistics.taken == 5)
    segmenter.delay = 0
    wait(lambda: 5 in stamps(peer.received['label_image']))
    assert stamps(peer.received['label_image']) == [1, 5]
    assert node._statistics.dropped == 3
    assert node._statistics.answered == 2


def test_best_effort_camera_is_heard(start, wait):
    node, peer, _ = start(qos=BEST_EFFORT)
    assert node._input.reliability == ReliabilityPolicy.BEST_EFFORT
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1], what='an answer')


def test_camera_that_changes_kind(start, spin, wait):
    node, peer, _ = start()
    assert node._input.reliability == ReliabilityPolicy.RELIABLE
    peer.destroy_publisher(peer.images)
    peer.images = peer.create_publisher(Image, 'image', BEST_EFFORT)
    wait(lambda: node._input.reliability == ReliabilityPolicy.BEST_EFFORT, what='the reliability to follow')
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1], what='an answer')


def test_old_images_are_dropped(start, wait):
    node, peer, _ = start(max_image_age=5.0)
    now = node.get_clock().now().nanoseconds
    for count, stamp in enumerate((now - 60 * 10**9, 1, 10**9), 1):
        peer.send(picture(1), stamp)
        wait(lambda count=count: node._statistics.old == count, what=f'image {count} to be dropped')
    future = now + 3600 * 10**9
    for stamp in (0, future, now):
        peer.send(picture(1), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']), what=f'stamp {stamp}')


def test_rate_limit(start, wait):
    node, peer, _ = start(max_rate=10)
    for stamp in range(1, 31):
        peer.send(picture(1), stamp)
        rclpy.clock.Clock().sleep_for(rclpy.duration.Duration(seconds=0.02))
    wait(lambda: 30 in stamps(peer.received['label_image']))
    assert 4 <= len(peer.received['label_image']) <= 9, 'about 0.6 s at 10 Hz'
    assert node._statistics.taken == node._statistics.answered + node._statistics.dropped


def test_no_work_while_nobody_listens(spin, wait, fake):
    node = spin(SegmentNode(fake))
    peer = spin(Peer(()), 1)
    wait(lambda: node._input and node._input.reliability == ReliabilityPolicy.RELIABLE)
    wait(lambda: (peer.send(picture(1), 1), node._statistics.unheard)[1])
    assert fake.created[0].seen == [((480, 640, 3), 'rgb'), ((480, 640, 3), 'bgr')], 'only the warm-up'


def test_two_nodes_in_two_namespaces(start, wait):
    peers = [start(namespace=name)[1] for name in ('/left', '/right')]
    for stamp, peer in enumerate(peers, 1):
        peer.send(picture(1), stamp)
    for stamp, peer in enumerate(peers, 1):
        wait(lambda peer=peer: peer.received['label_image'])
        assert stamps(peer.received['label_image']) == [stamp]
