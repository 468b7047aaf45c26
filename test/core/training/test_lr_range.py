"""The LR range test restores all state exactly, reads curves as Smith does, and supplies the rates of a training."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.context import make_context
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.lr_range import RangeTest, run_range_test, smoothed
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.stage import enter_stage
from minisegnet_core.training.trainer import train


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
def test_weights_and_random_state_are_restored_exactly(shapes_dataset, tmp_path, encoder):
    stage = StageConfig(epochs=1, batch_size=2, lr='auto', encoder=encoder)
    config = config_for(shapes_dataset, stage1=stage, freeze_anyway=encoder == 'frozen')
    context = make_context(config, open_dataset(config.data), make_fabric(config), Silence())
    entered = enter_stage(context, 'stage1', tmp_path, Silence())
    before = {key: value.clone() for key, value in context.model.state_dict().items()}
    random = torch.get_rng_state()
    test = run_range_test(context, entered, Silence())
    after = context.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in context.model.parameters())
    assert test.rates[0] == 1e-6
    assert np.allclose(np.diff(test.rates), (1e-2 - 1e-6) / 3)
    assert len(test.rates) == len(test.losses) == len(test.accuracies) <= 4


def test_rates_of_an_artificial_curve_are_read_where_they_are_known_to_be():
    rates = list(np.linspace(1e-6, 1e-2, 400))
    # Accuracy is low up to 1e-3, rises linearly until 4e-3, is constant, and collapses at 8e-3.
    accuracies = [0.3 + 0.6 * min(max((r - 1e-3) / 3e-3, 0), 1) - 0.5 * (r > 8e-3) for r in rates]
    base_lr, lr = RangeTest(rates, [1.0] * 400, accuracies).suggest()
    assert base_lr == pytest.approx(1.3e-3 + 0.2e-3, abs=2e-4)  # 10 % of the rise, plus the lag of the average
    assert lr == pytest.approx(3.7e-3 + 0.2e-3, abs=2e-4)


@pytest.mark.parametrize('noise', [0.0, 0.03])
def test_a_network_that_was_trained_before_gets_the_rate_before_accuracy_falls(noise):
    """Its accuracy never rises, so the rates of the first steps, about 1e-6, would be read as the rise."""
    rates = list(np.linspace(1e-6, 1e-2, 400))
    jitter = np.random.default_rng(0).normal(0, noise, 400)
    # 0.9 from the start; falling from 4e-3 on.
    accuracies = [0.9 - 100 * max(r - 4e-3, 0) + j for r, j in zip(rates, jitter, strict=True)]
    base_lr, lr = RangeTest(rates, [1.0] * 400, accuracies).suggest()
    assert lr == pytest.approx(4e-3, rel=0.15)
    assert base_lr == lr / 4


def test_the_loss_limits_the_rate_where_it_rises_before_accuracy_falls():
    """Curves of a real stage 2. With 0.0017, where the loss had risen already, the stage lost accuracy."""
    losses = '.28 .28 .26 .45 .59 .40 .43 .55 .41 .46 .48 .49 .38 .37 .80 1.05 .67 .56 .80 .69 .77 .68 1.03 .52'
    accuracies = (
        '.914 .907 .921 .850 .854 .880 .868 .839 .852 .815 .872 .869 '
        '.883 .890 .742 .769 .789 .785 .699 .727 .785 .828 .726 .827'
    )
    curves = [[float(value) for value in text.split()] for text in (losses, accuracies)]
    base_lr, lr = RangeTest(list(np.linspace(1e-6, 1e-2, 24)), *curves).suggest()
    assert lr == pytest.approx(0.00087, abs=1e-5)
    assert base_lr == lr / 4


def test_the_base_rate_is_below_the_maximum_on_a_flat_curve_too():
    base_lr, lr = RangeTest([1e-3, 2e-3, 3e-3], [1.0] * 3, [0.5] * 3).suggest()
    assert 0 < base_lr < lr


def test_smoothing_is_unbiased_at_the_start():
    assert smoothed([0.7] * 5).tolist() == pytest.approx([0.7] * 5)


def test_auto_rates_are_measured_once_and_recorded_for_resumed_runs(shapes_dataset, tmp_path):
    texts = []

    class Listener(Silence):
        def message(self, text):
            texts.append(text)

    stage = StageConfig(epochs=2, batch_size=4, lr='auto', policy='fixed')
    changes = {'stage1': stage, 'stage2': StageConfig(epochs=0)}
    whole = train(config_for(shapes_dataset, tmp_path / 'whole', curves=True, **changes), reporter=Listener())
    assert 'stage1: the range test suggests' in texts[-1]
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
    texts.clear()
    train(config, resume=True, reporter=Listener())
    assert not any('suggests' in text for text in texts)  # recorded, not measured again
    one, two = (read_training_state(tmp_path / name / 'last.ckpt')['model'] for name in ('whole', 'cut'))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize('lr_range', [[1e-2, 1e-6], [0.0, 1.0], [1e-3]])
def test_invalid_ranges_are_refused(shapes_dataset, tmp_path, lr_range):
    with pytest.raises(ConfigurationError, match=r'lr_range(\[0\])? is'):
        train(config_for(shapes_dataset, tmp_path / 'run', lr_range=lr_range))
