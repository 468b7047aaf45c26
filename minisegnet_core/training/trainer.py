"""The staged training, from a configuration to a checkpoint; resumes after any interruption.

Everything random follows from (seed, epoch, image index), and the whole state is written after each epoch, so a resumed
run repeats the uninterrupted one.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.data.checks import check_dataset, never_shown
from minisegnet_core.data.dataset import Sample, open_dataset
from minisegnet_core.errors import ConfigurationError, TrainingError
from minisegnet_core.training import curves
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.context import Setup
from minisegnet_core.training.data.loader import SegmentationDataset
from minisegnet_core.training.fine_tuning import FineTuning
from minisegnet_core.training.hardware import average_batch_norm, gather, make_fabric
from minisegnet_core.training.loop import train_one_epoch
from minisegnet_core.training.lr_range import run_range_test
from minisegnet_core.training.lr_range_files import write_range_test
from minisegnet_core.training.run_folder import EpochRow, RunFolder
from minisegnet_core.training.schedule import learning_rate
from minisegnet_core.training.tensorboard import HINT, open_events, write_epoch


class Reporter(Protocol):
    """Where a training tells how far it is; the command line shows it, a library user may ignore it."""

    def message(self, text: str) -> None: ...

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]: ...

    def epoch(self, name: str, steps: int) -> AbstractContextManager[Callable[[float, float], None]]: ...

    def epoch_done(self, row: EpochRow) -> None: ...


class Silence:
    """A :class:`Reporter` that says nothing."""

    def message(self, text: str) -> None:
        pass

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        return samples

    @contextlib.contextmanager
    def epoch(self, name: str, steps: int) -> Any:
        yield lambda loss, rate: None

    def epoch_done(self, row: EpochRow) -> None:
        pass


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves: the best checkpoint, its validation row, and all rows.

    fine_tuning: what ``finetune.json`` holds, for a run with ``init_from``. main_process: False in all processes but
    the one that wrote the files.
    """

    best_checkpoint: Path
    best: EpochRow
    rows: list[EpochRow] = field(default_factory=list)
    fine_tuning: dict[str, Any] | None = None
    main_process: bool = True


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
        TrainingError: the loss is not finite, or a file cannot be written.
    """
    config.check()
    return _Trainer(config, resume, reporter or Silence()).run()


class _Trainer:
    def __init__(self, config: TrainConfig, resume: bool, reporter: Reporter) -> None:
        self.config = config
        self.fabric = fabric = make_fabric(config)
        self.reporter = reporter if fabric.is_global_zero else Silence()
        dataset = open_dataset(config.data)  # a wrong one is told before a folder is made for its run
        folder = RunFolder(Path(config.output), resume, asdict(config), writes=fabric.is_global_zero)
        folder.adopt(gather(fabric, folder.state)[0])
        self.run_folder, state = folder, folder.state
        if fabric.is_global_zero:  # resumed runs too: what has not changed is not opened again
            for told in never_shown(**check_dataset(dataset, ('train', 'val'), self.reporter.reading)):
                self.reporter.message(told)
        fabric.barrier()
        self.setup = Setup(config, dataset, fabric, self.reporter.message, self.reporter.reading, state)
        self.events = None
        if config.tensorboard and fabric.is_global_zero:
            try:
                self.events = open_events(folder.events, len(folder.rows))
            except ModuleNotFoundError:
                self.reporter.message(HINT)

    def run(self) -> TrainResult:
        """All stages, from the first epoch not yet done."""
        done, first = len(self.run_folder.rows), 0
        if done:
            self.fabric.strategy.precision.load_state_dict(self.run_folder.state['precision'])
            self.reporter.message(f'going on after epoch {done - 1}, as recorded in {self.run_folder.last}')
        root = self.run_folder.root
        fine_tuning = FineTuning(self.setup, root, begin=not done) if self.config.init_from else None
        for name, stage in self.setup.stages.items():
            if done < first + stage.epochs:
                self._run_stage(name, stage, first, max(done, first))
                self._draw_curves()
            first += stage.epochs
        best = self.run_folder.best_row
        if best is None:
            raise ConfigurationError(f'{self.config.output} holds a finished run without any epoch')
        report = fine_tuning.end(self.run_folder.best) if fine_tuning else None
        if self.events:
            self.events.close()
        return TrainResult(
            self.run_folder.best, best, self.run_folder.rows, report, main_process=self.fabric.is_global_zero
        )

    def _run_stage(self, name: str, stage: StageConfig, first: int, start: int) -> None:
        setup, state = self.setup, self.run_folder.state
        train_data, val_data = setup.stage_data(stage, self.run_folder.root)
        parameters = setup.enter_stage(stage)
        stage = self._with_rates(name, stage, parameters, train_data, within=start > first)
        assert stage.lr != 'auto'
        optimizer = setup.make_optimizer(parameters, stage.lr)
        if start > first:
            optimizer.load_state_dict(state['optimizer'])
        for epoch in range(start, first + stage.epochs):
            batches = setup.batches(stage, train_data, epoch)
            rate = functools.partial(_rate, stage, (epoch - first) * len(batches), len(batches))
            setup.train_mode(stage)
            started = time.monotonic()
            with self.reporter.epoch(f'epoch {epoch} {name}', len(batches)) as on_step:
                loss = train_one_epoch(
                    setup.network,
                    batches,
                    setup.train_samples,
                    setup.criterion,
                    optimizer,
                    rate,
                    setup.machinery,
                    on_step,
                    stage.accumulation,
                )
            average_batch_norm(setup.model, self.fabric)
            seconds = time.monotonic() - started
            with setup.blend.applied():
                validation = setup.validate(stage, val_data)
                if not math.isfinite(validation.loss):
                    raise TrainingError(
                        f'epoch {epoch}: the network gives no finite loss on the validation images any more; '
                        f'{self.run_folder.root} holds the state before this epoch. Lower {name}.lr'
                    )
                row = EpochRow.of(
                    epoch, name, stage.resolution, rate(len(batches) - 1), loss, seconds, validation, setup.classes
                )
                record = self._record(row)
                if self.fabric.is_global_zero and self.run_folder.is_best(row):
                    save_checkpoint(self.run_folder.best, setup.model, record)
            self._save(row, record, stage, optimizer)
            if self.events:
                write_epoch(self.events, row, validation.pictures, setup.classes)
            self.reporter.epoch_done(row)

    def _draw_curves(self) -> None:
        folder = self.run_folder
        if not (folder.writes and self.config.curves):
            return
        try:
            curves.draw_run(curves.Metrics.read(folder.csv), folder.root / curves.CURVES, folder.root.name)
        except ModuleNotFoundError:
            self.reporter.message(curves.HINT)

    def _save(self, row: EpochRow, record: ModelRecord, stage: StageConfig, optimizer: torch.optim.Optimizer) -> None:
        setup = self.setup
        state = {
            'model': setup.model.state_dict(),
            'optimizer': optimizer.state_dict(),
            'precision': self.fabric.strategy.precision.state_dict(),
            'record': record.to_metadata(),
            'preprocessing': setup.preprocessing.to_dict(),
            'class_weights': setup.class_weights,
            'rates': [stage.base_lr, stage.lr],
            'start': setup.blend.start,
        }
        self.run_folder.save(row, state)
        self.fabric.barrier()  # where the writing fails, no process goes on

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
            if self.run_folder.writes:
                root, message = self.run_folder.root, self.reporter.message
                write_range_test(test, root, name, message, picture=self.config.curves)
            self.reporter.message(f'{name}: the range test suggests rates from {base_lr:.2g} to {lr:.2g}')
        return replace(stage, base_lr=base_lr, lr=lr)

    def _record(self, row: EpochRow) -> ModelRecord:
        training = {
            'config': asdict(self.config),
            'images': {'train': len(self.setup.train_samples), 'val': len(self.setup.val_samples)},
            'validation': row.to_json(),
            'torch': torch.__version__,
        }
        return ModelRecord(self.setup.classes, self.setup.preprocessing, training, self.setup.model.width_mult)


def _rate(stage: StageConfig, offset: int, steps_per_epoch: int, step: int) -> float:
    return learning_rate(stage, offset + step, steps_per_epoch)
