"""The classes a label image speaks of: names, colours, ids.

A class's id is its position. Roles go by name: the class called ``ball`` is the one whose centroid is reported, the
class called ``background`` needs no mask topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError

IGNORE = 255
"""Label id of pixels without a truth. Appears in ground truth only, never in predictions."""

BACKGROUND = 'background'
BALL = 'ball'
LINE = 'line'
FIELD = 'field'


@dataclass(frozen=True)
class SegmentationClass:
    """One class: its name (a lower-case word, it becomes part of topic names) and its RGB colour, each 0..255."""

    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isidentifier()) or self.name != self.name.lower():
            raise ConfigurationError(
                f'class name {self.name!r} must be a lower-case word of letters a to z, digits and underscores'
            )
        if len(self.color) != 3 or any(not 0 <= value <= 255 for value in self.color):
            raise ConfigurationError(f'colour of class {self.name!r} must be three numbers 0..255, not {self.color}')


@dataclass(frozen=True)
class ClassSet:
    """An ordered set of classes; index = label id. At most 255, since 255 means ignore."""

    classes: tuple[SegmentationClass, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= IGNORE:
            raise ConfigurationError(f'a model needs 2..255 classes, not {len(self.classes)}')
        if len(set(self.names)) != len(self.classes):
            raise ConfigurationError(f'class names must differ: {", ".join(self.names)}')

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8 RGB: colour of every label id; ignore is grey, unused ids black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = [c.color for c in self.classes]
        palette[IGNORE] = (128, 128, 128)
        return palette

    def id_of(self, name: str) -> int | None:
        """Label id of the class called ``name``, or None where this set has no such class."""
        return self.names.index(name) if name in self.names else None

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[SegmentationClass]:
        return iter(self.classes)

    def to_list(self) -> list[dict[str, Any]]:
        """As it stands in ``dataset.yaml`` and inside model files: ``[{'name': ..., 'color': [r, g, b]}, ...]``."""
        return [{'name': c.name, 'color': list(c.color)} for c in self.classes]

    @classmethod
    def from_list(cls, entries: Sequence[Mapping[str, Any]]) -> ClassSet:
        """Inverse of :meth:`to_list`.

        Raises:
            ConfigurationError: an entry lacks its name or colour, or the set is not valid.
        """
        try:
            return cls(tuple(SegmentationClass(str(e['name']), tuple(int(v) for v in e['color'])) for e in entries))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                'classes must be a list of {name: word, color: [red, green, blue]}; '
                f'could not read {list(entries)!r:.200}'
            ) from error


SOCCER = ClassSet(
    (
        SegmentationClass(BACKGROUND, (0, 0, 0)),
        SegmentationClass(BALL, (255, 64, 0)),
        SegmentationClass(LINE, (255, 255, 255)),
        SegmentationClass(FIELD, (0, 160, 0)),
    )
)
"""The four classes of the NimbRo-OP2X paper's task: background, ball, line, field."""
