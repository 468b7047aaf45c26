"""A waiting room for one: who comes in sends out who waits. So the newest frame is worked on next."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestSlot(Generic[Item]):
    """Holds the newest item between a thread that puts and one that takes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Makes ``item`` the one that waits. True: another one waited, and is dropped now."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """Waits for an item and takes it out. None: the slot was closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> bool:
        """Sends whoever takes home, now and later. True: an item still waited, and is dropped."""
        with self._condition:
            dropped = self._item is not None
            self._closed, self._item = True, None
            self._condition.notify_all()
            return dropped

    @property
    def closed(self) -> bool:
        return self._closed

    def wait_closed(self, timeout: float) -> bool:
        """Waits up to ``timeout`` seconds, less where the slot is closed before. True: it is closed."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closed, timeout)
