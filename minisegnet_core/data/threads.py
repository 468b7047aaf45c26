"""Work on many files at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[tuple[Item, Result], None, None]:
    """Yields each item with ``work(item)``, in order, from threads on all cores: decoding and writing files release
    Python's lock.

    Only a few items and results are held at a time. What has not begun when the caller stops, or ``work`` raises, never
    begins.
    """
    cores = os.cpu_count() or 1
    source = iter(items)
    threads = ThreadPoolExecutor(cores)
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        while True:
            pending.extend((item, threads.submit(work, item)) for item in islice(source, 4 * cores - len(pending)))
            if not pending:
                return
            item, future = pending.popleft()
            yield item, future.result()
    finally:
        threads.shutdown(cancel_futures=True)


def threaded(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Callable[[Sequence[Item]], Iterable[Item]] = lambda items: items,
) -> Iterator[tuple[Item, Result]]:
    """The same as :func:`ahead`, with a progress display that wraps the items."""
    results = ahead(work, items)
    try:
        for _ in progress(items):
            yield next(results)
    finally:
        results.close()
