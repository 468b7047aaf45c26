"""Chooses the size at which the network runs so that it keeps up with a camera on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.inference.selection import AUTO

HEADROOM = 0.7
"""Share of the time between two images that one may take: the rest is the robot's other programs'."""

RUNS = 3


@dataclass(frozen=True)
class Pace:
    """A network size and, in milliseconds, what one image took at it here."""

    network_size: str
    image_ms: float


def fitting_network_size(
    image: NDArray[np.uint8], period: float, *, model: str | Path = '', engine: str = AUTO, threads: int = 0
) -> Pace:
    """``native`` if this machine keeps up with the camera so, else ``half``; measured on one image.

    Args:
        image: (H, W, 3) uint8, as the camera gives it.
        period: seconds between two images.
        model, engine, threads: of :class:`Segmenter`.

    Raises:
        ModelError, ConfigurationError, ImageError: of :class:`Segmenter`.
    """
    pace = Pace('native', 0.0)
    for network_size in ('native', 'half'):
        segmenter = Segmenter(model, engine=engine, threads=threads, network_size=network_size)
        segmenter.run(image)  # compiles
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            segmenter.run(image)
            times.append(time.perf_counter() - started)
        pace = Pace(network_size, float(np.median(times)) * 1e3)
        if pace.image_ms <= HEADROOM * period * 1e3:
            break
    return pace
