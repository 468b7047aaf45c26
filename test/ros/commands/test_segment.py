"""The node as a process: its exit codes, signals, and error messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minisegnet_ros.environment import free_domain, private_environment

ROOT = Path(__file__).resolve().parents[3]
NODE = [sys.executable, '-m', 'minisegnet_ros.commands.segment']


@pytest.fixture
def environment() -> dict[str, str]:
    environment = private_environment(free_domain())
    # The child starts outside the source tree and must find the same package.
    environment['PYTHONPATH'] = os.pathsep.join([str(ROOT), environment.get('PYTHONPATH', '')])
    return environment


def node_without_a_model(environment: dict[str, str], folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Return the process of a node that could not configure itself, and its output so far."""
    process = subprocess.Popen(
        [*NODE, '--ros-args', '-p', 'model:=nothing.onnx'],
        env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return process, read_until_configuration_fails(process)


def read_until_configuration_fails(process: subprocess.Popen[str]) -> str:
    output = ''
    while 'cannot configure' not in output:
        line = process.stdout.readline()
        assert line, f'the node ended early: {output}'
        output += line
    return output


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_a_node_without_a_model_stays_and_ends_on_a_signal(environment, sent, tmp_path):
    process, output = node_without_a_model(environment, tmp_path)
    assert 'there is no model file nothing.onnx' in output
    assert process.poll() is None, 'it stays, unconfigured, so that the model can be corrected'
    process.send_signal(sent)
    rest, _ = process.communicate(timeout=60)
    assert 'Traceback' not in output + rest
    assert process.returncode == 0


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_repeated_signals_end_the_node_cleanly(environment, sent, tmp_path):
    """Launch forwards the Ctrl-C that the terminal has sent already, and users repeat it."""
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
        (['--unknown'], 'there is no option --unknown'),
        (['--ros-args', '--log-level', 'nonsense'], 'log level'),
        (['--ros-args', '--params-file', '/nowhere.yaml'], '/nowhere.yaml'),
    ],
)
def test_wrong_arguments_end_the_node_with_one_sentence(environment, arguments, text):
    command = [*NODE, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert text in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_parameter_file_sets_affinity_and_niceness_of_all_threads(environment, tmp_path):
    cpu = max(os.sched_getaffinity(0))
    file = tmp_path / 'parameters.yaml'
    file.write_text(f'/**:\n  ros__parameters: {{cpu_affinity: "{cpu}", nice: 3, model: nothing.onnx}}\n')
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with subprocess.Popen(
        [*NODE, '--ros-args', '--params-file', str(file)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        read_until_configuration_fails(process)
        threads = [int(name) for name in os.listdir(f'/proc/{process.pid}/task')]
        found = {(os.getpriority(os.PRIO_PROCESS, t), tuple(os.sched_getaffinity(t))) for t in threads}
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert len(threads) > 3 and found == {(niceness + 3, (cpu,))}
