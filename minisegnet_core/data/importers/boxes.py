"""Photos with boxes, as YOLO's label files have them: a model's own sure predictions, put right by the boxes.

Boxes are the labels that most teams have, and a network that cuts out pixels cannot learn from them alone. So a model
labels the photo first, pixels of which it is not sure are ignored (self-training with a confidence threshold: Lee,
"Pseudo-Label", ICML 2013 workshop), and the boxes overrule it: a ball fills the ellipse in its box, nowhere else is a
ball, and the middle of any other box belongs to that box's class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, FIELD, IGNORE, LINE, ClassSet
from minisegnet_core.data.importers.balls import balls_of_labels
from minisegnet_core.data.importers.entry import Content, Entry, checked_longest_side, image_files, safe_name, shrunk
from minisegnet_core.data.importers.yolo import read_yolo
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.geometry import STRIDE
from minisegnet_core.imaging import read_image

Probabilities = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(H, W, 3) uint8 RGB to (C, ceil(H/4), ceil(W/4)) float32: a model."""

ROUND = 1.35
"""A ball whose box is longer than this is cut off or half hidden; its outline is then the model's."""
CORE = 0.5
"""Middle part of a box of another class, of its width and of its height, that is surely this class."""

ISLAND = 0.1
"""A patch of field smaller than this share of the largest one is doubted."""
GAP = 3 * STRIDE + 1
"""Pixels from which on islands of field are apart: borders between field and line, of which no model is sure, are less.
"""


@dataclass(frozen=True)
class Box:
    """label: class id of ours; x, y, width, height: centre and size as shares of the image's, 0..1."""

    label: int
    x: float
    y: float
    width: float
    height: float

    def corners(self, width: int, height: int, part: float = 1.0) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the box, or of the middle ``part`` of it, in pixels; the last two excluded."""
        half_x, half_y = self.width * part / 2, self.height * part / 2
        left, right = (round(np.clip(self.x + side * half_x, 0, 1) * width) for side in (-1, 1))
        top, bottom = (round(np.clip(self.y + side * half_y, 0, 1) * height) for side in (-1, 1))
        return left, top, right, bottom


class BoxedImages:
    """Images with a text file of boxes beside each, or in a folder ``labels`` beside their folder ``images``.

    Where an image has no such file, nothing is known of its boxes, and the model alone labels it; an empty file says
    that there is none.

    Args:
        root: folder of the images; subfolders are searched too.
        probabilities: of the model.
        classes: of the model.
        names: of YOLO's class number: the name of a class of ours. Boxes of other numbers tell nothing.
        confidence: probability from which the model is taken to be right, 0..1; pixels below are ignored.
        longest_side: larger images are shrunk to it, pixels; 0: all stay as they are.

    Raises:
        SourceError: there is no such folder, no image in it, or no file of boxes for any of them.
        ConfigurationError: a name is no class, or a number out of range.
    """

    def __init__(
        self,
        root: Path,
        probabilities: Probabilities,
        classes: ClassSet,
        names: Mapping[int, str],
        *,
        confidence: float = 0.8,
        longest_side: int = 0,
    ) -> None:
        if not 0 <= confidence < 1:
            raise ConfigurationError(f'confidence {confidence:g} must be at least 0 and below 1')
        self.ids: dict[int, int] = {}
        for number, name in names.items():
            label = classes.id_of(name)
            if label is None:
                raise ConfigurationError(f'{number}={name}: there is no class {name!r} ({", ".join(classes.names)})')
            self.ids[number] = label
        self.absent: dict[str, str] = {}
        self.probabilities, self.ball_id = probabilities, classes.id_of(BALL)
        on_field = [classes.id_of(name) for name in (FIELD, LINE, BALL)]
        self.surface = [number for number in on_field if number is not None] if on_field[0] is not None else []
        self.confidence, self.longest_side = confidence, checked_longest_side(longest_side)
        self.pairs = [(path, _box_file(path)) for path in image_files(root)]
        if not any(boxes for _, boxes in self.pairs):
            raise SourceError(f'{root} holds no text file of boxes, neither beside an image nor in a folder labels')
        self.root = root

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Entry]:
        for path, box_file in self.pairs:
            image = shrunk(read_image(path), self.longest_side)
            boxes = None if box_file is None else read_boxes(box_file, self.ids)
            # The model runs here, not in the reader's threads: an engine takes one image at a time.
            probabilities = self.probabilities(image)
            labels = weak_labels(
                probabilities, image.shape[1], image.shape[0], boxes, self.ball_id, self.confidence, self.surface
            )
            notes = Counter({'images without boxes, labelled by the model alone': int(boxes is None)})
            yield Entry(
                safe_name(path.relative_to(self.root).with_suffix('').as_posix()),
                partial(Content, image, labels, self._balls(boxes, labels), notes),
                label_file=box_file,
            )

    def _balls(self, boxes: list[Box] | None, labels: NDArray[np.uint8]) -> tuple[BallTruth, ...] | None:
        if boxes is None or self.ball_id is None:
            return balls_of_labels(labels, self.ball_id)
        height, width = labels.shape
        balls = []
        for box in (box for box in boxes if box.label == self.ball_id):
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
    confidence: float,
    surface: Sequence[int] = (),
) -> NDArray[np.uint8]:
    """(height, width) uint8 ids, 255 where nobody is sure.

    Args:
        probabilities: (C, ceil(height/4), ceil(width/4)) float32 of the model.
        boxes: what is known of the image, or None: nothing.
        ball_id: class of balls, or None: there is none.
        confidence: probability from which the model is taken to be right, after the classes that the boxes rule out.
        surface: class of the field, of which small islands are ignored, and those of what lies on it; empty: they stay.
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
    sure = likely.max(axis=0) >= confidence * np.maximum(likely.sum(axis=0), 1e-6)
    labels = np.where(sure, likely.argmax(axis=0), IGNORE).astype(np.uint8)
    if surface:
        _doubt_islands(labels, surface[0], surface[1:])
    for box in boxes or ():
        if box.label != ball_id:
            left, top, right, bottom = box.corners(width, height, CORE)
            labels[top:bottom, left:right] = box.label
    for box in balls:  # last: a ball may lie before what another box shows
        _paint_ball(labels, box.corners(width, height), box.label)
    return labels


