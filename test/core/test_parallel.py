"""Concurrency: order is kept, memory is bounded, errors arrive, threads end; and `predict`, which relies on it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands import predict as predict_command
from minisegnet_core.errors import SourceError
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.inference.segmenter import Segmentation
from minisegnet_core.parallel import BackgroundWriter, bounded_map, map_in_threads, map_with_progress, prefetch


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


class FakeSegmenter:
    engine, precision, device, model_hash, classes, notes = 'fake', 'float32', 'CPU', 'abc', SOCCER, ()

    def run(self, image):
        height, width = image.shape[:2]
        labels = np.full((-(-height // 4), -(-width // 4)), image[0, 0, 0] // 60, np.uint8)
        return Segmentation(labels, (Ball(1.0, 2.0, 3.0, 0.5),), (width, height), 1.5)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'in').mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / 'in' / f'{index}.png'), np.full((70, 90, 3), 60 * index, np.uint8))
    return tmp_path


def test_predict_writes_each_frame_once_and_in_order(folder, monkeypatch, capsys):
    monkeypatch.setattr(predict_command, 'segmenter_of', lambda arguments: FakeSegmenter())
    assert predict_command.main([str(folder / 'in'), '--output', str(folder / 'out')], 'predict') == 0
    lines = [json.loads(line) for line in (folder / 'out' / 'predictions.jsonl').read_text().splitlines()]
    assert [line['name'] for line in lines] == ['0', '1', '2', '3']
    assert lines[0]['ball'] == {'x': 1.0, 'y': 2.0, 'radius': 3.0, 'confidence': 0.5}
    for index in range(4):
        labels = cv2.imread(str(folder / 'out' / 'labels' / f'{index}.png'), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (18, 23)
        assert (labels == index).all()
    assert '4 frames by fake float32' in capsys.readouterr().out


def test_predict_keeps_the_frames_before_a_damaged_image(folder, monkeypatch, capsys):
    (folder / 'in' / '2.png').write_bytes(b'no image')
    monkeypatch.setattr(predict_command, 'segmenter_of', lambda arguments: FakeSegmenter())
    assert predict_command.main([str(folder / 'in'), '--output', str(folder / 'out')], 'predict') == 2
    assert '2.png' in capsys.readouterr().err
    assert len((folder / 'out' / 'predictions.jsonl').read_text().splitlines()) == 2


def test_predict_decodes_infers_and_writes_at_the_same_time(folder, monkeypatch):
    """Each of the three waits at its second frame until the other two work too."""
    together = threading.Barrier(3, timeout=20)
    source, segmenter = ImageFolder.__iter__, FakeSegmenter()
    calls = {'run': 0, 'write': 0}

    def decoded(self):
        for index, frame in enumerate(source(self)):
            if index == 2:
                together.wait()
            yield frame

    def at_its_turn(name, turn, call):
        def called(*arguments):
            calls[name] += 1
            if calls[name] == turn:
                together.wait()
            return call(*arguments)

        return called

    monkeypatch.setattr(ImageFolder, '__iter__', decoded)
    monkeypatch.setattr(segmenter, 'run', at_its_turn('run', 2, segmenter.run), raising=False)
    monkeypatch.setattr(predict_command.Writer, 'write', at_its_turn('write', 1, predict_command.Writer.write))
    monkeypatch.setattr(predict_command, 'segmenter_of', lambda arguments: segmenter)
    assert predict_command.main([str(folder / 'in'), '--output', str(folder / 'out')], 'predict') == 0
    assert not together.broken
