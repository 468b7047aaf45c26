"""What a training, or a range test, needs before its first step: data, starting weights, hardware, loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from minisegnet_core.checkpoint import load_checkpoint, record_from_metadata
from minisegnet_core.classes import SOCCER
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.data.reduction import class_fractions
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.allocator import give_freed_memory_back
from minisegnet_core.training.blending import Blend
from minisegnet_core.training.config import StageConfig, TrainConfig
from minisegnet_core.training.data.cache import cache_folder, open_cache
from minisegnet_core.training.data.loader import Batch, SegmentationDataset, training_loader, validation_loader
from minisegnet_core.training.encoder_weights import load_encoder_weights
from minisegnet_core.training.hardware import compiles, gather, memory_format
from minisegnet_core.training.loop import Machinery
from minisegnet_core.training.losses import SegmentationLoss, weights_from_shares
from minisegnet_core.training.validation import Validation, validate

Message = Callable[[str], None]
Progress = Callable[[Sequence[Sample]], Iterable[Sample]]


class Setup:
    """All that stages work on. The model is on its device; everything random that follows is seeded.

    Args:
        config: checked settings.
        dataset: that of ``config.data``.
        fabric: device, processes and precision.
        message: is told what differs from the configuration, and why.
        progress: wraps images that must be read before the training can begin.
        state: of the run that is resumed; its weights replace all starting weights.

    Raises:
        ConfigurationError, DatasetError, ModelError: settings, data or starting weights cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        fabric: Fabric,
        message: Message = lambda text: None,
        progress: Progress = lambda samples: samples,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.config, self.dataset, self.classes, self.fabric = config, dataset, dataset.classes, fabric
        self.message, self.progress = message, progress
        samples = dataset.split('train')
        for prefix in config.repeat:
            if not any(sample.name.startswith(prefix) for sample in samples):
                message(f'repeat.{prefix}: no training image has a name that begins so')
        self.train_samples = repeated(samples, config.repeat)
        self.val_samples = dataset.split('val')
        _require_a_weight_each(config, dataset)
        torch.manual_seed(config.seed)
        self.model, self.preprocessing, pretrained = self._starting_model(state)
        self.model.to(fabric.device)
        if config.sync_batchnorm and fabric.world_size > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self.network: nn.Module = self.model
        self.stages = self._effective_stages(pretrained)
        for name, stage in self.stages.items():
            self._check_batches(name, stage)
        self.machinery = Machinery(fabric, self.preprocessing)
        self.blend = Blend(self.model, config.keep, state['start'] if state and config.keep else None)
        self.class_weights = state['class_weights'] if state else self._class_weights()
        self.criterion = SegmentationLoss(config.loss, self.classes, self.class_weights, dataset.absent)
        self.criterion.to(fabric.device)

    def _starting_model(self, state: dict[str, Any] | None) -> tuple[MiniSegNet, Preprocessing, bool]:
        config = self.config
        pretrained = bool(config.init_from) or config.encoder_weights != 'none'
        if state:
            was = record_from_metadata(state['record'], Path(config.output)).classes.names
            if was != self.classes.names:
                raise ConfigurationError(
                    f'a resumed run keeps its classes, {", ".join(was)}; {self.dataset.root} has '
                    f'{", ".join(self.classes.names)}'
                )
            model = MiniSegNet(len(self.classes), float(state['record'].get('width_mult', 1)))
            model.load_state_dict(state['model'])
            return model, Preprocessing.from_dict(state['preprocessing']), pretrained
        if config.init_from:
            model, record = load_checkpoint(config.init_from)
            if record.classes.names != self.classes.names:
                raise ConfigurationError(
                    f'init_from has the classes {", ".join(record.classes.names)}, '
                    f'the data set {", ".join(self.classes.names)}; they must be the same'
                )
            if config.width_mult not in (1, record.width_mult):
                raise ConfigurationError(
                    f'width_mult is {config.width_mult:g}, but init_from has {record.width_mult:g}; leave it out'
                )
            return model, record.preprocessing, pretrained
        model = MiniSegNet(len(self.classes), config.width_mult)
        load_encoder_weights(model, config.encoder_weights)
        return model, Preprocessing(), pretrained

    def _effective_stages(self, pretrained: bool) -> dict[str, StageConfig]:
        stages = {name: stage for name, stage in self.config.stages.items() if stage.epochs}
        frozen = [name for name, stage in stages.items() if stage.encoder == 'frozen']
        if frozen and not pretrained and not self.config.freeze_anyway:
            self.message(
                f'the encoder starts from random weights, so freezing it in {", ".join(frozen)} would be pointless: '
                'it is trained there (--freeze-anyway true freezes it all the same)'
            )
            for name in frozen:
                stages[name] = replace(stages[name], encoder='trained')
        return stages

    def _check_batches(self, name: str, stage: StageConfig) -> None:
        """Few images make smaller batches than those set, down to where batch norm has no statistics."""
        there, parts = len(self.train_samples), self.fabric.world_size * stage.accumulation
        count = min(stage.images or there, there)
        size = min(stage.batch_size, count)
        if size < 2 * parts:
            raise ConfigurationError(
                f'{name} sees {count} training images, which batch norm cannot learn from in {parts} '
                f'part{"s" * (parts > 1)} of a batch: it needs at least {2 * parts}'
            )
        if size < stage.batch_size:
            self.message(f'{name}: batches have {size} images, all that there are, not {stage.batch_size}')
        if stage.images > there:
            self.message(f'{name}: an epoch has {there} images, all that there are, not {stage.images}')

    def _class_weights(self) -> list[float]:
        given = self.config.class_weights
        if given == 'auto':
            # One process reads all labels, the others take its word.
            here = self.fabric.is_global_zero
            shares = class_fractions(self.train_samples, self.classes, self.progress).tolist() if here else []
            given = weights_from_shares(gather(self.fabric, shares)[0])
            self.message('class weights from the data: ' + ', '.join(f'{w:.2f}' for w in given))
        weights = list(given) or [1.0] * len(self.classes)
        if weights == TrainConfig().class_weights and self.classes.names != SOCCER.names:
            meant, names = ', '.join(SOCCER.names), ', '.join(self.classes.names)
            self.message(
                f'class_weights {", ".join(f"{w:g}" for w in weights)} are meant for {meant}; here they weigh {names} '
                '(--class-weights auto: from the data)'
            )
        return [0.0 if n in self.dataset.absent else w for n, w in zip(self.classes.names, weights, strict=True)]

    def stage_data(self, stage: StageConfig, output: Path) -> tuple[SegmentationDataset, SegmentationDataset]:
        """Training and validation data at the stage's resolution.

        Args:
            output: keeps the cache of decoded images where the data set's own folder cannot be written.
        """
        config = self.config
        reader = open_cache(
            tuple(dict.fromkeys((*self.train_samples, *self.val_samples))),  # repeated ones once
            stage.resolution,
            cache_folder(self.dataset.root, output / 'cache'),
            limit_gb=config.cache_gb,
            progress=self.progress,
            message=self.message,
        )
        return (
            SegmentationDataset(self.train_samples, self.classes, reader, augment=config.augment, seed=config.seed),
            SegmentationDataset(self.val_samples, self.classes, reader),
        )

    def batches(self, stage: StageConfig, data: SegmentationDataset, epoch: int) -> DataLoader[Batch]:
        """This process's part of an epoch's batches; the next thing done shall be to go through them."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        workers = self._workers()
        return training_loader(data, stage.batch_size, workers, epoch, stage.images, rank=rank, world_size=world)

    def _workers(self) -> int:
        """How many are forked where a loop over batches begins; memory that lies free is not to be theirs too."""
        if self.config.workers and self.fabric.device.type == 'cpu':
            give_freed_memory_back()
        return self.config.workers

    def validate(
        self, stage: StageConfig, data: SegmentationDataset, group_of: Callable[[Sample], str] = lambda sample: ''
    ) -> Validation:
        """Scores the model as it is on the validation data of a stage."""
        torch.backends.cudnn.benchmark = False
        rank, world = self.fabric.global_rank, self.fabric.world_size
        part = max(1, stage.batch_size // (world * stage.accumulation))
        batches = validation_loader(data, part, self._workers(), rank=rank, world_size=world)
        scale = 2 if stage.resolution == 'half' else 1
        return validate(
            self.model, batches, data.samples, self.dataset, self.criterion, self.machinery, scale, group_of
        )

    def enter_stage(self, stage: StageConfig) -> list[nn.Parameter]:
        """Freezes or frees the encoder, makes :attr:`network` ready, and gives the parameters that the stage trains."""
        self.model.encoder.requires_grad_(stage.encoder == 'trained')
        layout = memory_format(self.fabric.device, frozen_encoder=stage.encoder == 'frozen')
        self.machinery.memory_format = layout
        self.model.to(memory_format=layout)  # type: ignore[call-overload]
        compiled = torch.compile(self.model, dynamic=False) if compiles(self.config, self.fabric) else self.model
        self.network = self.fabric.setup_module(compiled)  # type: ignore[arg-type]
        return [p for p in self.model.parameters() if p.requires_grad]

    def make_optimizer(self, parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """AdamW on the parameters of a stage."""
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=self.config.weight_decay, fused=True)
        return self.fabric.setup_optimizers(optimizer)  # type: ignore[return-value]

    def train_mode(self, stage: StageConfig) -> None:
        """Puts the model into training mode; of a frozen encoder, batch-norm statistics must not move either, and
        with ``freeze_statistics`` none do."""
        self.network.train()
        # Crops are all of one size, so trying the GPU's algorithms once pays; for images of many sizes it would not.
        torch.backends.cudnn.benchmark = bool(self.config.augment.crop)
        if stage.encoder == 'frozen':
            self.model.encoder.eval()
        if self.config.freeze_statistics:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def repeated(samples: Sequence[Sample], repeat: Mapping[str, int]) -> tuple[Sample, ...]:
    """Samples as often as ``repeat`` says of their names' beginnings, in their order; the longest that fits counts."""

    def times(sample: Sample) -> int:
        return repeat.get(max((p for p in repeat if sample.name.startswith(p)), key=len, default=''), 1)

    return tuple(sample for sample in samples for _ in range(times(sample)))


def _require_a_weight_each(config: TrainConfig, dataset: Dataset) -> None:
    weights, names = config.class_weights, dataset.classes.names
    if weights and weights != 'auto' and len(weights) != len(names):
        raise ConfigurationError(
            f'class_weights has {len(weights)} numbers, the data set {len(names)} classes '
            f'({", ".join(names)}); give one for each, or none'
        )
