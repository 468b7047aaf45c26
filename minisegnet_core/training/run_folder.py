"""The folder of a training run: best.safetensors, last.ckpt, metrics.csv. No file is ever half-written."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.loop import Validation


@dataclass
class EpochRow:
    """What is known after an epoch; one line of metrics.csv.

    lr: the epoch's last learning rate; iou: per class name; ball errors in pixels of the full-resolution image.
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
    iou: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        epoch: int,
        stage: str,
        resolution: str,
        lr: float,
        train_loss: float,
        validation: Validation,
        classes: ClassSet,
    ) -> EpochRow:
        balls = validation.balls
        return cls(
            epoch,
            stage,
            resolution,
            lr,
            train_loss,
            validation.loss,
            validation.confusion.mean_iou(),
            balls.found,
            balls.missed,
            balls.false,
            balls.error_percentile(50),
            dict(zip(classes.names, validation.confusion.iou().tolist(), strict=True)),
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
        resume: read ``last.ckpt``; else the folder must not hold a run.
        config: the run's settings as plain values; a resumed run must have the same, but for those in ``MAY_CHANGE``.

    Raises:
        ConfigurationError: nothing to resume, a run that would be overwritten, or other settings than the run's.
    """

    MAY_CHANGE = ('output', 'data', 'workers', 'device')

    def __init__(self, root: Path, resume: bool, config: dict[str, Any]) -> None:
        self.root = root
        self.best, self.last, self.csv = root / 'best.safetensors', root / 'last.ckpt', root / 'metrics.csv'
        self.config = config
        self.state: dict[str, Any] = {}
        self.rows: list[EpochRow] = []
        if resume:
            if not self.last.is_file():
                raise ConfigurationError(f'there is nothing to resume: {self.last} does not exist')
            self.state = read_training_state(self.last)
            self._require_same_settings(self.state['config'])
            self.rows = [EpochRow(**row) for row in self.state['rows']]
        elif self.last.exists() or self.best.exists():
            raise ConfigurationError(f'{root} already holds a run; go on with it by --resume, or give another --output')
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f'output {root} cannot be made: {error}') from error

    def _require_same_settings(self, recorded: dict[str, Any]) -> None:
        changed = [
            f'{key} (was {recorded.get(key)!r}, is {value!r})'
            for key, value in self.config.items()
            if key not in self.MAY_CHANGE and recorded.get(key) != value
        ]
        if changed:
            raise ConfigurationError(f'a resumed run keeps its settings, but these differ: {"; ".join(changed)}')

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
        """Records a finished epoch with the state from which the next one goes on."""
        self.rows.append(row)
        content = {
            **state,
            'epoch': row.epoch,
            'config': self.config,
            'rows': [asdict(r) for r in self.rows],
        }
        temporary = self.last.with_name(self.last.name + '.part')
        torch.save(content, temporary)
        temporary.replace(self.last)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row.to_csv()))
        writer.writeheader()
        writer.writerows(r.to_csv() for r in self.rows)
        temporary = self.csv.with_name(self.csv.name + '.part')
        temporary.write_text(text.getvalue())
        temporary.replace(self.csv)


def _score(row: EpochRow) -> float:
    return -math.inf if math.isnan(row.mean_iou) else row.mean_iou
