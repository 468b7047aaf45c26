"""YOLO's text files: a line for each box or outline, in shares of the image's size. The one reader of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.errors import DatasetError

ROUNDING = 1e-3
"""By so much may shares lie outside 0..1: tools round corners at the border outwards."""


@dataclass(frozen=True)
class YoloBox:
    """category: YOLO's class number; x, y, width, height: centre and size as shares of the image's, 0..1."""

    category: int
    x: float
    y: float
    width: float
    height: float


def read_yolo(path: Path) -> list[YoloBox]:
    """The boxes of a YOLO label file.

    A line is ``class x y width height``, with or without a confidence behind, or the outline that segmentation and
    oriented boxes have, ``class x1 y1 x2 y2 x3 y3 ...``: of that, the box is its extent.

    Raises:
        DatasetError: a line is neither; the text names it.
    """
    boxes = []
    # Label tools on Windows begin a file with a byte-order mark.
    for number, line in enumerate(path.read_text(encoding='utf-8-sig', errors='replace').splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            boxes.append(_box([float(word) for word in words]))
        except ValueError:
            raise DatasetError(
                f'{path}, line {number}: {line.strip()[:60]!r} must be a class number and x y width height from 0 to 1 '
                '(a confidence may follow), or a class number and x y of three corners or more'
            ) from None
    return boxes


def _box(values: list[float]) -> YoloBox:
    """Raises ValueError where the values are neither a box nor an outline."""
    category, places = values[0], values[1:]
    outline = len(places) >= 6 and len(places) % 2 == 0
    if not (outline or len(places) in (4, 5)) or not all(-ROUNDING <= value <= 1 + ROUNDING for value in places):
        raise ValueError
    if outline:
        (left, right), (top, bottom) = ((min(side), max(side)) for side in (places[::2], places[1::2]))
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    else:
        x, y, width, height = places[:4]
    if category < 0 or not category.is_integer() or width <= 0 or height <= 0:
        raise ValueError
    return YoloBox(int(category), x, y, width, height)
