"""Measure how late a 500 Hz loop wakes up, as a walking controller would beside the network.

The loop runs in a process of its own, as a controller does: ``python -m minisegnet_core.benchmark.jitter SECONDS``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError
from minisegnet_core.inference.segmenter import Segmenter

RATE = 500.0
"""Rate of the loop in Hz."""


def lateness(seconds: float, rate: float = RATE) -> NDArray[np.float64]:
    """Run a loop and return how late each period began, (n,) float64 in microseconds."""
    period = 1 / rate
    late = []
    due = time.perf_counter() + period
    for _ in range(max(1, int(seconds * rate))):
        time.sleep(max(0.0, due - time.perf_counter()))
        now = time.perf_counter()
        late.append((now - due) * 1e6)
        # A loop that missed periods continues with the next one in the future.
        due += period * max(1, np.ceil((now - due) / period))
    return np.array(late)


def measure_jitter(segmenter: Segmenter, image: NDArray[np.uint8], seconds: float) -> dict[str, dict[str, float]]:
    """Measure the loop ``alone``, and ``beside`` a segmenter that runs without a pause.

    Args:
        image: (H, W, 3) uint8 RGB image that is segmented.
        seconds: duration of each measurement.

    Returns:
        For each, ``p50_us``, ``p99_us``, ``p99.9_us``, ``max_us`` in microseconds and the number of ``periods``.

    Raises:
        ModelError: the process of the loop failed.
    """
    segmenter.run(image)
    alone = _run_loop(seconds)
    stop = threading.Event()

    def segment() -> None:
        while not stop.is_set():
            segmenter.run(image)

    worker = threading.Thread(target=segment)
    worker.start()
    try:
        beside = _run_loop(seconds)
    finally:
        stop.set()
        worker.join()
    return {'alone': alone, 'beside': beside}


def _run_loop(seconds: float) -> dict[str, float]:
    command = [sys.executable, '-m', 'minisegnet_core.benchmark.jitter', str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'exit code {done.returncode}']
        raise ModelError(f'the 500 Hz loop failed: {last[0]}')
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    late = lateness(float(sys.argv[1]))
    report = {f'p{percent:g}_us': round(float(np.percentile(late, percent)), 1) for percent in (50, 99, 99.9)}
    json.dump({**report, 'max_us': round(float(late.max()), 1), 'periods': len(late)}, sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
