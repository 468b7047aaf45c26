"""Measure the rendering of scenes: images per second on one core, time of each stage, and scaling with workers.

    python benchmarks/benchmark_scenes.py --count 200 --workers 1 2 4 8 --json

One core means that OpenCV and BLAS use one thread each, and that the CPU time of the process is measured. Other
programs do not count, but they slow it down by using its caches. On a machine that is not idle the best of several
rounds is closer to the real speed, so both figures are printed. All parts of the preset are on: nets, robots, people,
hall, noise, JPEG.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from minisegnet_core.parallel import THREAD_VARIABLES, map_in_processes

for _name in THREAD_VARIABLES:
    os.environ[_name] = '1'  # before the libraries are imported

import cv2  # noqa: E402

from minisegnet_core.scenes import SceneConfig, Series, render_scene  # noqa: E402

STAGES = {
    'layout (places, looks)': 'layout.py:sample_scene',
    'rays and ground hits': 'viewport.py:__init__',
    'ground and lines': 'ground.py:paint_ground',
    'hall': 'hall.py:paint',
    'light and shadows on the ground': 'light.py:on_ground',
    'robots, people, posts, boards': 'renderer.py:_draw_solids',
    'balls': 'balls.py:draw_ball',
    'nets': 'goals.py:draw_in',
    'labels': 'renderer.py:_labels',
    'sensor (blur, noise, curve, JPEG)': 'sensor.py:expose',
}
"""Stages by the file and function in which their time is spent."""

WARM_UP = 12
"""Images rendered before each measurement."""


def one_core(config: SceneConfig, seed: int, count: int, rounds: int) -> dict[str, float]:
    """Return images per second of CPU time, of CPU time in each image's fastest round, and of wall time."""
    for index in range(WARM_UP):
        render_scene(config, seed, index)
    times = [[0.0] * count for _ in range(rounds)]
    wall = time.perf_counter()
    for of_round in times:
        for number in range(count):
            start = time.process_time()
            render_scene(config, seed, WARM_UP + number)
            of_round[number] = time.process_time() - start
    wall = time.perf_counter() - wall
    return {
        'images_per_cpu_second': rounds * count / sum(map(sum, times)),
        'images_per_cpu_second_best': count / sum(map(min, zip(*times, strict=True))),
        'images_per_second': rounds * count / wall,
    }


def stage_fractions(config: SceneConfig, seed: int, count: int) -> dict[str, float]:
    """Return the fraction of the time of each stage, 0 to 1, under the profiler, which overstates many small calls."""
    profile = cProfile.Profile()
    profile.enable()
    for index in range(WARM_UP, WARM_UP + count):
        render_scene(config, seed, index)
    profile.disable()
    times: dict[str, float] = {}
    for (path, _, function), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        times[f'{Path(path).name}:{function}'] = times.get(f'{Path(path).name}:{function}', 0.0) + row[3]
    total = times['renderer.py:render_scene']
    fractions = {stage: times.get(key, 0.0) / total for stage, key in STAGES.items()}
    return {**fractions, 'rest': 1 - sum(fractions.values())}


def with_workers(config: SceneConfig, seed: int, count: int, workers: int) -> float:
    """Return images per second of the processes that `minisegnet synthesize` uses, without their start."""
    warm_up = WARM_UP * workers
    series = Series(config, seed, warm_up + count)
    with closing(map_in_processes(series.render, range(series.count), workers)) as results:
        for _ in range(warm_up):
            next(results)
        start = time.perf_counter()
        for _ in results:
            pass
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=60, help='images for each figure (default: 60)')
    parser.add_argument('--rounds', type=int, default=3, help='rounds over the same images (default: 3)')
    parser.add_argument('--preset', default='mixed', help='preset of the scenes (default: mixed)')
    parser.add_argument('--size', default='640x480', help='image size in pixels (default: 640x480)')
    parser.add_argument('--seed', type=int, default=1, help='seed of the series (default: 1)')
    parser.add_argument('--workers', type=int, nargs='*', default=[1, 2], help='numbers of workers (default: 1 2)')
    parser.add_argument('--json', action='store_true', help='print JSON')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = (int(v) for v in options.size.split('x'))
    config = SceneConfig.from_mapping({'preset': options.preset, 'image': {'width': width, 'height': height}})
    result: dict[str, Any] = {
        'preset': options.preset,
        'size': options.size,
        'cores': os.cpu_count(),
        'load_before': os.getloadavg()[0],
        **one_core(config, options.seed, options.count, options.rounds),
        'stages': stage_fractions(config, options.seed, options.count),
        'workers': {str(n): with_workers(config, options.seed, options.count, n) for n in options.workers},
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f'{options.preset} {options.size}, {result["cores"]} cores, load {result["load_before"]:.1f}')
    print(
        f'one core: {result["images_per_cpu_second"]:.1f} images per CPU second, best of {options.rounds} rounds '
        f'{result["images_per_cpu_second_best"]:.1f} ({result["images_per_second"]:.1f} per second)'
    )
    for stage, fraction in result['stages'].items():
        print(f'  {100 * fraction:5.1f} %  {stage}')
    first = next(iter(result['workers'].values()), 0.0)
    for workers, rate in result['workers'].items():
        print(f'{workers} workers: {rate:.1f} images per second, {rate / first:.2f}x the first')


if __name__ == '__main__':
    main()
