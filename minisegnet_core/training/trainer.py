"""The staged training, from a configuration to a checkpoint; resumes after any interruption.

Everything random follows from (seed, epoch, image index), and the whole state is written after each epoch, so a resumed
run repeats the uninterrupted one.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint, save_checkpoint
from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.config import StageConfig, TrainConfig
from minisegnet_core.data.dataset import Dataset, Sample, open_dataset
from minisegnet_core.data.half_resolution import half_resolution_folder, half_resolution_images
from minisegnet_core.data.loading import SegmentationDataset, training_loader, validation_loader
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.model import MiniSegNet, load_encoder_weights
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.loop import Machinery, train_one_epoch, validate
from minisegnet_core.training.run_folder import EpochRow, RunFolder
from minisegnet_core.training.schedule import learning_rate


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
        self.dataset = open_dataset(config.data)
        self.classes = self.dataset.classes
        self.train_samples, self.val_samples = self.dataset.split('train'), self.dataset.split('val')
        self.run_folder = RunFolder(Path(config.output), resume, asdict(config))
        torch.manual_seed(config.seed)
        self.device = _device(config.device)
        self.model, self.preprocessing, pretrained = self._starting_model()
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stages = self._effective_stages(pretrained)
        self.machinery = Machinery(self.device, self.preprocessing, _autocast(config.precision, self.device))
        self.criterion = nn.CrossEntropyLoss(
            weight=_class_weights(config.class_weights, self.classes, self.dataset), ignore_index=IGNORE
        ).to(self.device)

    def _starting_model(self) -> tuple[MiniSegNet, Preprocessing, bool]:
        config = self.config
        if config.init_from:
            model, record = load_checkpoint(config.init_from)
            if record.classes.names != self.classes.names:
                raise ConfigurationError(
                    f'init_from has the classes {", ".join(record.classes.names)}, '
                    f'the data set {", ".join(self.classes.names)}; they must be the same'
                )
            return model, record.preprocessing, True
        model = MiniSegNet(len(self.classes))
        if not self.run_folder.state:  # a resumed run brings all weights itself
            load_encoder_weights(model, config.encoder_weights)
        return model, Preprocessing(), config.encoder_weights != 'none'

    def _effective_stages(self, pretrained: bool) -> dict[str, StageConfig]:
        stages = {name: stage for name, stage in self.config.stages.items() if stage.epochs}
        frozen = [name for name, stage in stages.items() if stage.encoder == 'frozen']
        if frozen and not pretrained and not self.config.freeze_anyway:
            self.reporter.message(
                f'the encoder starts from random weights, so freezing it in {", ".join(frozen)} would be pointless: '
                'it is trained there (--freeze_anyway true to freeze it all the same)'
            )
            for name in frozen:
                stages[name] = StageConfig(**{**asdict(stages[name]), 'encoder': 'trained'})
        return stages

    def run(self) -> TrainResult:
        """All stages, from the first epoch not yet done."""
        state = self.run_folder.state
        done = int(state['epoch']) + 1 if state else 0
        if state:
            self.model.load_state_dict(state['model'])
            self.reporter.message(f'going on after epoch {done - 1}, as recorded in {self.run_folder.last}')
        first = 0
        for name, stage in self.stages.items():
            if done < first + stage.epochs:
                self._run_stage(name, stage, first, max(done, first))
            first += stage.epochs
        best = self.run_folder.best_row
        if best is None:
            raise ConfigurationError(f'{self.config.output} holds a finished run without any epoch')
        return TrainResult(self.run_folder.best, best, self.run_folder.rows)

    def _run_stage(self, name: str, stage: StageConfig, first: int, start: int) -> None:
        train_data, val_data = self._data(stage)
        frozen = stage.encoder == 'frozen'
        self.model.encoder.requires_grad_(not frozen)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=stage.base_lr, weight_decay=self.config.weight_decay)
        state = self.run_folder.state
        if state and start > first:
            optimizer.load_state_dict(state['optimizer'])
        scale = 2 if stage.resolution == 'half' else 1
        for epoch in range(start, first + stage.epochs):
            batches = training_loader(train_data, stage.batch_size, self.config.workers, epoch)
            rate = functools.partial(self._rate, stage, (epoch - first) * len(batches), len(batches))
            self.model.train()
            if frozen:
                self.model.encoder.eval()  # batch-norm statistics must not move either
            with self.reporter.epoch(f'epoch {epoch} {name}', len(batches)) as on_step:
                loss = train_one_epoch(self.model, batches, self.criterion, optimizer, rate, self.machinery, on_step)
            validation = validate(
                self.model,
                validation_loader(val_data, stage.batch_size, self.config.workers),
                self.val_samples,
                self.classes,
                self.criterion,
                self.machinery,
                scale,
            )
            row = EpochRow.of(epoch, name, stage.resolution, rate(len(batches) - 1), loss, validation, self.classes)
            record = self._record(row)
            if self.run_folder.is_best(row):
                save_checkpoint(self.run_folder.best, self.model, record)
            self.run_folder.save(
                row,
                {'model': self.model.state_dict(), 'optimizer': optimizer.state_dict(), 'record': record.to_metadata()},
            )
            self.reporter.epoch_done(row)

    @staticmethod
    def _rate(stage: StageConfig, offset: int, steps_per_epoch: int, step: int) -> float:
        return learning_rate(stage, offset + step, steps_per_epoch)

    def _data(self, stage: StageConfig) -> tuple[SegmentationDataset, SegmentationDataset]:
        config, half = self.config, None
        if stage.resolution == 'half':
            folder = half_resolution_folder(self.dataset.root, self.run_folder.root / 'half')
            half = half_resolution_images((*self.train_samples, *self.val_samples), folder, self.reporter.copying)
        return (
            SegmentationDataset(self.train_samples, self.classes, half, augment=config.augment, seed=config.seed),
            SegmentationDataset(self.val_samples, self.classes, half),
        )

    def _record(self, row: EpochRow) -> ModelRecord:
        config = asdict(self.config)
        training = {
            'config': config,
            'images': {'train': len(self.train_samples), 'val': len(self.val_samples)},
            'validation': row.to_json(),
            'torch': torch.__version__,
        }
        return ModelRecord(self.classes, self.preprocessing, training)


def _class_weights(weights: Sequence[float], classes: ClassSet, dataset: Dataset) -> torch.Tensor | None:
    if not weights:
        return None
    if len(weights) != len(classes):
        raise ConfigurationError(
            f'class_weights has {len(weights)} numbers, the data set {len(classes)} classes '
            f'({", ".join(classes.names)}); give one for each, or none'
        )
    return torch.tensor([0.0 if name in dataset.absent else w for name, w in zip(classes.names, weights, strict=True)])


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f'device {name!r} is none that PyTorch knows: auto, cpu, cuda, cuda:0 ...') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigurationError('device is cuda, but PyTorch sees no CUDA GPU here; use --device cpu')
    return device


def _autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Autocast of the chosen precision; ``auto`` is bfloat16 only where the hardware multiplies in it.

    A CPU without AMX or AVX-512 BF16 emulates bfloat16 convolutions: measured 13 times slower than float32.
    """
    if precision == 'auto':
        fast = (device.type == 'cuda' and torch.cuda.is_bf16_supported()) or (
            device.type == 'cpu' and _cpu_has_bfloat16()
        )
        precision = 'bfloat16' if fast else 'float32'
    if precision == 'float32':
        return contextlib.nullcontext
    if precision == 'float16' and device.type == 'cpu':
        raise ConfigurationError('precision float16 needs a GPU; use bfloat16 or float32 on the CPU')
    return functools.partial(torch.autocast, device.type, dtype=getattr(torch, precision))


def _cpu_has_bfloat16() -> bool:
    flags = Path('/proc/cpuinfo')
    text = flags.read_text() if flags.is_file() else ''
    return 'avx512_bf16' in text or 'amx_bf16' in text
