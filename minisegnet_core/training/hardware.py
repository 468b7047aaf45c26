"""Devices, processes and precision of a training, in the hands of Lightning Fabric.

Fabric brings what plain PyTorch leaves to each program: the environment of torchrun on one or several machines, the
choice of backend, distributed data parallelism, autocast and loss scaling. On one device it does nothing.
"""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.processor import processor
from minisegnet_core.training.allocator import keep_freed_memory
from minisegnet_core.training.config import TrainConfig

FABRIC_PRECISION: dict[str, Literal['32-true', 'bf16-mixed', '16-mixed']] = {
    'float32': '32-true',
    'bfloat16': 'bf16-mixed',
    'float16': '16-mixed',
}
PATIENCE = timedelta(hours=6)
"""How long processes wait for each other: one decodes a whole data set while the others have nothing to do."""

Value = TypeVar('Value')


def make_fabric(config: TrainConfig) -> Fabric:
    """Device, processes and precision of ``config``, started.

    Under torchrun this process joins the others; else it stays alone. On the CPU, freed memory is kept from now on, see
    :func:`keep_freed_memory`.

    Raises:
        ConfigurationError: this machine cannot do what is set.
    """
    local, world = int(os.environ.get('LOCAL_WORLD_SIZE', '1')), int(os.environ.get('WORLD_SIZE', '1'))
    device = _device(config.device)
    cuda = device.type == 'cuda'
    if world > 1 and device.index is not None:
        raise ConfigurationError(f'device {config.device} is one GPU, but torchrun started {world} processes: cuda')
    if cuda and local > torch.cuda.device_count():
        raise ConfigurationError(f'{local} processes on this machine, but {torch.cuda.device_count()} GPUs; one each')
    if config.sync_batchnorm and not cuda:
        raise ConfigurationError('sync_batchnorm needs GPUs; leave it false on the CPU')
    for name, stage in config.stages.items():
        if stage.epochs and stage.batch_size < 2 * world * stage.accumulation:
            raise ConfigurationError(
                f'{name}.batch_size is {stage.batch_size}, but {world} processes with accumulation '
                f'{stage.accumulation} need at least {2 * world * stage.accumulation}: two images in each part'
            )
    precision = _precision(config.precision, device)
    if not cuda:
        keep_freed_memory()
    elif precision != 'float32':
        torch.set_float32_matmul_precision('high')  # what autocast leaves in float32 need not be exact to its last bit
    fabric = Fabric(
        accelerator='cuda' if cuda else 'cpu',
        devices=local if world > 1 or not cuda else [device.index or 0],
        num_nodes=world // local,
        # Batch statistics are averaged once an epoch, see average_batch_norm, not copied from one process each step.
        strategy=DDPStrategy(broadcast_buffers=False, timeout=PATIENCE) if world > 1 else 'auto',
        precision=FABRIC_PRECISION[precision],
    )
    fabric.launch()
    return fabric


def gather(fabric: Fabric, value: Value) -> list[Value]:
    """``value`` of every process, in the order of their ranks, in each of them."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def summed(fabric: Fabric, value: Tensor) -> Tensor:
    """Sum of the tensors of all processes, in each of them."""
    total = fabric.all_reduce(value.clone(), reduce_op='sum')
    assert isinstance(total, Tensor)
    return total


def average_batch_norm(model: nn.Module, fabric: Fabric) -> None:
    """Gives all processes the mean of their running batch statistics, which each has gathered from its own images.

    Layers in evaluation mode, those of a frozen encoder, stay as they are, to the bit.
    """
    if fabric.world_size == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:
                    statistic.copy_(summed(fabric, statistic) / fabric.world_size)


def compiles(config: TrainConfig, fabric: Fabric) -> bool:
    """Whether the network is to be compiled; ``auto``: on GPUs that have what torch.compile needs, for crops.

    Crops are all of one size. Each other size is compiled anew, which takes longer than it saves where images of many
    sizes are trained on: on an H100, 1,917 crops of 512x384 a second instead of 1,567 (batch 32, bfloat16), and about a
    minute or more for each size. On two CPU cores with AVX2 it brought no clear gain.
    """
    if config.compile != 'auto':
        return config.compile
    has_compiler = any(map(shutil.which, ('cc', 'gcc', 'clang')))
    cuda = fabric.device.type == 'cuda'
    return cuda and bool(config.augment.crop) and has_compiler and find_spec('triton') is not None


def memory_format(device: torch.device, *, frozen_encoder: bool) -> torch.memory_format:
    """How images and weights are laid out in memory while training.

    Channels last is the faster one everywhere but for the gradients of convolutions on CPUs without AVX-512: measured
    on two cores with AVX2, it is 1.1 times as fast with a frozen encoder, and 0.7 times as fast where all is trained.
    """
    slow_gradients = device.type == 'cpu' and 'avx512f' not in processor().features
    return torch.contiguous_format if slow_gradients and not frozen_encoder else torch.channels_last


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f'device {name!r} is none that PyTorch knows: auto, cpu, cuda, cuda:0 ...') from error
    if device.type not in ('cpu', 'cuda'):
        raise ConfigurationError(f'device {name!r} is not supported in training: auto, cpu, cuda, cuda:0 ...')
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigurationError('device is cuda, but PyTorch sees no CUDA GPU here; use --device cpu')
    return device


def _precision(precision: str, device: torch.device) -> str:
    """``auto`` is bfloat16 only where the hardware multiplies in it.

    A CPU without AMX or AVX-512 BF16 emulates bfloat16 convolutions: measured 13 times slower than float32.
    """
    if precision == 'auto':
        fast = torch.cuda.is_bf16_supported() if device.type == 'cuda' else processor().native_bfloat16
        return 'bfloat16' if fast else 'float32'
    if precision == 'float16' and device.type != 'cuda':
        raise ConfigurationError('precision float16 needs a GPU; use bfloat16 or float32 on the CPU')
    return precision
