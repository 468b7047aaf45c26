"""Every encoding, compared with its definition or with the inverse conversion of OpenCV."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest

from minisegnet_core.encodings import SUPPORTED_ENCODINGS, decode_compressed, decode_image
from minisegnet_core.errors import EncodingError, ImageError

WIDTH, HEIGHT = 16, 12


@pytest.fixture
def rgb() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 10 + 20, y * 12 + 30, 200 - x * 4], axis=-1).astype(np.uint8)


def decode(values: np.ndarray, encoding: str, padding: int = 0, is_bigendian: bool = False) -> np.ndarray:
    """Pack rows of values with arbitrary padding, decode them, and return RGB."""
    rows = np.ascontiguousarray(values).reshape(values.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    height = HEIGHT
    pixels = decode_image(array('B', rows.tobytes()), encoding, WIDTH, height, rows.shape[1], is_bigendian)
    assert pixels.image.shape == (HEIGHT, WIDTH, 3)
    assert pixels.image.dtype == np.uint8
    return pixels.rgb()


@pytest.mark.parametrize('padding', [0, 1, 6])
def test_eight_bit_channels_are_reordered(rgb, padding):
    alpha = np.full((HEIGHT, WIDTH, 1), 9, np.uint8)
    bgr = rgb[:, :, ::-1]
    for encoding, values in (
        ('rgb8', rgb),
        ('bgr8', bgr),
        ('8UC3', bgr),
        ('rgba8', np.concatenate([rgb, alpha], axis=2)),
        ('bgra8', np.concatenate([bgr, alpha], axis=2)),
        ('8UC4', np.concatenate([bgr, alpha], axis=2)),
    ):
        np.testing.assert_array_equal(decode(values, encoding, padding), rgb, err_msg=encoding)
    grey = rgb[:, :, 0]
    for encoding in ('mono8', '8UC1'):
        np.testing.assert_array_equal(decode(grey, encoding, padding), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize('byte_order', ['<', '>'])
@pytest.mark.parametrize('padding', [0, 3])
def test_sixteen_bits_are_scaled_to_eight(rgb, byte_order, padding):
    wide = (rgb.astype(np.uint16) * 257).astype(f'{byte_order}u2')
    big = byte_order == '>'
    np.testing.assert_array_equal(decode(wide, 'rgb16', padding, big), rgb)
    np.testing.assert_array_equal(decode(wide[:, :, ::-1], 'bgr16', padding, big), rgb)
    grey = wide[:, :, 0]
    np.testing.assert_array_equal(decode(grey, 'mono16', padding, big), np.repeat(rgb[:, :, :1], 3, axis=2))


def test_sixteen_bits_are_rounded_as_cv_bridge_rounds():
    values = np.array([[0, 128, 129, 65535, 65406, 65407, 300, 1000] * 2] * HEIGHT, np.uint16)
    expected = cv2.convertScaleAbs(values.astype(np.float64), alpha=255 / 65535)
    np.testing.assert_array_equal(decode(values, 'mono16')[:, :, 0], expected)


@pytest.mark.parametrize('padding', [0, 4])
def test_yuv_is_converted(padding):
    """A grey ramp has no chroma, so only the place of the luma matters; then one colour distinguishes U from V."""
    luma = np.tile(np.arange(WIDTH, dtype=np.uint8) * 10 + 40, (HEIGHT, 1))
    expected = np.clip((luma.astype(float) - 16) * 255 / 219, 0, 255)
    half = np.full((HEIGHT, WIDTH), 128, np.uint8)
    planes = {
        'uyvy': np.stack([half, luma], axis=2),
        'yuv422': np.stack([half, luma], axis=2),
        'yuyv': np.stack([luma, half], axis=2),
        'yuv422_yuy2': np.stack([luma, half], axis=2),
        'nv12': np.concatenate([luma, half[: HEIGHT // 2]]),
        'nv21': np.concatenate([luma, half[: HEIGHT // 2]]),
    }
    for encoding, values in planes.items():
        got = decode(values, encoding, padding)
        assert np.abs(got[:, :, 1] - expected).max() <= 2, encoding
    red_luma, u, v = 82, 90, 240  # BT.601 limited range
    for encoding in planes:
        chroma = (v, u) if encoding == 'nv21' else (u, v)
        pair = np.tile(np.array(chroma, np.uint8), WIDTH // 2)
        rows = HEIGHT // 2 if encoding.startswith('nv') else HEIGHT
        y, c = np.full((HEIGHT, WIDTH), red_luma, np.uint8), np.tile(pair, (rows, 1))
        if encoding.startswith('nv'):
            values = np.concatenate([y, c])
        else:
            values = np.stack([y, c] if encoding.startswith(('yuyv', 'yuv422_')) else [c, y], axis=2)
        red = decode(values, encoding, padding)[3, 3]
        assert red[0] > 240 and red[1] < 15 and red[2] < 15, encoding


@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_patterns_are_demosaicked_by_their_names(bits):
    color = {'r': 200, 'g': 120, 'b': 40}
    for pattern in ('rggb', 'bggr', 'gbrg', 'grbg'):
        tile = np.array([[color[pattern[0]], color[pattern[1]]], [color[pattern[2]], color[pattern[3]]]])
        values = np.tile(tile, (HEIGHT // 2, WIDTH // 2)).astype(np.uint8)
        if bits == 16:
            values = values.astype(np.uint16) * 257
        got = decode(values, f'bayer_{pattern}{bits}')
        np.testing.assert_array_equal(got[4:8, 4:8], np.broadcast_to([200, 120, 40], (4, 4, 3)), err_msg=pattern)


@pytest.mark.parametrize(('encoding', 'order'), [('rgb8', 'rgb'), ('bgr8', 'bgr'), ('8UC3', 'bgr')])
def test_common_encodings_are_views_of_the_message(rgb, encoding, order):
    data = array('B', rgb.tobytes())
    pixels = decode_image(data, encoding, WIDTH, HEIGHT, 3 * WIDTH)
    assert pixels.order == order
    data[0] = 251
    assert pixels.image[0, 0, 0] == 251, 'a view shows changes of its buffer'


def test_the_padding_of_the_last_row_may_be_missing(rgb):
    rows = np.pad(rgb.reshape(HEIGHT, -1), ((0, 0), (0, 5)))
    pixels = decode_image(rows.tobytes()[:-5], 'rgb8', WIDTH, HEIGHT, rows.shape[1])
    np.testing.assert_array_equal(pixels.image, rgb)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ((b'', 'rgb8', 0, 0, 0), 'empty: 0x0'),
        ((b'', 'rgb8', 4, 0, 12), 'empty: 4x0'),
        ((b'', 'rgb8', 4, 4, 12), 'truncated: it has 0 bytes'),
        ((bytes(47), 'rgb8', 4, 4, 12), 'truncated: it has 47 bytes of data, but 4x4 rgb8 with step 12 needs 48'),
        ((bytes(48), 'rgb8', 4, 4, 11), 'step of 11 bytes is too short: a row of 4 pixels rgb8 takes 12'),
        ((bytes(48), 'rgb8', 4, 4, 0), 'step of 0 bytes'),
        ((bytes(48), 'rgb8', 4, 4, 4_000_000_000), 'truncated'),
        ((bytes(48), 'jpeg', 4, 4, 12), "unknown image encoding 'jpeg'; supported are rgb8"),
        ((bytes(48), '', 4, 4, 12), 'unknown image encoding'),
        ((bytes(48), '16UC1', 4, 4, 8), 'depth in millimetres'),
        ((bytes(64), '32FC1', 4, 4, 16), 'not brightness'),
        ((bytes(48), 'uyvy', 3, 4, 6), 'needs an even size'),
        ((bytes(16), 'nv12', 4, 4, 4), 'truncated'),
    ],
)
def test_bad_images_are_rejected_in_one_line(arguments, text):
    with pytest.raises(ImageError, match=text) as caught:
        decode_image(*arguments)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
def test_the_smallest_images_are_decoded_or_rejected(encoding):
    for width, height in ((1, 1), (2, 2), (3, 1), (2, 5)):
        try:
            pixels = decode_image(bytes(1000), encoding, width, height, 8 * width)
        except ImageError:
            continue
        assert pixels.image.shape == (height, width, 3)


def test_compressed_formats_are_decoded(rgb):
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    png = cv2.imencode('.png', bgr)[1].tobytes()
    for name in ('png', 'rgb8; png compressed bgr8', 'bgr8; png compressed bgr8', ''):
        np.testing.assert_array_equal(decode_compressed(png, name).rgb(), rgb, err_msg=name)
    swapped = cv2.imencode('.png', rgb)[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(swapped, 'rgb8; png compressed rgb8').rgb(), rgb)
    sixteen = cv2.imencode('.png', rgb[:, :, 0].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(sixteen, 'mono16; png compressed ').rgb()[:, :, 0], rgb[:, :, 0])
    mosaic = np.tile(np.array([[200, 120], [120, 40]], np.uint8), (4, 4))
    got = decode_compressed(cv2.imencode('.png', mosaic)[1].tobytes(), 'bayer_rggb8; png compressed ').rgb()
    np.testing.assert_array_equal(got[3:5, 3:5], np.broadcast_to([200, 120, 40], (2, 2, 3)))


@pytest.mark.parametrize(
    ('cut', 'name', 'text'),
    [
        (lambda d: d[: len(d) // 2], 'jpeg', 'truncated'),
        (lambda d: d[:1], 'jpeg', 'cannot decode'),
        (lambda d: b'', 'jpeg', 'empty'),
        (lambda d: b'nonsense' * 20, 'png', 'cannot decode'),
        (lambda d: d, '16UC1; png compressed ', 'depth'),
        (lambda d: d, '32FC1; compressedDepth png', 'not brightness'),
    ],
)
def test_bad_compressed_images_are_rejected_in_one_line(rgb, cut, name, text):
    jpeg = cv2.imencode('.jpg', rgb)[1].tobytes()
    with pytest.raises(ImageError, match=text) as caught:
        decode_compressed(cut(jpeg), name)
    assert '\n' not in str(caught.value)


def test_encodings_without_brightness_have_an_error_type_of_their_own(rgb):
    for encoding in ('16UC1', '32FC1', 'unknown'):
        with pytest.raises(EncodingError):
            decode_image(bytes(48), encoding, 4, 4, 16)
    png = cv2.imencode('.png', rgb)[1].tobytes()
    for name in ('16UC1; png compressed ', 'x; compressedDepth png'):
        with pytest.raises(EncodingError):
            decode_compressed(png, name)
