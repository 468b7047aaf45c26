"""The LR range test: puts everything back to the bit, reads curves as Smith does, and serves a training."""

import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.context import Setup
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.lr_range import RangeTest, run_range_test, smoothed
from minisegnet_core.training.trainer import Silence, train


def config_for(data, output='unused', **changes) -> TrainConfig:
    stage = StageConfig(epochs=1, batch_size=2, lr='auto')
    off = StageConfig(epochs=0)
    settings = {'stage1': replace(stage, encoder='frozen'), 'stage2': stage, 'stage3': off, 'curves': False, **changes}
    return TrainConfig(
        data=str(data),
        output=str(output),
        encoder_weights='none',
        workers=0,
        lr_range_epochs=1,
        tensorboard=False,
        **settings,
    )


@pytest.mark.parametrize('encoder', ['trained', 'frozen'])
def test_everything_is_put_back_to_the_bit(shapes_dataset, tmp_path, encoder):
    config = config_for(shapes_dataset, freeze_anyway=True)
    setup = Setup(config, open_dataset(config.data), make_fabric(config))
    stage = replace(config.stage1, encoder=encoder)
    data, _ = setup.stage_data(stage, tmp_path)
    parameters = setup.enter_stage(stage)
    before = {key: value.clone() for key, value in setup.model.state_dict().items()}
    random = torch.get_rng_state()
    test = run_range_test(setup, 'stage1', stage, parameters, data, Silence().epoch)
    after = setup.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in setup.model.parameters())
    assert test.rates[0] == 1e-6
    assert np.allclose(np.diff(test.rates), (1e-2 - 1e-6) / 3)
    assert len(test.rates) == len(test.losses) == len(test.accuracies) <= 4


def test_suggestion_on_a_curve_whose_answer_is_known():
    rates = list(np.linspace(1e-6, 1e-2, 400))
    # Accuracy stays low up to 1e-3, rises linearly until 4e-3, stays, and collapses at 8e-3.
    accuracies = [0.3 + 0.6 * min(max((r - 1e-3) / 3e-3, 0), 1) - 0.5 * (r > 8e-3) for r in rates]
    base_lr, lr = RangeTest(rates, [1.0] * 400, accuracies).suggest()
    assert base_lr == pytest.approx(1.3e-3 + 0.2e-3, abs=2e-4)  # 10 % of the rise, and the average's lag
    assert lr == pytest.approx(3.7e-3 + 0.2e-3, abs=2e-4)


@pytest.mark.parametrize('noise', [0.0, 0.03])
def test_suggestion_for_a_network_that_was_trained_before(noise):
    """Once the rates of its first steps were suggested, a millionth, since its accuracy never rises."""
    rates = list(np.linspace(1e-6, 1e-2, 400))
    jitter = np.random.default_rng(0).normal(0, noise, 400)
    # 0.9 from the start; falls from 4e-3 on.
    accuracies = [0.9 - 100 * max(r - 4e-3, 0) + j for r, j in zip(rates, jitter, strict=True)]
    base_lr, lr = RangeTest(rates, [1.0] * 400, accuracies).suggest()
    assert lr == pytest.approx(4e-3, rel=0.15)
    assert base_lr == lr / 4


def test_suggestion_where_the_loss_tells_earlier_than_accuracy():
    """The curves of a real stage 2. Once .0017 were suggested, where the loss had risen: the stage fell back."""
    losses = '.28 .28 .26 .45 .59 .40 .43 .55 .41 .46 .48 .49 .38 .37 .80 1.05 .67 .56 .80 .69 .77 .68 1.03 .52'
    accuracies = (
        '.914 .907 .921 .850 .854 .880 .868 .839 .852 .815 .872 .869 '
        '.883 .890 .742 .769 .789 .785 .699 .727 .785 .828 .726 .827'
    )
    curves = [[float(value) for value in text.split()] for text in (losses, accuracies)]
    base_lr, lr = RangeTest(list(np.linspace(1e-6, 1e-2, 24)), *curves).suggest()
    assert lr == pytest.approx(0.00087, abs=1e-5)
    assert base_lr == lr / 4


