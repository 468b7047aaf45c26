"""How fast scenes are rendered: images a second on one core, where the time goes, and how it grows with workers.

    python benchmarks/benchmark_scenes.py                 # 60 images for each figure
    python benchmarks/benchmark_scenes.py --count 200 --workers 1 2 4 8 --json

One core means: OpenCV and BLAS with one thread each, CPU time of the process. What other programs take does not count,
but they slow a process down by taking its caches: on a machine that is not idle, the best of several rounds is nearer
to the truth. Both are told.
Everything that the preset holds is on: nets, robots, people, hall, noise, JPEG.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import time
from pathlib import Path
from typing import Any

for _name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[_name] = '1'

import cv2  # noqa: E402

from minisegnet_core.scenes import SceneConfig, render_scene  # noqa: E402
from minisegnet_core.scenes.series import Series, mapped, render_index  # noqa: E402

STAGES = {
    'drawing the scene (places, looks)': 'layout.py:sample_scene',
    'rays and ground hits': 'viewport.py:__init__',
    'ground and lines': 'painting.py:paint',
    'hall, painted where it is seen': 'hall.py:paint',
    'light and shadows on the ground': 'light.py:on_ground',
    'robots, people, posts, boards': 'renderer.py:_draw_solids',
    'balls': 'balls.py:draw_ball',
    'nets': 'nets.py:draw_in',
    'labels': 'renderer.py:_labels',
    'sensor: blur, noise, curve, JPEG': 'sensor.py:expose',
}
WARM_UP = 12


def one_core(config: SceneConfig, seed: int, count: int, rounds: int) -> dict[str, float]:
    """CPU and wall time of rendering in this process: of all rounds, and of each image's fastest round."""
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


def where_time_goes(config: SceneConfig, seed: int, count: int) -> dict[str, float]:
    """Share of each stage, 0..1, under the profiler (which makes many small calls look slower than they are)."""
    profile = cProfile.Profile()
    profile.enable()
    for index in range(WARM_UP, WARM_UP + count):
        render_scene(config, seed, index)
    profile.disable()
    times: dict[str, float] = {}
    for (path, _, function), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        times[f'{Path(path).name}:{function}'] = times.get(f'{Path(path).name}:{function}', 0.0) + row[3]
    total = times['renderer.py:render_scene']
    shares = {stage: times.get(key, 0.0) / total for stage, key in STAGES.items()}
    return {**shares, 'rest': 1 - sum(shares.values())}


def with_workers(config: SceneConfig, seed: int, count: int, workers: int) -> float:
    """Images a second of the pool that `minisegnet synthesize` uses, its start not counted."""
    warm = WARM_UP * workers
    with mapped(Series(config, seed, warm + count), render_index, list(range(warm + count)), workers) as results:
        for _ in range(warm):
            next(results)
        start = time.perf_counter()
        for _ in results:
            pass
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=60, help='images for each figure')
    parser.add_argument('--rounds', type=int, default=3, help='rounds over the same images, for the best of them')
    parser.add_argument('--preset', default='mixed')
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--workers', type=int, nargs='*', default=[1, 2], help='numbers of workers to compare')
    parser.add_argument('--json', action='store_true')
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
        'shares': where_time_goes(config, options.seed, options.count),
        'workers': {str(n): with_workers(config, options.seed, options.count, n) for n in options.workers},
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f'{options.preset} {options.size}, {result["cores"]} cores, load {result["load_before"]:.1f}')
    print(
        f'one core: {result["images_per_cpu_second"]:.1f} images per CPU second, best of {options.rounds} rounds '
        f'{result["images_per_cpu_second_best"]:.1f} ({result["images_per_second"]:.1f}/s)'
    )
    for stage, share in result['shares'].items():
        print(f'  {100 * share:5.1f} %  {stage}')
    first = next(iter(result['workers'].values()), 0.0)
    for workers, rate in result['workers'].items():
        print(f'{workers} workers: {rate:.1f} images/s, {rate / first:.2f} times the first')


if __name__ == '__main__':
    main()
