"""Images with YOLO's label files: a model labels them, and the boxes correct its labels.

Most teams have boxes, but a segmentation network cannot learn from boxes alone. So a model labels the image first, and
pixels of low confidence are ignored (self-training: Lee, "Pseudo-Label", ICML 2013 workshop). The boxes overrule the
model: a ball fills the ellipse in its box, balls exist in boxes only, and the middle of any other box has its class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, FIELD, IGNORE, LINE, ClassSet
from minisegnet_core.data.importers.entry import (
    Content,
    Entry,
    balls_of_labels,
    check_max_side,
    image_files,
    limit_size,
    safe_name,
)
from minisegnet_core.data.importers.yolo import read_yolo
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.geometry import STRIDE
from minisegnet_core.imaging import read_image

Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A model: (H, W, 3) uint8 RGB to (C, ceil(H/4), ceil(W/4)) float32 probabilities."""

MAX_BALL_ASPECT = 1.35
"""Aspect ratio of a box above which its ball is partly hidden, so that its outline is the model's."""

CORE = 0.5
"""Fraction of the width and height of a box of another class, around its centre, that has this class."""

ISLAND_FRACTION = 0.1
"""Fraction of the largest area of field below which a separate area of field is ignored."""

GAP = 3 * STRIDE + 1
"""Distance in pixels from which areas of field are separate. Unsure borders between field and line are narrower."""

NO_BOXES = 'images without boxes, labelled by the model alone'


@dataclass(frozen=True)
class BoxOptions:
    """How boxes and a model become labels.

    Attributes:
        categories: YOLO's class number to class name; boxes of other numbers are not used.
        min_confidence: probability from which the model's label is kept, 0..1; other pixels are ignored.
        max_side: maximum of the longer side in pixels, to which images are shrunk; 0 for no limit.

    Raises:
        ConfigurationError: a number is out of range.
    """

    categories: Mapping[int, str] = field(default_factory=lambda: {0: BALL})
    min_confidence: float = 0.8
    max_side: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence < 1:
            raise ConfigurationError(
                f'minimum label confidence {self.min_confidence:g} must be at least 0 and less than 1'
            )
        check_max_side(self.max_side)


