"""The node over the middleware: inputs, outputs and their headers, and errors that do not stop it."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage

from support.peers import OUTPUTS, camera_image, stamps


def test_every_output_with_the_header_of_its_input(start, wait):
    node, peer, _ = start(tuple(OUTPUTS))
    publishers = [node.outputs.publishers[f'/segment/{name}'] for name in OUTPUTS]
    wait(lambda: all(p.get_subscription_count() for p in publishers), what='every output to have a subscriber')
    wait(peer.infos.get_subscription_count, what='camera_info to be subscribed')
    info = CameraInfo(width=128, height=96, k=[100.0, 0, 63.5, 0, 100, 47.5, 0, 0, 1])
    info.header.stamp.sec, info.header.stamp.nanosec = 12, 34
    peer.infos.publish(info)
    wait(lambda: node.images.camera_info(0), what='the camera info')
    peer.send(camera_image(1), 12 * 10**9 + 34)
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
    np.testing.assert_array_equal(pixels[90, 100], (200, 100, 50), 'background is unchanged')
    assert (pixels[5, 100] != (1, 100, 50)).any(), 'the ball class is coloured'
    assert (got['camera_info'].width, got['camera_info'].k[2]) == (32, 15.5)


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_channels_are_not_swapped(start, wait, encoding):
    _, peer, segmenter = start()
    image = camera_image(3)
    peer.send(np.ascontiguousarray(image if encoding == 'rgb8' else image[:, :, ::-1]), 5, encoding)
    (labels,) = wait(lambda: peer.received['label_image'])
    assert np.frombuffer(labels.data, np.uint8)[0] == 3
    assert segmenter.seen[-1] == ((96, 128, 3), encoding[:3])


def test_an_image_without_a_ball_gives_no_ball_message(start, wait):
    _, peer, _ = start(('label_image', 'ball'))
    peer.send(camera_image(2), 1)
    peer.send(camera_image(2), 2)
    wait(lambda: 2 in stamps(peer.received['label_image']))
    peer.send(camera_image(1), 3)
    wait(lambda: peer.received['ball'])
    assert stamps(peer.received['ball']) == [3]


def test_compressed_images_are_answered(start, wait):
    _, peer, _ = start(compressed=True)
    message = CompressedImage(format='rgb8; jpeg compressed bgr8')
    message.header.stamp.sec = 7
    data = cv2.imencode('.png', camera_image(3)[:, :, ::-1])[1].tobytes()
    message.data = array.array('B', data)
    peer.images.publish(message)
    (labels,) = wait(lambda: peer.received['label_image'])
    assert stamps([labels]) == [7 * 10**9]
    assert np.frombuffer(labels.data, np.uint8)[0] == 3


def test_bad_images_between_good_ones_are_dropped(start, wait):
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
        peer.send(camera_image(1), 2 * index + 1, **changes)
        wait(lambda index=index: node.statistics.bad == index + 1, what=f'bad image {changes}')
        peer.send(camera_image(1), 2 * index + 2)
        wait(lambda index=index: 2 * index + 2 in stamps(peer.received['label_image']), what=f'answer after {changes}')
    assert stamps(peer.received['label_image']) == [2 * i + 2 for i in range(len(bad))]
    assert node.statistics.dropped == len(bad)


def test_an_error_of_the_engine_costs_one_image(start, wait):
    node, peer, segmenter = start()
    good = segmenter.run

    def fail(*_, **__):
        raise RuntimeError('the device was lost')

    segmenter.run = fail
    peer.send(camera_image(1), 1)
    wait(lambda: node.statistics.bad == 1)
    segmenter.run = good
    peer.send(camera_image(1), 2)
    wait(lambda: stamps(peer.received['label_image']) == [2])


def test_the_image_size_may_change(start, wait):
    _, peer, _ = start()
    for stamp, (width, height) in enumerate([(128, 96), (641, 481), (64, 64), (130, 97)], 1):
        peer.send(camera_image(1, width, height), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']))
        labels = peer.received['label_image'][-1]
        assert (labels.width, labels.height) == (-(-width // 4), -(-height // 4))


def test_outputs_of_a_rotated_region_refer_to_the_received_image(start, wait):
    """The network sees the lower half, rotated by 180 degrees."""
    _, peer, segmenter = start(('label_image', 'ball', 'overlay/image'), rotate=180, roi=[0, 96, 0, 0])
    image = camera_image(3, 128, 192)  # red 3 above, 200 below
    image[120:140, 0:40, 0] = 1
    peer.send(image, 1)
    for messages in peer.received.values():
        wait(lambda messages=messages: messages)
    assert segmenter.seen[-1] == ((96, 128, 3), 'rgb')
    labels = np.frombuffer(peer.received['label_image'][0].data, np.uint8).reshape(48, 32)
    expected = np.zeros((48, 32), np.uint8)
    expected[30:35, 0:10] = 1
    np.testing.assert_array_equal(labels, expected)
    point = peer.received['ball'][0].point
    # The fake network sees its ball at (10.5, 20.25) of its view.
    assert (point.x, point.y, point.z) == (127 - 10.5, 96 + 95 - 20.25, 4.0)
    overlay = peer.received['overlay/image'][0]
    assert (overlay.width, overlay.height) == (128, 192)
    np.testing.assert_array_equal(
        np.frombuffer(overlay.data, np.uint8)[:3], (3, 100, 50), 'the received image, not rotated'
    )


def test_an_image_too_small_for_the_region_is_dropped(start, wait):
    node, peer, _ = start(roi=[64, 0, 100, 0])
    peer.send(camera_image(1, 128, 96), 1)
    wait(lambda: node.statistics.bad == 1)
    peer.send(camera_image(1, 200, 96), 2)
    wait(lambda: stamps(peer.received['label_image']) == [2])


def test_the_camera_info_of_a_binned_camera_is_resolved(start, wait):
    """A camera of 256x192 bins by 2x2; K refers to the unbinned image."""
    node, peer, _ = start(('label_image', 'camera_info'))
    wait(peer.infos.get_subscription_count)
    info = CameraInfo(width=256, height=192, binning_x=2, binning_y=2, k=[200.0, 0, 127.0, 0, 200, 95.0, 0, 0, 1])
    peer.infos.publish(info)
    wait(lambda: node.images.camera_info(0))
    peer.send(camera_image(1, 128, 96), 1)
    (got,) = wait(lambda: peer.received['camera_info'])
    assert (got.width, got.height, got.binning_x) == (32, 24, 0)
    # 127 of the full image is 63.5 of the binned one, which is 15.5 of the label image.
    assert (got.k[0], got.k[2]) == (25.0, 15.5)
