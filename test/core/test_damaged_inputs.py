"""A thousand damaged inputs: every command ends with one sentence and an exit code, with no traceback and no hang."""

import resource
import shutil
import signal
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from minisegnet_core.cli import COMMAND_GROUP
from support.damage import TARGETS, damaged

COUNT = 65
"""Mutations of each kind of file: 17 kinds, 1,105 inputs."""

SECONDS = 60
MAX_MEMORY = 2_000_000_000
MAX_MESSAGE = 300


class HangError(Exception):
    """An input kept a command busy for longer than SECONDS."""


def _hang(*_):
    raise HangError(f'no answer within {SECONDS} s')


@pytest.mark.slow
@pytest.mark.parametrize('target', TARGETS, ids=lambda target: target.name)
def test_damaged_input_ends_in_one_sentence(target, tmp_path, capfd, monkeypatch):
    pytest.importorskip('torch', reason='makes checkpoints')
    commands = {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}
    signal.signal(signal.SIGALRM, _hang)
    faults, refused = [], 0
    for index, folder in enumerate(damaged(target, COUNT, tmp_path / 'input')):
        monkeypatch.chdir(folder)  # messages are measured with the short paths that users type
        name, *arguments = target.argv(Path())
        signal.alarm(SECONDS)
        try:
            code = commands[name].load()(arguments, f'minisegnet {name}')
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:
            code = f'{type(error).__name__}: {str(error)[:200]}'
        finally:
            signal.alarm(0)
        messages = [line for line in capfd.readouterr().err.splitlines() if line.startswith(f'minisegnet {name}: ')]
        if code not in (0, 1, 2):
            faults.append(f'{index}: {code}')
        elif code == 2:
            refused += 1
            if len(messages) != 1:
                faults.append(f'{index}: {len(messages)} messages')
            elif len(messages[0]) > MAX_MESSAGE:
                faults.append(f'{index}: a message of {len(messages[0])} characters: {messages[0][:150]} ...')
        if faults and faults[-1].startswith(f'{index}:'):
            kept = tmp_path / f'fault_{index}'
            kept.mkdir()
            shutil.copy(folder / target.file, kept / Path(target.file).name)
        for output in ('out', 'run'):
            shutil.rmtree(folder / output, ignore_errors=True)
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert memory < MAX_MEMORY, f'{memory / 1e9:.1f} GB'
    assert not faults, '\n'.join([f'{len(faults)} of {COUNT}', *faults])
    assert refused, 'no mutation was refused: the generator does no damage'
