"""Concurrency: prefetching, bounded maps over executors, and writing in the background.

Decoding, encoding and inference release Python's lock, so threads overlap them. Every function here bounds the number
of items in memory, keeps their order, and ends its threads when the caller stops early.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Generic, TypeVar

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.processor import available_cores

Item = TypeVar('Item')
Result = TypeVar('Result')

Progress = Callable[[Sequence[Item]], Iterable[Item]]
"""A progress display: takes the items and returns an iterable over them that reports each step."""

DEPTH = 4
"""Default number of items that are prefetched, and of results that wait to be written."""

ITEMS_PER_CORE = 4
"""Items in flight for each core in :func:`map_in_threads`."""

ITEMS_PER_WORKER = 4
"""Items that :func:`map_in_processes` holds for each worker."""

THREAD_VARIABLES = ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS')
"""Environment variables by which numeric libraries choose their number of threads."""

POLL_SECONDS = 0.1
"""Seconds after which a blocked thread checks whether it should end."""


def prefetch(items: Iterable[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """Yield the items in order while a thread produces up to ``depth`` of them in advance.

    An error that an item raises is raised in that item's place. Closing the generator ends the thread, and closes
    ``items`` if that is a generator.
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None, last: bool) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, error, last), timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item, None, False)
                if stopped.is_set():
                    return
            put(None, None, True)
        except BaseException as error:  # of any type: the consumer raises it
            put(None, error, True)
        finally:
            if isinstance(iterator, Generator):  # closing it frees the files that it holds open
                iterator.close()

    thread = threading.Thread(target=produce, name='prefetch', daemon=True)
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
        stopped.set()
        thread.join()


def bounded_map(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with ``function(item)``, in order, computed by an executor.

    At most ``depth`` results are pending or waiting at a time. When the caller stops or a call raises, the calls that
    have not begun are cancelled.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            pending.append((item, executor.submit(function, item)))
            if len(pending) >= depth:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        for _, future in pending:
            future.cancel()


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with ``function(item)``, in order, from one thread per core; see :func:`bounded_map`."""
    cores = available_cores()
    with ThreadPoolExecutor(cores) as threads:
        yield from bounded_map(threads, function, items, ITEMS_PER_CORE * cores)


def map_with_progress(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress[Item] = lambda items: items,
) -> Iterator[tuple[Item, Result]]:
    """Yield as :func:`map_in_threads` does, and advance a progress display with each result."""
    results = map_in_threads(function, items)
    try:
        for _ in progress(items):
            yield next(results)
    finally:
        results.close()


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with ``function(item)``, in order, from ``workers`` processes with one thread each.

    One worker, or one item, is computed in this process. Close the generator (``contextlib.closing``) to end the
    processes early. Ctrl-C reaches this process only.

    Args:
        function: can be pickled, as its results and the items can.

    Raises:
        ConfigurationError: the processes ended early, for example because they import a script without a main guard.
    """
    if workers <= 1 or len(items) < 2:
        import cv2

        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for item in items:
                yield item, function(item)
        finally:
            cv2.setNumThreads(threads)
        return
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, '1')  # before the processes import their libraries
    workers = min(workers, len(items))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), initializer=_start_worker)
    try:
        yield from bounded_map(pool, function, items, ITEMS_PER_WORKER * workers)
    except BrokenProcessPool as error:
        raise ConfigurationError(
            f'the {workers} worker processes ended early; in a script, put the work under '
            "`if __name__ == '__main__':`, since each worker imports the script; if memory ran out, use fewer workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what to do
    cv2.setNumThreads(1)


class BackgroundWriter(Generic[Item]):
    """Writes items in order in a thread; leaving the context waits for the last one.

    Args:
        write: called with each item. Its first error is raised by the next :meth:`put` or on leaving the context; no
            item is written after it.
        depth: number of items that may wait; :meth:`put` blocks beyond it.
    """

    def __init__(self, write: Callable[[Item], None], depth: int = DEPTH) -> None:
        self._write = write
        self._waiting: queue.Queue[tuple[Item] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name='background writer', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            if self._error is None:  # after an error the queue is only emptied, so that put() does not block
                try:
                    self._write(entry[0])
                except BaseException as error:
                    self._error = error

    def put(self, item: Item) -> None:
        """Queue an item for writing."""
        self._raise_error()
        self._waiting.put((item,))

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> BackgroundWriter[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None:  # an error of the writer must not hide the error that ended the context
            self._raise_error()
