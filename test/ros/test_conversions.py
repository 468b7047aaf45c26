"""Messages to values and back, by numbers computed by hand; the camera of the label image by projected points."""

from __future__ import annotations

import array

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import ImageError
from minisegnet_core.geometry import image_to_label, label_size
from minisegnet_ros.conversions import (
    BallArray,
    Detection2DArray,
    ball_message,
    balls_message,
    detections_message,
    image_message,
    label_camera_info,
    label_info_message,
    pixels_of,
    stamp_nanoseconds,
)

needs_vision_msgs = pytest.mark.skipif(Detection2DArray is None, reason='vision_msgs is not installed')
needs_soccer_msgs = pytest.mark.skipif(BallArray is None, reason='soccer_vision_2d_msgs is not installed')
BALLS = (Ball(10.5, 20.25, 4.0, 0.75), Ball(90.0, 3.0, 1.5, 0.5))


@pytest.fixture
def header() -> Header:
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    return header


def test_a_stamp_is_exact_to_the_nanosecond(header):
    assert stamp_nanoseconds(header) == 1_700_000_000_123_456_789


def test_an_image_survives_the_way_to_a_message_and_back(header):
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    message = image_message(image, 'rgb8', header)
    assert (message.width, message.height, message.step) == (7, 5, 21)
    assert isinstance(message.data, array.array)
    np.testing.assert_array_equal(pixels_of(message).rgb(), image)
    mono = image_message(image[:, :, 1], 'mono8', header)
    assert (mono.width, mono.step, len(mono.data)) == (7, 7, 35)
    np.testing.assert_array_equal(np.frombuffer(mono.data, np.uint8).reshape(5, 7), image[:, :, 1])


def test_common_encodings_share_the_memory_of_the_message(header):
    message = image_message(np.zeros((4, 4, 3), np.uint8), 'bgr8', header)
    pixels = pixels_of(message)
    message.data[0] = 99
    assert pixels.order == 'bgr' and pixels.image[0, 0, 0] == 99


def test_an_empty_message_is_rejected(header):
    with pytest.raises(ImageError, match='empty'):
        pixels_of(Image())


def test_a_ball_becomes_a_point(header):
    message = ball_message(Ball(1.5, 2.25, 3.0, 0.5), header)
    assert (message.point.x, message.point.y, message.point.z) == (1.5, 2.25, 3.0)
    assert message.header == header


@needs_vision_msgs
def test_balls_become_detections(header):
    message = detections_message(BALLS, 1, header)
    assert message.header == header and len(message.detections) == 2
    first, second = message.detections
    assert first.header == header
    assert (first.bbox.center.position.x, first.bbox.center.position.y, first.bbox.center.theta) == (10.5, 20.25, 0.0)
    assert (first.bbox.size_x, first.bbox.size_y) == (8.0, 8.0)
    (result,) = first.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ('1', 0.75)
    assert (second.bbox.size_x, second.results[0].hypothesis.score) == (3.0, 0.5)
    assert detections_message((), 1, header).detections == []


@needs_soccer_msgs
def test_balls_become_a_ball_array(header):
    message = balls_message(BALLS, header)
    assert message.header == header and len(message.balls) == 2
    first = message.balls[0]
    assert (first.center.x, first.center.y, first.confidence.confidence) == (10.5, 20.25, 0.75)
    assert (first.bb.center.position.x, first.bb.size_x, first.bb.size_y) == (10.5, 8.0, 8.0)
    assert balls_message((), header).balls == []


@needs_vision_msgs
def test_label_info_names_the_classes(header):
    message = label_info_message(SOCCER, 0.5, header)
    assert message.header == header and message.threshold == 0.5
    assert [(c.class_id, c.class_name) for c in message.class_map] == [
        (0, 'background'), (1, 'ball'), (2, 'line'), (3, 'field'),
    ]  # fmt: skip


def info_of(width, height, binning=(0, 0), roi=(0, 0, 0, 0)) -> CameraInfo:
    return CameraInfo(
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.1, -0.05, 0.001, 0.002, 0.01],
        k=[500.0, 0, 317.3, 0, 505.0, 242.9, 0, 0, 1],
        r=[0.0, -1, 0, 1, 0, 0, 0, 0, 1],
        p=[480.0, 0, 320.7, -25.5, 0, 490.0, 238.1, 3.25, 0, 0, 1, 0],
        binning_x=binning[0],
        binning_y=binning[1],
        roi=RegionOfInterest(x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3]),
    )


@pytest.mark.parametrize(
    ('info', 'size'),
    [
        (info_of(640, 480), (640, 480)),
        (info_of(642, 481), (642, 481)),
        (info_of(1280, 960, binning=(2, 2)), (640, 480)),
        (info_of(1280, 960, binning=(2, 4)), (640, 240)),
        (info_of(640, 480, roi=(40, 30, 322, 201)), (322, 201)),
        (info_of(1280, 960, binning=(2, 2), roi=(100, 60, 640, 400)), (320, 200)),
    ],
)
def test_a_point_projects_to_its_label_pixel(header, info, size):
    result = label_camera_info(info, header, size)
    assert result.header == header
    assert (result.width, result.height) == label_size(*size)
    assert (result.binning_x, result.binning_y) == (0, 0)
    assert (result.roi.x_offset, result.roi.y_offset, result.roi.width, result.roi.height) == (0, 0, 0, 0)
    assert result.distortion_model == info.distortion_model
    np.testing.assert_array_equal(result.d, info.d)
    np.testing.assert_array_equal(result.r, info.r)
    for point in ((0.3, -0.2, 2.0, 1.0), (-1.0, 0.7, 5.0, 1.0), (0.0, 0.0, 1.0, 1.0)):
        for name, columns in (('k', 3), ('p', 4)):
            before = np.array(getattr(info, name)).reshape(3, columns) @ point[:columns]
            after = np.array(getattr(result, name)).reshape(3, columns) @ point[:columns]
            full = before[:2] / before[2]
            received = (full - (info.roi.x_offset, info.roi.y_offset)) / np.maximum((info.binning_x, info.binning_y), 1)
            expected = [image_to_label(value) for value in received]
            np.testing.assert_allclose(after[:2] / after[2], expected, atol=1e-9, err_msg=name)


def test_the_label_camera_has_a_quarter_of_the_focal_length(header):
    result = label_camera_info(info_of(640, 480), header, (640, 480))
    np.testing.assert_allclose(result.k, [125, 0, (317.3 - 1.5) / 4, 0, 126.25, (242.9 - 1.5) / 4, 0, 0, 1])
    np.testing.assert_allclose(
        result.p, [120, 0, (320.7 - 1.5) / 4, -25.5 / 4, 0, 122.5, (238.1 - 1.5) / 4, 3.25 / 4, 0, 0, 1, 0]
    )


def test_the_input_is_not_changed(header):
    info = info_of(640, 480)
    label_camera_info(info, header, (640, 480))
    assert info == info_of(640, 480)


def test_an_uncalibrated_camera_stays_uncalibrated(header):
    result = label_camera_info(CameraInfo(width=640, height=480), header, (640, 480))
    assert not np.any(result.k) and not np.any(result.p)


def test_an_info_of_another_size_is_rejected(header):
    with pytest.raises(ImageError, match='describes images of 640x480 pixels, the image has 320x240'):
        label_camera_info(info_of(640, 480), header, (320, 240))
