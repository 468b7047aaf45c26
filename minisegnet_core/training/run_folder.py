"""The folder of a training run: settings.yaml, last.ckpt, best.safetensors, metrics.csv. No file is ever half-written.

last.ckpt alone decides where a resumed run goes on. It is written last, so what the other files hold of an epoch that
it does not know is written again, the same to the bit.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from minisegnet_core.checkpoint import read_training_state, save_training_state
from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.files import write_atomically
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.validation import Validation


@dataclass
class EpochRow:
    """What is known after an epoch; one line of metrics.csv.

    lr: the epoch's last learning rate; ball_error_px: median, pixels of the full-resolution image; train_seconds,
    val_seconds: wall time; iou: per class name.
    """

    epoch: int
    stage: str
    resolution: str
    lr: float
    train_loss: float
    val_loss: float
    mean_iou: float
    ball_found: int
    ball_missed: int
    ball_false: int
    ball_error_px: float
    train_seconds: float
    val_seconds: float
    iou: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        epoch: int,
        stage: str,
        resolution: str,
        lr: float,
        train_loss: float,
        train_seconds: float,
        validation: Validation,
        classes: ClassSet,
    ) -> EpochRow:
        confusion, balls = validation.total.confusion, validation.total.balls
        return cls(
            epoch,
            stage,
            resolution,
            lr,
            train_loss,
            validation.loss,
            confusion.mean_iou(),
            balls.found,
            balls.missed,
            balls.false,
            balls.error_percentile(50),
            round(train_seconds, 3),
            round(validation.seconds, 3),
            dict(zip(classes.names, confusion.iou().tolist(), strict=True)),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; undefined figures are null."""
        values = asdict(self)
        values['iou'] = {k: _defined(v) for k, v in self.iou.items()}
        return {key: _defined(value) for key, value in values.items()}

    def to_csv(self) -> dict[str, Any]:
        """Flat, with a column ``iou_<class>`` each."""
        values = asdict(self)
        del values['iou']
        return {**values, **{f'iou_{name}': value for name, value in self.iou.items()}}


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


class RunFolder:
    """Files of one run.

    Args:
        root: the folder; made where it lacks.
        resume: go on where ``last.ckpt`` says; from the start where the run was stopped before its first.
        config: the run's settings as plain values; a resumed run must have the same, but for those in ``MAY_CHANGE``.
        writes: False in all processes of a training but one.

    Raises:
        ConfigurationError: nothing to resume, a run that would be overwritten, or other settings than the run's.
        TrainingError: the folder cannot be written.
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
            raise ConfigurationError(f'{root} already holds a run; go on with it by --resume, or give another --output')
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f'output {root} cannot be made: {error}') from error
        write_atomically(self.settings, yaml.safe_dump(config, sort_keys=False).encode(), durable=True)
        if self.rows:
            self._write_csv()

    def _read(self) -> None:
        if self.last.is_file():
            self.state = read_training_state(self.last)
            self._require_same_settings(self.state['config'])
            self.rows = [EpochRow(**row) for row in self.state['rows']]
            if not self.best.is_file():
                raise ConfigurationError(
                    f'{self.root} has {self.last.name} without {self.best.name}, the best checkpoint so far: put it '
                    f'back, or begin a new run from {self.last.name} by --init-from'
                )
        elif self.settings.is_file():
            self._require_same_settings(yaml.safe_load(self.settings.read_text()))
        else:
            raise ConfigurationError(f'there is nothing to resume: {self.root} holds no run')

    def _require_same_settings(self, recorded: dict[str, Any]) -> None:
        recorded = {**asdict(TrainConfig()), **recorded}  # what came later had its default then
        changed = [
            f'{key} (was {recorded.get(key)!r}, is {value!r})'
            for key, value in self.config.items()
            if key not in self.MAY_CHANGE and recorded.get(key) != value
        ]
        if changed:
            raise ConfigurationError(f'a resumed run keeps its settings, but these differ: {"; ".join(changed)}')

    def adopt(self, state: dict[str, Any]) -> None:
        """Takes over the state that the writing process read."""
        self.state = state
        self.rows = [EpochRow(**row) for row in state.get('rows', ())]

    @property
    def best_row(self) -> EpochRow | None:
        """The row whose checkpoint is ``best.safetensors``: the first highest mean IoU at the highest resolution."""
        full = [row for row in self.rows if row.resolution == 'full'] or self.rows
        return max(full, key=_score, default=None)

    def is_best(self, row: EpochRow) -> bool:
        """Whether a row not yet saved beats all before it."""
        best = self.best_row
        if best is None or (row.resolution == 'full' and best.resolution == 'half'):
            return True
        return row.resolution == best.resolution and _score(row) > _score(best)

    def save(self, row: EpochRow, state: dict[str, Any]) -> None:
        """Records a finished epoch with the state from which the next one goes on.

        Raises:
            TrainingError: it cannot be written; what was there before stays.
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
        write_atomically(self.csv, text.getvalue().encode(), durable=True)


def _score(row: EpochRow) -> float:
    return -math.inf if math.isnan(row.mean_iou) else row.mean_iou