def test_base_is_below_the_maximum_also_on_a_flat_curve():
    base_lr, lr = RangeTest([1e-3, 2e-3, 3e-3], [1.0] * 3, [0.5] * 3).suggest()
    assert 0 < base_lr < lr


def test_smoothing_has_no_bias_at_the_start():
    assert smoothed([0.7] * 5).tolist() == pytest.approx([0.7] * 5)


def test_auto_rates_serve_the_training_and_its_resumption(shapes_dataset, tmp_path):
    said = []

    class Listener(Silence):
        def message(self, text):
            said.append(text)

    stage = StageConfig(epochs=2, batch_size=4, lr='auto', policy='fixed')
    changes = {'stage1': stage, 'stage2': StageConfig(epochs=0)}
    whole = train(config_for(shapes_dataset, tmp_path / 'whole', curves=True, **changes), reporter=Listener())
    assert 'stage1: the range test suggests' in said[-1]
    assert whole.rows[0].lr == whole.rows[1].lr
    curves = (tmp_path / 'whole' / 'lr_range_stage1.csv').read_text().splitlines()
    assert curves[0] == 'lr,loss,accuracy' and len(curves) == 3  # eight images, batches of four, one epoch
    if find_spec('matplotlib'):
        assert (tmp_path / 'whole' / 'lr_range_stage1.png').read_bytes().startswith(b'\x89PNG')

    class Stop(Listener):
        epochs = 0

        def epoch_done(self, row):
            raise KeyboardInterrupt

    config = config_for(shapes_dataset, tmp_path / 'cut', **changes)
    with pytest.raises(KeyboardInterrupt):
        train(config, reporter=Stop())
    said.clear()
    train(config, resume=True, reporter=Listener())
    assert not any('suggests' in text for text in said)  # recorded, not measured again
    one, two = (read_training_state(tmp_path / name / 'last.ckpt')['model'] for name in ('whole', 'cut'))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize('lr_range', [[1e-2, 1e-6], [0.0, 1.0], [1e-3]])
def test_wrong_ranges_are_named(shapes_dataset, tmp_path, lr_range):
    with pytest.raises(ConfigurationError, match='lr_range is'):
        train(config_for(shapes_dataset, tmp_path / 'run', lr_range=lr_range))


def test_command_writes_plot_and_curves(shapes_dataset, tmp_path, capsys):
    pytest.importorskip('matplotlib', reason='the plot needs matplotlib')
    from minisegnet_core.commands.lr_range_test import main

    arguments = ['--data', str(shapes_dataset), '--output', str(tmp_path), '--encoder-weights', 'none']
    small = ['--stage2.batch-size', '2', '--lr-range-epochs', '1', '--workers', '0', '--stage', 'stage2']
    assert main([*arguments, *small], 'lr-range-test') == 0
    words = capsys.readouterr().out.split()
    assert words[0] == '--stage2.base_lr'
    assert 0 < float(words[1]) < float(words[3])
    assert (tmp_path / 'lr_range_stage2.png').stat().st_size > 1000
    rows = (tmp_path / 'lr_range_stage2.csv').read_text().splitlines()
    assert rows[0] == 'lr,loss,accuracy'
    assert math.isclose(float(rows[1].split(',')[0]), 1e-6)
    assert main([*arguments, '--stage', 'stage9'], 'lr-range-test') == 2


def test_command_looks_at_the_data_first(tmp_path, capsys, monkeypatch):
    from minisegnet_core.commands import lr_range_test as lr_range_command
    from minisegnet_core.training import context as setup

    with DatasetWriter(tmp_path / 'data') as writer:
        labels = np.full((96, 128), 2, np.uint8)
        writer.add('a', np.zeros((96, 128, 3), np.uint8), labels, split='train')

    def stop(*_):
        raise ConfigurationError('far enough')

    monkeypatch.setattr(setup, 'Setup', stop)
    assert lr_range_command.main(['--data', str(tmp_path / 'data')], 'lr-range-test') == 2
    assert 'no training label shows background, ball, field: the network cannot learn them' in capsys.readouterr().err
    (tmp_path / 'data' / 'labels' / 'a.png').write_bytes(b'no png')
    assert lr_range_command.main(['--data', str(tmp_path / 'data')], 'lr-range-test') == 2
    assert 'a.png' in capsys.readouterr().err
