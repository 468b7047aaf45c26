"""Classes of a label image: names, colours, ids.

A class's id is its position in the set. Names determine roles: the centroid of the class ``ball`` is reported,
and the class ``background`` has no mask topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, shortened

IGNORE = 255
"""Label id of pixels without ground truth. It appears in ground truth only, never in predictions."""

IGNORE_COLOR = (128, 128, 128)
"""RGB of ignored pixels in coloured label images."""

BACKGROUND = 'background'
BALL = 'ball'
LINE = 'line'
FIELD = 'field'


@dataclass(frozen=True)
class SegmentationClass:
    """One class.

    Attributes:
        name: a lower-case word, which becomes part of topic names.
        color: RGB, each 0..255.

    Raises:
        ConfigurationError: the name or the colour is not valid.
    """

    name: str
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isidentifier()) or self.name != self.name.lower():
            raise ConfigurationError(
                f'class name {shortened(repr(self.name))} must be a lower-case word of letters a to z, digits and '
                'underscores'
            )
        if len(self.color) != 3 or any(not 0 <= value <= 255 for value in self.color):
            raise ConfigurationError(
                f'colour of class {self.name!r} must be three numbers 0..255, not {shortened(repr(self.color))}'
            )


@dataclass(frozen=True)
class ClassSet:
    """An ordered set of classes; a class's index is its label id.

    Raises:
        ConfigurationError: there are fewer than 2 or more than 255 classes (255 is :data:`IGNORE`), or a name repeats.
    """

    classes: tuple[SegmentationClass, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= IGNORE:
            raise ConfigurationError(f'a model needs 2..255 classes, not {len(self.classes)}')
        if len(set(self.names)) != len(self.classes):
            raise ConfigurationError(f'class names must differ: {", ".join(self.names)}')

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return tuple(c.name for c in self.classes)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8 RGB: the colour of each label id. Ignore is grey, unused ids are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = [c.color for c in self.classes]
        palette[IGNORE] = IGNORE_COLOR
        return palette

    @property
    def has_ball(self) -> bool:
        """Whether there is a class ``ball``; without it, no result speaks of balls."""
        return BALL in self.names

    @property
    def has_line(self) -> bool:
        """Whether there is a class ``line``; without it, no result speaks of lines."""
        return LINE in self.names

    def id_of(self, name: str) -> int | None:
        """Return the label id of a class, or None if the set does not contain it."""
        return self.names.index(name) if name in self.names else None

    def absent_ids(self, absent: Mapping[str, str]) -> dict[int, int]:
        """Return a data set's ``absent`` classes by id: each class that is never drawn, and the class drawn instead.

        Args:
            absent: class names, as in ``dataset.yaml``.

        Raises:
            ConfigurationError: a name is not a class, or the class drawn instead is absent itself.
        """
        for name in (*absent, *absent.values()):
            if name not in self.names:
                raise ConfigurationError(
                    f'absent names {shortened(name)!r}, which is not a class ({", ".join(self.names)})'
                )
        for name, drawn in absent.items():
            if drawn in absent:
                raise ConfigurationError(f'absent maps {name!r} to {drawn!r}, which is absent itself')
        return {self.names.index(name): self.names.index(drawn) for name, drawn in absent.items()}

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[SegmentationClass]:
        return iter(self.classes)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the form used in ``dataset.yaml`` and in model files: ``[{'name': ..., 'color': [r, g, b]}, ...]``."""
        return [{'name': c.name, 'color': list(c.color)} for c in self.classes]

    @classmethod
    def from_list(cls, entries: Sequence[Mapping[str, Any]]) -> ClassSet:
        """Return the class set that a list in the form of :meth:`to_list` describes.

        Raises:
            ConfigurationError: an entry has no name or colour, or the set is not valid.
        """
        try:
            for entry in entries:
                if not isinstance(entry['name'], str):  # YAML reads no and on as truth values
                    raise ConfigurationError(
                        f'class name {shortened(repr(entry["name"]))} is not text; put names like no and on in quotes'
                    )
            colors = [tuple(map(int, entry['color'])) for entry in entries]
            return cls(tuple(SegmentationClass(e['name'], c) for e, c in zip(entries, colors, strict=True)))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                f'classes {shortened(repr(entries))} must be a list of {{name: word, color: [red, green, blue]}}'
            ) from error


def replace_absent(labels: NDArray[np.uint8], absent: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return a copy of predicted ids in which each absent class is replaced by the class that is drawn instead.

    Args:
        labels: uint8 ids of any shape.
        absent: as :meth:`ClassSet.absent_ids` returns.
    """
    table = np.arange(256, dtype=np.uint8)
    for label_id, drawn in absent.items():
        table[label_id] = drawn
    return table[labels]


SOCCER = ClassSet(
    (
        SegmentationClass(BACKGROUND, (0, 0, 0)),
        SegmentationClass(BALL, (255, 64, 0)),
        SegmentationClass(LINE, (255, 255, 255)),
        SegmentationClass(FIELD, (0, 160, 0)),
    )
)
"""The four classes of the NimbRo-OP2X paper: background, ball, line, field."""
