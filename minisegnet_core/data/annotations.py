"""``annotations.jsonl`` of a data set: groups, stamps and balls of its images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minisegnet_core.ball import BallTruth
from minisegnet_core.errors import DatasetError, shortened
from minisegnet_core.files import ErrorType, read_json_lines

BALL_KEYS = tuple(field.name for field in fields(BallTruth))

PREDICTION_KEYS = frozenset({'confidence'})
"""Further keys of a predicted ball; a corrected ``predictions.jsonl`` is ground truth."""


@dataclass(frozen=True)
class Annotation:
    """One line of ``annotations.jsonl``, or of another JSON Lines file that lists the balls of images.

    Attributes:
        name: name of the image; None in a file that identifies its images by stamp.
        stamp: nanoseconds, or None.
        group: match, venue or sequence, or None.
        balls: all balls in the image; None where they are unknown.
        entry: the whole line, with ``group`` and ``balls`` in their final types.
    """

    name: str | None
    stamp: int | None
    group: str | None
    balls: tuple[BallTruth, ...] | None
    entry: Mapping[str, Any]


def read_annotations(path: Path) -> dict[str, Annotation]:
    """Return the annotations of a data set by image name; nothing if the file does not exist.

    Raises:
        DatasetError: the file cannot be read, or a line is not an annotation; the message gives the line.
    """
    if not path.is_file():
        return {}
    annotations = {}
    for where, annotation in read_annotation_lines(path):
        if annotation.name is None:
            raise DatasetError(f'{where} has no name; add the name of its image')
        annotations[annotation.name] = annotation
    return annotations


def read_annotation_lines(path: Path, raises: ErrorType = DatasetError) -> Iterator[tuple[str, Annotation]]:
    """Yield (place, annotation) for each line; the place (``FILE, line 3``) is for messages.

    Args:
        raises: type of the error that a failure becomes.

    Raises:
        raises: the file cannot be read, or a value has the wrong type; the message gives the line.
    """
    for where, entry in read_json_lines(path, raises):
        try:
            annotation = _annotation(entry)
        except ValueError as error:
            raise raises(f'{where} is not an annotation: {error}') from error
        yield where, annotation


def _annotation(entry: Mapping[str, Any]) -> Annotation:
    name, group, stamp, given = (entry.get(key) for key in ('name', 'group', 'stamp', 'balls'))
    if isinstance(group, (list, dict)):
        raise ValueError(f'group is {shortened(repr(group))}, but must be text')
    if stamp is not None and type(stamp) is not int:
        raise ValueError(f'stamp is {shortened(repr(stamp))}, but must be an integer in nanoseconds')
    if given is not None and not isinstance(given, list):
        raise ValueError(f'balls is {shortened(repr(given))}, but must be a list')
    typed = dict(entry)
    if group is not None:
        typed['group'] = group = str(group)
    balls = None if given is None else tuple(ball_truth(ball) for ball in given)
    if balls is not None:
        typed['balls'] = [asdict(ball) for ball in balls]
    return Annotation(None if name is None else str(name), stamp, group, balls, typed)


def ball_truth(given: object) -> BallTruth:
    """Return the ball of a mapping with ``x``, ``y``, ``radius`` and optionally the other fields of BallTruth.

    Missing fields mean that the ball is wholly visible.

    Raises:
        ValueError: it is not a mapping, or a key is unknown or missing, or a value is not a finite number.
    """
    if not isinstance(given, Mapping) or not given.keys() <= {*BALL_KEYS, *PREDICTION_KEYS}:
        raise ValueError(f'the ball {shortened(repr(given))} must be a mapping with the keys {", ".join(BALL_KEYS)}')
    known = {key: value for key, value in given.items() if value is not None}
    missing = [key for key in ('x', 'y', 'radius') if key not in known]
    if missing:
        raise ValueError(f'the ball {shortened(repr(given))} has no {", ".join(missing)}')
    ball = {'visible': 1.0, 'visible_x': known['x'], 'visible_y': known['y'], **known}
    for key in BALL_KEYS:
        value = ball[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f'{key} of a ball is {shortened(repr(value))}, but must be a number')
    return BallTruth(*(float(ball[key]) for key in BALL_KEYS))
