"""Progress of long loops: a bar on a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar('Item')

LINE_SECONDS = 5.0
"""Time between two lines where standard error is not a terminal."""


def progress(description: str, unit: str, total: int | None = None) -> Callable[[Iterable[Item]], Iterable[Item]]:
    """Return a function that wraps the items of a loop and displays on standard error how many are done.

    Args:
        description: what the loop does, as one word or two.
        unit: what an item is called.
        total: number of items; by default the length of the wrapped items, if they have one.
    """

    def wrap(items: Iterable[Item]) -> Iterator[Item]:
        count = total if total is not None else len(items) if isinstance(items, Sized) else None
        with counter(description, unit, count) as advance:
            for item in items:
                yield item
                advance(1)

    return wrap


@contextmanager
def counter(description: str, unit: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function that adds to the number of items that are done. Arguments as for :func:`progress`."""
    if sys.stderr.isatty():
        with tqdm(desc=description, unit=unit, total=total, leave=False) as bar:
            yield bar.update
        return
    of_all = '' if total is None else f' of {total}'
    done, due = 0, time.monotonic() + LINE_SECONDS

    def advance(count: int) -> None:
        nonlocal done, due
        done += count
        if time.monotonic() >= due:
            print(f'{description}: {done}{of_all} {unit}s', file=sys.stderr, flush=True)
            due = time.monotonic() + LINE_SECONDS

    yield advance
