"""Measure the speed of each training stage against plain PyTorch, or the memory that training needs.

    python benchmarks/benchmark_training.py                      # renders 48 scenes of 640x480
    python benchmarks/benchmark_training.py --data scenes --steps 6 --rounds 3 --json
    python benchmarks/benchmark_training.py --memory             # resident memory over epochs, batch 8 at 640x480
    python benchmarks/benchmark_training.py --quick              # small images, one step each: checks that it runs

The plain variant trains the same network with the same loss, batch size and augmentation in float32 and PyTorch's
default memory layout. It decodes every image (and halves it, for the half-resolution stages) in each epoch, with one
loader worker per core. The other variant is what `minisegnet train` does by default on this machine.

Each variant has its own process, because minisegnet changes how a process keeps freed memory. They take turns, and each
figure is the best of its rounds. Images per CPU second count the trainer and its loader workers, and depend less on
other load than images per second. With `--steps 3 --rounds 2` it takes about six minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from ways_to_train import Minisegnet, Plain, Speed

from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.training.config import TrainConfig

SCENES, SIZE = 48, (640, 480)
QUICK_SCENES, QUICK_SIZE = 4, (160, 128)
MEGABYTE = 10**6


def answer_orders(options: argparse.Namespace) -> None:
    """Run an epoch for each line on standard input and print its speed as a line of JSON.

    A line is ``{"stage", "epoch": method, "number", "images"}``. This is the process of one variant.
    """
    config, name, worker = config_of(options), '', None
    for line in sys.stdin:
        order = json.loads(line)
        if order['stage'] != name:
            name, worker = order['stage'], None  # frees the memory of the previous stage first
            stage = config.stages[name]

            plain = options.way == 'plain'
            worker = Plain(config, stage) if plain else Minisegnet(config, name, Path(options.folder))
        speed = getattr(worker, order['epoch'])(order['number'], order['images'])
        print(json.dumps(asdict(speed)), flush=True)


class Way:
    """One variant of training, in a process of its own that runs epochs on request."""

    def __init__(self, way: str, arguments: list[str]) -> None:
        command = [sys.executable, __file__, *arguments, '--way', way]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, stage: str, epoch: str, number: int, images: int) -> Speed:
        assert self.process.stdin and self.process.stdout
        order = {'stage': stage, 'epoch': epoch, 'number': number, 'images': images}
        self.process.stdin.write(json.dumps(order) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f'the training process ended with {self.process.wait()}; see its output above')
        return Speed(**json.loads(answer))

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(plain: Way, minisegnet: Way, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure both variants in turn, after a warm-up of one step each."""
    batch = config_of(options).stages[name].batch_size
    ways = {
        'plain': (plain, 'epoch'),
        'minisegnet': (minisegnet, 'epoch'),
        'minisegnet_from_memory': (minisegnet, 'epoch_from_memory'),
    }
    speeds = {way: Speed() for way in ways}
    for way in (plain, minisegnet):
        way.run(name, 'epoch', 0, batch)
    for number in range(options.rounds):
        for key, (way, epoch) in ways.items():
            speeds[key] = speeds[key].best(way.run(name, epoch, number, options.steps * batch))
    return {
        'stage': name,
        'batch_size': batch,
        **{way: asdict(speed) for way, speed in speeds.items()},
        'ratio_wall': speeds['minisegnet'].wall / speeds['plain'].wall,
        'ratio_cpu': speeds['minisegnet'].cpu / speeds['plain'].cpu,
        'ratio_from_memory_wall': speeds['minisegnet_from_memory'].wall / speeds['minisegnet'].wall,
    }


def compare_all(options: argparse.Namespace, arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every stage, with one process for each variant."""
    plain, minisegnet = Way('plain', arguments), Way('minisegnet', arguments)
    try:
        return [compare(plain, minisegnet, name, options) for name in options.stages]
    finally:
        plain.end()
        minisegnet.end()


def config_of(options: argparse.Namespace) -> TrainConfig:
    """Return the settings of both variants: the defaults with random weights, and the batch size of the options."""
    config = TrainConfig(
        data=options.data,
        encoder_weights='none',
        freeze_anyway=True,
        workers=options.workers,
        compile=options.compile or 'auto',
    )
    if not options.batch:
        return config
    return replace(config, **{name: replace(stage, batch_size=options.batch) for name, stage in config.stages.items()})


def memory(config: TrainConfig, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return resident memory in MB after each epoch of the full-resolution stage, and its peak."""
    trainer, after = Minisegnet(config, 'stage3', folder), []
    for number in range(options.epochs):
        trainer.train(trainer.batches(number, options.steps * config.stage3.batch_size))
        trainer.validate()
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        after.append(pages * os.sysconf('SC_PAGE_SIZE') / MEGABYTE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    return {'after_epoch_mb': [round(value) for value in after], 'peak_mb': round(peak)}


def render(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Render a data set of scenes of ``size`` (width, height) and return its folder."""
    scenes = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': size[0], 'height': size[1]}})
    with DatasetWriter(folder) as writer:
        for index in range(count):
            scene = render_scene(scenes, 0, index)
            writer.add(f'{index:03}', scene.image, scene.labels, split='train', balls=scene.balls, group=f'{index}')
            if index < 8:
                writer.add(f'v{index}', scene.image, scene.labels, split='val', balls=scene.balls, group=f'v{index}')
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='data set (default: rendered scenes)')
    parser.add_argument('--stages', nargs='*', default=['stage1', 'stage2', 'stage3'])
    parser.add_argument('--steps', type=int, default=3, help='optimizer steps per round')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--batch', type=int, default=0, help='batch size (default: that of each stage)')
    parser.add_argument('--memory', action='store_true', help='measure memory instead of speed')
    parser.add_argument('--epochs', type=int, default=5, help='epochs of --memory')
    parser.add_argument('--workers', type=int, default=TrainConfig().workers, help='loader workers of minisegnet')
    parser.add_argument('--compile', action='store_true', help='use torch.compile for minisegnet')
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--quick', action='store_true', help='check that it runs; the figures mean nothing')
    parser.add_argument('--way', choices=['plain', 'minisegnet'], help=argparse.SUPPRESS)  # for child processes
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.steps = options.rounds = 1
        options.batch, options.epochs, options.workers = 2, 2, 1
    if options.way:
        answer_orders(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        if not options.data:
            count, size = (QUICK_SCENES, QUICK_SIZE) if options.quick else (SCENES, SIZE)
            options.data = str(render(Path(folder) / 'scenes', count, size))
        result: dict[str, Any] = {
            'cores': os.cpu_count(),
            'threads': torch.get_num_threads(),
            'cuda': torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            'torch': torch.__version__,
            'load_before': os.getloadavg()[0],
        }
        if options.memory:
            result['memory'] = memory(config_of(options), options, Path(folder))
        else:
            result['stages'] = compare_all(options, [*sys.argv[1:], '--data', options.data, '--folder', folder])
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
            f'minisegnet {row["minisegnet"]["wall"]:.2f}: {row["ratio_wall"]:.2f}x; per CPU second '
            f'{row["plain"]["cpu"]:.2f}, {row["minisegnet"]["cpu"]:.2f}: {row["ratio_cpu"]:.2f}x; '
            f'with batches in memory {row["ratio_from_memory_wall"]:.2f}x of minisegnet'
        )


if __name__ == '__main__':
    main()
