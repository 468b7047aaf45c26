"""What a training, or a range test, needs before its first step: data, starting weights, device, loss."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from minisegnet_core.checkpoint import load_checkpoint
from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.config import StageConfig, TrainConfig
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.data.half_resolution import half_resolution_folder, half_resolution_images
from minisegnet_core.data.loading import SegmentationDataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.model import MiniSegNet, load_encoder_weights
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.loop import Machinery

Message = Callable[[str], None]
Copying = Callable[[Sequence[Sample]], Iterable[Sample]]


class Setup:
    """All that stages work on. The model is on its device; everything random that follows is seeded.

    Args:
        config: checked settings.
        dataset: that of ``config.data``.
        message: is told what differs from the configuration, and why.
        fetch_weights: False where a resumed run brings all weights itself.

    Raises:
        ConfigurationError, DatasetError, ModelError: settings, data or starting weights cannot be used.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, message: Message, *, fetch_weights: bool = True) -> None:
        self.config, self.dataset, self.classes = config, dataset, dataset.classes
        self.train_samples, self.val_samples = self.dataset.split('train'), self.dataset.split('val')
        device = _device(config.device)
        weights = _class_weights(config.class_weights, self.classes, self.dataset)
        autocast = _autocast(config.precision, device)
        torch.manual_seed(config.seed)
        self.model, self.preprocessing, pretrained = self._starting_model(fetch_weights)
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stages = self._effective_stages(pretrained, message)
        self.machinery = Machinery(device, self.preprocessing, autocast)
        self.criterion = nn.CrossEntropyLoss(weight=weights, ignore_index=IGNORE).to(device)

    def _starting_model(self, fetch_weights: bool) -> tuple[MiniSegNet, Preprocessing, bool]:
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
        if fetch_weights:
            load_encoder_weights(model, config.encoder_weights)
        return model, Preprocessing(), config.encoder_weights != 'none'

    def _effective_stages(self, pretrained: bool, message: Message) -> dict[str, StageConfig]:
        stages = {name: stage for name, stage in self.config.stages.items() if stage.epochs}
        frozen = [name for name, stage in stages.items() if stage.encoder == 'frozen']
        if frozen and not pretrained and not self.config.freeze_anyway:
            message(
                f'the encoder starts from random weights, so freezing it in {", ".join(frozen)} would be pointless: '
                'it is trained there (--freeze-anyway true freezes it all the same)'
            )
            for name in frozen:
                stages[name] = replace(stages[name], encoder='trained')
        return stages

    def stage_data(
        self, stage: StageConfig, output: Path, copying: Copying
    ) -> tuple[SegmentationDataset, SegmentationDataset]:
        """Training and validation data at the stage's resolution.

        Args:
            output: keeps the half-resolution copy where the data set's own folder cannot be written.
            copying: wraps the images that must be copied, to show progress.
        """
        config, half = self.config, None
        if stage.resolution == 'half':
            folder = half_resolution_folder(self.dataset.root, output / 'half')
            half = half_resolution_images((*self.train_samples, *self.val_samples), folder, copying)
        return (
            SegmentationDataset(self.train_samples, self.classes, half, augment=config.augment, seed=config.seed),
            SegmentationDataset(self.val_samples, self.classes, half),
        )

    def enter_stage(self, stage: StageConfig) -> list[nn.Parameter]:
        """Freezes or frees the encoder, and gives the parameters that the stage trains."""
        self.model.encoder.requires_grad_(stage.encoder == 'trained')
        return [p for p in self.model.parameters() if p.requires_grad]

    def train_mode(self, stage: StageConfig) -> None:
        """Puts the model into training mode; of a frozen encoder, batch-norm statistics must not move either."""
        self.model.train()
        if stage.encoder == 'frozen':
            self.model.encoder.eval()


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
        fast = torch.cuda.is_bf16_supported() if device.type == 'cuda' else _cpu_has_bfloat16()
        precision = 'bfloat16' if fast else 'float32'
    if precision == 'float32':
        return contextlib.nullcontext
    if precision == 'float16':
        # Its gradients underflow without loss scaling, which this loop has not.
        raise ConfigurationError('precision float16 is not for training here; use bfloat16 or float32')
    return functools.partial(torch.autocast, device.type, dtype=torch.bfloat16)


def _cpu_has_bfloat16() -> bool:
    flags = Path('/proc/cpuinfo')
    text = flags.read_text() if flags.is_file() else ''
    return 'avx512_bf16' in text or 'amx_bf16' in text
