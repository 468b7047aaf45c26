"""Where the time of `Segmenter.run` goes beside the network: every step alone, median of many runs.

    python benchmarks/benchmark_inference.py --model models/minisegnet.onnx

Prints milliseconds at native and half size; the target is 1.0 ms over the engine's own time at 640x480.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from minisegnet_core.ball import find_balls
from minisegnet_core.geometry import half_size, resample_to_label_grid
from minisegnet_core.inference.pictures import rendered
from minisegnet_core.inference.segmenter import Segmenter, most_probable


def milliseconds(call: Callable[[], object], runs: int) -> float:
    """Median time of a call."""
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def overhead(segmenter: Segmenter, image: np.ndarray, runs: int) -> tuple[float, float]:
    """Medians of the engine's time and of what `run` takes beside it, milliseconds."""
    segmenter.run(image)
    engine, beside = [], []
    for _ in range(runs):
        started = time.perf_counter()
        result = segmenter.run(image)
        total = (time.perf_counter() - started) * 1e3
        engine.append(result.engine_ms)
        beside.append(total - result.engine_ms)
    return float(np.median(engine)), float(np.median(beside))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='', help='model file (default: the shipped one)')
    parser.add_argument('--engine', default='auto')
    parser.add_argument('--threads', type=int, default=0)
    parser.add_argument('--runs', type=int, default=20)
    arguments = parser.parse_args()
    scenes = rendered(12)
    image = max(scenes, key=lambda scene: int((scene[1] == 1).sum()))[0]  # with a ball, so that it is looked for
    height, width = image.shape[:2]
    for size in ('native', 'half'):
        segmenter = Segmenter(arguments.model, engine=arguments.engine, threads=arguments.threads, network_size=size)
        engine_ms, beside_ms = overhead(segmenter, image, arguments.runs)
        print(
            f'{size}: {segmenter.engine} {segmenter.precision}, engine {engine_ms:.2f} ms, beside it {beside_ms:.3f} ms'
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
