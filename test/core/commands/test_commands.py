"""Commands as users type them: help texts, exit codes, and one-sentence errors."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core import cli
from minisegnet_core.errors import ModelError

ROOT = Path(__file__).resolve().parents[3]


@cli.command
def failing(argv, prog):
    raise ModelError('there is no model; make one')


@cli.command
def interrupted(argv, prog):
    raise KeyboardInterrupt


@cli.command
def echoing(argv, prog):
    print(prog, *argv)


def test_errors_are_one_sentence_without_traceback(capsys):
    assert failing([], 'minisegnet predict') == 2
    output = capsys.readouterr()
    assert output.err == 'minisegnet predict: there is no model; make one\n'
    assert not output.out


def test_interrupt_has_its_exit_code(capsys):
    assert interrupted([], 'x') == 130
    assert 'Traceback' not in capsys.readouterr().err


def test_arguments_for_ros_are_left_out(capsys):
    assert echoing(['a', '--ros-args', '-r', '__node:=x', '--', 'b'], 'x') == 0
    assert capsys.readouterr().out == 'x a b\n'
    assert cli.without_ros_arguments(['a', '--ros-args', '-p', 'b:=1']) == ['a']


def test_a_missing_package_is_named_with_the_way_to_get_it(capsys):
    @cli.command
    def training(argv, prog):
        raise ModuleNotFoundError("No module named 'torch'", name='torch')

    @cli.command
    def mistaken(argv, prog):
        raise ModuleNotFoundError("No module named 'minisegnet_core.gone'", name='minisegnet_core.gone')

    assert training([], 'train') == 2
    assert 'pip install "minisegnet_ros[train]"' in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):  # a bug of minisegnet is not reported as a user error
        mistaken([], 'train')


def test_faults_of_files_are_told_in_one_sentence(tmp_path, capsys):
    (tmp_path / 'file').touch()

    @cli.command
    def predict(argv, prog):
        (tmp_path / 'file' / 'labels').mkdir(parents=True)

    @cli.command
    def mistaken(argv, prog):
        raise OSError('no file at all')

    assert predict([], 'predict') == 2
    assert capsys.readouterr().err == f'predict: {tmp_path / "file" / "labels"}: Not a directory\n'
    with pytest.raises(OSError, match='no file at all'):
        mistaken([], 'predict')


def test_a_closed_pipe_is_no_error():
    code = 'import sys; from minisegnet_core.cli import main; sys.exit(main(["--help"]))'
    process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b''
    assert process.wait() == 0


@pytest.fixture
def two_commands(monkeypatch):
    entries = [EntryPoint('echo', f'{__name__}:echoing', cli.COMMAND_GROUP)]
    entries.append(EntryPoint('broken', 'minisegnet_core.no_such_module:main', cli.COMMAND_GROUP))
    monkeypatch.setattr(cli, 'entry_points', lambda group: entries)


def test_program_hands_over(two_commands, capsys):
    assert cli.main(['echo', '--flag', 'value']) == 0
    assert capsys.readouterr().out == 'minisegnet echo --flag value\n'


def test_unknown_command_names_a_near_one(two_commands, capsys):
    assert cli.main(['eco']) == 2
    assert 'did you mean echo?' in capsys.readouterr().err


def test_help_lists_commands_also_those_that_cannot_be_imported(two_commands, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['--help'])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert 'echo ' in text
    assert 'broken           (not installed)' in text
    assert cli.main([]) == 2
    assert 'usage: minisegnet COMMAND' in capsys.readouterr().err


def test_a_command_that_cannot_be_imported_fails_in_one_line(two_commands, capsys):
    assert cli.main(['broken']) == 2
    assert capsys.readouterr().err.startswith('minisegnet broken: ')


def test_the_program_runs_as_a_module():
    command = [sys.executable, '-m', 'minisegnet_core.cli', 'predikt']
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert 'did you mean predict' in result.stderr


def test_evaluate_predict_and_thresholds(shapes_dataset, tmp_path, capsys):
    pytest.importorskip('torch', reason='makes a model')
    import torch

    from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
    from minisegnet_core.classes import SOCCER
    from minisegnet_core.commands.evaluate import main as evaluate
    from minisegnet_core.commands.predict import main as predict
    from minisegnet_core.model import MiniSegNet

    torch.manual_seed(0)
    model = tmp_path / 'm.safetensors'
    save_checkpoint(model, MiniSegNet(), ModelRecord(SOCCER))
    arguments = [str(shapes_dataset), '--model', str(model), '--output', str(tmp_path / 'e')]
    assert evaluate(arguments, 'evaluate') == 0
    report = json.loads((tmp_path / 'e' / 'report.json').read_text())
    assert report['frames'] == 4
    assert sum(map(sum, report['confusion'])) == 4 * 24 * 32
    assert set(report['iou']) == {'background', 'ball', 'line', 'field'}
    assert (tmp_path / 'e' / 'worst.png').is_file()
    assert evaluate([*arguments, '--fail-under', 'mean_iou=0.99'], 'evaluate') == 1
    assert evaluate([*arguments, '--fail-under', 'mean_iou=0'], 'evaluate') == 0
    assert evaluate([*arguments, '--fail-under', 'beauty=1'], 'evaluate') == 2
    assert "no number 'beauty'" in capsys.readouterr().err

    source = shapes_dataset / 'images'
    assert predict([str(source), '--model', str(model), '--output', str(tmp_path / 'p'), '--overlay'], 'predict') == 0
    lines = [json.loads(line) for line in (tmp_path / 'p' / 'predictions.jsonl').read_text().splitlines()]
    assert [line['name'] for line in lines] == [f'{i:03}' for i in range(12)]
    assert (lines[0]['width'], lines[0]['height'], lines[0]['stamp']) == (128, 96, None)
    assert len(list((tmp_path / 'p' / 'labels').glob('*.png'))) == 12
    assert (tmp_path / 'p' / 'overlay.mp4').stat().st_size > 0
    assert predict([str(tmp_path / 'gone'), '--output', str(tmp_path / 'q')], 'predict') == 2
    assert 'gone does not exist' in capsys.readouterr().err
    (tmp_path / 'small').mkdir()
    cv2.imwrite(str(tmp_path / 'small' / 'tiny.png'), np.zeros((20, 30, 3), np.uint8))
    assert predict([str(tmp_path / 'small'), '--model', str(model), '--output', str(tmp_path / 's')], 'predict') == 2
    assert 'frame tiny: the image is 30x20' in capsys.readouterr().err


def test_predict_tells_where_it_runs_instead(shapes_dataset, tmp_path, monkeypatch, capsys):
    pytest.importorskip('torch', reason='makes a model')
    openvino = pytest.importorskip('openvino', reason='it is OpenVINO that falls back')
    from minisegnet_core.commands.predict import main as predict
    from support.exported import exported

    monkeypatch.setattr(openvino.Core, 'available_devices', ['CPU'])
    model = ['--model', str(exported()[1]), '--engine', 'openvino', '--device', 'gpu']
    image = str(shapes_dataset / 'images' / '000.jpg')
    assert predict([image, *model, '--output', str(tmp_path / 'p')], 'predict') == 0
    result = capsys.readouterr()
    assert 'note: OpenVINO finds no GPU here, only CPU; it runs on the CPU' in result.err
    assert ' on CPU, model ' in result.out
