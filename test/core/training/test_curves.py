"""The curves of a run, drawn from its table."""

import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('matplotlib', reason='curves need matplotlib')

from minisegnet_core.commands.curves import main
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.curves import Metrics

TABLE = """\
epoch,stage,resolution,lr,train_loss,val_loss,mean_iou,ball_found,iou_background,iou_ball
0,stage1,half,0.001,1.0,0.9,0.5,1,0.9,0.1
1,stage1,half,0.0001,0.8,0.7,0.9,1,0.9,0.9
2,stage3,full,0.001,0.7,0.6,nan,1,0.9,nan
3,stage3,full,0.001,0.6,0.5,0.7,1,0.9,0.5
4,stage3,full,0.001,0.5,0.5,0.6,1,0.9,0.3
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'metrics.csv').write_text(TABLE)
    return tmp_path


def test_stages_and_the_best_epoch_are_read_from_the_table(run):
    metrics = Metrics.read(run / 'metrics.csv')
    assert metrics.spans == [('stage1, half', -0.5, 1.5), ('stage3, full', 1.5, 4.5)]
    assert metrics.best == 3  # the best at full resolution, not of all epochs
    assert np.isnan(metrics.columns['iou_ball'][2])


def test_the_command_draws_a_run(run, capsys):
    assert main([str(run)], 'curves') == 0
    assert capsys.readouterr().out == f'{run / "curves.png"}\n'
    assert cv2.imread(str(run / 'curves.png')).shape == (880, 1320, 3)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'cannot read .*No such file'),
        (TABLE.splitlines()[0], 'at least one epoch: it has no rows'),
        ('a,b\n1,2\n', 'is not the metrics'),
    ],
)
def test_an_unusable_table_is_reported_by_name(tmp_path, text, message):
    if text is not None:
        (tmp_path / 'metrics.csv').write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        Metrics.read(tmp_path / 'metrics.csv')


def test_the_command_names_matplotlib_if_it_is_missing(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    assert main([str(run)], 'curves') == 2
    assert 'matplotlib' in capsys.readouterr().err
