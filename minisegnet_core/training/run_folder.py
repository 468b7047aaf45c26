"""The folder of a training run: settings.yaml, last.ckpt, best.safetensors, metrics.csv.

Every file is written atomically. last.ckpt alone decides where a resumed run continues. It is written after the other
files of its epoch, so an epoch that it does not contain is repeated and its files are written again, bit for bit.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from minisegnet_core.checkpoint import read_training_state, save_training_state
from minisegnet_core.errors import ConfigurationError, ModelError, OutputError, listed, shortened
from minisegnet_core.files import write_text_atomically
from minisegnet_core.settings import plain_values, read_settings_file
from minisegnet_core.training.config import SOCCER_WEIGHTS, TrainConfig
from minisegnet_core.training.reporting import EpochRow

STATE_KEYS = (
    'model', 'optimizer', 'precision', 'record', 'preprocessing', 'class_weights', 'rates', 'config', 'rows',
)  # fmt: skip
"""What ``last.ckpt`` must hold."""


class RunFolder:
    """Files of one run.

    Args:
        root: the folder; created if it is missing.
        resume: continue where ``last.ckpt`` ends, or at the start if the run stopped before its first epoch ended.
        config: the run's settings as plain values. A resumed run must have the same, except for ``MAY_CHANGE``.
        writes: whether this process writes the files; one process of a training does.

    Raises:
        ConfigurationError: there is nothing to resume, a run would be overwritten, or the settings differ.
        ModelError: ``last.ckpt`` is damaged or not the state of a training.
        OutputError: the folder cannot be written.
    """

    MAY_CHANGE = ('output', 'data', 'workers', 'device', 'cache_gb', 'tensorboard', 'curves')

    def __init__(self, root: Path, resume: bool, config: dict[str, Any], *, writes: bool = True) -> None:
        self.root, self.writes = root, writes
        self.best, self.last, self.csv = root / 'best.safetensors', root / 'last.ckpt', root / 'metrics.csv'
        self.settings, self.events = root / 'settings.yaml', root / 'tensorboard'
        self.config = config
        self.state: dict[str, Any] = {}
        self.rows: list[EpochRow] = []
        if not writes:
            return
        if resume:
            self._read()
        elif self.last.exists() or self.best.exists():
            raise ConfigurationError(
                f'{root} already holds a run; continue it with --resume, or choose another --output'
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f'cannot create the folder {root}: {error.strerror}; choose another --output') from error
        write_text_atomically(self.settings, yaml.safe_dump(config, sort_keys=False), durable=True)
        if self.rows:
            self._write_csv()

    def _read(self) -> None:
        if self.last.is_file():
            self.state = read_training_state(self.last)
            self.rows = self._checked_rows()
            self._require_same_settings(self.state['config'])
            if not self.best.is_file():
                raise ConfigurationError(
                    f'{self.root} has {self.last.name} but not {self.best.name}, the best checkpoint; restore it, or '
                    f'start a new run with --init-from {self.last}'
                )
        elif self.settings.is_file():
            self._require_same_settings(read_settings_file(self.settings))
        else:
            raise ConfigurationError(f'there is nothing to resume: {self.root} holds no run; remove --resume')

    def _checked_rows(self) -> list[EpochRow]:
        """Return the rows of the state that was read, after a check that it is the state of a training."""
        kinds = {'class_weights': list, 'rates': list, 'rows': list}
        wrong = [key for key in STATE_KEYS if not isinstance(self.state.get(key), kinds.get(key, dict))]
        if wrong:
            raise ModelError(
                f'{self.last} is not the state of a training: it has no valid {listed(wrong, 3)}; restore the file, or '
                'start a new run with another --output'
            )
        try:
            rows = [EpochRow(**row) for row in self.state['rows']]
        except TypeError as error:
            raise ModelError(
                f'{self.last} was written by another version: its figures do not fit ({shortened(str(error), 80)}); '
                'start a new run with another --output'
            ) from error
        if not rows:
            raise ModelError(f'{self.last} holds no finished epoch; start a new run with another --output')
        return rows

    def _require_same_settings(self, recorded: dict[str, Any]) -> None:
        recorded = {**plain_values(TrainConfig()), **recorded}  # settings added later had their default then
        if recorded['class_weights'] == list(SOCCER_WEIGHTS.values()) and self.config['class_weights'] == 'default':
            recorded['class_weights'] = 'default'  # the default of earlier versions; the weights are in last.ckpt
        changed = [
            f'{key} (was {shortened(repr(recorded.get(key)))}, is {shortened(repr(value))})'
            for key, value in self.config.items()
            if key not in self.MAY_CHANGE and recorded.get(key) != value
        ]
        if changed:
            raise ConfigurationError(
                f'a resumed run keeps its settings, but these differ: {"; ".join(changed)}; restore them, or start a '
                'new run'
            )

    def adopt(self, state: dict[str, Any]) -> None:
        """Use the state that the writing process read."""
        self.state = state
        self.rows = [EpochRow(**row) for row in state.get('rows', ())]

    @property
    def best_row(self) -> EpochRow | None:
        """The row whose checkpoint is ``best.safetensors``: the first maximum of mean IoU at the highest resolution."""
        full = [row for row in self.rows if row.resolution == 'full'] or self.rows
        return max(full, key=_score, default=None)

    def is_best(self, row: EpochRow) -> bool:
        """Return whether a row that is not yet saved is better than all before it."""
        best = self.best_row
        if best is None or (row.resolution == 'full' and best.resolution == 'half'):
            return True
        return row.resolution == best.resolution and _score(row) > _score(best)

    def save(self, row: EpochRow, state: dict[str, Any]) -> None:
        """Record a finished epoch and the state from which the next one continues.

        Raises:
            OutputError: a file cannot be written; the previous state is unchanged.
        """
        self.rows.append(row)
        if not self.writes:
            return
        rows = [asdict(r) for r in self.rows]
        save_training_state(self.last, {**state, 'epoch': row.epoch, 'config': self.config, 'rows': rows})
        self._write_csv()

    def _write_csv(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0].to_csv()))
        writer.writeheader()
        writer.writerows(row.to_csv() for row in self.rows)
        write_text_atomically(self.csv, text.getvalue(), durable=True)


def _score(row: EpochRow) -> float:
    return -math.inf if math.isnan(row.mean_iou) else row.mean_iou
