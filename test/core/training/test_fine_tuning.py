"""Fine-tuning from a model: averaged weights, and the report of before and after for each venue."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import (
    ModelRecord,
    load_checkpoint,
    read_training_state,
    save_checkpoint,
)
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands.train import main
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.model import MiniSegNet
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.fine_tuning import WeightAveraging, format_report
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.trainer import train
from support.shapes import tiny_training, write_shapes


@pytest.fixture(scope='module')
def venues(tmp_path_factory) -> Path:
    """Two venues, each with training images and, from other sequences, validation images."""
    root = tmp_path_factory.mktemp('venues')
    return write_shapes(root, lambda index, split: f'{"ab"[index % 2]}-{split}' if index < 11 else None)


@pytest.fixture(scope='module')
def start(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp('start') / 'start.safetensors'
    save_checkpoint(path, MiniSegNet(), ModelRecord(SOCCER))
    return path


def config_for(data, start, output) -> TrainConfig:
    off = StageConfig(epochs=0)
    stage = StageConfig(epochs=3, resolution='full', batch_size=4, lr=2e-3, base_lr=1e-3)
    settings = {'init_from': str(start), 'stage1': off, 'stage2': off, 'stage3': stage}
    return tiny_training(data, output, **settings)


def test_the_report_compares_before_and_after_for_each_venue(venues, start, tmp_path):
    config = config_for(venues, start, tmp_path / 'run')

    class Stop(Silence):
        def epoch_done(self, row):
            if row.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, reporter=Stop())
    interrupted = json.loads((tmp_path / 'run' / 'finetune.json').read_text())
    assert 'after' not in interrupted['all']
    result = train(config, resume=True)
    report = json.loads((tmp_path / 'run' / 'finetune.json').read_text())
    assert result.fine_tuning == report
    assert {name: entry['images'] for name, entry in report['groups'].items()} == {
        'a-val': 2,
        'b-val': 1,
        'no group': 1,
    }
    assert report['all']['images'] == 4
    for name, entry in report['groups'].items():
        assert entry['before'] == interrupted['groups'][name]['before']
    assert report['all']['after']['mean_iou'] == result.best.mean_iou > report['all']['before']['mean_iou']
    assert report['all']['after']['iou'] == result.best.iou
    for side in ('before', 'after'):
        for kind in ('found', 'missed', 'false'):
            groups = [entry[side]['ball'][kind] for entry in report['groups'].values()]
            assert report['all'][side]['ball'][kind] == sum(groups)


def test_saved_weights_are_averaged_with_the_starting_weights_after_an_interruption_too(venues, start, tmp_path):
    def weights(path):
        return load_checkpoint(path)[0].state_dict()

    plain = config_for(venues, start, tmp_path / 'plain')
    plain = replace(plain, stage3=replace(plain.stage3, epochs=2))
    averaged, resumed = (replace(plain, keep=0.75, output=str(tmp_path / name)) for name in ('averaged', 'resumed'))

    class Stop(Silence):
        def epoch_done(self, row):
            raise KeyboardInterrupt

    rows = {config.output: train(config).rows for config in (plain, averaged)}
    with pytest.raises(KeyboardInterrupt):
        train(resumed, reporter=Stop())
    before, after = weights(start), read_training_state(tmp_path / 'resumed' / 'last.ckpt')['model']
    for name, value in weights(tmp_path / 'resumed' / 'best.safetensors').items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * after[name], rtol=1e-5, atol=1e-6)
    result = train(resumed, resume=True)
    # Training is the same; validation and saved weights differ.
    assert [r.train_loss for r in rows[plain.output]] == [r.train_loss for r in rows[averaged.output]]
    assert [r.val_loss for r in rows[plain.output]] != [r.val_loss for r in rows[averaged.output]]
    assert [(r.train_loss, r.val_loss, r.iou) for r in result.rows] == [
        (r.train_loss, r.val_loss, r.iou) for r in rows[averaged.output]
    ]
    kept, again = (weights(tmp_path / name / 'best.safetensors') for name in ('averaged', 'resumed'))
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_averages_agree_with_values_computed_by_hand():
    model = MiniSegNet()
    averaging = WeightAveraging(model, 0.25)
    name, counter = 'head.2.weight', 'encoder.bn1.num_batches_tracked'
    with torch.no_grad():
        start = model.state_dict()[name].clone()
        model.state_dict()[name].add_(4.0)
        model.state_dict()[counter].fill_(8)
    trained = model.state_dict()[name].clone()
    with averaging.applied():
        torch.testing.assert_close(model.state_dict()[name], start + 3.0)
        assert model.state_dict()[counter] == 8
    assert torch.equal(model.state_dict()[name], trained)
    with pytest.raises(ZeroDivisionError), averaging.applied():
        raise ZeroDivisionError
    assert torch.equal(model.state_dict()[name], trained)


@pytest.mark.parametrize('keep', [-0.1, 1.0])
def test_a_fraction_outside_its_limits_is_refused(venues, start, tmp_path, keep):
    with pytest.raises(ConfigurationError, match=r'keep is .*; it must be at least 0 and below 1'):
        replace(config_for(venues, start, tmp_path / 'run'), keep=keep)


def test_keeping_weights_needs_a_starting_model(venues, start, tmp_path):
    with pytest.raises(ConfigurationError, match=r'init_from'):
        replace(config_for(venues, start, tmp_path / 'run'), keep=0.5, init_from=None)


def test_frozen_statistics_do_not_change_while_weights_do(venues, start, tmp_path):
    config = replace(config_for(venues, start, tmp_path / 'run'), freeze_statistics=True)
    config = replace(config, stage3=replace(config.stage3, epochs=1))
    train(config)
    before = load_checkpoint(start)[0].state_dict()
    after = load_checkpoint(tmp_path / 'run' / 'best.safetensors')[0].state_dict()
    statistics = [name for name in before if 'running_' in name or 'num_batches' in name]
    assert len(statistics) == 3 * 23  # 20 layers of ResNet18, 3 of the decoder
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before['encoder.bn1.weight'], after['encoder.bn1.weight'])


def test_the_report_is_formatted_as_a_table():
    side = {'mean_iou': 0.5, 'iou': {'ball': None}, 'ball': {'found': 1, 'missed': 2, 'false': 0, 'error_px_p50': None}}
    after = {**side, 'mean_iou': 0.75, 'iou': {'ball': 0.25}}
    entry = {'images': 3, 'before': side, 'after': after}
    assert format_report({'groups': {'hall': entry}, 'all': {**entry, 'images': 30}}).splitlines() == [
        '      images  mean IoU        ball IoU    balls found/missed/false',
        'hall  3       0.500 -> 0.750  - -> 0.250  1/2/0 -> 1/2/0',
        'all   30      0.500 -> 0.750  - -> 0.250  1/2/0 -> 1/2/0',
    ]


def test_the_command_prints_the_report(venues, start, tmp_path, capsys):
    options = ['--stage1.epochs', '0', '--stage2.epochs', '0', '--stage3.epochs', '1', '--no-tensorboard']
    arguments = ['--data', str(venues), '--init-from', str(start), '--output', str(tmp_path / 'run'), '--workers', '0']
    assert main([*arguments, *options], 'train') == 0
    output = capsys.readouterr().out
    assert 'balls found/missed/false' in output
    assert output.splitlines()[-1] == str(tmp_path / 'run' / 'best.safetensors')
