"""Prediction: each frame is written once and in order, and an error keeps the frames before it."""

import json
import threading

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands import predict as predict_command
from minisegnet_core.errors import ImageError
from minisegnet_core.frames import open_frames
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.inference.prediction import PredictionWriter, predict_frames
from minisegnet_core.inference.segmenter import Segmentation


class FakeSegmenter:
    """Label each image by the grey level of its first pixel."""

    engine, precision, device, model_hash, classes, notes = 'fake', 'float32', 'CPU', 'abc', SOCCER, ()

    def run(self, image):
        height, width = image.shape[:2]
        labels = np.full((-(-height // 4), -(-width // 4)), image[0, 0, 0] // 60, np.uint8)
        return Segmentation(labels, (Ball(1.0, 2.0, 3.0, 0.5),), (width, height), 1.5)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with four images in its folder ``in``."""
    (tmp_path / 'in').mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / 'in' / f'{index}.png'), np.full((70, 90, 3), 60 * index, np.uint8))
    return tmp_path


def lines_of(folder):
    return [json.loads(line) for line in (folder / 'out' / 'predictions.jsonl').read_text().splitlines()]


def test_each_frame_is_written_once_and_in_order(folder):
    summary = predict_frames(open_frames(folder / 'in'), FakeSegmenter(), folder / 'out')
    assert (summary.frames, summary.missing) == (4, 0)
    assert summary.fps > 0
    lines = lines_of(folder)
    assert [line['name'] for line in lines] == ['0', '1', '2', '3']
    assert lines[0]['ball'] == {'x': 1.0, 'y': 2.0, 'radius': 3.0, 'confidence': 0.5}
    for index in range(4):
        labels = cv2.imread(str(folder / 'out' / 'labels' / f'{index}.png'), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (18, 23)
        assert (labels == index).all()


def test_full_size_labels_have_the_size_of_the_image(folder):
    predict_frames(open_frames(folder / 'in'), FakeSegmenter(), folder / 'out', full_size=True)
    assert cv2.imread(str(folder / 'out' / 'labels' / '1.png'), cv2.IMREAD_UNCHANGED).shape == (70, 90)


def test_a_single_frame_has_no_rate(folder):
    summary = predict_frames(open_frames(folder / 'in' / '0.png'), FakeSegmenter(), folder / 'out')
    assert (summary.frames, summary.fps, summary.engine_fraction) == (1, None, None)


def test_frames_before_a_damaged_image_are_kept(folder):
    (folder / 'in' / '2.png').write_bytes(b'no image')
    with pytest.raises(ImageError, match=r'2\.png'):
        predict_frames(open_frames(folder / 'in'), FakeSegmenter(), folder / 'out')
    assert [line['name'] for line in lines_of(folder)] == ['0', '1']


def test_the_command_reports_frames_and_engine(folder, monkeypatch, capsys):
    monkeypatch.setattr(predict_command.Segmenter, 'from_config', lambda config: FakeSegmenter())
    assert predict_command.main([str(folder / 'in'), '--output', str(folder / 'out')], 'predict') == 0
    assert '4 frames with fake float32 on CPU, model abc' in capsys.readouterr().out


def test_reading_segmenting_and_writing_overlap(folder, monkeypatch):
    """Each of the three waits at a frame until the other two are running."""
    together = threading.Barrier(3, timeout=20)
    source, segmenter = ImageFolder.__iter__, FakeSegmenter()
    calls = {'run': 0, 'write': 0}

    def decoded(self):
        for index, frame in enumerate(source(self)):
            if index == 2:
                together.wait()
            yield frame

    def waiting_at(name, turn, call):
        def called(*arguments):
            calls[name] += 1
            if calls[name] == turn:
                together.wait()
            return call(*arguments)

        return called

    monkeypatch.setattr(ImageFolder, '__iter__', decoded)
    monkeypatch.setattr(segmenter, 'run', waiting_at('run', 2, segmenter.run), raising=False)
    monkeypatch.setattr(PredictionWriter, 'write', waiting_at('write', 1, PredictionWriter.write))
    predict_frames(open_frames(folder / 'in'), segmenter, folder / 'out')
    assert not together.broken
