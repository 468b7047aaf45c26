"""What every frame source yields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    stamp: nanoseconds; of a bag the message header's, of a video the time since its beginning, None for image files.
    name: unique within the source and fit for a file name. image: (H, W, 3) uint8 RGB.
    """

    stamp: int | None
    name: str
    image: NDArray[np.uint8]


class FrameSource(Protocol):
    """Can be iterated more than once, each time from the beginning; never holds more than one image.

    Iterating raises SourceError where the source is damaged, ImageError where one image is; the text names it.

    missing: frames that the source claims and that did not come, known once all were read. Only videos break off so, in
    silence; a few by which their claim is off do not count.
    """

    missing: int

    def __iter__(self) -> Iterator[Frame]: ...

    def __len__(self) -> int:
        """Number of frames, for progress bars. A video's is what its file claims, which may be off by a few."""
        ...


class UniqueNames:
    """Gives repeated names a number: ``a``, ``a_1``, ``a_2``."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._given: set[str] = set()

    def __call__(self, name: str) -> str:
        unique = name
        while unique in self._given:
            self._next[name] = self._next.get(name, 0) + 1
            unique = f'{name}_{self._next[name]}'
        self._given.add(unique)
        return unique
