"""The interface between sources and scoring: a frame with its ground truth, a source of them, and its problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth

MAX_EXAMPLES = 3
"""Frames or files that a problem names; further ones are only counted."""


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a source with its ground truth.

    Attributes:
        index: position in the source, from 0.
        name: unique within the source.
        image: (H, W, 3) uint8 RGB.
        stamp: time stamp of the image in nanoseconds; None for image files.
        received: time at which a bag's recorder received the image, in nanoseconds; None for other sources.
        frame_id: coordinate frame in the header of a bag's image, else empty.
        group: sequence to which the frame belongs, or None if unknown. Frames of a group resemble each other.
        labels: (H, W) or label-grid uint8 ids with 255 = ignore; None without ground truth.
        balls: all balls in the image; None if the image has no ball annotation.
    """

    index: int
    name: str
    image: NDArray[np.uint8]
    stamp: int | None = None
    received: int | None = None
    frame_id: str = ''
    group: str | None = None
    labels: NDArray[np.uint8] | None = None
    balls: tuple[BallTruth, ...] | None = None


class Source(Protocol):
    """Frames to evaluate, iterated once. Problems of single frames are counted and do not end the iteration.

    Attributes:
        name: name of the source in reports.
        total: expected number of frames.
        duration: length of a recording in nanoseconds; 0 if unknown.
        consecutive: whether neighbouring frames follow each other in time, so that changes between them have a meaning.
        absent: class ids that the ground truth never contains, each with the id that stands in its place.
        problems: everything wrong with the input so far.
    """

    name: str
    total: int
    duration: int
    consecutive: bool
    absent: dict[int, int]
    problems: Problems

    def __iter__(self) -> Iterator[SourceFrame]: ...


@dataclass
class Problem:
    """One kind of problem, how often it occurred, and the first frames or files that have it."""

    text: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Return, for example, ``12 x image cannot be decoded (first: a, b, c)``."""
        named = f' (first: {", ".join(self.examples)})' if self.examples else ''
        return f'{self.count} x {self.text}{named}' if self.count != 1 else f'{self.text}{named}'


class Problems:
    """Problems of one or more sources by kind, in the order in which they first occurred."""

    def __init__(self) -> None:
        self._by_kind: dict[str, Problem] = {}

    def add(self, kind: str, text: str, example: str = '', count: int = 1) -> None:
        """Count a problem.

        Args:
            kind: short key for programs.
            text: one sentence for people; the first text of a kind is kept.
            example: name of the frame or file.
            count: number of occurrences.
        """
        problem = self._by_kind.setdefault(kind, Problem(text))
        problem.count += count
        if example and len(problem.examples) < MAX_EXAMPLES:
            problem.examples.append(example)

    def merge(self, others: Problems) -> None:
        """Add the problems of another source."""
        for kind, problem in others._by_kind.items():
            own = self._by_kind.setdefault(kind, Problem(problem.text))
            own.count += problem.count
            own.examples = (own.examples + problem.examples)[:MAX_EXAMPLES]

    def counts(self) -> dict[str, int]:
        """Return how often each kind occurred."""
        return {kind: problem.count for kind, problem in self._by_kind.items()}

    def sentences(self) -> list[str]:
        """Return one sentence for each kind."""
        return [problem.sentence() for problem in self._by_kind.values()]
