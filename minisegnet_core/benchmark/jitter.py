"""How late a 500 Hz loop wakes up: what a walking controller feels of a network that runs beside it.

The loop is a process of its own, as a controller is: ``python -m minisegnet_core.benchmark.jitter SECONDS``.
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
"""Hz."""


def lateness(seconds: float, rate: float = RATE) -> NDArray[np.float64]:
    """Microseconds by which each period of a loop began after it was due."""
    period = 1 / rate
    late = []
    due = time.perf_counter() + period
    for _ in range(max(1, int(seconds * rate))):
        time.sleep(max(0.0, due - time.perf_counter()))
        now = time.perf_counter()
        late.append((now - due) * 1e6)
        # A loop that missed a period goes on with the next one that is still ahead.
        due += period * max(1, np.ceil((now - due) / period))
    return np.array(late)


def measure_jitter(segmenter: Segmenter, image: NDArray[np.uint8], seconds: float) -> dict[str, dict[str, float]]:
    """Lateness in microseconds, ``alone`` and ``beside`` a segmenter that runs without a pause.

    Raises:
        ModelError: the loop could not be run.
    """
    segmenter.run(image)
    alone = _loop(seconds)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            segmenter.run(image)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        beside = _loop(seconds)
    finally:
        stop.set()
        worker.join()
    return {'alone': alone, 'beside': beside}


def _loop(seconds: float) -> dict[str, float]:
    command = [sys.executable, '-m', 'minisegnet_core.benchmark.jitter', str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelError(f'the 500 Hz loop failed: {done.stderr.strip().splitlines()[-1:]}')
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    late = lateness(float(sys.argv[1]))
    report = {f'p{percent:g}_us': round(float(np.percentile(late, percent)), 1) for percent in (50, 99, 99.9)}
    json.dump({**report, 'max_us': round(float(late.max()), 1), 'periods': len(late)}, sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
