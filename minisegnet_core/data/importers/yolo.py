"""YOLO's label files: one object per line, in fractions of the image's size.

The format has no header, and the number of values alone does not decide what a line means:

- box: ``class x y width height``
- box with confidence: ``class x y width height confidence``
- box with confidence and track: ``class x y width height confidence id``
- box with keypoints: ``class x y width height`` and then ``x y`` or ``x y visibility`` of each keypoint
- outline of a segmentation or an oriented box: ``class x1 y1 x2 y2 x3 y3 ...``

A line of six or more values is read as what is plausible: keypoints lie inside their box, and the corners of an outline
lie near each other. Where both are plausible, the reader refuses the line instead of guessing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import DatasetError, shortened
from minisegnet_core.files import read_text

LAYOUTS = ('auto', 'box', 'outline')
"""What a line of six or more values after the class is: decided by plausibility, a box with extras, or an outline."""

ROUNDING = 1e-3
"""Tolerance for fractions outside 0..1; tools round corners at the border outwards."""

KEYPOINT_MARGIN = 0.1
"""Fraction of a box's size by which its keypoints may lie outside."""

KEYPOINT_SPREAD = 0.4
"""Smallest fraction of a box's width and height that three or more of its keypoints span."""

KEYPOINT_SHIFT = 0.2
"""Largest distance of the centre of three or more keypoints from that of their box, as a fraction of its size."""

VISIBILITIES = (0.0, 1.0, 2.0)
"""Visibility of a keypoint: not labelled, hidden, visible."""


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


def read_yolo(path: Path, layout: str = 'auto') -> list[YoloBox]:
    """Return the boxes of a YOLO label file; the box of an outline is its extent.

    Args:
        layout: one of :data:`LAYOUTS`.

    Raises:
        DatasetError: the file cannot be read, a line has none of the forms, or fits two; the message gives the line.
    """
    lines = []
    for number, line in enumerate(read_text(path, DatasetError, lenient=True).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
            if not all(map(math.isfinite, values)):
                raise ValueError
        except ValueError:
            raise _wrong_line(path, number, line) from None
        lines.append((number, line, values))
    # Keypoints make all lines of a file equally long.
    equally_long = len({len(values) for _, _, values in lines if len(values) >= 7}) <= 1
    boxes = []
    for number, line, values in lines:
        outline = _is_outline(values[1:], layout, equally_long)
        if outline is None:
            raise DatasetError(
                f'{path}, line {number}: {shortened(line.strip())!r} may be an outline, or a box with further values; '
                'decide by --box-layout outline or --box-layout box'
            )
        try:
            boxes.append(_box(values, outline, layout))
        except ValueError:
            raise _wrong_line(path, number, line) from None
    return boxes


def _wrong_line(path: Path, number: int, line: str) -> DatasetError:
    return DatasetError(
        f'{path}, line {number}: {shortened(line.strip())!r} must be a class number and x y width height from 0 to 1 '
        '(confidence, track or keypoints may follow), or a class number and x y of three corners or more'
    )


def _is_outline(fractions: Sequence[float], layout: str, equally_long: bool) -> bool | None:
    """Return whether the values after a line's class are an outline; None if they may be an outline or a box."""
    if len(fractions) < 6 or len(fractions) % 2:
        return False
    if layout != 'auto':
        return layout == 'outline'
    if not equally_long or not (_inside(fractions[0], fractions[2]) and _inside(fractions[1], fractions[3])):
        return True
    corners, extras = _may_be_outline(fractions), _may_have_extras(fractions)
    return None if corners == extras else corners


def _may_have_extras(fractions: Sequence[float]) -> bool:
    """Return whether values may be a box with confidence and track, or with keypoints."""
    x, y, width, height = fractions[:4]
    if not (_inside(x, width) and _inside(y, height)):
        return False
    extras = fractions[4:]
    if len(extras) == 1 and 0 <= extras[0] <= 1:
        return True
    if len(extras) == 2 and 0 <= extras[0] <= 1 and extras[1] >= 0 and extras[1].is_integer():
        return True
    triples = np.array(extras).reshape(-1, 3) if len(extras) % 3 == 0 else np.empty((0, 3))
    if len(triples) and np.isin(triples[:, 2], VISIBILITIES).all():
        return True
    if len(extras) % 2:
        return False
    points = np.array(extras).reshape(-1, 2)
    return _may_be_keypoints(points[points.any(axis=1)], fractions)


def _inside(centre: float, size: float) -> bool:
    return size > 0 and centre - size / 2 >= -ROUNDING and centre + size / 2 <= 1 + ROUNDING


def _may_be_keypoints(points: NDArray[np.float64], fractions: Sequence[float]) -> bool:
    """Return whether (K, 2) points lie inside the box of a line, and span most of it if there are several.

    The corners of an outline do not: its first corner, read as the centre of a box, lies at their border.
    """
    if not len(points):
        return True
    centre, size = np.array(fractions[:2]), np.array(fractions[2:4])
    if (np.abs(points - centre) > (0.5 + KEYPOINT_MARGIN) * size).any():
        return False
    extent = np.ptp(points, axis=0)
    if len(points) <= 2:
        return len(points) == 1 or bool((extent >= KEYPOINT_SPREAD * size).any())
    shift = np.abs((points.min(axis=0) + points.max(axis=0)) / 2 - centre)
    return bool((extent >= KEYPOINT_SPREAD * size).all() and (shift <= KEYPOINT_SHIFT * size).all())


def _may_be_outline(fractions: Sequence[float]) -> bool:
    """Return whether values may be corners: in the image, and the first two near the others."""
    if not all(-ROUNDING <= value <= 1 + ROUNDING for value in fractions):
        return False
    corners = np.array(fractions).reshape(-1, 2)
    if len(corners) < 4:
        return True
    if len(corners) == 4 and np.allclose(corners[0] + corners[2], corners[1] + corners[3], atol=1e-3):
        return True  # an oriented box
    others = corners[2:]
    extent = np.ptp(others, axis=0).max()
    return bool((np.abs(corners[:2] - others.mean(axis=0)) <= 2.5 * extent).all())


def _box(values: list[float], outline: bool, layout: str) -> YoloBox:
    """Return the box of a line's values.

    Raises:
        ValueError: the values are neither a box nor an outline.
    """
    category, fractions = values[0], values[1:]
    if outline:
        (left, right), (top, bottom) = ((min(side), max(side)) for side in (fractions[::2], fractions[1::2]))
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    elif len(fractions) == 4 or (len(fractions) > 4 and (layout == 'box' or _may_have_extras(fractions))):
        fractions = fractions[:4]
        x, y, width, height = fractions
    else:
        raise ValueError
    if not all(-ROUNDING <= value <= 1 + ROUNDING for value in fractions):
        raise ValueError
    if category < 0 or not category.is_integer() or width <= 0 or height <= 0:
        raise ValueError
    return YoloBox(int(category), x, y, width, height)
