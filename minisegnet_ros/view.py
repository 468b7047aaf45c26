"""What the network sees of a received image: a region of it, turned. Results come back in received pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, STRIDE, label_size
from minisegnet_core.inference.segmenter import Segmentation

ROTATIONS = (0, 90, 180, 270)
"""Degrees clockwise."""

_TURN = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

WHOLE = (0, 0, 0, 0)


@dataclass(frozen=True)
class View:
    """A region of the received image, turned clockwise.

    The region is widened outwards to whole label pixels, which are blocks of 4x4 received pixels, so that labels need
    no resampling. For the same reason an image to be turned is first continued to whole blocks by its last row and
    column.

    Args:
        rotate: 0, 90, 180 or 270 degrees clockwise; 180 for a camera that hangs upside down.
        roi: x, y, width, height in received pixels; width or height 0: up to the image's border.

    Raises:
        ConfigurationError: another angle, or a region that is none.
    """

    rotate: int = 0
    roi: Sequence[int] = WHOLE

    def __post_init__(self) -> None:
        if self.rotate not in ROTATIONS:
            raise ConfigurationError(f'rotate must be one of {", ".join(map(str, ROTATIONS))}, not {self.rotate}')
        if len(self.roi) != len(WHOLE) or min(self.roi) < 0:
            raise ConfigurationError(
                f'roi must be four numbers, x, y, width, height, none below 0, not {list(self.roi)}'
            )
        if any(0 < side < MINIMUM_NETWORK_SIZE for side in self.roi[2:]):
            raise ConfigurationError(
                f'width and height of roi must be 0 (up to the border) or at least {MINIMUM_NETWORK_SIZE} pixels, not '
                f'{self.roi[2]}x{self.roi[3]}'
            )

    @property
    def plain(self) -> bool:
        """Whether the network sees the received image as it is."""
        return self.rotate == 0 and tuple(self.roi) == WHOLE

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of the region of a (width, height) image, widened to whole blocks.

        Raises:
            ImageError: the region reaches out of the image, or too little of it is left.
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

    def seen(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network sees of an (H, W, 3) uint8 image; the image itself where the view is plain.

        Raises:
            ImageError: see :meth:`box`.
        """
        if self.plain:
            return image
        left, top, right, bottom = self.box(image.shape[1], image.shape[0])
        region = image[top:bottom, left:right]
        if not self.rotate:
            return region
        down, across = -(bottom - top) % STRIDE, -(right - left) % STRIDE
        if down or across:
            region = cv2.copyMakeBorder(region, 0, down, 0, across, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
        return cv2.rotate(region, _TURN[self.rotate]).astype(np.uint8, copy=False)

    def received(self, result: Segmentation, image_size: tuple[int, int], outside: int = 0) -> Segmentation:
        """What was found in :meth:`seen`, in the received image.

        Args:
            result: labels and balls of the image that :meth:`seen` gave.
            image_size: (width, height) of the received image, pixels.
            outside: label id where the network saw nothing.
        """
        if self.plain:
            return result
        left, top, _, _ = self.box(*image_size)
        labels = np.rot90(result.label_image, self.rotate // 90)
        width, height = label_size(*image_size)
        label_image = np.full((height, width), outside, np.uint8)
        u, v = left // STRIDE, top // STRIDE
        label_image[v : v + labels.shape[0], u : u + labels.shape[1]] = labels
        # Of the region as it was before the turn, with what continues it.
        size = labels.shape[1] * STRIDE, labels.shape[0] * STRIDE
        balls = tuple(self._received_ball(ball, left, top, size) for ball in result.balls)
        return replace(result, label_image=label_image, balls=balls, image_size=image_size)

    def _received_ball(self, ball: Ball, left: int, top: int, size: tuple[int, int]) -> Ball:
        width, height = size
        x, y = {
            0: (ball.x, ball.y),
            90: (ball.y, height - 1 - ball.x),
            180: (width - 1 - ball.x, height - 1 - ball.y),
            270: (width - 1 - ball.y, ball.x),
        }[self.rotate]
        return replace(ball, x=x + left, y=y + top)
