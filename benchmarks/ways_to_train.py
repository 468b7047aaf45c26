"""The two variants of training that benchmark_training.py compares, and a stopwatch for both."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from minisegnet_core.classes import IGNORE
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.model import MiniSegNet
from minisegnet_core.training.config import SOCCER_WEIGHTS, StageConfig, TrainConfig
from minisegnet_core.training.context import make_context
from minisegnet_core.training.data.loader import Batch, SegmentationDataset, training_loader
from minisegnet_core.training.data.reader import SampleReader
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.loop import train_one_epoch
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.stage import enter_stage, make_learner, set_training_mode, training_batches
from minisegnet_core.training.validation import validate

LEARNING_RATE = 1e-4


@dataclass
class Speed:
    """Images per second of wall time, and per second of CPU time of all processes."""

    wall: float = 0.0
    cpu: float = 0.0

    def best(self, other: Speed) -> Speed:
        return Speed(max(self.wall, other.wall), max(self.cpu, other.cpu))


class Stopwatch:
    """Measures a block in which loader workers start and end, so that their CPU time counts."""

    def __init__(self, images: int) -> None:
        self.images = images

    def __enter__(self) -> Stopwatch:
        self.wall, self.cpu = time.perf_counter(), _cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.speed = Speed(self.images / (time.perf_counter() - self.wall), self.images / (_cpu_seconds() - self.cpu))


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Plain:
    """Training in plain PyTorch, without a cache or special memory layouts."""

    def __init__(self, config: TrainConfig, stage: StageConfig) -> None:
        dataset = open_dataset(config.data)
        reader = SampleReader(stage.resolution)  # no cache
        samples = dataset.split('train')
        self.data = SegmentationDataset(samples, dataset.classes, reader, augment=config.augment, seed=config.seed)
        self.stage = stage
        self.model = MiniSegNet(len(dataset.classes)).train()
        if stage.encoder == 'frozen':
            self.model.encoder.requires_grad_(False)
            self.model.encoder.eval()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.model.to(self.device)
        self.optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=config.weight_decay)
        weights = torch.tensor([SOCCER_WEIGHTS[name] for name in dataset.classes.names], device=self.device)
        self.criterion = nn.CrossEntropyLoss(weights, ignore_index=IGNORE)

    def epoch(self, number: int, images: int) -> Speed:
        loader = training_loader(self.data, self.stage.batch_size, os.cpu_count() or 1, number, images)
        mean = torch.tensor([0.485, 0.456, 0.406], device=self.device).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225], device=self.device).view(3, 1, 1)
        with Stopwatch(images) as watch:
            for inputs, targets, _ in loader:
                inputs = inputs.contiguous().to(self.device)  # noqa: PLW2901
                logits = self.model((inputs.float() / 255 - mean) / std)
                loss = self.criterion(logits, targets.to(self.device))
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                loss.item()
        return watch.speed


class Minisegnet:
    """Training as `minisegnet train` does it."""

    def __init__(self, config: TrainConfig, name: str, output: Path) -> None:
        self.context = make_context(config, open_dataset(config.data), make_fabric(config), Silence())
        self.stage = enter_stage(self.context, name, output, Silence())
        self.learner = make_learner(self.context, self.stage, LEARNING_RATE)

    def batches(self, number: int, images: int) -> DataLoader[Batch]:
        settings = replace(self.stage.settings, images=images)
        return training_batches(self.context, replace(self.stage, settings=settings), number)

    def train(self, batches: Iterable[Batch]) -> None:
        set_training_mode(self.context, self.stage)
        train_one_epoch(self.learner, batches, lambda step: LEARNING_RATE, lambda loss, rate: None)

    def validate(self) -> None:
        validate(self.context, self.stage.settings, self.stage.val_data, self.stage.memory_format)

    def epoch(self, number: int, images: int) -> Speed:
        with Stopwatch(images) as watch:
            self.train(self.batches(number, images))
        return watch.speed

    def epoch_from_memory(self, number: int, images: int) -> Speed:
        """Train on batches that were loaded and augmented before: the difference is the cost of loading."""
        batches = list(self.batches(number, images))
        with Stopwatch(images) as watch:
            self.train(batches)
        return watch.speed
