"""Measure one case of a benchmark in a process of its own, so that start time and memory are those of the case alone.

The process reads a :class:`Task` as JSON from standard input and writes a row as JSON to standard output.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import MinisegnetError
from minisegnet_core.files import defined
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig

WARM_UP_RUNS = 3
"""Runs before latencies are recorded; fewer if they take longer than the measurement."""

MINIMUM_RUNS = 3
"""Runs whose latencies are recorded even if they take longer than the measurement."""


@dataclass(frozen=True)
class Task:
    """What the process measures.

    Attributes:
        config: model, engine and settings.
        streams: engines that run at the same time to measure throughput; 0 measures none.
        duration: seconds of each measurement.
        started: time at which the process was requested, in seconds since the epoch.
        images: path of an ``.npz`` file with (N, H, W, 3) uint8 RGB ``images``.
        labels: path of the ``.npz`` file to which (N, h, w) uint8 ``labels`` are written.
    """

    config: SegmenterConfig
    streams: int
    duration: float
    started: float
    images: str
    labels: str

    def to_json(self) -> str:
        """Return the task as a JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Return the task of a JSON text."""
        values = json.loads(text)
        return cls(**{**values, 'config': SegmenterConfig(**values['config'])})


def measure(task: Task) -> dict[str, Any]:
    """Run one case.

    Returns:
        The row of the report without the values that need other rows. Times are in milliseconds, memory in MB.

    Raises:
        MinisegnetError: the model cannot run.
    """
    with np.load(task.images) as file:
        images = file['images']
    segmenter = Segmenter.from_config(task.config)
    segmenter.run(images[0])
    start_ms = (time.time() - task.started) * 1e3
    memory = resident_memory()
    np.savez(task.labels, labels=np.stack([segmenter.run(image).label_image for image in images]))
    cpu_started = time.process_time()
    totals, engine, warm_up = latencies(segmenter, images, task.duration)
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
    if task.streams:
        row['streams'] = task.streams
        row['throughput_fps'] = throughput(task, images)
    return row


def latencies(
    segmenter: Segmenter, images: NDArray[np.uint8], duration: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Segment one image after the other for ``duration`` seconds.

    Returns:
        Milliseconds of each run, (n,) float64; milliseconds in the engine, (n,) float64; number of runs before them.
    """
    warm_up_end = time.perf_counter() + duration
    warm_up = 0
    while warm_up < WARM_UP_RUNS and time.perf_counter() < warm_up_end:
        segmenter.run(images[warm_up % len(images)])
        warm_up += 1
    totals: list[float] = []
    engine: list[float] = []
    end = time.perf_counter() + duration
    while time.perf_counter() < end or len(totals) < MINIMUM_RUNS:
        started = time.perf_counter()
        result = segmenter.run(images[len(totals) % len(images)])
        totals.append((time.perf_counter() - started) * 1e3)
        engine.append(result.engine_ms)
    return np.array(totals), np.array(engine), warm_up


def throughput(task: Task, images: NDArray[np.uint8]) -> float:
    """Return the images per second of several streams, each an engine with a single thread."""
    config = replace(task.config, threads=1)
    segmenters = [Segmenter.from_config(config) for _ in range(task.streams)]
    for segmenter in segmenters:
        segmenter.run(images[0])
    counts = [0] * len(segmenters)
    seconds = [0.0] * len(segmenters)
    started = time.perf_counter()

    def run_stream(index: int) -> None:
        while time.perf_counter() < started + task.duration or counts[index] < MINIMUM_RUNS:
            segmenters[index].run(images[counts[index] % len(images)])
            counts[index] += 1
        seconds[index] = time.perf_counter() - started

    threads = [threading.Thread(target=run_stream, args=(index,)) for index in range(len(segmenters))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count / elapsed for count, elapsed in zip(counts, seconds, strict=True))


def resident_memory() -> float:
    """Return the resident set size of this process in MB; NaN if the operating system does not report it."""
    path = Path('/proc/self/status')
    for line in path.read_text().splitlines() if path.is_file() else ():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024 / 1e6
    return float('nan')


def main() -> int:
    task = Task.from_json(sys.stdin.read())
    try:
        row = measure(task)
    except MinisegnetError as error:
        row = {'error': str(error)}
    json.dump(defined(row), sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
