"""What was wrong with the input of an evaluation: every fault is counted and named, none is passed over."""

from __future__ import annotations

from dataclasses import dataclass, field

EXAMPLES = 3
"""Names that a fault keeps; the rest is only counted."""


@dataclass
class Problem:
    """One kind of fault. count: how often; examples: the first few frames or files, at most :data:`EXAMPLES`."""

    text: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """``12 frames could not be decoded: ... (first: a, b, c)``."""
        named = f' (first: {", ".join(self.examples)})' if self.examples else ''
        return f'{self.count} x {self.text}{named}' if self.count != 1 else f'{self.text}{named}'


class Problems:
    """Faults of one source by kind, in the order in which they first appeared."""

    def __init__(self) -> None:
        self._found: dict[str, Problem] = {}

    def add(self, kind: str, text: str, example: str = '', count: int = 1) -> None:
        """Counts a fault. kind: a short key for programs; text: a sentence, the first of a kind is kept."""
        problem = self._found.setdefault(kind, Problem(text))
        problem.count += count
        if example and len(problem.examples) < EXAMPLES:
            problem.examples.append(example)

    def merge(self, others: Problems) -> None:
        """Adds those of another source."""
        for kind, problem in others._found.items():
            own = self._found.setdefault(kind, Problem(problem.text))
            own.count += problem.count
            own.examples = (own.examples + problem.examples)[:EXAMPLES]

    def counts(self) -> dict[str, int]:
        """How often each kind occurred."""
        return {kind: problem.count for kind, problem in self._found.items()}

    def sentences(self) -> list[str]:
        """One sentence a kind."""
        return [problem.sentence() for problem in self._found.values()]
