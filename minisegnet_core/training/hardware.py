"""Devices, processes and precision of a training, managed by Lightning Fabric.

Fabric handles what plain PyTorch leaves to each program: the environment of torchrun on one or several machines, the
choice of backend, distributed data parallelism, autocast and loss scaling. On one device in float32 it does nothing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.processor import processor
from minisegnet_core.training.config import TrainConfig

FABRIC_PRECISION: dict[str, Literal['32-true', 'bf16-mixed', '16-mixed']] = {
    'float32': '32-true',
    'bfloat16': 'bf16-mixed',
    'float16': '16-mixed',
}
TIMEOUT = timedelta(hours=6)
"""Maximum time that processes wait for each other, for example while one of them decodes a whole data set."""

Value = TypeVar('Value')


def make_fabric(config: TrainConfig) -> Fabric:
    """Launch the device, processes and precision that ``config`` asks for.

    Under torchrun this process joins the others, otherwise it is the only one. On the CPU, freed memory is kept from
    now on; see :func:`keep_freed_memory`.

    Raises:
        ConfigurationError: this machine does not support the settings.
    """
    local, world = int(os.environ.get('LOCAL_WORLD_SIZE', '1')), int(os.environ.get('WORLD_SIZE', '1'))
    device = _device(config.device)
    cuda = device.type == 'cuda'
    if world > 1 and device.index is not None:
        raise ConfigurationError(
            f'device {config.device} is one GPU, but torchrun started {world} processes; use --device cuda'
        )
    if cuda and local > torch.cuda.device_count():
        raise ConfigurationError(
            f'torchrun started {local} processes on this machine, which has {torch.cuda.device_count()} GPUs; '
            'start one for each GPU'
        )
    if config.sync_batchnorm and not cuda:
        raise ConfigurationError('sync_batchnorm needs GPUs; remove it for training on the CPU')
    for name, stage in config.stages.items():
        if stage.epochs and stage.batch_size < 2 * world * stage.accumulation:
            raise ConfigurationError(
                f'{name}.batch_size is {stage.batch_size}, but {world} processes with accumulation '
                f'{stage.accumulation} need at least {2 * world * stage.accumulation}, two images for each part'
            )
    precision = _precision(config.precision, device)
    if not cuda:
        keep_freed_memory()
    elif precision != 'float32':
        torch.set_float32_matmul_precision('high')  # TF32 is precise enough for what autocast leaves in float32
    fabric = Fabric(
        accelerator='cuda' if cuda else 'cpu',
        devices=local if world > 1 or not cuda else [device.index or 0],
        num_nodes=world // local,
        # Batch statistics are averaged once per epoch (average_batch_norm) instead of copied in each step.
        strategy=DDPStrategy(broadcast_buffers=False, timeout=TIMEOUT) if world > 1 else 'auto',
        precision=FABRIC_PRECISION[precision],
    )
    fabric.launch()
    return fabric


def gather(fabric: Fabric, value: Value) -> list[Value]:
    """Return the value of every process, in the order of their ranks, in each of them."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def summed(fabric: Fabric, value: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes, in each of them."""
    total = fabric.all_reduce(value.clone(), reduce_op='sum')
    assert isinstance(total, Tensor)
    return total


def average_batch_norm(model: nn.Module, fabric: Fabric) -> None:
    """Replace the running batch statistics of each process, which come from its own images, by their mean.

    Layers in evaluation mode, such as those of a frozen encoder, are not changed.
    """
    if fabric.world_size == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            for statistic in (module.running_mean, module.running_var):
                if statistic is not None:
                    statistic.copy_(summed(fabric, statistic) / fabric.world_size)


