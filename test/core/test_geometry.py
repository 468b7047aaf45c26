"""The label grid, and maps brought onto it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet_core import geometry
from minisegnet_core.errors import ConfigurationError


def test_label_pixel_centres():
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
def test_network_sizes(text, expected):
    assert geometry.parse_network_size(text, 641, 480) == expected


@pytest.mark.parametrize('text', ['', 'quarter', '320', '320x', '32x240', '-320x240', '320x240x3'])
def test_wrong_network_sizes(text):
    with pytest.raises(ConfigurationError, match='native, half, or WIDTHxHEIGHT'):
        geometry.parse_network_size(text, 640, 480)


@pytest.mark.parametrize('image_size', [(640, 480), (643, 481), (331, 243)])
@pytest.mark.parametrize('network_size', [(320, 240), (512, 300), (331, 243)])
def test_resampling_moves_nothing(image_size, network_size):
    """A ramp over received coordinates, sampled where the network's pixels lie, comes back as that ramp."""
    width, height = geometry.label_size(*network_size)
    scale = [image / network for image, network in zip(image_size, network_size, strict=True)]
    x = (geometry.label_to_image(np.arange(width)) + 0.5) * scale[0] - 0.5  # received pixels
    y = (geometry.label_to_image(np.arange(height)) + 0.5) * scale[1] - 0.5
    ramp = np.stack([np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))])
    result = geometry.resample_to_label_grid(ramp.astype(np.float32), image_size, network_size)
    expected_width, expected_height = geometry.label_size(*image_size)
    assert result.shape == (2, expected_height, expected_width)
    inner = np.s_[2:-3, 2:-3]  # at the border the map is continued, not extrapolated
    expected_x = np.broadcast_to(geometry.label_to_image(np.arange(expected_width)), result.shape[1:])
    expected_y = np.broadcast_to(geometry.label_to_image(np.arange(expected_height))[:, None], result.shape[1:])
    np.testing.assert_allclose(result[0][inner], expected_x[inner], atol=0.3)
    np.testing.assert_allclose(result[1][inner], expected_y[inner], atol=0.3)
