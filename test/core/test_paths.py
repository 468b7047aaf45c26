"""Paths mean the same in options, in settings files and in Python: ~ is the home folder, others are relative."""

import numpy as np
import pytest
import yaml

from minisegnet_core.commands.parser import path
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that holds a data set."""
    monkeypatch.setenv('HOME', str(tmp_path))
    with DatasetWriter(tmp_path / 'scenes') as writer:
        for index, split in enumerate(('train', 'train', 'val')):
            labels = np.full((64, 96), index, np.uint8)
            writer.add(str(index), np.full((64, 96, 3), 80, np.uint8), labels, split=split)
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')
    return tmp_path


def test_an_option_expands_the_home_folder_behind_an_equals_sign(home):
    assert path('~/scenes') == home / 'scenes'


@pytest.mark.parametrize('name', ['~/scenes', '../scenes'])
def test_a_data_set_is_found_by_every_kind_of_path(home, name):
    assert len(open_dataset(name).split('train')) == 2


@pytest.mark.parametrize('origin', ['file', 'option'])
def test_settings_in_files_and_options_expand_the_home_folder(home, origin, capsys):
    pytest.importorskip('torch')
    from minisegnet_core.commands.train import main

    values = {'data': '~/scenes', 'output': '~/run'}
    stages = {f'stage{n}': {'epochs': 1 if n == 3 else 0, 'batch_size': 2} for n in (1, 2, 3)}
    common = {'encoder_weights': 'none', 'width_mult': 0.25, 'workers': 0, 'curves': False, 'tensorboard': False}
    if origin == 'option':
        arguments = [f'--{key}={value}' for key, value in values.items()]
        content = {**common, **stages}
    else:
        arguments, content = [], {**common, **stages, **values}
    (home / 'train.yaml').write_text(yaml.safe_dump(content))
    assert main(['--config', '~/train.yaml', *arguments], 'minisegnet train') == 0, capsys.readouterr().err
    assert (home / 'run' / 'best.safetensors').is_file()
    assert not list((home / 'work').iterdir())
