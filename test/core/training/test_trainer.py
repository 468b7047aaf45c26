"""The staged training on tiny images: its files, frozen layers, learning rates, and errors."""

import csv
import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from urllib.error import URLError

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import load_checkpoint, read_training_state
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.reduction import class_fractions
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, DatasetError, ModelError, TrainingError
from minisegnet_core.model import MiniSegNet
from minisegnet_core.settings import load_settings, plain_values
from minisegnet_core.training.config import LossConfig, StageConfig, TrainConfig
from minisegnet_core.training.context import repeated
from minisegnet_core.training.losses import weights_from_fractions
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.schedule import learning_rate
from minisegnet_core.training.trainer import train
from support.shapes import tiny_training


class Listener(Silence):
    """Keeps the messages of a training."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)


def small(data, output, **changes) -> TrainConfig:
    frozen = StageConfig(epochs=1, batch_size=4, lr=2e-3, base_lr=2e-4, cycle_epochs=1, encoder='frozen')
    return tiny_training(data, output, **{'stage1': frozen, **changes})


def test_three_stages_write_metrics_curves_and_checkpoints(shapes_dataset, tmp_path):
    result = train(small(shapes_dataset, tmp_path / 'run', curves=True))
    assert [(r.epoch, r.stage, r.resolution) for r in result.rows] == [
        (0, 'stage1', 'half'),
        (1, 'stage2', 'half'),
        (2, 'stage3', 'full'),
    ]
    assert result.best.resolution == 'full'
    rows = list(csv.DictReader((tmp_path / 'run' / 'metrics.csv').open()))
    assert [float(r['mean_iou']) for r in rows] == [r.mean_iou for r in result.rows]
    if find_spec('matplotlib'):
        assert cv2.imread(str(tmp_path / 'run' / 'curves.png')).shape == (880, 1320, 3)
    model, record = load_checkpoint(result.best_checkpoint)
    assert record.classes.names == ('background', 'ball', 'line', 'field')
    assert record.training['validation']['epoch'] == 2
    assert record.training['images'] == {'train': 8, 'val': 4}
    last, _ = load_checkpoint(tmp_path / 'run' / 'last.ckpt')
    for key, value in model.state_dict().items():
        assert torch.equal(value, last.state_dict()[key])


def test_training_reduces_the_loss(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=8, batch_size=4, lr=3e-3, base_lr=1e-3, policy='one_cycle')
    off = replace(stage, epochs=0)
    result = train(small(shapes_dataset, tmp_path / 'run', stage1=off, stage2=stage, stage3=off))
    assert result.best.mean_iou > 0.6
    assert result.rows[-1].train_loss < result.rows[0].train_loss / 2


def test_a_frozen_encoder_does_not_change(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=1, batch_size=4, encoder='frozen')
    off = replace(stage, epochs=0)
    config = small(shapes_dataset, tmp_path / 'run', stage1=stage, stage2=off, stage3=off, freeze_anyway=True, seed=5)
    torch.manual_seed(5)
    before = MiniSegNet().state_dict()  # the trainer seeds in the same way before it builds the network
    result = train(config)
    after = load_checkpoint(result.best_checkpoint)[0].state_dict()
    encoder = [key for key in before if key.startswith('encoder.')]
    assert len(encoder) == 120
    assert all(torch.equal(before[key], after[key]) for key in encoder)
    assert not torch.equal(before['head.2.weight'], after['head.2.weight'])


def test_an_encoder_with_random_weights_is_trained_instead_of_frozen(shapes_dataset, tmp_path):
    listener = Listener()
    stage = StageConfig(epochs=1, batch_size=4, encoder='frozen')
    off = replace(stage, epochs=0)
    result = train(small(shapes_dataset, tmp_path / 'run', stage1=stage, stage2=off, stage3=off), reporter=listener)
    assert 'so it is trained in stage1 instead of frozen' in listener.texts[0]
    torch.manual_seed(0)
    before = MiniSegNet().state_dict()
    after = load_checkpoint(result.best_checkpoint)[0].state_dict()
    assert not torch.equal(before['encoder.conv1.weight'], after['encoder.conv1.weight'])


def test_learning_rates_agree_with_values_computed_by_hand():
    triangular = StageConfig(epochs=4, lr=1.0, base_lr=0.2, policy='triangular', cycle_epochs=2)
    assert [learning_rate(triangular, s, 4) for s in (0, 2, 4, 6, 8)] == pytest.approx([0.2, 0.6, 1.0, 0.6, 0.2])
    assert learning_rate(replace(triangular, policy='fixed'), 7, 4) == 1.0
    one_cycle = replace(triangular, policy='one_cycle', epochs=10)
    rates = [learning_rate(one_cycle, s, 10) for s in range(100)]
    assert rates[0] == 0.2
    assert rates[-1] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert int(np.argmax(rates)) in (29, 30)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'stage1': {'lr': 1e-4, 'base_lr': 1e-3}}, r'stage1\.base_lr is 0\.001'),
        ({'stage2': {'batch_size': 1}}, r'stage2\.batch_size is 1'),
        ({'stage3': {'resolution': 'third'}}, r"stage3\.resolution is 'third'"),
        ({'data': ''}, 'data is'),
        ({'precision': 'float8'}, "precision is 'float8'"),
        ({'class_weights': [1.0, 2.0]}, 'class_weights has 2 numbers'),
        ({'device': 'tpu'}, "device 'tpu'"),
        ({'class_weights': [0.0] * 4}, 'class_weights is'),
        ({'loss': {'cross_entropy': 0.0, 'dice': 0.0}}, r'loss\.cross_entropy is 0'),
        ({'loss': {'dice': -1.0}}, r'loss\.dice is -1'),
        ({'stage1': {'batch_size': 4, 'accumulation': 3}}, r'stage1\.accumulation is 3'),
        ({'stage2': {'batch_size': 16, 'images': 8}}, r'stage2\.images is 8'),
        ({'init_from': 'a.safetensors', 'encoder_weights': 'b.pth'}, r"encoder_weights is 'b\.pth'"),
        ({'stage1': {'encoder': 'trained'}, 'freeze_anyway': True}, 'freeze_anyway is True'),
        ({'repeat': {'photo_': 0}}, r'repeat\.photo_ is 0'),
        ({'seed': 2**64}, r'seed is 18446744073709551616; it must be 0 to'),
    ],
)
def test_wrong_settings_are_reported_by_name_before_a_folder_is_made(shapes_dataset, tmp_path, changes, message):
    values = {**plain_values(small(shapes_dataset, tmp_path / 'run')), **changes}
    with pytest.raises(ConfigurationError, match=message):
        train(load_settings(TrainConfig, values))
    assert not (tmp_path / 'run' / 'last.ckpt').exists()


def test_a_missing_data_set_or_split_is_reported_by_name(shapes_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r'no dataset\.yaml'):
        train(small(tmp_path, tmp_path / 'run'))
    with DatasetWriter(tmp_path / 'empty'):
        pass
    with pytest.raises(DatasetError, match="no images in its split 'train'"):
        train(small(tmp_path / 'empty', tmp_path / 'run'))


def test_damaged_files_are_reported_before_the_first_epoch(shapes_dataset, tmp_path):
    shutil.copytree(shapes_dataset, tmp_path / 'data')
    (tmp_path / 'data' / 'labels' / '002.png').write_bytes(b'no png')
    with pytest.raises(DatasetError, match=r'002\.png'):
        train(small(tmp_path / 'data', tmp_path / 'run'))


def test_unreachable_imagenet_weights_are_reported_with_the_alternatives(shapes_dataset, tmp_path, monkeypatch):
    def offline(*arguments, **options):
        raise URLError('no route to host')

    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'empty'))
    monkeypatch.setattr('torch.hub.urlopen', offline)
    with pytest.raises(ModelError, match=r'no route to host.*--encoder-weights FILE.*--encoder-weights none'):
        train(small(shapes_dataset, tmp_path / 'run', encoder_weights='imagenet'))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_images(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=1, batch_size=4)
    wild = replace(stage, lr=1e30, base_lr=1e30)
    off = replace(stage, epochs=0)
    config = small(shapes_dataset, tmp_path / 'run', stage1=stage, stage2=wild, stage3=off)
    with pytest.raises(TrainingError, match=r'the loss is (nan|inf) at step 1, .* for the images \d{3}\.jpg, .*reduce'):
        train(config)
    assert read_training_state(tmp_path / 'run' / 'last.ckpt')['epoch'] == 0
    state = load_checkpoint(tmp_path / 'run' / 'best.safetensors')[0].state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_network_that_the_last_step_destroyed_is_not_saved(shapes_dataset, tmp_path):
    one_step = StageConfig(epochs=1, batch_size=8, lr=1e30, base_lr=1e30)
    off = replace(one_step, epochs=0)
    with pytest.raises(TrainingError, match='the validation loss is not finite'):
        train(small(shapes_dataset, tmp_path / 'run', stage1=one_step, stage2=off, stage3=off))
    assert not (tmp_path / 'run' / 'last.ckpt').exists()


def test_all_terms_of_the_loss_are_trained_with_class_weights_from_the_data(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=2, batch_size=4, accumulation=2, lr=2e-3, base_lr=1e-3)
    off = replace(stage, epochs=0)
    settings = {'loss': LossConfig(1.0, 0.5, 0.1), 'class_weights': 'auto', 'stage1': off, 'stage2': stage}
    result = train(small(shapes_dataset, tmp_path / 'run', stage3=off, **settings))
    assert result.rows[1].train_loss < result.rows[0].train_loss
    dataset = open_dataset(shapes_dataset)
    expected = weights_from_fractions(class_fractions(dataset.split('train'), dataset.classes))
    assert read_training_state(tmp_path / 'run' / 'last.ckpt')['class_weights'] == expected
    assert max(expected) == expected[1] > 3  # the ball has the fewest pixels


def test_repeated_images_are_used_more_often_and_decoded_once(shapes_dataset, tmp_path):
    data = shutil.copytree(shapes_dataset, tmp_path / 'data', ignore=shutil.ignore_patterns('cache'))
    samples = open_dataset(data).split('train')
    first = samples[0].name
    used = repeated(samples, {'': 2, first: 3}, Silence())
    assert [sample.name for sample in used[:5]] == [first] * 3 + [samples[1].name] * 2
    assert len(used) == 3 + 2 * 7
    listener = Listener()
    stage = StageConfig(epochs=1, batch_size=4)
    off = replace(stage, epochs=0)
    settings = {'stage1': off, 'stage2': off, 'stage3': stage, 'cache_gb': 1.0}
    config = small(data, tmp_path / 'run', repeat={first: 9, 'photo_': 2}, **settings)
    result = train(config, reporter=listener)
    assert load_checkpoint(result.best_checkpoint)[1].training['images'] == {'train': 16, 'val': 4}
    assert 'repeat.photo_: no training image has a name that begins with photo_' in listener.texts
    lines = (data / 'cache' / 'manifest.jsonl').read_text().splitlines()
    assert sum(json.loads(line)[:2] == ['half', first] for line in lines) == 1


def test_an_absent_class_has_no_iou(shapes_dataset, tmp_path):
    shutil.copytree(shapes_dataset, tmp_path / 'data')
    index = tmp_path / 'data' / 'dataset.yaml'
    index.write_text(index.read_text() + 'absent: {ball: field}\n')
    for path in (tmp_path / 'data' / 'labels').glob('*.png'):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(labels == 1, 3, labels))
    (tmp_path / 'data' / 'annotations.jsonl').unlink()
    stage = StageConfig(epochs=1, batch_size=4)
    off = replace(stage, epochs=0)
    row = train(small(tmp_path / 'data', tmp_path / 'run', stage1=off, stage2=stage, stage3=off)).best
    assert np.isnan(row.iou['ball'])
    assert row.mean_iou == pytest.approx(np.mean([row.iou[name] for name in ('background', 'line', 'field')]))


def test_tensorboard_has_the_figures_and_images(shapes_dataset, tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator', reason='needs TensorBoard')
    stage = StageConfig(epochs=2, batch_size=4)
    off = replace(stage, epochs=0)
    result = train(small(shapes_dataset, tmp_path / 'run', stage1=off, stage2=stage, stage3=off, tensorboard=True))
    log = events.EventAccumulator(str(tmp_path / 'run' / 'tensorboard'))
    log.Reload()
    assert [e.step for e in log.Scalars('iou/mean')] == [0, 1]
    assert [e.value for e in log.Scalars('iou/mean')] == pytest.approx([r.mean_iou for r in result.rows], rel=1e-6)
    assert [e.value for e in log.Scalars('loss/train')] == pytest.approx([r.train_loss for r in result.rows], rel=1e-6)
    image = log.Images('image, ground truth, prediction')[1]
    sheet = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (image.height, image.width, 3)
    assert image.width == 3 * 320 + 4 * 4  # image, ground truth, prediction
    assert image.height == 4 * (240 + 18 + 4) + 4  # four validation images
