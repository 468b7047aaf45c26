"""Images for people: coloured label images, overlays, contact sheets. All are RGB uint8."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball
from minisegnet_core.classes import BACKGROUND, ClassSet
from minisegnet_core.geometry import STRIDE

Image = NDArray[np.uint8]


def colorize(label_image: Image, classes: ClassSet) -> Image:
    """Return (h, w) label ids as (h, w, 3) RGB in the classes' colours; ignore is grey."""
    return classes.palette[label_image]


def enlarge_labels(label_image: Image, width: int, height: int) -> Image:
    """Enlarge a label image to the (height, width) of its image: each id fills its 4x4 block.

    Blocks that reach past the right and bottom border of the image are cropped.

    Args:
        label_image: (h, w) ids on the label grid.
        width, height: size of the image in pixels.
    """
    enlarged = np.repeat(np.repeat(label_image, STRIDE, axis=0), STRIDE, axis=1)
    return enlarged[:height, :width]


def draw_overlay(
    image: Image, label_image: Image, classes: ClassSet, balls: Sequence[Ball] = (), opacity: float = 0.5
) -> Image:
    """Blend the classes' colours into an image, except on background, and circle its balls.

    Args:
        image: (H, W, 3) uint8 RGB.
        label_image: (ceil(H/4), ceil(W/4)) uint8 ids.
        classes: classes of the ids, with their colours.
        balls: in pixels of ``image``; the first has a thick circle and its confidence, the others a thin circle.
        opacity: weight of the colours, 0..1.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    height, width = image.shape[:2]
    colors = cv2.resize(colorize(label_image, classes), None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_NEAREST)[
        :height, :width
    ]
    result: Image = cv2.addWeighted(image, 1 - opacity, colors, opacity, 0).astype(np.uint8, copy=False)
    background = classes.id_of(BACKGROUND)
    if background is not None:
        untouched = enlarge_labels((label_image == background).astype(np.uint8), width, height)
        cv2.copyTo(image, untouched, result)
    for rank, ball in enumerate(balls):
        # OpenCV's `shift` draws in units of 1/16 pixel, so that the circle does not jump from frame to frame.
        center = (round(ball.x * 16), round(ball.y * 16))
        radius = round(max(ball.radius, 3.0) * 16)
        cv2.circle(result, center, radius + 32, (255, 0, 255), 2 if rank == 0 else 1, cv2.LINE_AA, shift=4)
        if rank == 0:
            text = f'ball {ball.confidence:.2f}'
            at = (min(max(int(ball.x - 20), 0), max(width - 80, 0)), max(int(ball.y - ball.radius) - 8, 12))
            cv2.putText(result, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(result, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return result


def contact_sheet(
    images: Sequence[Image], columns: int, cell_width: int, captions: Sequence[str] | None = None
) -> Image:
    """Return images side by side, row by row, on white.

    Args:
        images: (H, W, 3) uint8 RGB, of any sizes.
        columns: images per row.
        cell_width: width in pixels to which each image is scaled.
        captions: a line of text below each image.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    caption_height = 18 if captions else 0
    cells: list[Image] = []
    for index, image in enumerate(images):
        height = max(1, round(image.shape[0] * cell_width / image.shape[1]))
        shrinking = cell_width < image.shape[1]
        cell = cv2.resize(image, (cell_width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_NEAREST)
        cell = cv2.copyMakeBorder(cell, 0, caption_height, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        if captions:
            cv2.putText(
                cell, captions[index], (2, height + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
            )
        cells.append(cell.astype(np.uint8, copy=False))
    cell_height = max((cell.shape[0] for cell in cells), default=1)
    rows = -(-len(cells) // columns) if cells else 1
    gap = 4
    sheet = np.full((rows * (cell_height + gap) + gap, columns * (cell_width + gap) + gap, 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        y = gap + (index // columns) * (cell_height + gap)
        x = gap + (index % columns) * (cell_width + gap)
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return sheet
