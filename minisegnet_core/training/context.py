"""What stays the same during a training or an LR range test: data, network, loss, and the stages as they will run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.checks import check_dataset, never_shown
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.data.reduction import class_fractions
from minisegnet_core.errors import ConfigurationError, ModelError, shortened, suggestion
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.config import SOCCER_WEIGHTS, StageConfig, TrainConfig
from minisegnet_core.training.hardware import gather
from minisegnet_core.training.losses import SegmentationLoss, weights_from_fractions
from minisegnet_core.training.reporting import Reporter
from minisegnet_core.training.starting_model import make_starting_model


@dataclass(frozen=True)
class TrainingContext:
    """What stages, validation and checkpoints share. Only the weights of the model change.

    Attributes:
        config: all settings.
        fabric: device, processes and precision.
        dataset: as opened from ``config.data``.
        train_samples: the training split, with the repetitions of ``config.repeat``.
        val_samples: the validation split.
        stages: names to the stages that have epochs, as they will run.
        model: the network, on its device.
        preprocessing: mean and standard deviation of its input.
        class_weights: one for each class, in the cross-entropy.
        criterion: the loss.
    """

    config: TrainConfig
    fabric: Fabric
    dataset: Dataset
    train_samples: tuple[Sample, ...]
    val_samples: tuple[Sample, ...]
    stages: Mapping[str, StageConfig]
    model: MiniSegNet
    preprocessing: Preprocessing
    class_weights: tuple[float, ...]
    criterion: SegmentationLoss

    @property
    def classes(self) -> ClassSet:
        """The classes of the data set and of the network."""
        return self.dataset.classes


def check_data(dataset: Dataset, splits: Sequence[str], fabric: Fabric, reporter: Reporter) -> None:
    """Open every image and label once and report classes that no label shows; one process does it for all.

    Raises:
        DatasetError: a file is missing, damaged or contradicts the data set.
    """
    if fabric.is_global_zero:
        for sentence in never_shown(**check_dataset(dataset, splits, reporter.reading)):
            reporter.message(sentence)
    fabric.barrier()


def make_context(
    config: TrainConfig, dataset: Dataset, fabric: Fabric, reporter: Reporter, state: dict[str, Any] | None = None
) -> TrainingContext:
    """Build the network, the loss and the stages, and seed all random numbers that follow.

    Args:
        reporter: receives the differences between the configuration and what will be done.
        state: content of ``last.ckpt`` of the run that is resumed.

    Raises:
        ConfigurationError, DatasetError, ModelError: settings, data or starting weights cannot be used.
    """
    train_samples = repeated(dataset.split('train'), config.repeat, reporter)
    val_samples = dataset.split('val')
    _require_weight_per_class(config, dataset)
    torch.manual_seed(config.seed)
    model, preprocessing = make_starting_model(config, dataset, state)
    model.to(fabric.device)
    if config.sync_batchnorm and fabric.world_size > 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    stages = _stages_with_epochs(config, reporter)
    for name, stage in stages.items():
        _check_batch_size(name, stage, len(train_samples), fabric.world_size, reporter)
    if state:
        weights = _recorded_weights(state['class_weights'], dataset)
    else:
        weights = _class_weights(config, dataset, train_samples, fabric, reporter)
    criterion = SegmentationLoss(config.loss, dataset.classes, weights, dataset.absent).to(fabric.device)
    return TrainingContext(
        config, fabric, dataset, train_samples, val_samples, stages, model, preprocessing, tuple(weights), criterion
    )


def repeated(samples: Sequence[Sample], repeat: Mapping[str, int], reporter: Reporter) -> tuple[Sample, ...]:
    """Return the samples in order, each as often as ``repeat`` has it for the longest prefix of its name."""
    for prefix in repeat:
        if not any(sample.name.startswith(prefix) for sample in samples):
            reporter.message(f'repeat.{prefix}: no training image has a name that begins with {prefix}')

    def times(sample: Sample) -> int:
        return repeat.get(max((p for p in repeat if sample.name.startswith(p)), key=len, default=''), 1)

    return tuple(sample for sample in samples for _ in range(times(sample)))


def _require_weight_per_class(config: TrainConfig, dataset: Dataset) -> None:
    """Check that listed weights are as many as the classes, and that named weights name classes."""
    weights, names = config.class_weights, dataset.classes.names
    shown = shortened(', '.join(names), 100)
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in names:
                hint = suggestion(name, names) or f'; the classes are {shown}'
                raise ConfigurationError(f'class_weights names {shortened(repr(name))}, which is not a class{hint}')
        if not any(weights.get(name, 1.0) for name in names):
            raise ConfigurationError('class_weights is 0 for every class; it must be above 0 for one')
    elif isinstance(weights, tuple) and weights and len(weights) != len(names):
        raise ConfigurationError(
            f'class_weights has {len(weights)} numbers, but the data set has {len(names)} classes ({shown}); give one '
            'for each, weights by name, or `auto`'
        )


def _stages_with_epochs(config: TrainConfig, reporter: Reporter) -> dict[str, StageConfig]:
    """Return the stages that will run. An encoder with random weights is trained even where it should be frozen."""
    stages = {name: stage for name, stage in config.stages.items() if stage.epochs}
    frozen = [name for name, stage in stages.items() if stage.encoder == 'frozen']
    if frozen and not config.starts_pretrained and not config.freeze_anyway:
        reporter.message(
            f'the encoder starts from random weights, so it is trained in {", ".join(frozen)} instead of frozen; '
            '--freeze-anyway freezes it'
        )
        for name in frozen:
            stages[name] = replace(stages[name], encoder='trained')
    return stages


def _check_batch_size(name: str, stage: StageConfig, available: int, processes: int, reporter: Reporter) -> None:
    """Report batches that are smaller than set because there are few images; reject parts of fewer than two.

    Batch norm needs two images in each part of a batch.
    """
    parts = processes * stage.accumulation
    count = min(stage.images or available, available)
    size = min(stage.batch_size, count)
    if size < 2 * parts:
        raise ConfigurationError(
            f'{name} has {count} training images, but batches in {parts} part{"s" * (parts > 1)} need at least '
            f'{2 * parts} for batch norm; add images, or reduce accumulation or processes'
        )
    if size < stage.batch_size:
        reporter.message(
            f'{name}: the batch size is {size}, the number of training images, instead of {stage.batch_size}'
        )
    if stage.images > available:
        reporter.message(f'{name}: an epoch has {available} images, all training images, instead of {stage.images}')


def _recorded_weights(weights: list[Any], dataset: Dataset) -> list[float]:
    """Return the class weights of a run that is resumed.

    Raises:
        ModelError: they are not one finite number for each class.
    """
    numbers = all(isinstance(weight, (int, float)) and math.isfinite(weight) for weight in weights)
    if not numbers or len(weights) != len(dataset.classes):
        raise ModelError(
            f'last.ckpt has the class weights {shortened(str(weights))}, expected {len(dataset.classes)} numbers; '
            'restore the file, or start a new run with another --output'
        )
    return weights


def _class_weights(
    config: TrainConfig, dataset: Dataset, samples: Sequence[Sample], fabric: Fabric, reporter: Reporter
) -> list[float]:
    """Return the weight of each class; 0 for classes that the labels never show by design."""
    names, setting = dataset.classes.names, config.class_weights
    if setting == 'default' and set(names) == set(SOCCER_WEIGHTS):
        setting = SOCCER_WEIGHTS
    if isinstance(setting, Mapping):
        weights = [setting.get(name, 1.0) for name in names]
    elif isinstance(setting, tuple):
        weights = list(setting) or [1.0] * len(names)
    else:
        # One process reads all labels for the others.
        here = fabric.is_global_zero
        fractions = class_fractions(samples, dataset.classes, reporter.reading).tolist() if here else []
        weights = weights_from_fractions(gather(fabric, fractions)[0])
        shown = ', '.join(f'{name} {weight:.2f}' for name, weight in zip(names, weights, strict=True))
        reporter.message(f'class weights from the data: {shown}')
    return [0.0 if name in dataset.absent else weight for name, weight in zip(names, weights, strict=True)]
