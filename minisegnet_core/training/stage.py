"""One stage of a training: its data, and the network and optimizer prepared for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.context import TrainingContext
from minisegnet_core.training.data.cache import cache_folder, open_cache
from minisegnet_core.training.data.loader import Batch, SegmentationDataset, training_loader
from minisegnet_core.training.hardware import compiles, give_freed_memory_back, memory_format
from minisegnet_core.training.loop import Learner, NetworkInput
from minisegnet_core.training.reporting import Reporter


@dataclass(frozen=True)
class Stage:
    """A stage that has been entered.

    Attributes:
        name: ``stage1`` to ``stage3``.
        settings: as the stage runs; ``lr`` may still be ``auto``.
        train_data, val_data: at the stage's resolution.
        network: the context's model, possibly compiled and distributed over processes.
        parameters: those that the stage trains.
        memory_format: layout of images and weights in memory.
    """

    name: str
    settings: StageConfig
    train_data: SegmentationDataset
    val_data: SegmentationDataset
    network: nn.Module
    parameters: list[nn.Parameter]
    memory_format: torch.memory_format


def open_stage_data(
    context: TrainingContext, settings: StageConfig, output: Path, reporter: Reporter
) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Return training and validation data at a stage's resolution; decode into the cache what it does not hold.

    Args:
        output: holds the cache if the data set's own folder is read-only.
    """
    config = context.config
    reader = open_cache(
        tuple(dict.fromkeys((*context.train_samples, *context.val_samples))),  # each repeated sample once
        settings.resolution,
        cache_folder(context.dataset.root, output / 'cache'),
        limit_gb=config.cache_gb,
        progress=reporter.reading,
        message=reporter.message,
    )
    return (
        SegmentationDataset(context.train_samples, context.classes, reader, augment=config.augment, seed=config.seed),
        SegmentationDataset(context.val_samples, context.classes, reader),
    )


def enter_stage(context: TrainingContext, name: str, output: Path, reporter: Reporter) -> Stage:
    """Open a stage's data, freeze or unfreeze the encoder, and prepare the network for training.

    Args:
        output: folder of the run.
    """
    settings, fabric, model = context.stages[name], context.fabric, context.model
    train_data, val_data = open_stage_data(context, settings, output, reporter)
    model.encoder.requires_grad_(settings.encoder == 'trained')
    layout = memory_format(fabric.device, frozen_encoder=settings.encoder == 'frozen')
    model.to(memory_format=layout)  # type: ignore[call-overload]
    compiled = torch.compile(model, dynamic=False) if compiles(context.config, fabric) else model
    network = fabric.setup_module(compiled)  # type: ignore[arg-type]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Stage(name, settings, train_data, val_data, network, parameters, layout)


def set_training_mode(context: TrainingContext, stage: Stage) -> None:
    """Put the network into training mode, but leave frozen batch-norm statistics in evaluation mode."""
    stage.network.train()
    # cuDNN's search for the fastest algorithm pays for crops, which have one size, and not for images of many sizes.
    torch.backends.cudnn.benchmark = bool(context.config.augment.crop)
    if stage.settings.encoder == 'frozen':
        context.model.encoder.eval()
    if context.config.freeze_statistics:
        for module in context.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def make_learner(context: TrainingContext, stage: Stage, lr: float) -> Learner:
    """Return the network with a new AdamW optimizer at a learning rate, ready for optimizer steps."""
    optimizer = torch.optim.AdamW(stage.parameters, lr=lr, weight_decay=context.config.weight_decay, fused=True)
    return Learner(
        context.fabric,
        stage.network,
        NetworkInput(context.preprocessing, context.fabric.device, stage.memory_format),
        context.criterion,
        context.fabric.setup_optimizers(optimizer),  # type: ignore[arg-type]
        stage.settings.accumulation,
    )


def training_batches(context: TrainingContext, stage: Stage, epoch: int) -> DataLoader[Batch]:
    """Return this process's part of an epoch's batches. Iterate over them before anything else is allocated."""
    return training_loader(
        stage.train_data,
        stage.settings.batch_size,
        loader_workers(context),
        epoch,
        stage.settings.images,
        rank=context.fabric.global_rank,
        world_size=context.fabric.world_size,
    )


def loader_workers(context: TrainingContext) -> int:
    """Return the number of worker processes for a loop that starts now; see :func:`give_freed_memory_back`."""
    if context.config.workers and context.fabric.device.type == 'cpu':
        give_freed_memory_back()
    return context.config.workers
