"""YOLO's label files: one box or outline per line, in fractions of the image's size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.errors import DatasetError, shortened
from minisegnet_core.files import read_text

ROUNDING = 1e-3
"""Tolerance for fractions outside 0..1; tools round corners at the border outwards."""


@dataclass(frozen=True)
class YoloBox:
    """A box of a YOLO label file.

    Attributes:
        category: YOLO's class number.
        x, y, width, height: centre and size as fractions of the image's, 0..1.
    """

    category: int
    x: float
    y: float
    width: float
    height: float


def read_yolo(path: Path) -> list[YoloBox]:
    """Return the boxes of a YOLO label file.

    A line is ``class x y width height``, optionally with a confidence, or an outline of a segmentation or an oriented
    box, ``class x1 y1 x2 y2 x3 y3 ...``. The box of an outline is its extent.

    Raises:
        DatasetError: the file cannot be read, or a line is neither; the message gives the line.
    """
    boxes = []
    for number, line in enumerate(read_text(path, DatasetError, lenient=True).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            boxes.append(_box([float(word) for word in words]))
        except ValueError:
            raise DatasetError(
                f'{path}, line {number}: {shortened(line.strip())!r} must be a class number and x y width height from '
                '0 to 1 (a confidence may follow), or a class number and x y of three corners or more'
            ) from None
    return boxes


def _box(values: list[float]) -> YoloBox:
    """Return the box of a line's values.

    Raises:
        ValueError: the values are neither a box nor an outline.
    """
    category, fractions = values[0], values[1:]
    outline = len(fractions) >= 6 and len(fractions) % 2 == 0
    if not (outline or len(fractions) in (4, 5)) or not all(-ROUNDING <= value <= 1 + ROUNDING for value in fractions):
        raise ValueError
    if outline:
        (left, right), (top, bottom) = ((min(side), max(side)) for side in (fractions[::2], fractions[1::2]))
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    else:
        x, y, width, height = fractions[:4]
    if category < 0 or not category.is_integer() or width <= 0 or height <= 0:
        raise ValueError
    return YoloBox(int(category), x, y, width, height)
