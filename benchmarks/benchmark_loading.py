"""Measure the cost of loading and augmenting images, alone and beside training steps.

    python benchmarks/benchmark_loading.py                     # renders 64 scenes of 640x480
    python benchmarks/benchmark_loading.py --data scenes --rounds 7 --json
    python benchmarks/benchmark_loading.py --skip-training     # loading only, half a minute

Loading: CPU time per image of a loop over an epoch's batches, in one process and one thread. Images are decoded from
their files, read from the cache, or taken from memory. The variants take turns, and each figure is the best of its
rounds, so that other load on the machine matters little. The cache is warm, as from the second epoch on.

Training: CPU time per image of training steps on all cores with one loader worker per core, summed over all processes,
with and without augmentation. On busy cores the ratio of CPU times equals the ratio of wall times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample, open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import normalize
from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.training.config import AugmentConfig, Resolution
from minisegnet_core.training.data.cache import open_cache
from minisegnet_core.training.data.loader import SegmentationDataset, training_loader
from minisegnet_core.training.data.reader import SampleReader

STAGES: dict[str, tuple[Resolution, bool, int]] = {
    # stage: resolution, whether the encoder is trained, batch size
    'stage1': ('half', False, 16),
    'stage2': ('half', True, 16),
    'stage3': ('full', True, 8),
}


class MemoryReader(SampleReader):
    """Decoded images and labels in memory, the baseline for the cache."""

    def __init__(self, samples: Sequence[Sample], resolution: Resolution) -> None:
        super().__init__(resolution)
        plain = SampleReader(resolution)
        self.images = {sample.name: plain.image(sample) for sample in samples}
        self.label_images = {sample.name: plain.labels(sample) for sample in samples}

    def image(self, sample: Sample) -> Any:
        return self.images[sample.name]

    def labels(self, sample: Sample) -> Any:
        return self.label_images[sample.name]


def render(folder: Path, count: int) -> Path:
    """Render a data set of scenes and return its folder."""
    config = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': 640, 'height': 480}})
    with DatasetWriter(folder) as writer:
        for index in range(count):
            scene = render_scene(config, 0, index)
            writer.add(f'{index:03}', scene.image, scene.labels, split='train', balls=scene.balls)
    return folder


def best_of(variants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the minimum time of each variant over rounds in which the variants take turns."""
    best = dict.fromkeys(variants, float('inf'))
    for _ in range(rounds):
        for name, measure in variants.items():
            best[name] = min(best[name], measure())
    return best


def loading(
    samples: Sequence[Sample], classes: ClassSet, resolution: Resolution, batch: int, cache: Path, rounds: int
) -> dict[str, float]:
    """Return the CPU time per image of each variant of loading, in milliseconds."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    readers = {
        'files': SampleReader(resolution),
        'cache': open_cache(samples, resolution, cache, limit_gb=100),
        'memory': MemoryReader(samples, resolution),
    }

    def loop(reader: SampleReader, augment: AugmentConfig | None) -> Callable[[], float]:
        data = SegmentationDataset(samples, classes, reader, augment=augment)

        def run() -> float:
            start, images = time.process_time(), 0
            for pixels, _, _ in training_loader(data, batch, workers=0, epoch=0):
                images += len(pixels)
            return (time.process_time() - start) / images * 1e3

        return run

    variants = {f'{name}, augmented': loop(reader, AugmentConfig()) for name, reader in readers.items()}
    variants |= {f'{name}, unchanged': loop(reader, None) for name, reader in readers.items()}
    return best_of(variants, rounds)


def training(
    samples: Sequence[Sample],
    classes: ClassSet,
    stage: tuple[Resolution, bool, int],
    cache: Path,
    rounds: int,
    steps: int,
) -> dict[str, float]:
    """Return the CPU time per image of training steps in milliseconds, with and without augmentation."""
    resolution, trained, batch = stage
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    model = MiniSegNet(len(classes)).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    model.encoder.requires_grad_(trained)
    if not trained:
        model.encoder.eval()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORE)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    reader = open_cache(samples, resolution, cache, limit_gb=100)

    def loop(augment: AugmentConfig | None) -> Callable[[], float]:
        data = SegmentationDataset(samples, classes, reader, augment=augment)

        def run() -> float:
            start, count = cpu_of_all(), 0
            loader = training_loader(data, batch, os.cpu_count() or 1, epoch=0, images=steps * batch)
            for images, targets, _ in loader:
                optimizer.zero_grad()
                criterion(model(normalize(images, mean, std)), targets).backward()
                optimizer.step()
                count += len(images)
            del loader  # ends its workers, whose time counts from then on
            return (cpu_of_all() - start) / count * 1e3

        return run

    return best_of({'augmented': loop(AugmentConfig()), 'unchanged': loop(None)}, rounds)


def cpu_of_all() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='data set whose training images are loaded (default: rendered scenes)')
    parser.add_argument('--count', type=int, default=64, help='number of images')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=2, help='training steps per round')
    parser.add_argument('--stages', nargs='+', default=list(STAGES), choices=list(STAGES))
    parser.add_argument('--skip-loading', action='store_true')
    parser.add_argument('--skip-training', action='store_true')
    parser.add_argument('--json', action='store_true')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(options.data) if options.data else render(Path(folder) / 'data', options.count)
        dataset = open_dataset(root)
        samples = dataset.split('train')[: options.count]
        cache = Path(folder) / 'cache'
        result: dict[str, Any] = {'cores': os.cpu_count(), 'images': len(samples), 'loading': {}, 'training': {}}
        for name in options.stages:
            resolution, _, batch = STAGES[name]
            if not options.skip_loading and resolution not in result['loading']:
                times = loading(samples, dataset.classes, resolution, batch, cache, options.rounds)
                times['cache / memory'] = times['cache, augmented'] / times['memory, augmented']
                result['loading'][resolution] = times
                show(f'loading, {resolution} resolution', times, options.json)
            if not options.skip_training:
                times = training(samples, dataset.classes, STAGES[name], cache, options.rounds, options.steps)
                times['augmented / unchanged'] = times['augmented'] / times['unchanged']
                result['training'][name] = times
                show(f'training, {name}', times, options.json)
    if options.json:
        print(json.dumps(result, indent=2))


def show(title: str, times: dict[str, float], quiet: bool) -> None:
    """Print the times of one part."""
    if quiet:
        return
    print(title)
    for variant, value in times.items():
        print(f'  {variant:24} {value:8.2f}' + ('' if '/' in variant else ' ms of CPU time per image'), flush=True)


if __name__ == '__main__':
    main()
