"""A training killed at any moment leaves whole files, and resuming it gives the result of an uninterrupted one."""

import csv
import math
import os
import shutil
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import load_checkpoint, read_training_state
from minisegnet_core.errors import ConfigurationError, DatasetError, ModelError, OutputError
from minisegnet_core.settings import plain_values
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.trainer import train
from support.processes import KillInStep, in_child, killed_before, start_child, train_by_command
from support.shapes import tiny_training


def config_for(data, output, **changes) -> TrainConfig:
    return tiny_training(data, output, **{'stage2': StageConfig(epochs=0), **changes})


def final_state(output: Path) -> dict:
    return read_training_state(output / 'last.ckpt')


def assert_same_run(one: Path, two: Path) -> None:
    """Compare weights, optimizer state and metrics exactly; times may differ."""
    a, b = final_state(one), final_state(two)
    assert all(torch.equal(a['model'][key], b['model'][key]) for key in a['model'])
    for key, state in a['optimizer']['state'].items():
        assert all(torch.equal(state[name], b['optimizer']['state'][key][name]) for name in state)
    best = [load_checkpoint(folder / 'best.safetensors')[0].state_dict() for folder in (one, two)]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])
    tables = [list(csv.DictReader((folder / 'metrics.csv').open())) for folder in (one, two)]
    untimed = [[{k: v for k, v in row.items() if 'seconds' not in k} for row in table] for table in tables]
    assert untimed[0] == untimed[1]
    assert [row['epoch'] for row in untimed[0]] == ['0', '1']


def test_a_run_killed_at_each_kind_of_moment_ends_like_an_uninterrupted_one(shapes_dataset, tmp_path):
    whole, cut = config_for(shapes_dataset, tmp_path / 'whole'), config_for(shapes_dataset, tmp_path / 'cut')
    assert in_child(partial(train, whole)) == 0
    moments = [
        partial(train, cut, reporter=KillInStep(1)),  # before the first epoch has finished
        partial(killed_before, 'best.safetensors', cut),
        partial(killed_before, 'last.ckpt', cut),  # epoch 0 is in best.safetensors, but last.ckpt does not know it
        partial(killed_before, 'metrics.csv', cut),  # epoch 0 is in last.ckpt, but not in the table
        partial(train, cut, resume=True, reporter=KillInStep(1)),  # in the middle of epoch 1
    ]
    for moment in moments:
        assert in_child(moment) == -signal.SIGKILL
        for path in (tmp_path / 'cut').glob('*'):  # every file is whole
            if path.suffix in ('.ckpt', '.safetensors'):
                load_checkpoint(path)
    assert in_child(partial(train, cut, resume=True)) == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='reads the CPU time of a child from /proc')
def test_a_command_killed_from_outside_at_any_moment_ends_like_an_uninterrupted_one(shapes_dataset, tmp_path):
    def start(output, *options):
        settings = tmp_path / f'{output}.yaml'
        settings.write_text(yaml.safe_dump(plain_values(config_for(shapes_dataset, tmp_path / output))))
        return start_child(partial(train_by_command, ['--config', str(settings), *options]))

    whole = start('whole')
    whole.join()
    assert whole.exitcode == 0
    cut, kills = start('cut'), 0
    while True:
        # Kill a little later each time, so that every phase is hit and the run ends. CPU time of the child is measured,
        # because the machine may be busy. Wait until there is something to resume.
        while cut.is_alive() and (cpu_seconds(cut) < 0.1 * kills or not (tmp_path / 'cut' / 'settings.yaml').exists()):
            time.sleep(0.005)
        if not cut.is_alive():
            break
        cut.kill()
        cut.join()
        kills += 1
        cut = start('cut', '--resume')
    cut.join()
    assert cut.exitcode == 0
    assert kills > 2
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


