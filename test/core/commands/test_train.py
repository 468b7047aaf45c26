"""The command train: files and options, short names, samples and smoke runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.commands.train import main, make_parser, training_config
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.settings import plain_values
from minisegnet_core.training.config import TrainConfig

CONFIG = Path(__file__).resolve().parents[3] / 'config'
ONE_STAGE = ['--stage1.epochs', '0', '--stage2.epochs', '0']


def config_of(*arguments: str) -> TrainConfig:
    parser = make_parser('train')
    return training_config(parser, parser.parse_args(arguments))


def test_train_yaml_holds_the_defaults():
    values = yaml.safe_load((CONFIG / 'train.yaml').read_text())
    defaults = plain_values(TrainConfig())
    assert values == {key: value for key, value in defaults.items() if key not in ('data', 'output')}


def test_options_override_a_file_whatever_their_order(tmp_path):
    (tmp_path / 'c.yaml').write_text('stage1: {epochs: 7, lr: 0.5}\nseed: 3\n')
    config = config_of('--stage1.lr', '0.25', '--config', str(tmp_path / 'c.yaml'), '--stage2.lr', 'auto')
    assert (config.stage1.epochs, config.stage1.lr, config.seed, config.stage3.epochs) == (7, 0.25, 3, 35)
    assert config.stage2.lr == 'auto'


def test_finetune_yaml_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ['--data', 'venue', '--init-from', 'm.safetensors']
    config = config_of('--config', 'finetune.yaml', *model)
    assert (
        config
        == config_of(f'--config={CONFIG / "finetune.yaml"}', *model)
        == config_of('--config=finetune.yaml', *model)
    )
    assert [stage.epochs for stage in config.stages.values()] == [0, 0, 10]
    assert set(yaml.safe_load((CONFIG / 'finetune.yaml').read_text())) <= set(plain_values(TrainConfig()))
    with pytest.raises(ConfigurationError, match=r'mine\.yaml'):
        config_of('--config', 'mine.yaml')
    with pytest.raises(ConfigurationError, match=r'finetune\.yaml: keep is 0\.3; it must be 0 without init_from'):
        config_of('--config', 'finetune.yaml', '--data', 'venue')


@pytest.mark.parametrize('name', [*sorted(p.stem for p in CONFIG.glob('model*.yaml')), 'finetune'])
def test_the_other_configurations_of_trainings_are_valid(name):
    config = config_of('--config', str(CONFIG / f'{name}.yaml'), '--data', 'd', '--output', 'o', '--init-from', 'm')
    written = yaml.safe_load((CONFIG / f'{name}.yaml').read_text())
    assert {key: getattr(config.stage3, key) for key in written.get('stage3', {})} == written.get('stage3', {})


def test_help_explains_every_setting(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'], 'minisegnet train')
    assert stop.value.code == 0
    text = ' '.join(capsys.readouterr().out.split())
    assert '--stage2.cycle-epochs X epochs of one triangle (default: 5)' in text


def test_short_names_set_the_only_stage():
    config = config_of(*ONE_STAGE, '--epochs', '3', '--batch-size', '4')
    assert (config.stage3.epochs, config.stage3.batch_size) == (3, 4)


def test_short_names_are_refused_for_several_stages():
    with pytest.raises(ConfigurationError, match=r'--batch-size is for trainings of one stage.*--stage1\.batch-size'):
        config_of('--batch-size', '4')


def test_a_missing_data_set_is_reported_with_the_command_that_makes_one(capsys):
    assert main([], 'minisegnet train') == 2
    assert 'minisegnet synthesize' in capsys.readouterr().err


def test_the_data_set_of_the_options_is_used(tmp_path, capsys):
    assert main(['--encoder-weights', 'none', '--data', str(tmp_path), '--output', str(tmp_path / 'run')], 'train') == 2
    assert 'no dataset.yaml' in capsys.readouterr().err


def test_show_samples_writes_a_sheet_and_trains_nothing(shapes_dataset, tmp_path, capsys):
    pytest.importorskip('torch', reason='training needs PyTorch')
    sheet = tmp_path / 'samples.png'
    arguments = ['--data', str(shapes_dataset), '--output', str(tmp_path / 'run')]
    assert main([*arguments, '--show-samples', str(sheet)], 'train') == 0
    assert capsys.readouterr().out == f'{sheet}\n'
    assert cv2.imread(str(sheet)).shape[1] > 500
    assert not (tmp_path / 'run').exists()


def test_a_smoke_run_uses_the_first_images_of_a_large_data_set(tmp_path, capsys):
    pytest.importorskip('torch', reason='training needs PyTorch')
    from minisegnet_core.checkpoint import load_checkpoint

    with DatasetWriter(tmp_path / 'data') as writer:
        for index in range(40):
            pixels = np.full((64, 64), 3 if index % 2 else 0, np.uint8)
            image = np.repeat(60 * pixels[..., None], 3, axis=2)
            writer.add(f'a{index:02}', image, pixels, split='val' if index < 10 else 'train')
    arguments = ['--smoke', '--data', str(tmp_path / 'data'), '--output', str(tmp_path / 'run'), '--device', 'cpu']
    assert main([*arguments, '--precision', 'float32', '--no-tensorboard', '--no-curves'], 'train') == 0
    record = load_checkpoint(tmp_path / 'run' / 'best.safetensors')[1]
    assert record.training['images'] == {'train': 8, 'val': 4}
    assert not (tmp_path / 'data' / 'cache').exists()
    assert 'best: epoch 2' in capsys.readouterr().out
