"""How fast training is in each stage, against the plain way, in one run; and how much memory it takes.

    python benchmarks/benchmark_training.py                      # renders 48 scenes of 640x480 for it
    python benchmarks/benchmark_training.py --data scenes --steps 6 --rounds 3 --json
    python benchmarks/benchmark_training.py --memory             # resident memory over epochs, batch 8 at 640x480

The plain way: the same network, loss, batch and augmentation in float32 and PyTorch's default memory layout, every
image decoded (and, for the half-resolution stages, shrunk) each epoch, one loader worker a core. Ours: what `minisegnet
train` does by default on this machine. Both take turns, and each figure is the best of its rounds. Beside images a
second there are images per CPU second, of all processes together, which depend less on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from minisegnet_core.classes import IGNORE
from minisegnet_core.config import StageConfig, TrainConfig
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.loading import Batch, SegmentationDataset, training_loader
from minisegnet_core.data.reading import SampleReader
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.model import MiniSegNet
from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.loop import train_one_epoch
from minisegnet_core.training.setup import Setup

SCENES = 48
MEGABYTE = 10**6


@dataclass
class Speed:
    """Images a second by the clock, and per second of CPU time of all processes."""

    wall: float = 0.0
    cpu: float = 0.0

    def best(self, other: Speed) -> Speed:
        return Speed(max(self.wall, other.wall), max(self.cpu, other.cpu))


class Stopwatch:
    """Measures a block in which loader workers begin and end: their CPU time counts too."""

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
    """Training as one would write it first."""

    def __init__(self, config: TrainConfig, stage: StageConfig) -> None:
        dataset = open_dataset(config.data)
        reader = SampleReader(stage.resolution)  # with no cache
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
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=config.weight_decay)
        weights = torch.tensor(config.class_weights, device=self.device)
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


class Ours:
    """Training as `minisegnet train` does it."""

    def __init__(self, config: TrainConfig, stage: StageConfig, output: Path) -> None:
        self.setup = Setup(config, open_dataset(config.data), make_fabric(config))
        self.stage = stage
        self.data, _ = self.setup.stage_data(stage, output)
        self.optimizer = self.setup.make_optimizer(self.setup.enter_stage(stage), 1e-4)

    def batches(self, number: int, images: int) -> DataLoader[Batch]:
        return self.setup.batches(replace(self.stage, images=images), self.data, number)

    def train(self, batches: Iterable[Batch]) -> None:
        setup = self.setup
        setup.train_mode(self.stage)
        train_one_epoch(
            setup.network,
            batches,
            setup.train_samples,
            setup.criterion,
            self.optimizer,
            lambda step: 1e-4,
            setup.machinery,
            lambda loss, rate: None,
        )

    def epoch(self, number: int, images: int) -> Speed:
        with Stopwatch(images) as watch:
            self.train(self.batches(number, images))
        return watch.speed

    def epoch_from_memory(self, number: int, images: int) -> Speed:
        """The same batches, loaded and augmented beforehand: what loading costs is what this is faster by."""
        batches = list(self.batches(number, images))
        with Stopwatch(images) as watch:
            self.train(batches)
        return watch.speed


def compare(config: TrainConfig, name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both ways in turn, after a short warm-up."""
    stage = replace(config.stages[name], batch_size=options.batch or config.stages[name].batch_size)
    images = options.steps * stage.batch_size
    ways = {'plain': Plain(config, stage).epoch}
    ours = Ours(config, stage, folder)
    ways |= {'ours': ours.epoch, 'ours_from_memory': ours.epoch_from_memory}
    speeds = {way: Speed() for way in ways}
    for way in ways.values():
        way(0, stage.batch_size)
    for number in range(options.rounds):
        for way, epoch in ways.items():
            speeds[way] = speeds[way].best(epoch(number, images))
    return {
        'stage': name,
        'batch_size': stage.batch_size,
        **{way: asdict(speed) for way, speed in speeds.items()},
        'ratio_wall': speeds['ours'].wall / speeds['plain'].wall,
        'ratio_cpu': speeds['ours'].cpu / speeds['plain'].cpu,
        'ratio_from_memory_wall': speeds['ours_from_memory'].wall / speeds['ours'].wall,
    }


def memory(config: TrainConfig, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resident memory of the training process after each epoch of the full-resolution stage, and its peak."""
    stage = replace(config.stage3, batch_size=8)
    ours, after = Ours(config, stage, folder), []
    for number in range(options.epochs):
        ours.train(ours.batches(number, options.steps * stage.batch_size))
        ours.setup.validate(stage, ours.data)
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        after.append(pages * os.sysconf('SC_PAGE_SIZE') / MEGABYTE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    return {'after_epoch_mb': [round(value) for value in after], 'peak_mb': round(peak)}


def render(folder: Path, count: int) -> Path:
    """A data set of scenes of 640x480."""
    scenes = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': 640, 'height': 480}})
    with DatasetWriter(folder) as writer:
        for index in range(count):
            scene = render_scene(scenes, 0, index)
            writer.add(f'{index:03}', scene.image, scene.labels, split='train', balls=scene.balls, group=f'{index}')
            if index < 8:
                writer.add(f'v{index}', scene.image, scene.labels, split='val', balls=scene.balls, group=f'v{index}')
    return folder


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='a data set; rendered where it is not given')
    parser.add_argument('--stages', nargs='*', default=['stage1', 'stage2', 'stage3'])
    parser.add_argument('--steps', type=int, default=3, help='optimizer steps of each round')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--batch', type=int, default=0, help='batch size; default: that of each stage')
    parser.add_argument('--memory', action='store_true', help='measure memory instead of speed')
    parser.add_argument('--epochs', type=int, default=5, help='epochs of --memory')
    parser.add_argument('--workers', type=int, default=TrainConfig().workers, help='loader workers of ours')
    parser.add_argument('--compile', action='store_true', help='ours with torch.compile')
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or str(render(Path(folder) / 'scenes', SCENES))
        config = TrainConfig(data=data, encoder_weights='none', freeze_anyway=True, workers=options.workers)
        config = replace(config, compile=options.compile or 'auto')
        result: dict[str, Any] = {
            'cores': os.cpu_count(),
            'threads': torch.get_num_threads(),
            'cuda': torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            'torch': torch.__version__,
            'load_before': os.getloadavg()[0],
        }
        if options.memory:
            result['memory'] = memory(config, options, Path(folder))
        else:
            result['stages'] = [compare(config, name, options, Path(folder)) for name in options.stages]
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f'{result["cores"]} cores, {result["threads"]} threads, load {result["load_before"]:.1f}, {result["torch"]}')
    if options.memory:
        print(
            f'resident after each epoch: {result["memory"]["after_epoch_mb"]} MB, peak {result["memory"]["peak_mb"]} MB'
        )
    for row in result.get('stages', ()):
        print(
            f'{row["stage"]} batch {row["batch_size"]}: plain {row["plain"]["wall"]:.2f} images/s, '
            f'ours {row["ours"]["wall"]:.2f}: {row["ratio_wall"]:.2f} times; per CPU second {row["plain"]["cpu"]:.2f}, '
            f'{row["ours"]["cpu"]:.2f}: {row["ratio_cpu"]:.2f} times; '
            f'from batches in memory {row["ratio_from_memory_wall"]:.2f} times ours'
        )


if __name__ == '__main__':
    main()
