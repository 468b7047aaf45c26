"""The command lr-range-test: its files, the options it prints, and its check of the data."""

import math

import numpy as np
import pytest

pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.commands.lr_range_test import main
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training import lr_range


def test_the_command_writes_curves_and_prints_options(shapes_dataset, tmp_path, capsys):
    pytest.importorskip('matplotlib', reason='the plot needs matplotlib')
    arguments = ['--data', str(shapes_dataset), '--output', str(tmp_path), '--encoder-weights', 'none']
    small = ['--stage2.batch-size', '2', '--lr-range-epochs', '1', '--workers', '0', '--stage', 'stage2']
    assert main([*arguments, *small], 'lr-range-test') == 0
    words = capsys.readouterr().out.split()
    assert words[0::2] == ['--stage2.base-lr', '--stage2.lr', str(tmp_path / 'lr_range_stage2.png')]
    assert 0 < float(words[1]) < float(words[3])
    assert (tmp_path / 'lr_range_stage2.png').stat().st_size > 1000
    rows = (tmp_path / 'lr_range_stage2.csv').read_text().splitlines()
    assert rows[0] == 'lr,loss,accuracy'
    assert math.isclose(float(rows[1].split(',')[0]), 1e-6)


def test_a_stage_that_does_not_exist_or_has_no_epochs_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--data', str(tmp_path), '--stage', 'stage9'], 'lr-range-test')
    assert stop.value.code == 2
    assert 'did you mean stage' in capsys.readouterr().err
    assert main(['--data', str(tmp_path), '--stage', 'stage2', '--stage2.epochs', '0'], 'lr-range-test') == 2
    assert 'stage2 has no epochs' in capsys.readouterr().err


def test_the_command_checks_the_data_first(tmp_path, capsys, monkeypatch):
    with DatasetWriter(tmp_path / 'data') as writer:
        labels = np.full((96, 128), 2, np.uint8)
        writer.add('a', np.zeros((96, 128, 3), np.uint8), labels, split='train')

    def stop(*_):
        raise ConfigurationError('far enough')

    monkeypatch.setattr(lr_range, 'make_context', stop)
    assert main(['--data', str(tmp_path / 'data')], 'lr-range-test') == 2
    assert 'no training label shows background, ball, field: the network cannot learn them' in capsys.readouterr().err
    (tmp_path / 'data' / 'labels' / 'a.png').write_bytes(b'no png')
    assert main(['--data', str(tmp_path / 'data')], 'lr-range-test') == 2
    assert 'a.png' in capsys.readouterr().err
