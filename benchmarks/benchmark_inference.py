"""Where the time of `Segmenter.run` goes beside the network: every step alone, median of many runs.

    python benchmarks/benchmark_inference.py --model models/minisegnet.onnx

Prints milliseconds at native and half size; the target is 1.0 ms over the engine's own time at 640x480. Times of steps
and those in brackets are CPU times of the thread, which hardly feel what else runs on the machine. Beside them what the
system takes: its time and the page faults that memory costs which is allocated anew for each image.
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
"""Of which the one with the largest ball is taken, so that there is one to be found."""


def milliseconds(call: Callable[[], object], runs: int) -> float:
    """Median CPU time of a call."""
    call()
    times = []
    for _ in range(runs):
        started = time.thread_time()
        call()
        times.append(time.thread_time() - started)
    return float(np.median(times)) * 1e3


def overhead(segmenter: Segmenter, image: np.ndarray, runs: int) -> dict[str, float]:
    """Medians, in milliseconds, of the engine's time and of what `run` takes beside it, by the clock and as CPU time of
    the calling thread; and per image the process's user and system time, and page faults.
    """
    spent = [0.0]
    infer = segmenter._engine.infer

    def timed(*arguments: Any) -> Any:
        started = time.thread_time()
        result = infer(*arguments)
        spent[0] = time.thread_time() - started
        return result

    segmenter._engine.infer = timed
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
    segmenter._engine.infer = infer
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
    parser.add_argument('--model', default='', help='model file (default: the shipped one)')
    parser.add_argument('--engine', default='auto')
    parser.add_argument('--threads', type=int, default=0)
    parser.add_argument('--runs', type=int, default=20)
    arguments = parser.parse_args()
    image = max(rendered(SCENES), key=lambda scene: int((scene[1] == 1).sum()))[0]
    height, width = image.shape[:2]
    for size in ('native', 'half'):
        segmenter = Segmenter(arguments.model, engine=arguments.engine, threads=arguments.threads, network_size=size)
        times = overhead(segmenter, image, arguments.runs)
        print(
            f'{size}: {segmenter.engine} {segmenter.precision}, '
            'engine {engine:.2f} ms, beside it {beside:.3f} ms ({beside_cpu:.3f}); of the process per image '
            '{user:.1f} ms user, {system:.2f} ms system, {faults:.0f} page faults'.format(**times)
        )
    network = half_size(width, height)
    labels, probabilities = segmenter._engine.infer(image, 'rgb', (width, height))
    labels, ball = labels.copy(), np.ascontiguousarray(probabilities[1])
    _, small = segmenter._engine.infer(image, 'rgb', network)
    small = small.copy()
    full = resample_to_label_grid(small, (width, height), network)
    out = np.empty_like(labels)
    steps = {
        "labels into the caller's buffer": lambda: np.copyto(out, labels),
        f'balls ({len(find_balls(ball))} found)': lambda: find_balls(ball),
        'balls, none there': lambda: find_balls(np.zeros_like(ball)),
        'half: probabilities onto the label grid': lambda: resample_to_label_grid(small, (width, height), network),
        'half: labels of them': lambda: most_probable(full, out),
    }
    for name, call in steps.items():
        print(f'  {name}: {milliseconds(call, 20 * arguments.runs):.3f} ms')


if __name__ == '__main__':
    main()
