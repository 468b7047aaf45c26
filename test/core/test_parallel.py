"""Concurrency: order is kept, memory is bounded, errors arrive, threads end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import cv2
import pytest

from minisegnet_core.errors import SourceError
from minisegnet_core.parallel import (
    BackgroundWriter,
    bounded_map,
    map_in_processes,
    map_in_threads,
    map_with_progress,
    prefetch,
)


def test_items_come_in_order_and_few_are_produced_in_advance():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    ahead = prefetch(items(), depth=3)
    assert next(ahead) == 0
    time.sleep(0.05)
    assert len(made) <= 6  # one yielded, three queued, and at most two in the hands of the thread
    assert list(ahead) == list(range(1, 50))


def test_an_error_is_raised_in_the_place_of_its_item():
    def items():
        yield 1
        raise SourceError('the disk is gone')

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(SourceError, match='the disk is gone'):
        next(ahead)


def test_closing_ends_the_thread_of_an_endless_source():
    before = threading.active_count()
    ahead = prefetch(iter(int, 1))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before


def test_closing_closes_the_source():
    closed = []

    def items():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    ahead = prefetch(items(), depth=2)
    next(ahead)
    ahead.close()
    assert closed == [True]


def test_results_of_a_bounded_map_come_in_order_with_their_items():
    def slow_square(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    with ThreadPoolExecutor(4) as executor:
        assert list(bounded_map(executor, slow_square, range(20), 5)) == [(i, i * i) for i in range(20)]


def test_a_bounded_map_takes_few_items_in_advance():
    taken = []

    def items():
        for index in range(50):
            taken.append(index)
            yield index

    with ThreadPoolExecutor(2) as executor:
        results = bounded_map(executor, str, items(), 3)
        assert next(results) == (0, '0')
        assert taken == [0, 1, 2]
        results.close()


def test_calls_that_have_not_begun_are_cancelled_after_an_error():
    begun = []

    def work(item):
        begun.append(item)
        if item == 0:
            raise SourceError('the disk is gone')
        time.sleep(0.2)

    with ThreadPoolExecutor(1) as executor, pytest.raises(SourceError, match='the disk is gone'):
        list(bounded_map(executor, work, range(50), 20))
    assert len(begun) <= 3


def test_a_progress_display_advances_with_each_result():
    steps = []

    def progress(items):
        for item in items:
            steps.append(item)
            yield item

    assert list(map_with_progress(str, [4, 5, 6], progress)) == [(4, '4'), (5, '5'), (6, '6')]
    assert steps == [4, 5, 6]


def test_threads_end_when_the_caller_stops_early():
    before = threading.active_count()
    results = map_in_threads(str, range(1000))
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_leaving_the_context_waits_for_the_last_write():
    written = []

    def write(item):
        time.sleep(0.001)
        written.append(item)

    with BackgroundWriter(write) as behind:
        for index in range(30):
            behind.put(index)
    assert written == list(range(30))


def test_queued_items_are_written_after_an_interrupt():
    written = []
    with pytest.raises(KeyboardInterrupt), BackgroundWriter(written.append) as behind:
        behind.put(1)
        raise KeyboardInterrupt
    assert written == [1]


def test_a_failed_write_is_raised_and_nothing_is_written_after_it():
    written = []

    def write(item):
        if item == 2:
            raise OSError('disk full')
        written.append(item)

    with pytest.raises(OSError, match='disk full'), BackgroundWriter(write) as behind:
        for index in range(100):
            behind.put(index)
    assert written == [0, 1]


def test_one_worker_computes_in_this_process_with_one_opencv_thread():
    threads = cv2.getNumThreads()
    with closing(map_in_processes(lambda _: cv2.getNumThreads(), [3, 1, 2], 1)) as results:
        assert list(results) == [(3, 1), (1, 1), (2, 1)]
    assert cv2.getNumThreads() == threads


@pytest.mark.slow
def test_processes_keep_the_order_of_the_items():
    with closing(map_in_processes(abs, [-3, -1, -2, 5], 2)) as results:
        assert list(results) == [(-3, 3), (-1, 1), (-2, 2), (5, 5)]
