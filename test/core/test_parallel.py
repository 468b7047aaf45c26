"""Threads beside the network: order kept, errors told, nothing lost; and `predict`, which uses them."""

import json
import threading
import time

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands import predict as predict_command
from minisegnet_core.errors import SourceError
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.inference.segmenter import Segmentation
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


def test_predict_keeps_what_was_done_before_a_damaged_image(folder, monkeypatch, capsys):
    (folder / 'in' / '2.png').write_bytes(b'no image')
    monkeypatch.setattr(predict_command, 'segmenter_of', lambda arguments: FakeSegmenter())
    assert predict_command.main([str(folder / 'in'), '--output', str(folder / 'out')], 'predict') == 2
    assert '2.png' in capsys.readouterr().err
    assert len((folder / 'out' / 'predictions.jsonl').read_text().splitlines()) == 2


def test_decoding_the_network_and_writing_work_at_the_same_time(folder, monkeypatch):
    """Each of the three waits, at its second frame, until the other two are at work too."""
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