def _doubt_islands(labels: NDArray[np.uint8], field_id: int, on_it: Collection[int]) -> None:
    """Ignores the field of islands far smaller than the largest: there is one field; models see others in ceilings.

    Args:
        on_it: further classes that lie on the field, and join what they divide.
    """
    surface = np.isin(labels, [field_id, *on_it]).view(np.uint8)
    joined = cv2.dilate(surface, np.ones((GAP, GAP), np.uint8))
    count, islands, statistics, _ = cv2.connectedComponentsWithStats(joined)
    areas = statistics[:, cv2.CC_STAT_AREA]
    if count > 1:
        small = areas < ISLAND * areas[1:].max()
        labels[small[islands] & (labels == field_id)] = IGNORE


def _paint_ball(labels: NDArray[np.uint8], corners: tuple[int, int, int, int], ball_id: int) -> None:
    left, top, right, bottom = corners
    inside = labels[top:bottom, left:right]
    if not inside.size:
        return
    cut_off = left == 0 or top == 0 or right == labels.shape[1] or bottom == labels.shape[0]
    tall, wide = inside.shape
    if cut_off or max(tall, wide) > ROUND * min(tall, wide):
        inside[inside != ball_id] = IGNORE
        return
    y, x = np.ogrid[:tall, :wide]
    ellipse = ((2 * x + 1) / wide - 1) ** 2 + ((2 * y + 1) / tall - 1) ** 2 <= 1
    inside[~ellipse & (inside == ball_id)] = IGNORE
    inside[ellipse] = ball_id


def read_boxes(path: Path, ids: Mapping[int, int]) -> list[Box]:
    """The boxes of a YOLO label file, outlines by their extent.

    Args:
        ids: of YOLO's class number: our id. Boxes of other numbers are left out.

    Raises:
        DatasetError: a line is no box and no outline; see :func:`read_yolo`.
    """
    return [
        Box(ids[box.category], box.x, box.y, box.width, box.height) for box in read_yolo(path) if box.category in ids
    ]


def _box_file(image: Path) -> Path | None:
    candidates = [image.with_suffix('.txt')]
    if 'images' in image.parts[:-1]:
        at = len(image.parts) - 1 - image.parts[::-1].index('images')
        candidates.append(Path(*image.parts[:at], 'labels', *image.parts[at + 1 :]).with_suffix('.txt'))
    return next((path for path in candidates if path.is_file()), None)
