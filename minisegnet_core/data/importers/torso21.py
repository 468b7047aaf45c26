"""TORSO-21, the public data set of RoboCup soccer (Bestmann et al. 2021, github.com/bit-bots/TORSO_21_dataset).

A collection (``reality`` or ``simulation``) holds ``train`` and ``test``, each with ``images/``, ``segmentations/`` and
``annotations.yaml``. Its label images know field, line and the rest:

- reality: grey, 0 rest, 127 line, above that field. Robots, people, balls and goal posts that stand on the field are
  painted as field, so ``annotations.yaml`` is needed: balls are painted from their boxes, goal posts from their
  corners, and boxes of robots and obstacles, inside which nobody knows what is field, are ignored.
- simulation: colours, (0, 255, 0) field, (204, 204, 204) line, (127, 127, 127) ball, all else is background.
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
import yaml
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, IGNORE, SOCCER
from minisegnet_core.data.importers.balls import balls_of_labels
from minisegnet_core.data.importers.entry import COPIED, Content, Entry, image_files, listed, safe_name
from minisegnet_core.data.importers.masks import read_mask
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.imaging import read_image

PARTS = ('train', 'test')
ANNOTATIONS = 'annotations.yaml'
BALL_ID, LINE_ID, FIELD_ID = (SOCCER.names.index(name) for name in ('ball', 'line', 'field'))
SIMULATED = {(0, 255, 0): FIELD_ID, (204, 204, 204): LINE_ID, (127, 127, 127): BALL_ID}
UNSURE = ('robot', 'obstacle')
POSTS = ('goalpost', 'left_goalpost', 'right_goalpost', 'top_bar')

Annotation = Mapping[str, Any]


class Torso21:
    """A collection, or one part of it. The group of an image is its image set's number, with which its name begins.

    Raises:
        SourceError: the folder is not laid out like TORSO-21.
        DatasetError: an image has no label image, or ``annotations.yaml`` is wrong or lacks an image.
    """

    def __init__(self, root: Path) -> None:
        parts = [root / part for part in PARTS if (root / part / 'images').is_dir()]
        if not parts and (root / 'images').is_dir():
            parts = [root]
        if not parts:
            raise SourceError(
                f'{root} is not laid out like TORSO-21: it has no train/images, test/images or images; '
                'give the collection (.../data/reality) or one part of it (.../data/reality/train)'
            )
        self.absent: dict[str, str] = {}
        self.entries: list[tuple[Path, Path, Sequence[Annotation] | None, str | None]] = []
        for part in parts:
            self._list(part)

    def _list(self, part: Path) -> None:
        images = image_files(part / 'images')
        masks = {path.stem: path for path in image_files(part / 'segmentations')}
        annotations = _read_annotations(part / ANNOTATIONS)
        without = [path for path in images if path.stem not in masks]
        if without:
            raise DatasetError(f'{len(without)} images have no label image in {part}/segmentations: {listed(without)}')
        if annotations is None:
            self.absent = {BALL: 'field'}  # what the label images alone draw
        else:
            lacking = [path.name for path in images if path.name not in annotations]
            if lacking:
                raise DatasetError(f'{part / ANNOTATIONS} says nothing of {len(lacking)} images: {listed(lacking)}')
        split = {'train': 'train', 'test': 'test'}.get(part.name)
        self.entries += [
            (path, masks[path.stem], None if annotations is None else annotations[path.name], split) for path in images
        ]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        for image, mask, boxes, split in self.entries:
            number = re.match(r'(\d+)-', image.name)
            yield Entry(
                safe_name(image.stem),
                partial(_read, image, mask, boxes),
                group=f'torso21_{number[1]}' if number else None,
                split=split,
                image_file=image if image.suffix.lower() in COPIED else None,
            )


def _read(image_path: Path, mask_path: Path, annotations: Sequence[Annotation] | None) -> Content:
    image = read_image(image_path)
    mask = read_mask(mask_path, image.shape[:2])
    if (mask[..., 0] != mask[..., 1]).any():
        labels = _simulated_labels(mask)
        return Content(image, labels, balls_of_labels(labels, BALL_ID))
    labels = _real_labels(mask[..., 0])
    if annotations is None:
        return Content(image, labels)
    notes: Counter[str] = Counter()
    try:
        balls = _paint(labels, annotations, notes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(f'{ANNOTATIONS}: what it says of {image_path.name} cannot be used: {error!r}') from error
    return Content(image, labels, balls, notes)


def _real_labels(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Above 127 is field, as in the maintainers' own correction of early label images (254 and blends among them)."""
    table = np.zeros(256, np.uint8)
    table[64:128] = LINE_ID
    table[128:] = FIELD_ID
    return table[grey]


def _simulated_labels(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    labels = np.zeros(mask.shape[:2], np.uint8)
    for color, label in SIMULATED.items():
        labels[(mask == color).all(axis=2)] = label
    return labels


def _paint(
    labels: NDArray[np.uint8], annotations: Sequence[Annotation], notes: Counter[str]
) -> tuple[BallTruth, ...] | None:
    """Paints what the label image leaves out, and gives the balls; None where nothing is said of balls at all."""
    balls = []
    present = [entry for entry in annotations if entry['in_image']]
    for entry in present:
        if entry['type'] in UNSURE:
            (left, top), (right, bottom) = _corners(entry)
            box = labels[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
            notes['pixels ignored inside boxes of robots and obstacles'] += int((box != 0).sum())
            box[box != 0] = IGNORE
    for entry in present:
        if entry['type'] in POSTS:
            cv2.fillPoly(labels, [np.array(entry['vector'], np.float64).round().astype(np.int32)], 0)
    for entry in present:
        if entry['type'] == 'ball':
            balls.append(_paint_ball(labels, entry))
            notes['hidden balls, ignored'] += bool(entry.get('concealed'))
    known = any(entry['type'] == 'ball' for entry in annotations)
    return tuple(balls) if known else None


def _corners(entry: Annotation) -> tuple[tuple[int, int], tuple[int, int]]:
    (x0, y0), (x1, y1) = ((round(float(x)), round(float(y))) for x, y in entry['vector'][:2])
    return (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))


def _paint_ball(labels: NDArray[np.uint8], entry: Annotation) -> BallTruth:
    """The ellipse inside a ball's box. Which part of a concealed ball is seen is not told: it is ignored, and as its
    ``visible`` is 0, it counts neither way.
    """
    (left, top), (right, bottom) = _corners(entry)
    x, y = (left + right) / 2, (top + bottom) / 2
    axes = ((right - left) / 2, (bottom - top) / 2)
    hidden = bool(entry.get('concealed'))
    shift = 4  # 1/16 pixel
    center, size = ((round(x * 16), round(y * 16)), (round(axes[0] * 16), round(axes[1] * 16)))
    cv2.ellipse(labels, center, size, 0, 0, 360, IGNORE if hidden else BALL_ID, -1, cv2.LINE_8, shift)
    return BallTruth(x, y, (axes[0] + axes[1]) / 2, 0.0 if hidden else 1.0, x, y)


def _read_annotations(path: Path) -> dict[str, Sequence[Annotation]] | None:
    if not path.is_file():
        return None
    try:
        # The published file has half a million lines; the C reader is ten times as fast.
        content = yaml.load(path.read_text(), Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
        return {str(name): entry['annotations'] for name, entry in content['images'].items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f'{path} is not laid out like TORSO-21: {error!r}') from error
