"""Select the network size at which this machine keeps up with a camera."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.inference.engines.base import AUTO
from minisegnet_core.inference.segmenter import Segmenter

HEADROOM = 0.7
"""Fraction of the time between two images that segmentation may take; the rest is left to other programs."""

RUNS = 3
"""Runs measured at each network size."""


@dataclass(frozen=True)
class Pace:
    """A network size and the median time of one image at that size here, in milliseconds."""

    network_size: str
    image_ms: float


def fitting_network_size(
    image: NDArray[np.uint8], period: float, *, model: str | Path = '', engine: str = AUTO, threads: int = 0
) -> Pace:
    """Return ``native`` if this machine keeps up with the camera at that size, and ``half`` otherwise.

    Args:
        image: (H, W, 3) uint8 image of the camera, on which the time is measured.
        period: time between two images, in seconds.
        model, engine, threads: see :class:`~minisegnet_core.inference.segmenter.Segmenter`.

    Raises:
        ModelError, ConfigurationError, ImageError: as :class:`~minisegnet_core.inference.segmenter.Segmenter`.
    """
    pace = Pace('native', 0.0)
    for network_size in ('native', 'half'):
        segmenter = Segmenter(model, engine=engine, threads=threads, network_size=network_size)
        segmenter.run(image)  # the first run compiles the network
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            segmenter.run(image)
            times.append(time.perf_counter() - started)
        pace = Pace(network_size, float(np.median(times)) * 1e3)
        if pace.image_ms <= HEADROOM * period * 1e3:
            break
    return pace
