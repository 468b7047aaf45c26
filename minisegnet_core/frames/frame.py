"""Frames, and the interface that every frame source has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        stamp: nanoseconds; the header's stamp in a bag, the time since the beginning in a video, None for image files.
        name: unique within the source and valid as a file name.
        image: (H, W, 3) uint8 RGB.
    """

    stamp: int | None
    name: str
    image: NDArray[np.uint8]


class FrameSource(Protocol):
    """A sequence of frames that can be iterated any number of times, each time from the beginning.

    Sources hold one image in memory at a time. Iterating raises SourceError if the source is damaged, and ImageError if
    one image is; the message names it.

    Attributes:
        missing: number of frames that the source announced and did not deliver, valid after the last frame. Only videos
            break off without an error; differences of a few frames do not count.
    """

    missing: int

    def __iter__(self) -> Iterator[Frame]: ...

    def __len__(self) -> int:
        """Return the number of frames, for progress bars; a video's header may be wrong by a few."""
        ...


class UniqueNames:
    """Numbers repeated names: ``a``, ``a_1``, ``a_2``."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._given: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return a name that was not returned before."""
        unique = name
        while unique in self._given:
            self._next[name] = self._next.get(name, 0) + 1
            unique = f'{name}_{self._next[name]}'
        self._given.add(unique)
        return unique
