"""``annotations.jsonl`` of a data set: what is known of its images beside their labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from minisegnet_core.ball import BallTruth
from minisegnet_core.errors import DatasetError

BALL_FIELDS = tuple(field.name for field in fields(BallTruth))
ALSO_KNOWN = {'confidence'}
"""What a predicted ball has besides: a corrected prediction is truth."""


def read_annotations(path: Path) -> dict[str, dict[str, Any]]:
    """Entries by image name; none where there is no such file.

    Of an entry, ``group`` is text, ``stamp`` an integer, and ``balls`` a list of mappings with all fields of
    :class:`~minisegnet_core.ball.BallTruth`, or each is None or missing. Of a ball of which no more is known than x, y
    and radius, all is visible.

    Raises:
        DatasetError: it cannot be read, or a line is no annotation; the text names it.
    """
    if not path.is_file():
        return {}
    entries = {}
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{path} could not be read: {error}') from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or 'name' not in entry:
                raise ValueError('it is no object with a name')
            entries[str(entry['name'])] = _typed(entry)
        except ValueError as error:  # JSON's errors too
            raise DatasetError(f'{path}, line {number} is no annotation: {error}') from error
    return entries


def _typed(entry: Mapping[str, Any]) -> dict[str, Any]:
    group, stamp, balls = entry.get('group'), entry.get('stamp'), entry.get('balls')
    if isinstance(group, (list, dict)):
        raise ValueError(f'group is {group!r}; it must be a text')
    if stamp is not None and type(stamp) is not int:
        raise ValueError(f'stamp is {stamp!r}; it must be an integer, in nanoseconds')
    if balls is not None and not isinstance(balls, list):
        raise ValueError(f'balls is {balls!r}; it must be a list')
    typed = dict(entry)
    if group is not None:
        typed['group'] = str(group)
    if balls is not None:
        typed['balls'] = [asdict(ball_truth(ball)) for ball in balls]
    return typed


def ball_truth(given: object) -> BallTruth:
    """A ball of the mapping that stands for it; where no more than x, y and radius is known, all of it is visible.

    Raises:
        ValueError: it is no mapping, or a value is missing, no number, or unknown.
    """
    if not isinstance(given, Mapping) or not given.keys() <= {*BALL_FIELDS, *ALSO_KNOWN}:
        raise ValueError(f'the ball {given!r} is no mapping with the keys {", ".join(BALL_FIELDS)}')
    known = {key: value for key, value in given.items() if value is not None}
    missing = [key for key in ('x', 'y', 'radius') if key not in known]
    if missing:
        raise ValueError(f'the ball {given!r} has no {", ".join(missing)}')
    ball = {'visible': 1.0, 'visible_x': known['x'], 'visible_y': known['y'], **known}
    for key in BALL_FIELDS:
        value = ball[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f'{key} of a ball is {value!r}; it must be a number')
    return BallTruth(*(float(ball[key]) for key in BALL_FIELDS))
