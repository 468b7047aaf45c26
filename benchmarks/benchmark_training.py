"""How fast training is in each stage, against the plain way, in one run; and how much memory it takes.

    python benchmarks/benchmark_training.py                      # renders 48 scenes of 640x480 for it
    python benchmarks/benchmark_training.py --data scenes --steps 6 --rounds 3 --json
    python benchmarks/benchmark_training.py --memory             # resident memory over epochs, batch 8 at 640x480
    python benchmarks/benchmark_training.py --quick              # small pictures, a step each: only whether it runs

The plain way: the same network, loss, batch and augmentation in float32 and PyTorch's default memory layout, every
image decoded (and, for the half-resolution stages, shrunk) each epoch, one loader worker a core. Ours: what `minisegnet
train` does by default on this machine. Each way has a process of its own, since ours changes how a process keeps its
memory; they take turns, one waiting while the other works, and each figure is the best of its rounds. Beside images a
second there are images per CPU second, of a way's trainer and its loader workers, which depend less on what else the
machine does. With `--steps 3 --rounds 2` it takes about six minutes on two cores.
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
from ways_to_train import Ours, Plain, Speed

from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.training.config import StageConfig, TrainConfig

SCENES, SIZE = 48, (640, 480)
QUICK_SCENES, QUICK_SIZE = 4, (160, 128)
MEGABYTE = 10**6


def answer_orders(options: argparse.Namespace) -> None:
    """What the process of one way does: for each line on stdin, ``{"stage", "epoch": method, "number", "images"}``, it
    runs an epoch and prints its speed as a line of JSON.
    """
    config, name, worker = config_of(options), '', None
    for line in sys.stdin:
        order = json.loads(line)
        if order['stage'] != name:
            name, worker = order['stage'], None  # what the stage before held is freed first
            stage = stage_of(config, name, options)
            worker = Plain(config, stage) if options.way == 'plain' else Ours(config, stage, Path(options.folder))
        speed = getattr(worker, order['epoch'])(order['number'], order['images'])
        print(json.dumps(asdict(speed)), flush=True)


class Way:
    """One way to train, in a process of its own that works when it is told to."""

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
            raise SystemExit(f'the process that trains has ended with {self.process.wait()}; see above')
        return Speed(**json.loads(answer))

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(plain: Way, ours: Way, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways in turn, after a warm-up of one step each."""
    batch = stage_of(config_of(options), name, options).batch_size
    ways = {'plain': (plain, 'epoch'), 'ours': (ours, 'epoch'), 'ours_from_memory': (ours, 'epoch_from_memory')}
    speeds = {way: Speed() for way in ways}
    for way in (plain, ours):
        way.run(name, 'epoch', 0, batch)
    for number in range(options.rounds):
        for key, (way, epoch) in ways.items():
            speeds[key] = speeds[key].best(way.run(name, epoch, number, options.steps * batch))
    return {
        'stage': name,
        'batch_size': batch,
        **{way: asdict(speed) for way, speed in speeds.items()},
        'ratio_wall': speeds['ours'].wall / speeds['plain'].wall,
        'ratio_cpu': speeds['ours'].cpu / speeds['plain'].cpu,
        'ratio_from_memory_wall': speeds['ours_from_memory'].wall / speeds['ours'].wall,
    }


def compare_all(options: argparse.Namespace, arguments: list[str]) -> list[dict[str, Any]]:
    """Every stage, with one process for each way."""
    plain, ours = Way('plain', arguments), Way('ours', arguments)
    try:
        return [compare(plain, ours, name, options) for name in options.stages]
    finally:
        plain.end()
        ours.end()


def config_of(options: argparse.Namespace) -> TrainConfig:
    """Settings of both ways: the defaults, on random weights."""
    return TrainConfig(
        data=options.data,
        encoder_weights='none',
        freeze_anyway=True,
        workers=options.workers,
        compile=options.compile or 'auto',
    )


def stage_of(config: TrainConfig, name: str, options: argparse.Namespace) -> StageConfig:
    stage = config.stages[name]
    return replace(stage, batch_size=options.batch or stage.batch_size)


def memory(config: TrainConfig, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resident memory of the training process after each epoch of the full-resolution stage, and its peak."""
    stage = replace(config.stage3, batch_size=options.batch or 8)
    ours, after = Ours(config, stage, folder), []
    for number in range(options.epochs):
        ours.train(ours.batches(number, options.steps * stage.batch_size))
        ours.setup.validate(stage, ours.data)
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        after.append(pages * os.sysconf('SC_PAGE_SIZE') / MEGABYTE)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    return {'after_epoch_mb': [round(value) for value in after], 'peak_mb': round(peak)}


def render(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A data set of scenes of ``size`` (width, height)."""
    scenes = SceneConfig.from_mapping({'preset': 'mixed', 'image': {'width': size[0], 'height': size[1]}})
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
    parser.add_argument('--quick', action='store_true', help='only see that it runs: the figures mean nothing')
    parser.add_argument('--way', choices=['plain', 'ours'], help=argparse.SUPPRESS)  # of a process started by this one
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
            f'ours {row["ours"]["wall"]:.2f}: {row["ratio_wall"]:.2f} times; per CPU second {row["plain"]["cpu"]:.2f}, '
            f'{row["ours"]["cpu"]:.2f}: {row["ratio_cpu"]:.2f} times; '
            f'from batches in memory {row["ratio_from_memory_wall"]:.2f} times ours'
        )


if __name__ == '__main__':
    main()
