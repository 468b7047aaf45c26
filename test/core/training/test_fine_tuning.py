"""Fine-tuning from a model: the report of before and after for each venue, also after an interruption."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import (
    ModelRecord,
    load_checkpoint,
    read_training_state,
    save_checkpoint,
)
from minisegnet_core.classes import SOCCER
from minisegnet_core.commands.train import main, make_parser, parse_settings
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.model import MiniSegNet
from minisegnet_core.training.blending import Blend
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.fine_tuning import table
from minisegnet_core.training.trainer import Silence, train
from support.shapes import tiny_training, write_shapes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope='module')
def venues(tmp_path_factory) -> Path:
    """Two halls, each with images to train on and, of other sequences, to validate on."""
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


def test_report_of_before_and_after_for_each_venue(venues, start, tmp_path):
    config = config_for(venues, start, tmp_path / 'run')

    class Stop(Silence):
        def epoch_done(self, row):
            if row.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, reporter=Stop())
    begun = json.loads((tmp_path / 'run' / 'finetune.json').read_text())
    assert 'after' not in begun['all']
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
        assert entry['before'] == begun['groups'][name]['before']
    assert report['all']['after']['mean_iou'] == result.best.mean_iou > report['all']['before']['mean_iou']
    assert report['all']['after']['iou'] == result.best.iou
    for side in ('before', 'after'):
        for kind in ('found', 'missed', 'false'):
            groups = [entry[side]['ball'][kind] for entry in report['groups'].values()]
            assert report['all'][side]['ball'][kind] == sum(groups)


def test_what_is_kept_lies_between_before_and_after_also_after_an_interruption(venues, start, tmp_path):
    def weights(path):
        return load_checkpoint(path)[0].state_dict()

    plain = config_for(venues, start, tmp_path / 'plain')
    plain.stage3 = replace(plain.stage3, epochs=2)
    blended, resumed = (replace(plain, keep=0.75, output=str(tmp_path / name)) for name in ('blended', 'resumed'))

    class Stop(Silence):
        def epoch_done(self, row):
            raise KeyboardInterrupt

    rows = {config.output: train(config).rows for config in (plain, blended)}
    with pytest.raises(KeyboardInterrupt):
        train(resumed, reporter=Stop())
    before, after = weights(start), read_training_state(tmp_path / 'resumed' / 'last.ckpt')['model']
    for name, value in weights(tmp_path / 'resumed' / 'best.safetensors').items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * after[name], rtol=1e-5, atol=1e-6)
    result = train(resumed, resume=True)
    # It trains as ever; what differs is judged and kept.
    assert [r.train_loss for r in rows[plain.output]] == [r.train_loss for r in rows[blended.output]]
    assert [r.val_loss for r in rows[plain.output]] != [r.val_loss for r in rows[blended.output]]
    assert [(r.train_loss, r.val_loss, r.iou) for r in result.rows] == [
        (r.train_loss, r.val_loss, r.iou) for r in rows[blended.output]
    ]
    kept, again = (weights(tmp_path / name / 'best.safetensors') for name in ('blended', 'resumed'))
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_blend_by_hand():
    model = MiniSegNet()
    blend = Blend(model, 0.25)
    name, counter = 'head.2.weight', 'encoder.bn1.num_batches_tracked'
    with torch.no_grad():
        start = model.state_dict()[name].clone()
        model.state_dict()[name].add_(4.0)
        model.state_dict()[counter].fill_(8)
    trained = model.state_dict()[name].clone()
    with blend.applied():
        torch.testing.assert_close(model.state_dict()[name], start + 3.0)
        assert model.state_dict()[counter] == 8
    assert torch.equal(model.state_dict()[name], trained)
    with pytest.raises(ZeroDivisionError), blend.applied():
        raise ZeroDivisionError
    assert torch.equal(model.state_dict()[name], trained)


@pytest.mark.parametrize('keep', [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(venues, start, tmp_path, keep):
    with pytest.raises(ConfigurationError, match=r'keep is .*; it must be 0 to below 1'):
        replace(config_for(venues, start, tmp_path / 'run'), keep=keep).check()


def test_keeping_the_weights_of_no_model_is_refused(venues, start, tmp_path):
    with pytest.raises(ConfigurationError, match=r'init_from'):
        replace(config_for(venues, start, tmp_path / 'run'), keep=0.5, init_from=None).check()


def test_frozen_statistics_stay_to_the_bit_while_weights_move(venues, start, tmp_path):
    config = replace(config_for(venues, start, tmp_path / 'run'), freeze_statistics=True)
    config.stage3 = replace(config.stage3, epochs=1)
    train(config)
    before = load_checkpoint(start)[0].state_dict()
    after = load_checkpoint(tmp_path / 'run' / 'best.safetensors')[0].state_dict()
    statistics = [name for name in before if 'running_' in name or 'num_batches' in name]
    assert len(statistics) == 3 * 23  # 20 of ResNet18, 3 of the decoder
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before['encoder.bn1.weight'], after['encoder.bn1.weight'])


def test_table():
    side = {'mean_iou': 0.5, 'iou': {'ball': None}, 'ball': {'found': 1, 'missed': 2, 'false': 0, 'error_px_p50': None}}
    after = {**side, 'mean_iou': 0.75, 'iou': {'ball': 0.25}}
    entry = {'images': 3, 'before': side, 'after': after}
    assert table({'groups': {'hall': entry}, 'all': {**entry, 'images': 30}}).splitlines() == [
        '      images  mean IoU        ball IoU    balls found/missed/false',
        'hall  3       0.500 -> 0.750  - -> 0.250  1/2/0 -> 1/2/0',
        'all   30      0.500 -> 0.750  - -> 0.250  1/2/0 -> 1/2/0',
    ]


def test_command_prints_the_table(venues, start, tmp_path, capsys):
    options = ['--stage1.epochs', '0', '--stage2.epochs', '0', '--stage3.epochs', '1', '--tensorboard', 'false']
    arguments = ['--data', str(venues), '--init-from', str(start), '--output', str(tmp_path / 'run'), '--workers', '0']
    assert main([*arguments, *options], 'train') == 0
    output = capsys.readouterr().out
    assert 'balls found/missed/false' in output
    assert output.splitlines()[-1] == str(tmp_path / 'run' / 'best.safetensors')


def test_the_recipe_is_a_valid_configuration_and_found_by_its_name(tmp_path, monkeypatch):
    path = ROOT / 'config' / 'finetune.yaml'
    monkeypatch.chdir(tmp_path)
    parser = make_parser('train', '')
    _, config = parse_settings(parser, ['--config', 'finetune.yaml', '--data', 'venue'])
    assert config == parse_settings(parser, [f'--config={path}', '--data', 'venue'])[1]
    assert config == parse_settings(parser, ['--config=finetune.yaml', '--data', 'venue'])[1]
    with pytest.raises(ConfigurationError, match=r'mine\.yaml'):
        parse_settings(parser, ['--config', 'mine.yaml'])
    with pytest.raises(ConfigurationError, match='init_from'):  # the user's to name
        config.check()
    replace(config, init_from='m.safetensors').check()
    assert [stage.epochs for stage in config.stages.values()][:2] == [0, 0]
    assert set(yaml.safe_load(path.read_text())) <= set(vars(TrainConfig()))
