"""From a received image to a result: the region and rotation that the network sees, and a loaded, warm model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball
from minisegnet_core.classes import BACKGROUND
from minisegnet_core.encodings import Order, Pixels
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, STRIDE, label_size
from minisegnet_core.inference.segmenter import Segmentation, Segmenter, SegmenterConfig
from minisegnet_ros.scheduling import parse_cpu_list

ROTATIONS = (0, 90, 180, 270)
"""Degrees clockwise."""

_CV_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

WHOLE_IMAGE = (0, 0, 0, 0)

MAXIMUM_SIDE = 16384
"""Pixels; an image of the expected size is allocated at the start."""

SegmenterFactory = Callable[[SegmenterConfig], Segmenter]


@dataclass(frozen=True)
class View:
    """A region of the received image, rotated clockwise, as the network sees it.

    The region is widened to whole label pixels, which are blocks of 4x4 received pixels, so that labels need no
    resampling. For the same reason an image is padded to whole blocks, by its last row and column, before it is
    rotated.

    Attributes:
        rotate: 0, 90, 180 or 270 degrees clockwise; 180 for a camera that is mounted upside down.
        roi: x, y, width, height in received pixels; a width or height of 0 extends to the border of the image.

    Raises:
        ConfigurationError: an unknown angle, or an invalid region.
    """

    rotate: int = 0
    roi: Sequence[int] = WHOLE_IMAGE

    def __post_init__(self) -> None:
        if self.rotate not in ROTATIONS:
            raise ConfigurationError(f'rotate must be one of {", ".join(map(str, ROTATIONS))}, not {self.rotate}')
        if len(self.roi) != len(WHOLE_IMAGE) or min(self.roi) < 0:
            raise ConfigurationError(
                f'roi must be four numbers of at least 0 (x, y, width, height), not {list(self.roi)}'
            )
        if any(0 < side < MINIMUM_NETWORK_SIZE for side in self.roi[2:]):
            raise ConfigurationError(
                f'width and height of roi must be 0 (up to the border) or at least {MINIMUM_NETWORK_SIZE} pixels, not '
                f'{self.roi[2]}x{self.roi[3]}'
            )

    @property
    def is_identity(self) -> bool:
        """Whether the network sees the received image unchanged."""
        return self.rotate == 0 and tuple(self.roi) == WHOLE_IMAGE

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom (exclusive) of the region in a (width, height) image, in whole blocks.

        Raises:
            ImageError: the region exceeds the image, or is too small in it.
        """
        sides = []
        for start, length, whole in ((self.roi[0], self.roi[2], width), (self.roi[1], self.roi[3], height)):
            end = start + length if length else whole
            if end > whole or end - start < MINIMUM_NETWORK_SIZE:
                x, y, w, h = self.roi
                raise ImageError(
                    f'roi (x {x}, y {y}, width {w}, height {h}) does not fit into an image of {width}x{height} '
                    f'pixels, or leaves less than {MINIMUM_NETWORK_SIZE} pixels of it'
                )
            sides.append((start // STRIDE * STRIDE, min(-(-end // STRIDE) * STRIDE, whole)))
        (left, right), (top, bottom) = sides
        return left, top, right, bottom

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what the network sees of an (H, W, 3) uint8 image; the image itself for the identity.

        Raises:
            ImageError: as :meth:`box`.
        """
        if self.is_identity:
            return image
        left, top, right, bottom = self.box(image.shape[1], image.shape[0])
        region = image[top:bottom, left:right]
        if not self.rotate:
            return region
        down, across = -(bottom - top) % STRIDE, -(right - left) % STRIDE
        if down or across:
            region = cv2.copyMakeBorder(region, 0, down, 0, across, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
        return cv2.rotate(region, _CV_ROTATIONS[self.rotate]).astype(np.uint8, copy=False)

    def restore(self, result: Segmentation, image_size: tuple[int, int], outside: int = 0) -> Segmentation:
        """Transform a result from the network's view to the received image.

        Args:
            result: labels and balls of the image that :meth:`apply` returned.
            image_size: (width, height) of the received image in pixels.
            outside: label id of the pixels outside the region.
        """
        if self.is_identity:
            return result
        left, top, _, _ = self.box(*image_size)
        labels = np.rot90(result.label_image, self.rotate // 90)
        width, height = label_size(*image_size)
        label_image = np.full((height, width), outside, np.uint8)
        u, v = left // STRIDE, top // STRIDE
        label_image[v : v + labels.shape[0], u : u + labels.shape[1]] = labels
        # Size of the padded region before the rotation.
        size = labels.shape[1] * STRIDE, labels.shape[0] * STRIDE
        balls = tuple(self._restore_ball(ball, left, top, size) for ball in result.balls)
        return replace(result, label_image=label_image, balls=balls, image_size=image_size)

    def _restore_ball(self, ball: Ball, left: int, top: int, size: tuple[int, int]) -> Ball:
        width, height = size
        x, y = {
            0: (ball.x, ball.y),
            90: (ball.y, height - 1 - ball.x),
            180: (width - 1 - ball.x, height - 1 - ball.y),
            270: (width - 1 - ball.y, ball.x),
        }[self.rotate]
        return replace(ball, x=x + left, y=y + top)


@dataclass(frozen=True)
class Vision:
    """A warm segmenter and the view in which it sees images."""

    segmenter: Segmenter
    view: View

    def run(self, pixels: Pixels) -> Segmentation:
        """Segment an image; labels and balls refer to the received image, background outside the region.

        Raises:
            ImageError: the image is too small, or `roi` does not fit into it.
        """
        image = pixels.image
        result = self.segmenter.run(self.view.apply(image), order=pixels.order)
        outside = self.segmenter.classes.id_of(BACKGROUND) or 0
        return self.view.restore(result, (image.shape[1], image.shape[0]), outside)


def segmenter_config(settings: Mapping[str, Any]) -> SegmenterConfig:
    """Return the model settings among the node's parameters.

    ``threads`` 0 means all CPUs of ``cpu_affinity``: a user who lists CPUs has left out those of other programs.
    """
    values = {field.name: settings[field.name] for field in fields(SegmenterConfig)}
    values['threads'] = values['threads'] or len(parse_cpu_list(settings['cpu_affinity']))
    return SegmenterConfig(**values)


def load_vision(factory: SegmenterFactory, settings: Mapping[str, Any]) -> Vision:
    """Load and warm up a model as the node's parameters request it.

    Args:
        factory: opens a model, as :meth:`Segmenter.from_config`.
        settings: values of the node's parameters by name.

    Raises:
        MinisegnetError: the model cannot be loaded or run; the message says why.
    """
    vision = Vision(factory(segmenter_config(settings)), View(settings['rotate'], settings['roi']))
    width, height = parse_expected_size(settings['expected_size'])
    black: NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
    # An engine compiles for up to a second for each new size and channel order: now, and not during a game.
    orders: tuple[Order, ...] = ('bgr',) if settings['image_transport'] == 'compressed' else ('rgb', 'bgr')
    try:
        for order in orders:
            vision.run(Pixels(black, order))
    except ImageError as error:
        raise ConfigurationError(f'{error}; set expected_size to the size of the images') from error
    return vision


def parse_expected_size(text: str) -> tuple[int, int]:
    """Return (width, height), in pixels, of the parameter ``expected_size``.

    Raises:
        ConfigurationError: the text is not WIDTHxHEIGHT, or out of range.
    """
    try:
        width, height = (int(part) for part in text.split('x'))
    except ValueError:
        width = height = 0
    if not MINIMUM_NETWORK_SIZE <= min(width, height) <= max(width, height) <= MAXIMUM_SIDE:
        raise ConfigurationError(
            f'expected_size must be WIDTHxHEIGHT, both {MINIMUM_NETWORK_SIZE} to {MAXIMUM_SIDE} pixels, not {text!r}'
        )
    return width, height
