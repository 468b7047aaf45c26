"""The node as a process of its own: its exit codes, its last words, and a bag played to it from end to end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy

from minisegnet_core.frames.bag import BagImages
from minisegnet_core.resources import models_directory
from minisegnet_ros.commands import demo
from minisegnet_ros.environment import free_domain, large_images_environment, private_environment
from minisegnet_ros.node_process import NodeError, NodeProcess
from minisegnet_ros.replay import ASSUMED_PERIOD, LONGEST_GAP, Replay, pause
from support.bags import BagWriter

ROOT = Path(__file__).resolve().parents[2]
NODE = [sys.executable, '-m', 'minisegnet_ros.commands.segment']

needs_model = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='models/minisegnet.onnx is not here'
)


@pytest.fixture
def environment() -> dict[str, str]:
    environment = private_environment(free_domain())
    # The child is not started in the source tree: it must find the package the way we did.
    environment['PYTHONPATH'] = os.pathsep.join([str(ROOT), environment.get('PYTHONPATH', '')])
    return environment


@pytest.fixture
def bag(tmp_path) -> Path:
    """Six frames at 10 Hz, then a pause of a minute, then two of the same stamp."""
    stamps = [index * 10**8 for index in range(6)] + [60 * 10**9, 60 * 10**9]
    with BagWriter(tmp_path / 'bag') as writer:
        for index, stamp in enumerate(stamps):
            image = np.full((96, 128, 3), (30, 120, 40 + index), np.uint8)
            cv2.circle(image, (40 + 4 * index, 50), 10, (255, 90, 0), -1)
            writer.add(image, stamp)
    return tmp_path / 'bag'


def node_without_a_model(environment: dict[str, str], folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The node's process once it has said that it cannot configure, and what it has said so far."""
    process = subprocess.Popen(
        [*NODE, '--ros-args', '-p', 'model:=nothing.onnx'],
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output = ''
    while 'cannot configure' not in output:
        line = process.stdout.readline()
        assert line, f'the node ended early: {output}'
        output += line
    return process, output


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_ends_in_good_order_and_lives_without_a_model(environment, sent, tmp_path):
    process, output = node_without_a_model(environment, tmp_path)
    assert 'there is no model file nothing.onnx' in output
    assert process.poll() is None, 'it stays, unconfigured, so that the model can be mended'
    process.send_signal(sent)
    rest, _ = process.communicate(timeout=60)
    assert 'Traceback' not in output + rest
    assert process.returncode == 0


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_is_ended_more_than_once(environment, sent, tmp_path):
    """As by launch on top of the terminal's Ctrl-C, or by somebody without patience."""
    process, output = node_without_a_model(environment, tmp_path)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() < began + 60:
        process.send_signal(sent)
        time.sleep(0.003)
    rest, _ = process.communicate(timeout=60)
    assert 'Traceback' not in output + rest
    assert process.returncode == 0


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--ros-args', '-p', 'max_rate:=-3'], 'max_rate must be 0 to 1000 Hz'),
        (['--ros-args', '-p', 'engine:=magic'], 'engine must be one of'),
        (['--unknown'], 'unrecognized arguments'),
        (['--ros-args', '--log-level', 'nonsense'], 'log level'),
        (['--ros-args', '--params-file', '/nowhere.yaml'], '/nowhere.yaml'),
    ],
)
def test_wrong_arguments_end_it_with_one_sentence(environment, arguments, text):
    command = [*NODE, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert text in result.stderr
    assert 'Traceback' not in result.stderr


def test_runs_where_and_how_it_is_told(environment, tmp_path):
    """From a parameter file: on one CPU, giving way; all its threads."""
    cpu = max(os.sched_getaffinity(0))
    file = tmp_path / 'parameters.yaml'
    file.write_text(f'/**:\n  ros__parameters: {{cpu_affinity: "{cpu}", nice: 3, model: nothing.onnx}}\n')
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with subprocess.Popen(
        [*NODE, '--ros-args', '--params-file', str(file)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        output = ''
        while 'cannot configure' not in output:
            line = process.stdout.readline()
            assert line, f'the node ended early: {output}'
            output += line
        threads = [int(name) for name in os.listdir(f'/proc/{process.pid}/task')]
        found = {(os.getpriority(os.PRIO_PROCESS, t), tuple(os.sched_getaffinity(t))) for t in threads}
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert len(threads) > 3 and found == {(niceness + 3, (cpu,))}


@needs_model
def test_demo_plays_a_bag_and_writes_its_three_files(bag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    rclpy.try_shutdown()  # the demo makes a context of its own, in another domain
    try:
        output = tmp_path / 'out'
        # At half speed, so that a busy machine answers most frames too.
        assert demo.main(['--bag', str(bag), '--output', str(output), '--rate', '0.5'], 'demo') == 0
    finally:
        rclpy.init()
    report = json.loads((output / 'report.json').read_text())
    assert report['frames_in'] == 8
    assert report['frames_out'] + report['dropped'] == 8
    assert report['frames_out'] >= 4
    assert report['latency_ms_p95'] >= report['latency_ms_p50'] > 0
    assert report['engine'] in ('openvino', 'onnxruntime') and len(report['model_hash']) == 12
    assert report['duration_s'] < 60, 'the pause of a minute, two at this speed, is shortened'
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


def test_demo_says_why_the_node_cannot_start(bag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    rclpy.try_shutdown()
    arguments = ['--bag', str(bag), '--output', str(tmp_path / 'out'), '--network-size', 'native']
    try:
        code = demo.main([*arguments, '--model', 'minisegnet.onnx', '--engine', 'torch'], 'demo')
        assert demo.main([*arguments, '--model', 'nothing.onnx'], 'demo') == 2
    finally:
        rclpy.init()
    assert code == 2
    told = capsys.readouterr().err
    assert 'demo: the node cannot start: the engine torch does not read minisegnet.onnx' in told
    assert 'demo: there is no model file nothing.onnx' in told


def test_death_of_the_node_is_told_with_its_last_words(monkeypatch):
    monkeypatch.chdir(ROOT)
    with NodeProcess(free_domain(), {}, {'max_rate': -1.0}) as node:
        deadline = time.monotonic() + 120
        with pytest.raises(NodeError, match=r'exit code 2; it said last:\n.*max_rate must be 0 to 1000'):
            while time.monotonic() < deadline:
                node.check()
                time.sleep(0.05)


@pytest.mark.parametrize(('path', 'text'), [('nowhere', 'there is no ROS bag'), ('', 'rate')])
def test_demo_refuses_wrong_arguments(tmp_path, path, text, capsys):
    arguments = ['--bag', str(tmp_path / path), '--output', str(tmp_path / 'o')]
    if not path:
        with pytest.raises(SystemExit):
            demo.main([*arguments, '--rate', '0'], 'demo')
    else:
        assert demo.main(arguments, 'demo') == 2
    assert text in capsys.readouterr().err


def testpauses(bag):
    messages = list(BagImages(bag).messages())
    pauses = [pause(*pair) for pair in itertools.pairwise(messages)]
    np.testing.assert_allclose(pauses[:5], 0.1)
    assert pauses[5:] == [LONGEST_GAP, ASSUMED_PERIOD]


def test_answers_go_to_the_images_of_their_stamp():
    """Repeated and zero stamps, balls before and after their labels, answers to nobody."""
    from geometry_msgs.msg import PointStamped
    from sensor_msgs.msg import Image

    from minisegnet_core.frames.bag import BagImage
    from minisegnet_ros.conversions import image_message

    def image(stamp: int) -> BagImage:
        return BagImage(0, stamp, 'camera', False, 'mono8', 4, 4, 4, 0, np.zeros(16, np.uint8))

    def labels(stamp: int, value: int) -> Image:
        message = image_message(np.full((1, 1), value, np.uint8), 'mono8', Image().header)
        message.header.stamp.nanosec = stamp
        return message

    replay = Replay(compressed=False)
    for index, stamp in enumerate((0, 5, 5, 7)):
        replay.play(index, image(stamp))
    ball = PointStamped()
    ball.header.stamp.nanosec = 5
    ball.point.x = 3.0
    replay._record_ball(ball)
    for stamp, value in ((5, 1), (0, 2), (99, 3), (5, 4), (5, 5)):
        replay._record_labels(labels(stamp, value))
    frames = replay.recording.frames
    assert [None if f.labels is None else int(f.labels[0, 0]) for f in frames] == [2, 1, 4, None]
    assert [f.ball for f in frames] == [None, (3.0, 0.0, 0.0), None, None]
    assert not replay.complete and len(replay.recording.answered) == 3
    replay.destroy_node()


def test_environment_of_processes(monkeypatch):
    monkeypatch.setenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', '1')
    monkeypatch.setenv('LD_LIBRARY_PATH', os.pathsep.join([f'{sys.prefix}/lib/wheel.libs', '/elsewhere']))
    environment = private_environment(42)
    assert '_ROS_WHEELS_BOOTSTRAP_COMPLETE' not in environment
    assert environment['LD_LIBRARY_PATH'] == '/elsewhere', "the wheels' libraries are theirs, a workspace's stay"
    monkeypatch.setenv('LD_LIBRARY_PATH', f'{sys.prefix}/lib/wheel.libs')
    assert 'LD_LIBRARY_PATH' not in private_environment(42)
    assert (environment['ROS_DOMAIN_ID'], environment['ROS_AUTOMATIC_DISCOVERY_RANGE']) == ('42', 'LOCALHOST')
    monkeypatch.setenv('LD_LIBRARY_PATH', '/elsewhere')
    monkeypatch.delenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE')
    assert private_environment(42)['LD_LIBRARY_PATH'] == '/elsewhere', "a sourced ROS 2's libraries stay"


def test_profile_is_set_only_where_the_user_has_none(monkeypatch):
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    ((name, path),) = large_images_environment().items()
    assert name.startswith('FAST') and Path(path).is_file()
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert large_images_environment() == {}