@dataclass(frozen=True)
class Box:
    """A box of an image.

    Attributes:
        label: class id.
        x, y, width, height: centre and size as fractions of the image's, 0..1.
    """

    label: int
    x: float
    y: float
    width: float
    height: float

    def corners(self, width: int, height: int, part: float = 1.0) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of the box in pixels, the last two exclusive.

        Args:
            width, height: size of the image in pixels.
            part: fraction of the box's width and height, around its centre.
        """
        half_x, half_y = self.width * part / 2, self.height * part / 2
        left, right = (round(np.clip(self.x + side * half_x, 0, 1) * width) for side in (-1, 1))
        top, bottom = (round(np.clip(self.y + side * half_y, 0, 1) * height) for side in (-1, 1))
        return left, top, right, bottom


class BoxedImages:
    """Images with a text file of boxes beside each, or in a folder ``labels`` beside their folder ``images``.

    An empty text file means that the image has no boxes. An image without a text file is labelled by the model alone.

    Args:
        root: folder of the images, searched recursively.
        probabilities: the model.
        classes: classes of the model.
        options: how boxes and model are combined.

    Raises:
        SourceError: the folder does not exist, or holds no images, or no file of boxes.
        ConfigurationError: a category's name is not a class.
    """

    def __init__(
        self, root: Path, probabilities: Probabilities, classes: ClassSet, options: BoxOptions | None = None
    ) -> None:
        self.options = options or BoxOptions()
        self.classes = classes
        self.absent: dict[str, str] = {}
        self.left_out: dict[str, int] = {}
        self._ids: dict[int, int] = {}
        for number, name in self.options.categories.items():
            label = classes.id_of(name)
            if label is None:
                raise ConfigurationError(
                    f'--map {number}={name}: there is no class {name!r}; use {", ".join(classes.names)}'
                )
            self._ids[number] = label
        self._probabilities, self._ball_id = probabilities, classes.id_of(BALL)
        on_field = [classes.id_of(name) for name in (FIELD, LINE, BALL)]
        self._surface = [number for number in on_field if number is not None] if on_field[0] is not None else []
        self._pairs = [(path, _box_file(path)) for path in image_files(root)]
        if not any(boxes for _, boxes in self._pairs):
            raise SourceError(f'{root} holds no text file of boxes, neither beside an image nor in a folder labels')
        self._root = root

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Entry]:
        for path, box_file in self._pairs:
            image = limit_size(read_image(path), self.options.max_side)
            boxes = None if box_file is None else read_boxes(box_file, self._ids)
            # The model runs here and not in the reading threads, since an engine takes one image at a time.
            labels = weak_labels(
                self._probabilities(image),
                image.shape[1],
                image.shape[0],
                boxes,
                self._ball_id,
                self.options.min_confidence,
                self._surface,
            )
            notes = Counter({NO_BOXES: int(boxes is None)})
            yield Entry(
                safe_name(path.relative_to(self._root).with_suffix('').as_posix()),
                partial(Content, image, labels, self._balls(boxes, labels), notes),
                label_file=box_file,
            )

    def _balls(self, boxes: list[Box] | None, labels: NDArray[np.uint8]) -> tuple[BallTruth, ...] | None:
        if boxes is None or self._ball_id is None:
            return balls_of_labels(labels, self._ball_id)
        height, width = labels.shape
        balls = []
        for box in (box for box in boxes if box.label == self._ball_id):
            left, top, right, bottom = box.corners(width, height)
            x, y = (left + right - 1) / 2, (top + bottom - 1) / 2
            balls.append(BallTruth(x, y, max(right - left, bottom - top) / 2, 1.0, x, y))
        return tuple(balls)


def weak_labels(
    probabilities: NDArray[np.float32],
    width: int,
    height: int,
    boxes: list[Box] | None,
    ball_id: int | None,
    min_confidence: float,
    surface: Sequence[int] = (),
) -> NDArray[np.uint8]:
    """Return the labels of an image by a model and boxes.

    Args:
        probabilities: (C, ceil(height/4), ceil(width/4)) float32 of the model.
        width, height: size of the image in pixels.
        boxes: all boxes of the image; None if they are unknown.
        ball_id: class id of the ball; None without such a class.
        min_confidence: probability from which the model's label is kept, after the classes that the boxes rule out.
        surface: class id of the field, followed by those of classes that lie on it; small separate areas of field are
            ignored. Empty: they are kept.

    Returns:
        (height, width) uint8 ids, 255 where the model is not sure.
    """
    size = probabilities.shape[2] * STRIDE, probabilities.shape[1] * STRIDE
    layers = [cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)[:height, :width] for layer in probabilities]
    likely = np.stack(layers)  # (C, height, width)
    balls = [box for box in boxes or () if box.label == ball_id]
    if boxes is not None and ball_id is not None:
        elsewhere = np.ones((height, width), bool)
        for box in balls:
            left, top, right, bottom = box.corners(width, height)
            elsewhere[top:bottom, left:right] = False
        likely[ball_id, elsewhere] = 0
    sure = likely.max(axis=0) >= min_confidence * np.maximum(likely.sum(axis=0), 1e-6)
    labels = np.where(sure, likely.argmax(axis=0), IGNORE).astype(np.uint8)
    if surface:
        _ignore_islands(labels, surface[0], surface[1:])
    for box in boxes or ():
        if box.label != ball_id:
            left, top, right, bottom = box.corners(width, height, CORE)
            labels[top:bottom, left:right] = box.label
    for box in balls:  # last, since a ball may lie in front of another box's object
        _paint_ball(labels, box.corners(width, height), box.label)
    return labels


def _ignore_islands(labels: NDArray[np.uint8], field_id: int, on_it: Collection[int]) -> None:
    """Ignore areas of field that are far smaller than the largest, which models predict in ceilings, for example.

    Args:
        on_it: further classes that lie on the field, and join the areas that they divide.
    """
    surface = np.isin(labels, [field_id, *on_it]).view(np.uint8)
    joined = cv2.dilate(surface, np.ones((GAP, GAP), np.uint8))
    count, islands, statistics, _ = cv2.connectedComponentsWithStats(joined)
    areas = statistics[:, cv2.CC_STAT_AREA]
    if count > 1:
        small = areas < ISLAND_FRACTION * areas[1:].max()
        labels[small[islands] & (labels == field_id)] = IGNORE


def _paint_ball(labels: NDArray[np.uint8], corners: tuple[int, int, int, int], ball_id: int) -> None:
    left, top, right, bottom = corners
    inside = labels[top:bottom, left:right]
    if not inside.size:
        return
    at_border = left == 0 or top == 0 or right == labels.shape[1] or bottom == labels.shape[0]
    height, width = inside.shape
    if at_border or max(height, width) > MAX_BALL_ASPECT * min(height, width):
        inside[inside != ball_id] = IGNORE
        return
    y, x = np.ogrid[:height, :width]
    ellipse = ((2 * x + 1) / width - 1) ** 2 + ((2 * y + 1) / height - 1) ** 2 <= 1
    inside[~ellipse & (inside == ball_id)] = IGNORE
    inside[ellipse] = ball_id


def read_boxes(path: Path, ids: Mapping[int, int]) -> list[Box]:
    """Return the boxes of a YOLO label file; an outline counts as its extent.

    Args:
        ids: YOLO's class number to class id; boxes of other numbers are left out.

    Raises:
        DatasetError: the file is not valid; see :func:`read_yolo`.
    """
    return [
        Box(ids[box.category], box.x, box.y, box.width, box.height) for box in read_yolo(path) if box.category in ids
    ]


def _box_file(image: Path) -> Path | None:
    """Return the text file beside an image, or in the folder ``labels`` that mirrors ``images``; None without one."""
    candidates = [image.with_suffix('.txt')]
    if 'images' in image.parts[:-1]:
        at = len(image.parts) - 1 - image.parts[::-1].index('images')
        candidates.append(Path(*image.parts[:at], 'labels', *image.parts[at + 1 :]).with_suffix('.txt'))
    return next((path for path in candidates if path.is_file()), None)
