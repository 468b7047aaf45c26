"""Work in threads beside the network: items made ahead of their need, results written behind it.

Decoding and encoding images, and the network itself, leave Python's lock, so that they run at the same time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar('Item')

DEPTH = 4
"""Items made ahead, and results waiting to be written, at most: what is in memory at once."""

WAIT = 0.1
"""Seconds after which a thread that waits looks whether it should end."""


def made_ahead(items: Iterable[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """The items in their order, made in a thread of their own up to ``depth`` before they are asked for.

    An error while making them is raised where the item would have come. Closing the iterator ends the thread.
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Item | None, error: BaseException | None, last: bool) -> None:
        while not stop.is_set():
            try:
                ready.put((item, error, last), timeout=WAIT)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item, None, False)
                if stop.is_set():
                    return
            put(None, None, True)
        except BaseException as error:
            put(None, error, True)

    thread = threading.Thread(target=make, name='made ahead', daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = ready.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


class WrittenBehind(Generic[Item]):
    """Writes items in their order, in a thread of its own; a context that waits for the last one.

    Args:
        write: called for each item; its error is raised by the next :meth:`put`, or at the end.
        depth: items that may wait; :meth:`put` waits beyond.
    """

    def __init__(self, write: Callable[[Item], None], depth: int = DEPTH) -> None:
        self._write = write
        self._waiting: queue.Queue[tuple[Item] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name='written behind', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._write(entry[0])
                except BaseException as error:
                    self._error = error

    def put(self, item: Item) -> None:
        """Hands an item over."""
        self._raise()
        self._waiting.put((item,))

    def _raise(self) -> None:
        if self._error is not None:  # kept: nothing is written after a failure
            raise self._error

    def __enter__(self) -> WrittenBehind[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None:  # an error on the way out must not hide the one that led here
            self._raise()
