"""TORSO-21, the public data set of RoboCup soccer (Bestmann et al. 2021, github.com/bit-bots/TORSO_21_dataset).

A collection (``reality`` or ``simulation``) holds ``train`` and ``test``, each with ``images/``, ``segmentations/`` and
``annotations.yaml``. Its label images are:

- reality: grey, 0 for background, 127 for line, above that field. Robots, people, balls and goal posts on the field are
  painted as field, so ``annotations.yaml`` is needed. Balls are painted from their boxes and goal posts from their
  corners. Boxes of robots and obstacles are ignored, since they hold field and background.
- simulation: coloured, (0, 255, 0) for field, (204, 204, 204) for line, (127, 127, 127) for ball, others for
  background.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, FIELD, IGNORE, LINE, SOCCER
from minisegnet_core.data.importers.entry import (
    Content,
    Entry,
    balls_of_labels,
    copied_file,
    image_files,
    safe_name,
)
from minisegnet_core.data.importers.masks import read_mask
from minisegnet_core.errors import DatasetError, SourceError, listed
from minisegnet_core.files import read_yaml
from minisegnet_core.imaging import read_image

PARTS = ('train', 'test')
ANNOTATIONS = 'annotations.yaml'
BALL_ID, LINE_ID, FIELD_ID = (SOCCER.names.index(name) for name in (BALL, LINE, FIELD))

SIMULATION_COLORS = {(0, 255, 0): FIELD_ID, (204, 204, 204): LINE_ID, (127, 127, 127): BALL_ID}
"""RGB of the simulated label images to class id."""

IGNORED_TYPES = ('robot', 'obstacle')
"""Annotation types whose boxes are ignored."""

POST_TYPES = ('goalpost', 'left_goalpost', 'right_goalpost', 'top_bar')
"""Annotation types that are painted as background."""

Object = Mapping[str, Any]
"""An entry of TORSO-21's list ``annotations`` of an image."""


class Torso21:
    """A collection, or one part of it. The group of an image is the number of its image set, which begins its name.

    Args:
        root: the collection, or its ``train`` or ``test``.

    Raises:
        SourceError: the folder does not have the layout of TORSO-21.
        DatasetError: an image has no label image, or ``annotations.yaml`` is wrong or does not list an image.
    """

    def __init__(self, root: Path) -> None:
        parts = [root / part for part in PARTS if (root / part / 'images').is_dir()]
        if not parts and (root / 'images').is_dir():
            parts = [root]
        if not parts:
            raise SourceError(
                f'{root} does not have the layout of TORSO-21: it has no train/images, test/images or images; '
                'give a collection (data/reality) or one part of it (data/reality/train)'
            )
        self.classes = SOCCER
        self.absent: dict[str, str] = {}
        self.left_out: dict[str, int] = {}
        self._entries: list[tuple[Path, Path, Sequence[Object] | None, str | None]] = []
        for part in parts:
            self._add_part(part)

    def _add_part(self, part: Path) -> None:
        images = image_files(part / 'images')
        masks = {path.stem: path for path in image_files(part / 'segmentations')}
        objects = _read_objects(part / ANNOTATIONS)
        unlabelled = [path for path in images if path.stem not in masks]
        if unlabelled:
            raise DatasetError(
                f'{len(unlabelled)} images have no label image in {part}/segmentations: {listed(unlabelled)}'
            )
        if objects is None:
            self.absent = {BALL: FIELD}  # as the label images alone draw it
        else:
            unlisted = [path.name for path in images if path.name not in objects]
            if unlisted:
                raise DatasetError(f'{part / ANNOTATIONS} does not list {len(unlisted)} images: {listed(unlisted)}')
        split = part.name if part.name in PARTS else None
        self._entries += [
            (path, masks[path.stem], None if objects is None else objects[path.name], split) for path in images
        ]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        for image, mask, objects, split in self._entries:
            number = re.match(r'(\d+)-', image.name)
            yield Entry(
                safe_name(image.stem),
                partial(_read, image, mask, objects),
                group=f'torso21_{number[1]}' if number else None,
                split=split,
                image_file=copied_file(image),
                label_file=mask,
            )