def cpu_seconds(child) -> float:
    """Return the CPU time of a process; infinite after it has ended."""
    try:
        fields = Path(f'/proc/{child.pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return math.inf
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(shapes_dataset, tmp_path):
    off = StageConfig(epochs=0)
    config = config_for(shapes_dataset, tmp_path / 'run', stage1=StageConfig(epochs=1, batch_size=4), stage3=off)
    with pytest.raises(ConfigurationError, match='nothing to resume'):
        train(config, resume=True)
    train(config)
    with pytest.raises(ConfigurationError, match='already holds a run'):
        train(config)
    with pytest.raises(ConfigurationError, match=r'seed \(was 0, is 1\)'):
        train(replace(config, seed=1), resume=True)


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full, which is always full')
@pytest.mark.parametrize('file', ['last.ckpt', 'best.safetensors'])
def test_a_full_disk_is_reported_and_the_last_checkpoint_is_unchanged(shapes_dataset, tmp_path, file):
    config = config_for(shapes_dataset, tmp_path / 'run')

    class FillDisk(Silence):
        def epoch_done(self, row):
            if row.epoch == 0:
                (tmp_path / 'run' / f'{file}.part').symlink_to('/dev/full')

    with pytest.raises(OutputError, match=rf'cannot write .*{file}: No space left.*{file} is unchanged'):
        train(config, reporter=FillDisk())
    assert final_state(tmp_path / 'run')['epoch'] == 0
    load_checkpoint(tmp_path / 'run' / 'best.safetensors')
    assert not (tmp_path / 'run' / f'{file}.part').exists()
    resumed = train(config, resume=True)
    assert [row.epoch for row in resumed.rows] == [0, 1]


@pytest.fixture
def half_done(shapes_dataset, tmp_path):
    """Return a data set, and the configuration of a run on it that was stopped after the first of two epochs."""
    shutil.copytree(shapes_dataset, tmp_path / 'data')

    class Stop(Silence):
        def epoch_done(self, row):
            raise KeyboardInterrupt

    config = config_for(tmp_path / 'data', tmp_path / 'run', class_weights=[])
    with pytest.raises(KeyboardInterrupt):
        train(config, reporter=Stop())
    return tmp_path / 'data', config


@pytest.mark.parametrize('names', [('field', 'line', 'background', 'ball'), ('background', 'robot', 'line', 'field')])
def test_resuming_with_other_classes_is_refused_and_changes_nothing(half_done, names):
    """In another order, the weights would continue under swapped meanings."""
    root, config = half_done
    index = yaml.safe_load((root / 'dataset.yaml').read_text())
    before = (Path(config.output) / 'last.ckpt').read_bytes()
    for entry, name in zip(index['classes'], names, strict=True):
        entry['name'] = name
    changed = yaml.safe_dump(index)
    original = (root / 'dataset.yaml').read_text()
    (root / 'dataset.yaml').write_text(changed)
    with pytest.raises(
        ConfigurationError, match='keeps its classes, background, ball, line, field, but .* has ' + names[0]
    ):
        train(config, resume=True)
    assert (Path(config.output) / 'last.ckpt').read_bytes() == before
    (root / 'dataset.yaml').write_text(original)
    assert len(train(config, resume=True).rows) == 2


def test_a_resumed_run_checks_files_that_changed(half_done):
    root, config = half_done
    (root / 'labels' / '003.png').write_bytes(b'no png')
    with pytest.raises(DatasetError, match=r'003\.png'):
        train(config, resume=True)


def test_a_run_without_its_best_checkpoint_is_not_resumed(half_done):
    _, config = half_done
    (Path(config.output) / 'best.safetensors').unlink()
    with pytest.raises(ConfigurationError, match=r'last\.ckpt but not best\.safetensors.*--init-from'):
        train(config, resume=True)


SPOILED = {
    'empty': lambda state: {},
    'no rows': lambda state: {key: value for key, value in state.items() if key != 'rows'},
    'no epoch': lambda state: {**state, 'rows': []},
    'rows are a number': lambda state: {**state, 'rows': 5},
    'a row is a text': lambda state: {**state, 'rows': ['x']},
    'a row has other figures': lambda state: {**state, 'rows': [{'epoch': 0}]},
    'record is empty': lambda state: {**state, 'record': {}},
    'settings are a list': lambda state: {**state, 'config': []},
    'model is empty': lambda state: {**state, 'model': {}},
    'model has other shapes': lambda state: {
        **state,
        'model': {k: v[:0] for k, v in state['model'].items() if v.dim()},
    },
    'preprocessing is empty': lambda state: {**state, 'preprocessing': {}},
    'class weights are texts': lambda state: {**state, 'class_weights': ['x', 'y', 'z', 'w']},
    'class weights are few': lambda state: {**state, 'class_weights': [1.0]},
}


def test_a_state_that_lacks_something_is_refused_in_one_sentence(half_done):
    _, config = half_done
    last = Path(config.output) / 'last.ckpt'
    whole = read_training_state(last)
    for kind, spoil in SPOILED.items():
        torch.save(spoil(whole), last)
        with pytest.raises((ModelError, ConfigurationError)) as caught:
            train(config, resume=True)
        assert len(str(caught.value).replace(str(last), 'last.ckpt')) < 280, kind


def test_a_run_of_an_earlier_version_with_the_default_class_weights_is_resumed(half_done):
    """Earlier versions recorded the default weights of the soccer classes as a list."""
    _, config = half_done
    last = Path(config.output) / 'last.ckpt'
    state = read_training_state(last)
    state['config']['class_weights'] = [1.0, 3.0, 2.0, 1.0]
    torch.save(state, last)
    assert len(train(replace(config, class_weights='default'), resume=True).rows) == 2
