"""Unknown encodings through cv_bridge, which is tried in a child process first.

A stand-in for cv_bridge converts one encoding, rejects another, and crashes the process with a third.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sensor_msgs.msg import Image

from minisegnet_core.errors import ImageError
from minisegnet_ros import cv_bridge_fallback as bridge
from minisegnet_ros.conversions import pixels_of

STAND_IN = """
import os
import numpy as np

class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding):
        assert desired_encoding == 'bgr8'
        if message.encoding == 'crash16':
            os.abort()
        if message.is_bigendian:
            raise AttributeError('`newbyteorder` was removed')  # as cv_bridge 3.4 does with NumPy 2
        if message.encoding != 'planar8':
            raise RuntimeError(f'Unrecognized image encoding [{message.encoding}]')
        planes = np.frombuffer(message.data, np.uint8).reshape(3, message.height, message.width)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    (tmp_path / 'cv_bridge.py').write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    monkeypatch.delitem(sys.modules, 'cv_bridge', raising=False)
    bridge.cv_bridge_problem.cache_clear()
    yield
    bridge.cv_bridge_problem.cache_clear()
    sys.modules.pop('cv_bridge', None)  # the next import finds the real one, if it is installed


def message_of(encoding: str, data: np.ndarray, /, **changes) -> Image:
    fields = {'width': 4, 'height': 2, 'step': 12, 'encoding': encoding, 'data': data.tobytes()} | changes
    return Image(**fields)


def test_an_encoding_that_only_cv_bridge_supports_is_converted(stand_in):
    planes = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    pixels = pixels_of(message_of('planar8', planes))
    assert pixels.order == 'bgr'
    np.testing.assert_array_equal(pixels.image, planes.transpose(1, 2, 0))
    np.testing.assert_array_equal(pixels.rgb()[:, :, 0], planes[2])


@pytest.mark.parametrize(
    ('encoding', 'text'),
    [
        ('crash16', r"'crash16'; cv_bridge cannot convert it either: the process ended with exit code -6$"),
        ('nonsense', r'cv_bridge cannot convert it either: RuntimeError: Unrecognized image encoding \[nonsense\]'),
    ],
)
def test_a_cv_bridge_that_fails_only_costs_the_image(stand_in, encoding, text):
    for _ in range(2):
        with pytest.raises(ImageError, match=text):
            pixels_of(message_of(encoding, np.zeros(24, np.uint8)))


def test_each_byte_order_is_tried_separately(stand_in):
    planes = np.arange(24, dtype=np.uint8)
    assert pixels_of(message_of('planar8', planes)).image.shape == (2, 4, 3)
    with pytest.raises(
        ImageError, match="'planar8'; cv_bridge cannot convert it either: AttributeError: `newbyteorder`"
    ):
        pixels_of(message_of('planar8', planes, is_bigendian=1))


class Succeeded:
    returncode = 0


def test_cv_bridge_is_tried_once_for_each_kind_of_image(stand_in, monkeypatch):
    tried = []
    monkeypatch.setattr(bridge.subprocess, 'run', lambda command, **_: tried.append(command[3]) or Succeeded())
    for encoding in ('planar8', 'planar8', 'planar8'):
        pixels_of(message_of(encoding, np.zeros(24, np.uint8)))
    assert tried == ['planar8']


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'data': b'123'}, 'truncated: 3 bytes of data, expected 24'),
        ({'width': 0}, 'empty'),
    ],
)
def test_empty_and_truncated_images_do_not_reach_cv_bridge(stand_in, changes, text):
    with pytest.raises(ImageError, match=text):
        pixels_of(message_of('planar8', np.zeros(24, np.uint8), **changes))


def test_without_cv_bridge_the_error_says_so(monkeypatch):
    bridge.cv_bridge_problem.cache_clear()
    monkeypatch.setattr(bridge, 'find_spec', lambda name: None)
    with pytest.raises(
        ImageError, match="unknown image encoding 'planar8'; cv_bridge, which may support it, is not inst"
    ):
        pixels_of(message_of('planar8', np.zeros(24, np.uint8)))
    bridge.cv_bridge_problem.cache_clear()
