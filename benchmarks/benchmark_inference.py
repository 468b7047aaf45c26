"""Measure the overhead of ``Segmenter.run`` over the engine, and each of its steps alone.

    python benchmarks/benchmark_inference.py --model models/minisegnet.onnx

Prints medians in milliseconds at native and half size. The target is an overhead of at most 1.0 ms at 640x480. Times of
steps and times in brackets are CPU times of the thread, which other programs on the machine hardly affect. The last
figures are those of the process per image: user and system time, and the page faults of newly allocated memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minisegnet_core.ball import find_balls
from minisegnet_core.geometry import half_size, resample_to_label_grid
from minisegnet_core.inference.sample_images import rendered
from minisegnet_core.inference.segmenter import Segmenter, most_probable

SCENES = 12
"""Number of scenes to render. The scene with the largest ball is used, so that there is a ball to detect."""


def milliseconds(call: Callable[[], object], runs: int) -> float:
    """Return the median CPU time of a call in milliseconds."""
    call()
    times = []
    for _ in range(runs):
        started = time.thread_time()
        call()
        times.append(time.thread_time() - started)
    return float(np.median(times)) * 1e3


def overhead(segmenter: Segmenter, image: np.ndarray, runs: int) -> dict[str, float]:
    """Measure the time of the engine and the overhead of ``run``.

    Returns:
        Medians in milliseconds: ``engine``, ``beside`` (elapsed overhead), ``beside_cpu`` (CPU time of the calling
        thread). Per image: ``user`` and ``system`` milliseconds of the process, and its page ``faults``.
    """
    spent = [0.0]
    opened = segmenter.loaded_engine
    infer = opened.infer

    def timed(*arguments: Any) -> Any:
        started = time.thread_time()
        result = infer(*arguments)
        spent[0] = time.thread_time() - started
        return result

    opened.infer = timed
    for _ in range(2):
        segmenter.run(image)
    engine, beside, beside_cpu = [], [], []
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(runs):
        started, started_cpu = time.perf_counter(), time.thread_time()
        result = segmenter.run(image)
        total_cpu, total = time.thread_time() - started_cpu, time.perf_counter() - started
        engine.append(result.engine_ms)
        beside.append(total * 1e3 - result.engine_ms)
        beside_cpu.append((total_cpu - spent[0]) * 1e3)
    after = resource.getrusage(resource.RUSAGE_SELF)
    opened.infer = infer
    return {
        'engine': float(np.median(engine)),
        'beside': float(np.median(beside)),
        'beside_cpu': float(np.median(beside_cpu)),
        'user': (after.ru_utime - before.ru_utime) / runs * 1e3,
        'system': (after.ru_stime - before.ru_stime) / runs * 1e3,
        'faults': (after.ru_minflt - before.ru_minflt) / runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', help='model file or name of a shipped model (default: the fastest here)')
    parser.add_argument('--engine', default='auto', help='inference engine (default: auto)')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (default: 0, all cores but one)')
    parser.add_argument('--runs', type=int, default=20, help='runs of Segmenter.run at each size (default: 20)')
    arguments = parser.parse_args()
    image = max(rendered(SCENES), key=lambda scene: int((scene[1] == 1).sum()))[0]
    height, width = image.shape[:2]
    for size in ('native', 'half'):
        segmenter = Segmenter(arguments.model, engine=arguments.engine, threads=arguments.threads, network_size=size)
        times = overhead(segmenter, image, arguments.runs)
        print(
            f'{size}: {segmenter.engine} {segmenter.precision}, '
            'engine {engine:.2f} ms, overhead {beside:.3f} ms ({beside_cpu:.3f}); process per image: '
            '{user:.1f} ms user, {system:.2f} ms system, {faults:.0f} page faults'.format(**times)
        )
    network = half_size(width, height)
    labels, probabilities = segmenter.loaded_engine.infer(image, 'rgb', (width, height))
    labels, ball = labels.copy(), np.ascontiguousarray(probabilities[1])  # the engine reuses its buffers
    _, small = segmenter.loaded_engine.infer(image, 'rgb', network)
    small = small.copy()
    full = resample_to_label_grid(small, (width, height), network)
    out = np.empty_like(labels)
    steps = {
        "labels into the caller's buffer": lambda: np.copyto(out, labels),
        f'balls ({len(find_balls(ball))} detected)': lambda: find_balls(ball),
        'balls, none in the image': lambda: find_balls(np.zeros_like(ball)),
        'half: probabilities onto the label grid': lambda: resample_to_label_grid(small, (width, height), network),
        'half: labels of these probabilities': lambda: most_probable(full, out),
    }
    for name, call in steps.items():
        print(f'  {name}: {milliseconds(call, 20 * arguments.runs):.3f} ms')


if __name__ == '__main__':
    main()
