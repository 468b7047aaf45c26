"""Live evaluation: a bag through the real node as a process of its own, and its answers against offline ones."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy

from minisegnet_core.ball import Ball
from minisegnet_core.commands.synthesize import main as synthesize
from minisegnet_core.evaluation.run import Threshold
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.resources import models_directory, share_directory
from minisegnet_ros.commands.evaluate_bag import main, make_parser
from minisegnet_ros.live_evaluation import answers_of, node_parameters, same
from minisegnet_ros.parameters import PARAMETERS
from minisegnet_ros.replay import Played, Recording, Replay
from support.bags import BagWriter

ROOT = Path(__file__).resolve().parents[2]

needs_model = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='models/minisegnet.onnx is not here'
)


@pytest.fixture
def bag(tmp_path) -> Path:
    """Plain frames at 5 Hz."""
    with BagWriter(tmp_path / 'bag') as writer:
        for index in range(7):
            image = np.full((96, 128, 3), (30, 120, 40 + index), np.uint8)
            cv2.circle(image, (20 + 12 * index, 50), 10, (255, 90, 0), -1)
            writer.add(image, index * 200_000_000 + 10**9)
    return tmp_path / 'bag'


@needs_model
def test_live_and_offline_agree_on_every_frame_both_answered(tmp_path, monkeypatch, capsys):
    """On a rendered walk, with the recorded ground truth."""
    bag = tmp_path / 'walk'
    drawn = ['--sequence', '--count', '7', '--fps', '5', '--format', 'mcap', '--size', '160x128', '--workers', '1']
    assert synthesize([*drawn, '--output', str(bag)], 'synthesize') == 0
    monkeypatch.chdir(ROOT)
    rclpy.try_shutdown()  # the command makes a context of its own, in another domain
    arguments = [
        str(bag),
        '--live',
        '--rate',
        '0.5',
        '--check-live',
        '--threads',
        '1',
        '--output',
        str(tmp_path / 'out'),
    ]
    try:
        assert main(arguments, 'evaluate-bag') == 0
    finally:
        rclpy.init()
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    answered = report['frames'] - report['dropped']
    assert (report['frames'], report['replay']) == (7, 'live, x0.5')
    assert answered >= 1, 'how many depends on the machine'
    assert report['live_check'] == {'frames': answered, 'equal': answered}
    assert report['problems'] == {'total': 0}
    assert report['frames_with_labels'] == report['ball']['frames_with_truth'] == answered
    assert sum(map(sum, report['full_size']['confusion'])) == answered * 160 * 128
    assert report['latency_ms']['p99'] >= report['latency_ms']['p50'] > 0
    assert report['node']['model hash'] == report['model']['hash']
    assert f'agree on {answered} of the {answered} frames' in capsys.readouterr().out


@needs_model
def test_a_node_that_cannot_start_is_a_named_failure(bag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    rclpy.try_shutdown()
    monkeypatch.setattr('minisegnet_ros.live_evaluation.node_parameters', lambda *_: {'model': 'nothing.onnx'})
    try:
        code = main([str(bag), '--live', '--output', str(tmp_path / 'out')], 'evaluate-bag')
    finally:
        rclpy.init()
    assert code == 2
    assert 'the node cannot start: there is no model file nothing.onnx' in capsys.readouterr().err


def test_answers_go_to_the_frames_of_their_place():
    labels = np.full((2, 3), 3, np.uint8)
    recording = Recording([Played(0, 5, 0.0), Played(2, 5, 0.0, labels, 0.25, (1.0, 2.0, 3.0))])
    answer = answers_of(recording)
    image = np.zeros((8, 12, 3), np.uint8)
    assert answer(SourceFrame(0, 'a', image)) is None, 'dropped'
    assert answer(SourceFrame(1, 'b', image)) is None, 'never played'
    found = answer(SourceFrame(2, 'c', image))
    assert found.label_image is labels and found.latency_ms == 250.0
    assert (found.ball.x, found.ball.y, found.ball.radius) == (1.0, 2.0, 3.0)
    with pytest.raises(KeyboardInterrupt):  # Ctrl-C came before this one was played
        answer(SourceFrame(3, 'd', image))


def test_what_counts_as_the_same_answer():
    def score(value: int, ball: Ball | None) -> FrameScore:
        png = cv2.imencode('.png', np.full((2, 3), value, np.uint8))[1].tobytes()
        return FrameScore('s', 0, 'n', 0, None, (12, 8), True, png, ball, None)

    ball, near, off = Ball(1, 2, 3, 0.9), Ball(1, 2, 3, 0), Ball(1.001, 2, 3, 0.9)
    assert same(score(1, ball), score(1, near)), 'the message holds no confidence'
    assert not same(score(1, ball), score(1, off))
    assert not same(score(1, ball), score(2, ball))
    assert not same(score(1, ball), score(1, None))
    assert same(score(1, None), score(1, None))


def test_the_node_gets_only_parameters_it_has():
    config = SegmenterConfig('m', 'openvino', threads=2)
    image = SourceFrame(0, 'a', np.zeros((48, 64, 3), np.uint8))
    parameters = node_parameters(config, True, image)
    assert set(parameters) <= {p.name for p in PARAMETERS}
    assert (parameters['expected_size'], parameters['image_transport'], parameters['threads']) == (
        '64x48',
        'compressed',
        2,
    )


def launch_file():
    pytest.importorskip('launch_ros')
    path = share_directory() / 'launch' / 'evaluate_bag.launch.py'
    spec = importlib.util.spec_from_file_location('evaluate_bag_launch', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['evaluate_bag_launch'] = module
    spec.loader.exec_module(module)
    return module


def test_launch_arguments_are_options_of_the_command():
    module = launch_file()
    value = {'bag': 'match.mcap', **{name: default for name, (default, _) in module.OPTIONS.items()}}
    value |= dict.fromkeys(module.FLAGS, 'false')
    plain = make_parser('x').parse_args(module.command_line(value))
    assert vars(plain) == vars(make_parser('x').parse_args(['match.mcap', '--output', 'evaluated']))
    samples = {'threads': '2', 'rate': '0.5', 'engine': 'openvino', 'fail_under': 'mean_iou=0.8', 'topic': '/a'}
    value |= {name: samples.get(name, f'some {name}') for name in module.OPTIONS}
    value |= dict.fromkeys(module.FLAGS, 'True')
    full = make_parser('x').parse_args(module.command_line(value))
    assert (full.live, full.check_live, full.overlay, full.write_bag) == (True,) * 4
    assert (full.threads, full.rate, full.topic) == (2, 0.5, ['/a'])
    assert full.fail_under == [Threshold('mean_iou', 0.8)]
    assert full.labels == Path('some labels'), 'a text with spaces stays one argument'


def test_launch_description_declares_what_it_uses():
    module = launch_file()
    from launch.actions import DeclareLaunchArgument

    declared = [e for e in module.generate_launch_description().entities if isinstance(e, DeclareLaunchArgument)]
    assert {e.name for e in declared} == {'bag', *module.OPTIONS, *module.FLAGS}
    assert [e.name for e in declared if e.default_value is None] == ['bag']


@needs_model
def test_ctrl_c_while_playing_leaves_the_report_of_what_was_played(bag, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rclpy.try_shutdown()
    played = []

    def play_three(self, index, image, original=Replay.play):
        if index == 3:
            raise KeyboardInterrupt
        original(self, index, image)
        played.append(index)

    monkeypatch.setattr(Replay, 'play', play_three)
    try:
        assert main([str(bag), '--live', '--threads', '1', '--output', str(tmp_path / 'out')], 'x') == 130
    finally:
        rclpy.init()
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert (played, report['frames'], report['problems']['interrupted']) == ([0, 1, 2], 3, 1)
