"""The label grid, and resampling of other grids onto it."""

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet_core import geometry
from minisegnet_core.errors import ConfigurationError


def test_label_pixels_are_centred_on_their_blocks():
    assert geometry.label_to_image(0) == 1.5  # centre of received pixels 0, 1, 2, 3
    assert geometry.label_to_image(10) == 41.5
    assert geometry.image_to_label(41.5) == 10


@given(st.integers(64, 4000))
def test_half_size_keeps_the_label_grid_of_8x8_blocks(width):
    half, _ = geometry.half_size(width, 64)
    assert geometry.label_size(half, 64)[0] == -(-width // 8)


@pytest.mark.parametrize(
    ('text', 'expected'), [('native', (641, 480)), ('half', (321, 240)), ('320x240', (320, 240)), ('64X65', (64, 65))]
)
def test_network_sizes_are_parsed(text, expected):
    assert geometry.parse_network_size(text, 641, 480) == expected


@pytest.mark.parametrize('text', ['', 'quarter', '320', '320x', '32x240', '-320x240', '320x240x3'])
def test_wrong_network_sizes_are_rejected(text):
    with pytest.raises(ConfigurationError, match='native, half, or WIDTHxHEIGHT'):
        geometry.parse_network_size(text, 640, 480)


@pytest.mark.parametrize('image_size', [(640, 480), (643, 481), (331, 243)])
@pytest.mark.parametrize('network_size', [(320, 240), (512, 300), (331, 243)])
def test_resampling_keeps_every_place(image_size, network_size):
    """A ramp over received coordinates, sampled at the network's pixels, is restored on the label grid."""
    width, height = geometry.label_size(*network_size)
    scale = [image / network for image, network in zip(image_size, network_size, strict=True)]
    x = (geometry.label_to_image(np.arange(width)) + 0.5) * scale[0] - 0.5  # received pixels
    y = (geometry.label_to_image(np.arange(height)) + 0.5) * scale[1] - 0.5
    ramp = np.stack([np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))])
    result = geometry.resample_to_label_grid(ramp.astype(np.float32), image_size, network_size)
    expected_width, expected_height = geometry.label_size(*image_size)
    assert result.shape == (2, expected_height, expected_width)
    inner = np.s_[2:-3, 2:-3]  # values are repeated beyond the border, not extrapolated
    expected_x = np.broadcast_to(geometry.label_to_image(np.arange(expected_width)), result.shape[1:])
    expected_y = np.broadcast_to(geometry.label_to_image(np.arange(expected_height))[:, None], result.shape[1:])
    np.testing.assert_allclose(result[0][inner], expected_x[inner], atol=0.3)
    np.testing.assert_allclose(result[1][inner], expected_y[inner], atol=0.3)


SIZES = [((640, 480), (320, 240)), ((640, 480), (512, 384)), ((643, 481), (322, 241)), ((331, 243), (331, 200)),
         ((64, 64), (640, 480))]  # fmt: skip


def by_definition(probabilities, image_size, network_size):
    """Restate `resample_to_label_grid` with floating-point maps."""
    width, height = geometry.label_size(*image_size)
    x = (np.arange(width) + 0.5) * network_size[0] / image_size[0] - 0.5
    y = (np.arange(height) + 0.5) * network_size[1] / image_size[1] - 0.5
    maps = [m.astype(np.float32) for m in np.meshgrid(x, y)]
    return np.stack([cv2.remap(p, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in probabilities])


def random_map(network_size, seed=0):
    width, height = geometry.label_size(*network_size)
    return np.random.default_rng(seed).random((3, height, width)).astype(np.float32)


@pytest.mark.parametrize(('image_size', 'network_size'), SIZES)
def test_cached_maps_give_the_same_result_as_new_ones(image_size, network_size):
    for seed in range(2):
        probabilities = random_map(network_size, seed)
        result = geometry.resample_to_label_grid(probabilities, image_size, network_size)
        expected = by_definition(probabilities, image_size, network_size)
        # cv2.remap rounds coordinates to 1/32 pixel; the plain resize of matching grids does not.
        exact = image_size[0] % network_size[0] == 0
        np.testing.assert_allclose(result, expected, atol=1e-6 if exact else 0.035)
        np.testing.assert_array_equal(result, geometry.resample_to_label_grid(probabilities, image_size, network_size))


def test_maps_are_cached_for_few_sizes_and_are_read_only():
    geometry._resampling_maps.cache_clear()
    for width in range(100, 200, 4):
        geometry.resample_to_label_grid(random_map((90, 90)), (width + 1, 99), (90, 90))
        geometry.resample_to_label_grid(random_map((90, 90)), (width + 1, 99), (90, 90))
    info = geometry._resampling_maps.cache_info()
    assert info.currsize == geometry.MAPS_KEPT
    assert (info.hits, info.misses) == (25, 25)
    for values in geometry._resampling_maps((197, 99), (90, 90)):
        with pytest.raises(ValueError, match='read-only'):
            values[0, 0] = 0


def test_threads_share_the_cached_maps():
    geometry._resampling_maps.cache_clear()
    expected = {sizes: by_definition(random_map(sizes[1]), *sizes) for sizes in SIZES}
    wrong = []

    def work():
        for _ in range(5):
            for sizes, values in expected.items():
                result = geometry.resample_to_label_grid(random_map(sizes[1]), *sizes)
                if np.abs(result - values).max() > 0.035:
                    wrong.append(sizes)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
