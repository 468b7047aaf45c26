"""One row of the benchmark in a process of its own, so that start and memory are this configuration's alone.

Reads a JSON object from standard input, writes one to standard output; see :func:`measure`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import MinisegnetError
from minisegnet_core.inference.segmenter import Segmenter

WARM_UP = 3
LEAST_RUNS = 3
"""Runs before and while times are taken; fewer to warm up where they take longer than the measurement is to."""


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Runs one configuration.

    Args:
        task: model, settings (of the :class:`Segmenter`), streams (0: not measured), duration (s), started (s since
            the epoch, when this process was asked for), images (path of an .npz of equal-sized (H, W, 3) uint8),
            labels (path to which the (N, h, w) uint8 label images are written).

    Returns:
        A row of the report, without what needs other rows. Times in milliseconds, memory in MB.
    """
    with np.load(task['images']) as file:
        images = file['images']
    segmenter = Segmenter(task['model'], **task['settings'])
    segmenter.run(images[0])
    start_ms = (time.time() - task['started']) * 1e3
    memory = resident_memory()
    np.savez(task['labels'], labels=np.stack([segmenter.run(image).label_image for image in images]))
    cpu_started = time.process_time()
    totals, engine, warm_up = latencies(segmenter, images, task['duration'])
    cpu_ms = (time.process_time() - cpu_started) * 1e3 / (len(totals) + warm_up)
    p50, p95, p99 = (float(np.percentile(totals, percent)) for percent in (50, 95, 99))
    row = {
        'precision': segmenter.precision,
        'device': segmenter.device,
        'latency_ms_p50': p50,
        'latency_ms_p95': p95,
        'latency_ms_p99': p99,
        'cpu_ms': cpu_ms,
        'overhead_ms': float(np.median(totals - engine)),
        'runs': len(totals),
        'start_ms': start_ms,
        'rss_mb': memory,
        'notes': list(segmenter.notes),
    }
    if task['streams']:
        row['streams'] = task['streams']
        row['throughput_fps'] = throughput(task, images, segmenter)
    return row


def latencies(
    segmenter: Segmenter, images: NDArray[np.uint8], duration: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Milliseconds of whole runs and of the engine within them, one image after the other, for ``duration`` s; and how
    many runs went before.
    """
    warm = time.perf_counter() + duration
    warm_up = 0
    while warm_up < WARM_UP and time.perf_counter() < warm:
        segmenter.run(images[warm_up % len(images)])
        warm_up += 1
    totals: list[float] = []
    engine: list[float] = []
    end = time.perf_counter() + duration
    while time.perf_counter() < end or len(totals) < LEAST_RUNS:
        started = time.perf_counter()
        result = segmenter.run(images[len(totals) % len(images)])
        totals.append((time.perf_counter() - started) * 1e3)
        engine.append(result.engine_ms)
    return np.array(totals), np.array(engine), warm_up


def throughput(task: dict[str, Any], images: NDArray[np.uint8], first: Segmenter) -> float:
    """Images per second with several streams, each an engine with one thread of its own."""
    settings = {**task['settings'], 'threads': 1}
    several = [Segmenter(first.model_path, **settings) for _ in range(task['streams'])]
    for segmenter in several:
        segmenter.run(images[0])
    counts = [0] * len(several)
    finished = [0.0] * len(several)
    started = time.perf_counter()

    def work(index: int) -> None:
        while time.perf_counter() < started + task['duration'] or counts[index] < LEAST_RUNS:
            several[index].run(images[counts[index] % len(images)])
            counts[index] += 1
        finished[index] = time.perf_counter() - started

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(several))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count / seconds for count, seconds in zip(counts, finished, strict=True))


def resident_memory() -> float:
    """Resident set of this process now, MB; NaN where the system does not tell."""
    path = Path('/proc/self/status')
    for line in path.read_text().splitlines() if path.is_file() else ():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024 / 1e6
    return float('nan')


def main() -> int:
    task = json.load(sys.stdin)
    try:
        row = measure(task)
    except MinisegnetError as error:
        row = {'error': str(error)}
    json.dump(row, sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
