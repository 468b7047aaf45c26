"""The staged training, from a configuration to a checkpoint. It can be resumed after any interruption.

All random numbers follow from (seed, epoch, image index), and the whole state is written after each epoch. A resumed
run therefore gives the same result as an uninterrupted one, bit for bit.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.data.checks import predicted_labels
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, ModelError, TrainingError, shortened
from minisegnet_core.settings import plain_values
from minisegnet_core.training import curves, tensorboard
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.context import TrainingContext, check_data, make_context
from minisegnet_core.training.fine_tuning import BeforeAndAfter, WeightAveraging
from minisegnet_core.training.hardware import average_batch_norm, gather, make_fabric
from minisegnet_core.training.loop import Learner, train_one_epoch
from minisegnet_core.training.lr_range import run_range_test, write_range_test
from minisegnet_core.training.reporting import EpochRow, Reporter, Silence
from minisegnet_core.training.run_folder import RunFolder
from minisegnet_core.training.schedule import learning_rate
from minisegnet_core.training.stage import Stage, enter_stage, make_learner, set_training_mode, training_batches
from minisegnet_core.training.validation import Validation, validate


@dataclass(frozen=True)
class TrainResult:
    """What a training produced.

    Attributes:
        best_checkpoint: file of the best epoch's weights.
        best: figures of that epoch.
        rows: figures of all epochs.
        fine_tuning: content of ``finetune.json``, for a run with ``init_from``.
        main_process: whether this process wrote the files.
    """

    best_checkpoint: Path
    best: EpochRow
    rows: list[EpochRow] = field(default_factory=list)
    fine_tuning: dict[str, Any] | None = None
    main_process: bool = True


def train(config: TrainConfig, *, resume: bool = False, reporter: Reporter | None = None) -> TrainResult:
    """Train through the configured stages and keep the checkpoint with the best mean IoU on the validation split.

    The best epoch is one of the highest resolution reached: scores at half and full resolution do not compare.

    Args:
        config: all settings.
        resume: continue from ``output/last.ckpt``; the configuration must be that of the interrupted run.
        reporter: receives the progress.

    Raises:
        ConfigurationError: a setting is wrong, or ``output`` holds another run.
        DatasetError, ModelError: data or starting weights cannot be used.
        TrainingError: the loss is not finite.
        OutputError: a file cannot be written.
    """
    if not config.data:
        raise ConfigurationError('data is empty; it must be the folder of a data set')
    return _Trainer(config, resume, reporter or Silence()).run()


class _Trainer:
    """A training in progress: its context, the files of the run, and the reporter."""

    def __init__(self, config: TrainConfig, resume: bool, reporter: Reporter) -> None:
        self.config = config
        self.fabric = make_fabric(config)
        self.reporter = reporter if self.fabric.is_global_zero else Silence()
        dataset = open_dataset(config.data)  # before the folder of the run is created
        writes = self.fabric.is_global_zero
        self.folder = RunFolder(Path(config.output), resume, plain_values(config), writes=writes)
        self.folder.adopt(gather(self.fabric, self.folder.state)[0])
        state = self.folder.state
        check_data(dataset, ('train', 'val'), self.fabric, self.reporter)
        for warning in predicted_labels(dataset):
            self.reporter.message(warning)
        self.context: TrainingContext = make_context(config, dataset, self.fabric, self.reporter, state)
        start = state['start'] if state and config.keep else None
        self.averaging = WeightAveraging(self.context.model, config.keep, start)
        self.events = None
        if config.tensorboard and writes:
            try:
                self.events = tensorboard.open_events(self.folder.events, len(self.folder.rows))
            except ModuleNotFoundError:
                self.reporter.message(tensorboard.HINT)

    def run(self) -> TrainResult:
        """Run all stages from the first unfinished epoch."""
        done, first = len(self.folder.rows), 0
        if done:
            self.fabric.strategy.precision.load_state_dict(self.folder.state['precision'])
            self.reporter.message(f'resuming after epoch {done - 1}, as recorded in {self.folder.last}')
        comparison = None
        if self.config.init_from:
            comparison = BeforeAndAfter(self.context, self.folder.root, self.reporter, resumed=bool(done))
        layout = torch.channels_last
        for name, settings in self.context.stages.items():
            if done < first + settings.epochs:
                layout = self._run_stage(name, first, max(done, first)).memory_format
                self._draw_curves()
            first += settings.epochs
        best = self.folder.best_row
        if best is None:
            raise ConfigurationError(f'{self.config.output} holds a finished run without epochs; choose another output')
        report = comparison.finish(self.folder.best, layout) if comparison else None
        if self.events:
            self.events.close()
        return TrainResult(self.folder.best, best, self.folder.rows, report, main_process=self.fabric.is_global_zero)

    def _run_stage(self, name: str, first: int, start: int) -> Stage:
        """Run the epochs from ``start`` of a stage that begins with the epoch ``first``."""
        stage = enter_stage(self.context, name, self.folder.root, self.reporter)
        stage = self._with_rates(stage, resumed=start > first)
        assert stage.settings.lr != 'auto'
        learner = make_learner(self.context, stage, stage.settings.lr)
        if start > first:
            self._restore_optimizer(learner)
        for epoch in range(start, first + stage.settings.epochs):
            loss, last_rate, seconds = self._train_epoch(stage, learner, epoch, epoch - first)
            with self.averaging.applied():
                validation = validate(self.context, stage.settings, stage.val_data, stage.memory_format)
                self._require_finite(validation, epoch, name)
                row = _make_row(epoch, stage, last_rate, loss, seconds, validation, self.context)
                record = self._record(row)
                if self.fabric.is_global_zero and self.folder.is_best(row):
                    save_checkpoint(self.folder.best, self.context.model, record)
            self._save(row, record, stage.settings, learner)
            if self.events:
                tensorboard.write_epoch(self.events, row, validation.shown, self.context.classes)
            self.reporter.epoch_done(row)
        return stage

    def _restore_optimizer(self, learner: Learner) -> None:
        try:
            learner.optimizer.load_state_dict(self.folder.state['optimizer'])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f'the optimizer state of {self.folder.last} does not fit the network ({shortened(str(error), 80)}); '
                'restore the file, or start a new run with another --output'
            ) from error

    def _train_epoch(
        self, stage: Stage, learner: Learner, epoch: int, epoch_of_stage: int
    ) -> tuple[float, float, float]:
        """Return the mean loss, the last learning rate, and the wall time in seconds."""
        batches = training_batches(self.context, stage, epoch)
        steps = len(batches)
        rate = functools.partial(_rate, stage.settings, epoch_of_stage * steps, steps)
        set_training_mode(self.context, stage)
        started = time.monotonic()
        with self.reporter.epoch(f'epoch {epoch} {stage.name}', steps) as on_step:
            loss = train_one_epoch(learner, batches, rate, on_step, stage.train_data.file_name)
        average_batch_norm(self.context.model, self.fabric)
        return loss, rate(steps - 1), time.monotonic() - started

    def _require_finite(self, validation: Validation, epoch: int, name: str) -> None:
        if not math.isfinite(validation.loss):
            raise TrainingError(
                f'the validation loss is not finite after epoch {epoch}; {self.folder.root} holds the state before '
                f'it. Reduce the learning rate (--{name}.lr)'
            )

    def _draw_curves(self) -> None:
        if not (self.folder.writes and self.config.curves):
            return
        try:
            metrics = curves.Metrics.read(self.folder.csv)
            curves.draw_run(metrics, self.folder.root / curves.CURVES, self.folder.root.name)
        except ModuleNotFoundError:
            self.reporter.message(curves.HINT)

    def _save(self, row: EpochRow, record: ModelRecord, settings: StageConfig, learner: Learner) -> None:
        context = self.context
        state = {
            'model': context.model.state_dict(),
            'optimizer': learner.optimizer.state_dict(),
            'precision': self.fabric.strategy.precision.state_dict(),
            'record': record.to_metadata(),
            'preprocessing': context.preprocessing.to_dict(),
            'class_weights': list(context.class_weights),
            'rates': [settings.base_lr, settings.lr],
            'start': self.averaging.start,
        }
        self.folder.save(row, state)
        self.fabric.barrier()  # if writing fails, no process continues

    def _with_rates(self, stage: Stage, *, resumed: bool) -> Stage:
        """Return the stage with learning rates in place of ``lr: auto``: from a range test, or as recorded."""
        if stage.settings.lr != 'auto':
            return stage
        if resumed:
            base_lr, lr = self.folder.state['rates']
        else:
            test = run_range_test(self.context, stage, self.reporter)
            base_lr, lr = test.suggest()
            if self.folder.writes:
                write_range_test(test, self.folder.root, stage.name, self.reporter, draw=self.config.curves)
            self.reporter.message(
                f'{stage.name}: the range test suggests learning rates from {base_lr:.2g} to {lr:.2g}'
            )
        return replace(stage, settings=replace(stage.settings, base_lr=base_lr, lr=lr))

    def _record(self, row: EpochRow) -> ModelRecord:
        context = self.context
        training = {
            'config': plain_values(self.config),
            'images': {'train': len(context.train_samples), 'val': len(context.val_samples)},
            'validation': row.to_json(),
            'torch': torch.__version__,
        }
        return ModelRecord(context.classes, context.preprocessing, training, context.model.width_mult)


def _rate(settings: StageConfig, offset: int, steps_per_epoch: int, step: int) -> float:
    return learning_rate(settings, offset + step, steps_per_epoch)


def _make_row(
    epoch: int,
    stage: Stage,
    rate: float,
    train_loss: float,
    seconds: float,
    validation: Validation,
    context: TrainingContext,
) -> EpochRow:
    confusion, balls = validation.total.confusion, validation.total.balls
    return EpochRow(
        epoch=epoch,
        stage=stage.name,
        resolution=stage.settings.resolution,
        lr=rate,
        train_loss=train_loss,
        val_loss=validation.loss,
        mean_iou=confusion.mean_iou(),
        ball_found=balls.found,
        ball_missed=balls.missed,
        ball_false=balls.false,
        ball_error_px=balls.error_percentile(50),
        train_seconds=round(seconds, 3),
        val_seconds=round(validation.seconds, 3),
        iou=dict(zip(context.classes.names, confusion.iou().tolist(), strict=True)),
    )
