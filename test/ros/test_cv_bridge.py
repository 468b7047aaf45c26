"""Comparison with the real cv_bridge, which an installed ROS 2 has and the wheels have not."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from minisegnet_core.errors import ImageError
from minisegnet_ros.conversions import image_message, pixels_of
from minisegnet_ros.cv_bridge_fallback import cv_bridge_problem

# From a child process: a cv_bridge that was built for another NumPy crashes the process.
PROBLEM = cv_bridge_problem('rgb8', 4, 2, 12, 24)
# A mark, because a module-level skip makes pytest collect nothing where the plugin of launch_testing is active.
pytestmark = pytest.mark.skipif(bool(PROBLEM), reason=f'no comparison with cv_bridge: {PROBLEM}')
if not PROBLEM:
    from cv_bridge import CvBridge, CvBridgeError

WIDTH, HEIGHT = 38, 26
BAYER = [f'bayer_{pattern}{bits}' for pattern in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)]
COLORS = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4, 'mono': 1}
CHANNELS = {f'{name}{bits}': channels for name, channels in COLORS.items() for bits in (8, 16)}
CHANNELS |= dict.fromkeys(BAYER, 1) | {'yuv422': 2, 'yuv422_yuy2': 2}
LATER = {'uyvy': 2, 'yuyv': 2, 'nv12': 1, 'nv21': 1}
"""Unknown to cv_bridge 3.4; a later version that supports them must agree."""

WIDE = [name for name in CHANNELS if name.endswith('16')]


def noise(encoding: str, channels: int) -> np.ndarray:
    """Return the (rows, values per row) of an image of noise over the full range of 8 or 16 bits."""
    kind = np.uint16 if encoding.endswith('16') else np.uint8
    rows = HEIGHT * 3 // 2 if encoding.startswith('nv') else HEIGHT
    return np.random.default_rng(len(encoding)).integers(0, np.iinfo(kind).max + 1, (rows, WIDTH * channels), kind)


def message_of(encoding: str, values: np.ndarray, padding: int = 0, bigendian: bool = False) -> Image:
    """Return a message of these rows, each followed by some bytes of padding."""
    rows = values.astype(values.dtype.newbyteorder('>' if bigendian else '<')).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    data = array.array('B', rows.tobytes())
    return Image(
        encoding=encoding, width=WIDTH, height=HEIGHT, step=rows.shape[1], is_bigendian=int(bigendian), data=data
    )


def converted(message: Image | CompressedImage) -> np.ndarray:
    return pixels_of(message).rgb()[:, :, ::-1]


def reference(message: Image, encoding: str = 'bgr8') -> np.ndarray:
    return CvBridge().imgmsg_to_cv2(message, encoding)


@pytest.mark.parametrize('encoding', CHANNELS)
def test_raw_images_are_converted_alike(encoding):
    message = message_of(encoding, noise(encoding, CHANNELS[encoding]))
    np.testing.assert_array_equal(converted(message), reference(message))


@pytest.mark.parametrize('encoding', CHANNELS)
def test_padded_rows_are_converted_alike(encoding):
    values = noise(encoding, CHANNELS[encoding])
    whole = message_of(encoding, values, padding=5 * CHANNELS[encoding] * values.itemsize)
    np.testing.assert_array_equal(converted(whole), reference(whole))
    # cv_bridge assumes that a row is a whole number of pixels, and skews or rejects other images.
    odd = message_of(encoding, values, padding=3 * values.itemsize)
    np.testing.assert_array_equal(converted(odd), reference(message_of(encoding, values)))


@pytest.mark.parametrize('encoding', WIDE)
def test_big_endian_values_are_converted_alike(encoding):
    values = noise(encoding, CHANNELS[encoding])
    message = message_of(encoding, values, bigendian=True)
    np.testing.assert_array_equal(converted(message), reference(message_of(encoding, values)))
    try:
        expected = reference(message)
    except AttributeError:  # cv_bridge 3.4 with NumPy 2, whose arrays have no `newbyteorder`
        return
    np.testing.assert_array_equal(converted(message), expected)


@pytest.mark.parametrize(('encoding', 'channels'), [('8UC1', 1), ('8UC3', 3), ('8UC4', 4)])
def test_generic_channels_are_grey_or_blue_first(encoding, channels):
    """cv_bridge passes them through and converts none of them to colours; OpenCV's order is blue first."""
    message = message_of(encoding, noise(encoding, channels))
    plain = reference(message, 'passthrough').reshape(HEIGHT, WIDTH, channels)
    np.testing.assert_array_equal(converted(message), np.broadcast_to(plain[:, :, :3], (HEIGHT, WIDTH, 3)))
    with pytest.raises(CvBridgeError, match='not a color format'):
        reference(message)


@pytest.mark.parametrize('encoding', LATER)
def test_encodings_of_later_versions_are_converted_alike(encoding):
    message = message_of(encoding, noise(encoding, LATER[encoding]))
    image = converted(message)
    try:
        expected = reference(message)
    except (CvBridgeError, RuntimeError) as error:
        pytest.skip(f'this cv_bridge does not support {encoding}: {error}')
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('encoding', ['8UC2', '16UC1', '16UC3', '32FC1', '32FC3', '64FC1', 'nonsense'])
def test_encodings_without_colours_are_rejected_by_both(encoding):
    message = Image(encoding=encoding, width=4, height=2, step=96, data=bytes(192))
    with pytest.raises((CvBridgeError, RuntimeError)):
        reference(message)
    with pytest.raises(ImageError):
        pixels_of(message)


@pytest.mark.parametrize(
    ('suffix', 'channels', 'kind'),
    [
        ('.jpg', 3, 'u1'),
        ('.jpg', 1, 'u1'),
        *(('.png', c, 'u1') for c in (1, 3, 4)),
        *(('.png', c, 'u2') for c in (1, 3)),
    ],
)
def test_compressed_images_are_converted_alike(suffix, channels, kind):
    image = np.random.default_rng(1).integers(0, 256 ** int(kind[1]), (HEIGHT, WIDTH, channels)).astype(kind)
    message = CompressedImage(format=suffix[1:], data=cv2.imencode(suffix, image)[1].tobytes())
    plain = CvBridge().compressed_imgmsg_to_cv2(message)
    if kind == 'u2':  # cv_bridge leaves these at 16 bits; the node scales them as cv_bridge scales raw ones
        plain = reference(message_of('bgr16' if channels == 3 else 'mono16', plain.reshape(HEIGHT, -1)))
    plain = plain.reshape(HEIGHT, WIDTH, -1)[:, :, :3]
    np.testing.assert_array_equal(converted(message), np.broadcast_to(plain, (HEIGHT, WIDTH, 3)))


@pytest.mark.parametrize(('encoding', 'shape'), [('rgb8', (5, 7, 3)), ('mono8', (5, 7)), ('8UC1', (5, 7))])
def test_published_images_are_equal(encoding, shape):
    image = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    header = Header(frame_id='camera')
    assert image_message(image, encoding, header) == CvBridge().cv2_to_imgmsg(image, encoding, header)
