"""Messages to values and back, by hand-computed numbers; the label image's camera by projecting points."""

from __future__ import annotations

import array

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.errors import ImageError
from minisegnet_core.geometry import image_to_label, label_size
from minisegnet_ros.conversions import ball_message, image_message, label_camera_info, pixels_of, stamp_nanoseconds


@pytest.fixture
def header() -> Header:
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    return header


def test_stamp_is_exact(header):
    assert stamp_nanoseconds(header) == 1_700_000_000_123_456_789


def test_image_message_and_back(header):
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    message = image_message(image, 'rgb8', header)
    assert (message.width, message.height, message.step) == (7, 5, 21)
    assert isinstance(message.data, array.array)
    np.testing.assert_array_equal(pixels_of(message).rgb(), image)
    mono = image_message(image[:, :, 1], 'mono8', header)
    assert (mono.width, mono.step, len(mono.data)) == (7, 7, 35)
    np.testing.assert_array_equal(np.frombuffer(mono.data, np.uint8).reshape(5, 7), image[:, :, 1])


def test_common_encodings_share_the_messages_memory(header):
    message = image_message(np.zeros((4, 4, 3), np.uint8), 'bgr8', header)
    pixels = pixels_of(message)
    message.data[0] = 99
    assert pixels.order == 'bgr' and pixels.image[0, 0, 0] == 99


def test_bad_message(header):
    with pytest.raises(ImageError, match='empty'):
        pixels_of(Image())


def test_ball_message(header):
    message = ball_message(Ball(1.5, 2.25, 3.0, 0.5), header)
    assert (message.point.x, message.point.y, message.point.z) == (1.5, 2.25, 3.0)
    assert message.header == header


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


def test_plain_numbers(header):
    result = label_camera_info(info_of(640, 480), header, (640, 480))
    np.testing.assert_allclose(result.k, [125, 0, (317.3 - 1.5) / 4, 0, 126.25, (242.9 - 1.5) / 4, 0, 0, 1])
    np.testing.assert_allclose(
        result.p, [120, 0, (320.7 - 1.5) / 4, -25.5 / 4, 0, 122.5, (238.1 - 1.5) / 4, 3.25 / 4, 0, 0, 1, 0]
    )


def test_the_input_is_left_alone(header):
    info = info_of(640, 480)
    label_camera_info(info, header, (640, 480))
    assert info == info_of(640, 480)


def test_uncalibrated_camera_stays_so(header):
    result = label_camera_info(CameraInfo(width=640, height=480), header, (640, 480))
    assert not np.any(result.k) and not np.any(result.p)


def test_info_of_another_size_is_refused(header):
    with pytest.raises(ImageError, match='640x480 pixels, the image has 320x240'):
        label_camera_info(info_of(640, 480), header, (320, 240))
