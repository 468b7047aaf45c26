"""Progress of long loops: a bar on a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
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
        if sys.stderr.isatty():
            yield from tqdm(items, desc=description, unit=unit, total=total, leave=False)
            return
        count = total if total is not None else len(items) if isinstance(items, Sized) else None
        of_all = '' if count is None else f' of {count}'
        due = time.monotonic() + LINE_SECONDS
        for done, item in enumerate(items):
            if done and time.monotonic() >= due:
                print(f'{description}: {done}{of_all} {unit}s', file=sys.stderr, flush=True)
                due = time.monotonic() + LINE_SECONDS
            yield item

    return wrap