def _read(image_path: Path, mask_path: Path, objects: Sequence[Object] | None) -> Content:
    image = read_image(image_path)
    mask = read_mask(mask_path, image.shape[:2])
    if (mask[..., 0] != mask[..., 1]).any():
        labels = _simulated_labels(mask)
        return Content(image, labels, balls_of_labels(labels, BALL_ID))
    labels = _real_labels(mask[..., 0])
    if objects is None:
        return Content(image, labels)
    notes: Counter[str] = Counter()
    try:
        balls = _paint(labels, objects, notes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(f'{ANNOTATIONS}: the annotations of {image_path.name} are not valid: {error!r}') from error
    return Content(image, labels, balls, notes)


def _real_labels(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the ids of a grey label image. Field is above 127, as in the maintainers' correction of early images."""
    table = np.zeros(256, np.uint8)
    table[64:128] = LINE_ID
    table[128:] = FIELD_ID
    return table[grey]


def _simulated_labels(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    labels = np.zeros(mask.shape[:2], np.uint8)
    for color, label in SIMULATION_COLORS.items():
        labels[(mask == color).all(axis=2)] = label
    return labels


def _paint(labels: NDArray[np.uint8], objects: Sequence[Object], notes: Counter[str]) -> tuple[BallTruth, ...] | None:
    """Paint the objects that the label image omits; return the balls, or None if balls were not annotated."""
    balls = []
    present = [entry for entry in objects if entry['in_image']]
    for entry in present:
        if entry['type'] in IGNORED_TYPES:
            (left, top), (right, bottom) = _corners(entry)
            box = labels[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
            notes['pixels ignored inside boxes of robots and obstacles'] += int((box != 0).sum())
            box[box != 0] = IGNORE
    for entry in present:
        if entry['type'] in POST_TYPES:
            cv2.fillPoly(labels, [np.array(entry['vector'], np.float64).round().astype(np.int32)], 0)
    for entry in present:
        if entry['type'] == 'ball':
            balls.append(_paint_ball(labels, entry))
            notes['hidden balls, ignored'] += bool(entry.get('concealed'))
    known = any(entry['type'] == 'ball' for entry in objects)
    return tuple(balls) if known else None


def _corners(entry: Object) -> tuple[tuple[int, int], tuple[int, int]]:
    (x0, y0), (x1, y1) = ((round(float(x)), round(float(y))) for x, y in entry['vector'][:2])
    return (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))


def _paint_ball(labels: NDArray[np.uint8], entry: Object) -> BallTruth:
    """Paint the ellipse inside a ball's box, and return the ball.

    The visible part of a concealed ball is not annotated. Its ellipse is ignored, and with ``visible`` 0 it is neither
    found nor missed.
    """
    (left, top), (right, bottom) = _corners(entry)
    x, y = (left + right) / 2, (top + bottom) / 2
    axes = ((right - left) / 2, (bottom - top) / 2)
    hidden = bool(entry.get('concealed'))
    shift = 4  # 1/16 pixel
    center, size = ((round(x * 16), round(y * 16)), (round(axes[0] * 16), round(axes[1] * 16)))
    cv2.ellipse(labels, center, size, 0, 0, 360, IGNORE if hidden else BALL_ID, -1, cv2.LINE_8, shift)
    return BallTruth(x, y, (axes[0] + axes[1]) / 2, 0.0 if hidden else 1.0, x, y)


def _read_objects(path: Path) -> dict[str, Sequence[Object]] | None:
    """Return the annotated objects by image file name; None if there is no ``annotations.yaml``."""
    if not path.is_file():
        return None
    content = read_yaml(path, DatasetError)
    try:
        return {str(name): entry['annotations'] for name, entry in content['images'].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f'{path} does not have the layout of TORSO-21: {error!r}') from error
