"""Threads beside the network: they keep the order of items, report errors, and lose nothing."""

import threading
import time

import pytest

from minisegnet_core.errors import SourceError
from minisegnet_core.parallel import BackgroundWriter, prefetch


def test_items_come_in_order_and_not_more_than_wanted_ahead():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    ahead = prefetch(items(), depth=3)
    assert next(ahead) == 0
    time.sleep(0.05)
    assert len(made) <= 6  # one given, three waiting, one in hand, one made after it was taken
    assert list(ahead) == list(range(1, 50))


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        raise SourceError('the disk is gone')

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(SourceError, match='the disk is gone'):
        next(ahead)


def test_closing_ends_the_thread():
    before = threading.active_count()
    ahead = prefetch(iter(int, 1))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before


def test_everything_is_written_in_order_before_the_end():
    written = []

    def write(item):
        time.sleep(0.001)
        written.append(item)

    with BackgroundWriter(write) as behind:
        for index in range(30):
            behind.put(index)
    assert written == list(range(30))


def test_what_was_handed_over_is_written_also_after_an_interrupt():
    written = []
    with pytest.raises(KeyboardInterrupt), BackgroundWriter(written.append) as behind:
        behind.put(1)
        raise KeyboardInterrupt
    assert written == [1]


def test_a_write_that_fails_is_told_and_ends_the_writing():
    written = []

    def write(item):
        if item == 2:
            raise OSError('disk full')
        written.append(item)

    with pytest.raises(OSError, match='disk full'), BackgroundWriter(write) as behind:
        for index in range(100):
            behind.put(index)
    assert written == [0, 1]
