"""The demo from end to end: a bag played to the node, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.resources import models_directory
from minisegnet_ros.commands import demo
from support.bags import BagWriter

ROOT = Path(__file__).resolve().parents[3]

needs_model = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='models/minisegnet.onnx is not here'
)


@pytest.fixture
def bag(tmp_path) -> Path:
    """Six images at 10 Hz, then a pause of a minute, then two images of the same stamp."""
    stamps = [index * 10**8 for index in range(6)] + [60 * 10**9, 60 * 10**9]
    with BagWriter(tmp_path / 'bag') as writer:
        for index, stamp in enumerate(stamps):
            image = np.full((96, 128, 3), (30, 120, 40 + index), np.uint8)
            cv2.circle(image, (40 + 4 * index, 50), 10, (255, 90, 0), -1)
            writer.add(image, stamp)
    return tmp_path / 'bag'


@needs_model
def test_the_demo_plays_a_bag_and_writes_three_files(bag, tmp_path, monkeypatch, capsys, without_context):
    monkeypatch.chdir(ROOT)
    output = tmp_path / 'out'
    # At half speed, so that a busy machine too answers most images.
    assert demo.main(['--bag', str(bag), '--output', str(output), '--rate', '0.5'], 'demo') == 0
    report = json.loads((output / 'report.json').read_text())
    assert report['frames_in'] == 8
    assert report['frames_out'] + report['dropped'] == 8
    assert report['frames_out'] >= 4
    assert report['latency_ms_p95'] >= report['latency_ms_p50'] > 0
    assert report['engine'] in ('openvino', 'onnxruntime') and len(report['model_hash']) == 12
    assert report['duration_s'] < 60, 'the pause of a minute is shortened'
    assert cv2.imread(str(output / 'sheet.png')) is not None
    capture = cv2.VideoCapture(str(output / 'overlay.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little') in (b'vp09', b'VP90')
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == 8
    printed = capsys.readouterr().out
    for name in ('report.json', 'overlay.mp4', 'sheet.png'):
        assert str(output / name) in printed


def test_the_demo_reports_why_the_node_cannot_start(bag, tmp_path, monkeypatch, capsys, without_context):
    monkeypatch.chdir(ROOT)
    arguments = ['--bag', str(bag), '--output', str(tmp_path / 'out'), '--network-size', 'native']
    assert demo.main([*arguments, '--model', 'minisegnet.onnx', '--engine', 'torch'], 'demo') == 2
    assert demo.main([*arguments, '--model', 'nothing.onnx'], 'demo') == 2
    errors = capsys.readouterr().err
    assert 'demo: the node cannot start: the engine torch does not read minisegnet.onnx' in errors
    assert 'demo: there is no model file nothing.onnx' in errors


@pytest.mark.parametrize(('path', 'text'), [('nowhere', 'there is no ROS bag'), ('', 'rate')])
def test_the_demo_rejects_wrong_arguments(tmp_path, path, text, capsys):
    arguments = ['--bag', str(tmp_path / path), '--output', str(tmp_path / 'o')]
    if not path:
        with pytest.raises(SystemExit):
            demo.main([*arguments, '--rate', '0'], 'demo')
    else:
        assert demo.main(arguments, 'demo') == 2
    assert text in capsys.readouterr().err


def test_the_network_size_is_chosen_unless_it_is_given(tmp_path):
    chosen = demo.parse(['--output', str(tmp_path)], 'demo')
    assert chosen.choose_network_size and chosen.rate == 1.0 and chosen.bag is None
    given = demo.parse(['--network-size', 'half', '--threads', '2', '--engine', 'openvino'], 'demo')
    assert not given.choose_network_size
    assert (given.model.network_size, given.model.threads, given.model.engine) == ('half', 2, 'openvino')
