"""Region and rotation: the view of the network, and results transformed back to the received image."""

from __future__ import annotations

import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import label_size
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_ros.vision import ROTATIONS, View


def blocks(width: int, height: int) -> np.ndarray:
    """Return an image in which each 4x4 block of the received grid has its own colour."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x // 4, y // 4, np.zeros_like(x)], axis=-1).astype(np.uint8)


def network(image: np.ndarray) -> Segmentation:
    """Return as label the red value of a block's first pixel, and check that the last pixel has the same."""
    first = image[::4, ::4, 0]
    last = np.pad(image, ((0, -image.shape[0] % 4), (0, -image.shape[1] % 4), (0, 0)), mode='edge')[3::4, 3::4, 0]
    np.testing.assert_array_equal(first, last, err_msg='blocks of the view must be blocks of the received image')
    return Segmentation(first, (), (image.shape[1], image.shape[0]), 0.0)


@pytest.mark.parametrize('rotate', ROTATIONS)
@pytest.mark.parametrize(
    ('size', 'roi'),
    [
        ((128, 96), (0, 0, 0, 0)),
        ((131, 97), (0, 0, 0, 0)),
        ((160, 120), (13, 22, 70, 66)),
        ((161, 119), (40, 30, 0, 0)),
        ((161, 119), (0, 30, 90, 0)),
    ],
)
def test_labels_are_transformed_back_to_their_blocks(rotate, size, roi):
    view = View(rotate, roi)
    image = blocks(*size)
    result = view.restore(network(view.apply(image)), size, outside=99)
    width, height = label_size(*size)
    assert result.label_image.shape == (height, width) and result.image_size == size
    expected = np.full((height, width), 99)
    left, top = roi[0] // 4, roi[1] // 4
    right = -(-(roi[0] + roi[2] if roi[2] else size[0]) // 4)
    bottom = -(-(roi[1] + roi[3] if roi[3] else size[1]) // 4)
    expected[top:bottom, left:right] = np.arange(left, right)
    np.testing.assert_array_equal(result.label_image, expected)


@pytest.mark.parametrize('rotate', ROTATIONS)
@pytest.mark.parametrize(
    ('size', 'roi'), [((128, 96), (0, 0, 0, 0)), ((131, 97), (0, 0, 0, 0)), ((160, 120), (13, 22, 70, 66))]
)
def test_balls_are_transformed_back_to_their_pixels(rotate, size, roi):
    view = View(rotate, roi)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[50, 60] = 255
    (y, x), = np.argwhere(view.apply(image)[:, :, 0])  # fmt: skip
    seen = view.apply(image)
    found = Segmentation(
        np.zeros((-(-seen.shape[0] // 4), -(-seen.shape[1] // 4)), np.uint8),
        (Ball(float(x), float(y), 3.5, 0.75),),
        (seen.shape[1], seen.shape[0]),
        0.0,
    )
    (ball,) = view.restore(found, size).balls
    assert ball == Ball(60.0, 50.0, 3.5, 0.75)


def test_rotation_is_clockwise():
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 127] = 9  # the right border
    assert View(90).apply(image).shape == (128, 64, 3)
    assert View(90).apply(image)[127, :, 0].all(), 'right becomes bottom'
    assert View(180).apply(image)[:, 0, 0].all(), 'right becomes left'
    assert View(270).apply(image)[0, :, 0].all(), 'right becomes top'


def test_the_identity_copies_nothing():
    image, view = blocks(131, 97), View()
    result = network(image)
    assert view.apply(image) is image
    assert view.restore(result, (131, 97)) is result


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ((45, (0, 0, 0, 0)), 'rotate must be one of 0, 90, 180, 270, not 45'),
        ((0, (0, 0, 0)), 'four numbers'),
        ((0, (-1, 0, 0, 0)), 'four numbers of at least 0'),
        ((0, (0, 0, 30, 0)), 'at least 64 pixels, not 30x0'),
    ],
)
def test_invalid_views_are_rejected(arguments, text):
    with pytest.raises(ConfigurationError, match=text):
        View(*arguments)


@pytest.mark.parametrize('roi', [(0, 0, 200, 0), (100, 0, 0, 0), (70, 0, 64, 64), (500, 500, 0, 0)])
def test_a_region_outside_the_image_is_rejected(roi):
    with pytest.raises(ImageError, match=r'does not fit into an image of 128x96 pixels'):
        View(0, roi).apply(blocks(128, 96))
