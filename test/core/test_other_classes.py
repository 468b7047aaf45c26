"""Classes without ball and line, from training to export: nothing that is printed or written speaks of the two."""

import re
from importlib import import_module
from importlib.metadata import entry_points

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_core.cli import COMMAND_GROUP
from minisegnet_core.data.writer import DatasetWriter

COMMANDS = {entry.name: entry.module for entry in entry_points(group=COMMAND_GROUP)}
CLASSES = ClassSet(
    (
        SegmentationClass('sky', (0, 0, 200)),
        SegmentationClass('road', (90, 90, 90)),
        SegmentationClass('car', (9, 9, 9)),
    )
)
ROLES = re.compile(r'\b(ball|balls|line|lines|ball_\w+|balls_\w+|boundary|nan)\b', re.IGNORECASE)
STAGES = ['--stage1.epochs', '1', '--stage2.epochs', '0', '--stage3.epochs', '0', '--batch-size', '4']
SETTINGS = ['--workers', '0', '--device', 'cpu', '--precision', 'float32', '--cache-gb', '0']


def named(text):
    """Return the words of a text that are about balls or lines; code and markup of HTML do not count."""
    text = re.sub(r'<(style|svg)\b.*?</\1>', '', text, flags=re.DOTALL)
    return sorted({match.group() for match in ROLES.finditer(re.sub(r'<[^>]*>', ' ', text))})


def write_streets(root, balls=None):
    with DatasetWriter(root, CLASSES) as writer:
        for index in range(12):
            labels = np.zeros((96, 128), np.uint8)
            labels[40 + index :] = 1
            labels[60:80, 20 + 4 * index : 60 + 4 * index] = 2
            split = 'train' if index < 8 else 'val'
            image = np.array([(90, 120, 240), (110, 110, 110), (200, 30, 30)], np.uint8)[labels]
            writer.add(f'{index:03}', image, labels, split=split, group=split, balls=balls)
    return root


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """Return a folder with a data set, images, and a trained model."""
    folder = tmp_path_factory.mktemp('streets')
    data = write_streets(folder / 'data')
    assert (
        run('train', '--data', data, '--output', folder / 'run', '--encoder-weights', 'none', *STAGES, *SETTINGS) == 0
    )
    return folder


def run(command, *arguments):
    return import_module(COMMANDS[command]).main([str(argument) for argument in arguments], f'minisegnet {command}')


def test_training_speaks_of_the_classes_that_exist(workspace, capfd):
    model = workspace / 'run' / 'best.safetensors'
    assert run(
        'train', '--data', workspace / 'data', '--output', workspace / 'tuned', '--init-from', model, *STAGES, *SETTINGS
    ) == 0  # fmt: skip
    out, err = capfd.readouterr()
    assert named(out) == named(err) == []
    assert 'class weights from the data: sky 1.' in err
    assert re.search(r'mean IoU \d\.\d+ \(sky \d\.\d+ road \d\.\d+ car \d\.\d+\)\n', out)
    for name in ('metrics.csv', 'finetune.json'):
        assert named((workspace / 'tuned' / name).read_text()) == []
    table = (workspace / 'tuned' / 'metrics.csv').read_text()
    assert table.splitlines()[0].endswith('iou_sky,iou_road,iou_car')
    assert 'iou_ball' not in table


@pytest.mark.parametrize('source', ['data', 'data/images'])
def test_the_evaluation_speaks_of_the_classes_that_exist(workspace, capfd, source, tmp_path):
    arguments = (workspace / source, '--model', workspace / 'run' / 'best.safetensors', '--output', tmp_path / 'e')
    compared = ('--compare', workspace / 'run' / 'last.ckpt', '--write-bag', '--overlay')
    assert run('evaluate', *arguments, *compared) == 0
    out, err = capfd.readouterr()
    assert named(out) == named(err) == []
    for name in ('report.html', 'report.json', 'report.csv'):
        assert named((tmp_path / 'e' / name).read_text()) == [], name


def test_a_gate_on_a_figure_of_balls_is_refused(workspace, capfd, tmp_path):
    arguments = (workspace / 'data', '--model', workspace / 'run' / 'best.safetensors', '--output', tmp_path / 'e')
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(run('evaluate', *arguments, '--fail-under', 'ball.f1=0.5'))
    assert stop.value.code == 2
    assert "the report has no number 'ball.f1'" in capfd.readouterr().err


def test_annotated_balls_are_reported_as_unused(workspace, capfd, tmp_path):
    data = write_streets(tmp_path / 'data', [BallTruth(30.0, 70.0, 9.0, 1.0, 30.0, 70.0)])
    model = workspace / 'run' / 'best.safetensors'
    assert run('evaluate', data, '--model', model, '--output', tmp_path / 'e') == 0
    assert '4 x annotation of balls is not used: the model has no class ball' in capfd.readouterr().out


def test_predictions_hold_no_balls(workspace, capfd, tmp_path):
    model = workspace / 'run' / 'best.safetensors'
    assert run('predict', workspace / 'data' / 'images', '--model', model, '--output', tmp_path / 'p') == 0
    out, err = capfd.readouterr()
    assert named(out) == named(err) == named((tmp_path / 'p' / 'predictions.jsonl').read_text()) == []


def test_the_export_speaks_of_the_classes_that_exist(workspace, capfd, tmp_path):
    model = workspace / 'run' / 'best.safetensors'
    images = workspace / 'data' / 'images'
    assert run('export', model, '--output', tmp_path / 'm.onnx', '--check-images', images) == 0
    out, err = capfd.readouterr()
    assert named(out) == named(err) == []
    for engine in ('openvino', 'onnxruntime'):
        if pytest.importorskip(engine):
            output = tmp_path / engine
            assert run('predict', images, '--model', tmp_path / 'm.onnx', '--engine', engine, '--output', output) == 0
            labels = cv2.imread(str(output / 'labels' / '000.png'), cv2.IMREAD_UNCHANGED)
            assert labels.shape == (24, 32) and labels.max() < len(CLASSES)
