"""The staged training on tiny pictures: frozen means frozen, resuming repeats, smoke runs through."""

import csv
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import load_checkpoint, read_training_state  # noqa: E402
from minisegnet_core.config import StageConfig, TrainConfig  # noqa: E402
from minisegnet_core.data.dataset import DatasetWriter  # noqa: E402
from minisegnet_core.errors import ConfigurationError, DatasetError  # noqa: E402
from minisegnet_core.model import MiniSegNet  # noqa: E402
from minisegnet_core.training import trainer  # noqa: E402
from minisegnet_core.training.schedule import learning_rate  # noqa: E402
from minisegnet_core.training.trainer import train  # noqa: E402


def small(data, output, **changes) -> TrainConfig:
    stage = StageConfig(epochs=1, batch_size=4, lr=2e-3, base_lr=2e-4, cycle_epochs=1)
    config = TrainConfig(
        data=str(data),
        output=str(output),
        encoder_weights='none',
        stage1=replace(stage, encoder='frozen'),
        stage2=stage,
        stage3=replace(stage, resolution='full'),
        workers=0,
        precision='float32',
        device='cpu',
    )
    return replace(config, **changes)


def test_three_stages_write_what_they_promise(shapes_dataset, tmp_path):
    result = train(small(shapes_dataset, tmp_path / 'run'))
    assert [(r.epoch, r.stage, r.resolution) for r in result.rows] == [
        (0, 'stage1', 'half'),
        (1, 'stage2', 'half'),
        (2, 'stage3', 'full'),
    ]
    assert result.best.resolution == 'full'
    rows = list(csv.DictReader((tmp_path / 'run' / 'metrics.csv').open()))
    assert [float(r['mean_iou']) for r in rows] == [r.mean_iou for r in result.rows]
    model, record = load_checkpoint(result.best_checkpoint)
    assert record.classes.names == ('background', 'ball', 'line', 'field')
    assert record.training['validation']['epoch'] == 2
    assert record.training['images'] == {'train': 8, 'val': 4}
    last, _ = load_checkpoint(tmp_path / 'run' / 'last.ckpt')
    for key, value in model.state_dict().items():
        assert torch.equal(value, last.state_dict()[key])


def test_it_learns(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=12, batch_size=4, lr=3e-3, base_lr=1e-3, policy='one_cycle')
    off = replace(stage, epochs=0)
    result = train(small(shapes_dataset, tmp_path / 'run', stage1=off, stage2=stage, stage3=off))
    assert result.best.mean_iou > 0.6
    assert result.rows[-1].train_loss < result.rows[0].train_loss / 2


def test_frozen_encoder_does_not_move_by_a_bit(shapes_dataset, tmp_path):
    stage = StageConfig(epochs=1, batch_size=4, encoder='frozen')
    off = replace(stage, epochs=0)
    config = small(shapes_dataset, tmp_path / 'run', stage1=stage, stage2=off, stage3=off, freeze_anyway=True, seed=5)
    torch.manual_seed(5)
    before = MiniSegNet().state_dict()  # the trainer seeds the same way before it builds the network
    result = train(config)
    after = load_checkpoint(result.best_checkpoint)[0].state_dict()
    encoder = [key for key in before if key.startswith('encoder.')]
    assert len(encoder) == 120
    assert all(torch.equal(before[key], after[key]) for key in encoder)
    assert not torch.equal(before['head.2.weight'], after['head.2.weight'])


def test_freezing_random_weights_is_refused_with_a_word(shapes_dataset, tmp_path):
    said = []

    class Listener(trainer.Silence):
        def message(self, text):
            said.append(text)

    stage = StageConfig(epochs=1, batch_size=4, encoder='frozen')
    off = replace(stage, epochs=0)
    result = train(small(shapes_dataset, tmp_path / 'run', stage1=stage, stage2=off, stage3=off), reporter=Listener())
    assert 'pointless' in said[0]
    torch.manual_seed(0)
    before = MiniSegNet().state_dict()
    after = load_checkpoint(result.best_checkpoint)[0].state_dict()
    assert not torch.equal(before['encoder.conv1.weight'], after['encoder.conv1.weight'])


class StopAfter(trainer.Silence):
    """Interrupts in the middle of an epoch, as kill or Ctrl-C would."""

    def __init__(self, steps):
        self.steps = steps

    def epoch(self, name, steps):
        listener = self

        class Watch:
            def __enter__(self):
                def on_step(loss, rate):
                    listener.steps -= 1
                    if listener.steps < 0:
                        raise KeyboardInterrupt

                return on_step

            def __exit__(self, *_):
                return False

        return Watch()


@pytest.mark.parametrize('steps', [1, 3, 5])
def test_resumed_run_equals_the_uninterrupted_one(shapes_dataset, tmp_path, steps):
    stage = StageConfig(epochs=2, batch_size=4, lr=2e-3, base_lr=2e-4, cycle_epochs=1)
    stages = {'stage1': stage, 'stage2': replace(stage, epochs=0), 'stage3': replace(stage, epochs=1)}
    whole = train(small(shapes_dataset, tmp_path / 'whole', **stages))
    config = small(shapes_dataset, tmp_path / 'cut', **stages)
    with pytest.raises(KeyboardInterrupt):
        train(config, reporter=StopAfter(steps))
    if steps < 2:  # no epoch was finished: nothing to resume, and nothing in the way of starting anew
        with pytest.raises(ConfigurationError, match='nothing to resume'):
            train(config, resume=True)
        resumed = train(config)
    else:
        resumed = train(config, resume=True)
    assert [r.to_json() for r in resumed.rows] == [r.to_json() for r in whole.rows]
    one = read_training_state(tmp_path / 'whole' / 'last.ckpt')['model']
    two = read_training_state(tmp_path / 'cut' / 'last.ckpt')['model']
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(shapes_dataset, tmp_path):
    off = StageConfig(epochs=0)
    config = small(shapes_dataset, tmp_path / 'run', stage2=off, stage3=off)
    train(config)
    with pytest.raises(ConfigurationError, match='already holds a run'):
        train(config)
    with pytest.raises(ConfigurationError, match=r'seed \(was 0, is 1\)'):
        train(replace(config, seed=1), resume=True)


def test_learning_rates_by_hand():
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
        ({'stage1': StageConfig(lr=1e-4, base_lr=1e-3)}, r'stage1\.base_lr is 0\.001'),
        ({'stage2': StageConfig(batch_size=1)}, r'stage2\.batch_size is 1'),
        ({'stage3': StageConfig(resolution='third')}, r"stage3\.resolution is 'third'"),
        ({'data': ''}, 'data is'),
        ({'precision': 'float8'}, "precision is 'float8'"),
        ({'class_weights': [1.0, 2.0]}, 'class_weights has 2 numbers'),
        ({'device': 'tpu'}, "device 'tpu'"),
    ],
)
def test_wrong_settings_are_named(shapes_dataset, tmp_path, changes, message):
    with pytest.raises(ConfigurationError, match=message):
        train(replace(small(shapes_dataset, tmp_path / 'run'), **changes))


def test_missing_data_set_and_split_are_named(shapes_dataset, tmp_path):
    with pytest.raises(DatasetError, match=r'no dataset\.yaml'):
        train(small(tmp_path, tmp_path / 'run'))
    with DatasetWriter(tmp_path / 'empty'):
        pass
    with pytest.raises(DatasetError, match="no images in its split 'train'"):
        train(small(tmp_path / 'empty', tmp_path / 'run'))
