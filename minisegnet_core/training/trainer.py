"""The staged training, from a configuration to a checkpoint; resumes after any interruption.

Everything random follows from (seed, epoch, image index), and the whole state is written after each epoch, so a resumed
run repeats the uninterrupted one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.config import StageConfig, TrainConfig
from minisegnet_core.data.dataset import Sample, open_dataset
from minisegnet_core.data.loading import SegmentationDataset, training_loader, validation_loader
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.loop import train_one_epoch, validate
from minisegnet_core.training.lr_range_test import run_range_test
from minisegnet_core.training.run_folder import EpochRow, RunFolder
from minisegnet_core.training.schedule import learning_rate
from minisegnet_core.training.setup import Setup


class Reporter(Protocol):
    """Where a training tells how far it is; the command line shows it, a library user may ignore it."""

    def message(self, text: str) -> None: ...

    def copying(self, samples: Sequence[Sample]) -> Iterable[Sample]: ...

    def epoch(self, name: str, steps: int) -> AbstractContextManager[Callable[[float, float], None]]: ...

    def epoch_done(self, row: EpochRow) -> None: ...


class Silence:
    """A :class:`Reporter` that says nothing."""

    def message(self, text: str) -> None:
        pass

    def copying(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        return samples

    @contextlib.contextmanager
    def epoch(self, name: str, steps: int) -> Any:
        yield lambda loss, rate: None

    def epoch_done(self, row: EpochRow) -> None:
        pass


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves: the best checkpoint, its validation row, and all rows."""

    best_checkpoint: Path
    best: EpochRow
    rows: list[EpochRow] = field(default_factory=list)


def train(config: TrainConfig, *, resume: bool = False, reporter: Reporter | None = None) -> TrainResult:
    """Trains by the configured stages and keeps the best checkpoint by validation mean IoU.

    "Best" is among the epochs of the highest resolution reached: half- and full-resolution figures do not compare.

    Args:
        config: all settings; checked before anything is loaded.
        resume: go on from ``output/last.ckpt``; the configuration must be the one that began it.
        reporter: is told of progress.

    Raises:
        ConfigurationError: a setting is wrong, or ``output`` holds another run.
        DatasetError, ModelError: data or starting weights cannot be used.
    """
    config.check()
    return _Trainer(config, resume, reporter or Silence()).run()


class _Trainer:
    def __init__(self, config: TrainConfig, resume: bool, reporter: Reporter) -> None:
        self.config, self.reporter = config, reporter
        dataset = open_dataset(config.data)  # a wrong one is told before a folder is made for its run
        self.run_folder = RunFolder(Path(config.output), resume, asdict(config))
        self.setup = Setup(config, dataset, reporter.message, fetch_weights=not self.run_folder.state)

    def run(self) -> TrainResult:
        """All stages, from the first epoch not yet done."""
        state = self.run_folder.state
        done = int(state['epoch']) + 1 if state else 0
        if state:
            self.setup.model.load_state_dict(state['model'])
            self.reporter.message(f'going on after epoch {done - 1}, as recorded in {self.run_folder.last}')
        first = 0
        for name, stage in self.setup.stages.items():
            if done < first + stage.epochs:
                self._run_stage(name, stage, first, max(done, first))
            first += stage.epochs
        best = self.run_folder.best_row
        if best is None:
            raise ConfigurationError(f'{self.config.output} holds a finished run without any epoch')
        return TrainResult(self.run_folder.best, best, self.run_folder.rows)

    def _run_stage(self, name: str, stage: StageConfig, first: int, start: int) -> None:
        setup = self.setup
        train_data, val_data = setup.stage_data(stage, self.run_folder.root, self.reporter.copying)
        parameters = setup.enter_stage(stage)
        stage = self._with_rates(name, stage, parameters, train_data, within=start > first)
        assert stage.lr != 'auto'
        optimizer = torch.optim.AdamW(parameters, lr=stage.lr, weight_decay=self.config.weight_decay)
        if start > first:
            optimizer.load_state_dict(self.run_folder.state['optimizer'])
        for epoch in range(start, first + stage.epochs):
            batches = training_loader(train_data, stage.batch_size, self.config.workers, epoch, stage.images)
            rate = functools.partial(_rate, stage, (epoch - first) * len(batches), len(batches))
            setup.train_mode(stage)
            with self.reporter.epoch(f'epoch {epoch} {name}', len(batches)) as on_step:
                loss = train_one_epoch(setup.model, batches, setup.criterion, optimizer, rate, setup.machinery, on_step)
            validation = validate(
                setup.model,
                validation_loader(val_data, stage.batch_size, self.config.workers),
                setup.val_samples,
                setup.classes,
                setup.criterion,
                setup.machinery,
                scale=2 if stage.resolution == 'half' else 1,
            )
            row = EpochRow.of(epoch, name, stage.resolution, rate(len(batches) - 1), loss, validation, setup.classes)
            record = self._record(row)
            if self.run_folder.is_best(row):
                save_checkpoint(self.run_folder.best, setup.model, record)
            state = {
                'model': setup.model.state_dict(),
                'optimizer': optimizer.state_dict(),
                'record': record.to_metadata(),
                'rates': [stage.base_lr, stage.lr],
            }
            self.run_folder.save(row, state)
            self.reporter.epoch_done(row)

    def _with_rates(
        self, name: str, stage: StageConfig, parameters: list[nn.Parameter], data: SegmentationDataset, *, within: bool
    ) -> StageConfig:
        """The stage with learning rates for ``lr: auto``: from a range test, or as recorded ``within`` a resumed
        stage.
        """
        if stage.lr != 'auto':
            return stage
        if within:
            base_lr, lr = self.run_folder.state['rates']
        else:
            test = run_range_test(self.setup, name, stage, parameters, data, self.reporter.epoch)
            base_lr, lr = test.suggest()
            self.reporter.message(f'{name}: the range test suggests rates from {base_lr:.2g} to {lr:.2g}')
        return replace(stage, base_lr=base_lr, lr=lr)

    def _record(self, row: EpochRow) -> ModelRecord:
        training = {
            'config': asdict(self.config),
            'images': {'train': len(self.setup.train_samples), 'val': len(self.setup.val_samples)},
            'validation': row.to_json(),
            'torch': torch.__version__,
        }
        return ModelRecord(self.setup.classes, self.setup.preprocessing, training)


def _rate(stage: StageConfig, offset: int, steps_per_epoch: int, step: int) -> float:
    return learning_rate(stage, offset + step, steps_per_epoch)