def compiles(config: TrainConfig, fabric: Fabric) -> bool:
    """Return whether to compile the network; ``auto``: on GPUs that have what torch.compile needs, for crops.

    Crops have one size. Every other size would be compiled separately, which takes a minute or more and does not pay
    for images of many sizes. Measured on an H100 with crops of 512x384, batch 32, bfloat16: 1,917 images/s instead of
    1,567. On two CPU cores with AVX2 there was no clear gain.
    """
    if config.compile != 'auto':
        return config.compile
    has_compiler = any(map(shutil.which, ('cc', 'gcc', 'clang')))
    cuda = fabric.device.type == 'cuda'
    return cuda and bool(config.augment.crop) and has_compiler and find_spec('triton') is not None


def memory_format(device: torch.device, *, frozen_encoder: bool) -> torch.memory_format:
    """Return the fastest layout of images and weights in memory for training.

    Channels last is faster except for the gradients of convolutions on CPUs without AVX-512. Measured on two cores with
    AVX2: 1.1x the speed with a frozen encoder, 0.7x when all layers are trained.
    """
    slow_gradients = device.type == 'cpu' and 'avx512f' not in processor().features
    return torch.contiguous_format if slow_gradients and not frozen_encoder else torch.channels_last


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f'device {name!r} is not a PyTorch device; use auto, cpu, cuda or cuda:0') from error
    if device.type not in ('cpu', 'cuda'):
        raise ConfigurationError(f'device {name!r} is not supported for training; use auto, cpu, cuda or cuda:0')
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigurationError('device is cuda, but PyTorch finds no CUDA GPU; use --device cpu')
    return device


def _precision(precision: str, device: torch.device) -> str:
    """Return the precision to train in; ``auto`` is bfloat16 only where the hardware multiplies in it.

    A CPU without AMX or AVX-512 BF16 emulates bfloat16 convolutions: measured 13x slower than float32.
    """
    if precision == 'auto':
        fast = torch.cuda.is_bf16_supported() if device.type == 'cuda' else processor().native_bfloat16
        return 'bfloat16' if fast else 'float32'
    if precision == 'float16' and device.type != 'cuda':
        raise ConfigurationError('precision float16 needs a GPU; use --precision bfloat16 or float32 on the CPU')
    return precision


# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8

MALLOC_SETTINGS = {
    M_MMAP_MAX: 0,  # take large blocks from the heap, where they can be reused
    M_TRIM_THRESHOLD: -1,  # never return the end of the heap automatically
    M_ARENA_MAX: 1,  # heaps of other threads are too small for tensors and would hold memory of their own
}


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for reuse. Call it before the first large allocation.

    Each step frees its activations and allocates the same sizes again. By default glibc maps every large block from the
    kernel and returns it when it is freed, so each step pays for the page faults and the zeroing of gigabytes. With the
    settings below, the speed of stage 1 rises from 8.4 to 10.2 images/s, of stage 2 from 3.4 to 4.4, of stage 3 from
    0.84 to 1.15. Peak resident memory rises from 2.96 to 3.65 GB. Results are bit-identical. (Two cores of an AMD EPYC
    with AVX2, 640x480 scenes, batches of 16, 16 and 8, steps without loading, 2026-11-23.)

    Sources: mallopt(3), malloc_trim(3), and "Malloc Tunable Parameters" in the GNU C Library manual.

    The settings hold for the whole process until it ends; forked processes inherit them.

    Returns:
        Whether the settings were made: False unless the C library is glibc.
    """
    libc = _glibc()
    return libc is not None and all(libc.mallopt(*setting) == 1 for setting in MALLOC_SETTINGS.items())


def give_freed_memory_back() -> None:
    """Return to the kernel the freed memory that :func:`keep_freed_memory` made this process keep.

    Call it before other processes are forked. They share their parent's memory until one of them writes to it.
    Free pages would be copied as soon as the parent reuses them, and the old pages would stay as long as the children
    live. The call costs the page faults of one step. Without glibc it does nothing.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith('linux'):
        return None
    try:
        libc = ctypes.CDLL(None)
    except OSError:
        return None
    # The mallopt of other C libraries may have other parameters.
    if not hasattr(libc, 'gnu_get_libc_version'):
        return None
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    return libc
