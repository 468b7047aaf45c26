"""The one door for every user of a trained model: an image in, labels and balls out. Needs no PyTorch.

segmenter = Segmenter()                # the shipped model, the fastest engine here
result = segmenter.run(image)          # (H, W, 3) uint8 RGB
result.label_image, result.ball
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import Ball, find_balls
from minisegnet_core.classes import BALL
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, parse_network_size, resample_to_label_grid
from minisegnet_core.inference.engine import Order, file_hash
from minisegnet_core.inference.selection import AUTO, find_model, open_engine


@dataclass(frozen=True)
class Segmentation:
    """What is seen in one image.

    label_image: (ceil(H/4), ceil(W/4)) uint8 class ids of the received image; balls: best first, in received pixels;
    image_size: (width, height) of the received image; engine_ms: milliseconds inside the engine.
    """

    label_image: NDArray[np.uint8]
    balls: tuple[Ball, ...]
    image_size: tuple[int, int]
    engine_ms: float

    @property
    def ball(self) -> Ball | None:
        """The best ball, or None."""
        return self.balls[0] if self.balls else None


class Segmenter:
    """Runs one model with one engine.

    Args:
        model: model file, name of a shipped one, or empty for the shipped one that suits this machine.
        engine: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
        network_size: at which the network runs: ``native``, ``half`` or ``WIDTHxHEIGHT``; results always refer to the
            received image.
        threads: CPU threads; 0: all cores but one.
        ball_threshold: ball probability from which a label pixel can belong to a ball, above 0 and at most 1.

    Raises:
        ModelError: no such model, or it cannot run here.
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        model: str | Path = '',
        *,
        engine: str = AUTO,
        network_size: str = 'native',
        threads: int = 0,
        ball_threshold: float = 0.5,
    ) -> None:
        parse_network_size(network_size, 640, 480)  # a wrong one is told now, not at the first image
        if threads < 0:
            raise ConfigurationError(f'threads is {threads}; it must be 0 (all cores but one) or more')
        self.model_path = find_model(model)
        self.model_hash = file_hash(self.model_path)
        self._engine = open_engine(self.model_path, engine, threads)
        self.engine = self._engine.name
        self.classes = self._engine.classes
        self.network_size = network_size
        self.ball_threshold = ball_threshold
        self._ball_id = self.classes.id_of(BALL)

    @property
    def ball_threshold(self) -> float:
        """Ball probability from which a label pixel can belong to a ball; may be set between frames."""
        return self._ball_threshold

    @ball_threshold.setter
    def ball_threshold(self, value: float) -> None:
        if not 0 < value <= 1:
            raise ConfigurationError(f'ball_threshold is {value}; it must be above 0 and at most 1')
        self._ball_threshold = value

    def run(self, image: NDArray[np.uint8], order: Order = 'rgb') -> Segmentation:
        """Segments one image.

        Args:
            image: (H, W, 3) uint8, both sides at least 64 pixels; not changed, not kept.
            order: of its channels, ``rgb`` or ``bgr``.

        Raises:
            ImageError: the image is of another shape or type, or too small.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            got = f'{image.dtype} {image.shape}' if isinstance(image, np.ndarray) else type(image).__name__
            raise ImageError(f'an image must be (height, width, 3) uint8; this one is {got}')
        if order not in ('rgb', 'bgr'):
            raise ImageError(f"the channel order must be 'rgb' or 'bgr', not {order!r}")
        size = (image.shape[1], image.shape[0])
        network_size = parse_network_size(self.network_size, *size)
        if min(network_size) < MINIMUM_NETWORK_SIZE:
            raise ImageError(
                f'the image is {size[0]}x{size[1]}, the network would see {network_size[0]}x{network_size[1]}; '
                f'both sides must be at least {MINIMUM_NETWORK_SIZE}'
            )
        started = time.perf_counter()
        # The camera's own bytes go in. Copied are only views with gaps, and read-only arrays, which OpenVINO refuses.
        pixels = np.require(image, requirements=('C', 'W'))
        labels, probabilities = self._engine.infer(pixels, order, network_size)
        engine_ms = (time.perf_counter() - started) * 1e3
        if network_size == size:
            label_image = labels.copy()  # the engine's own buffer is overwritten by the next frame
        else:
            probabilities = resample_to_label_grid(probabilities, size, network_size)
            label_image = probabilities.argmax(0).astype(np.uint8)
        balls: tuple[Ball, ...] = ()
        if self._ball_id is not None:
            balls = find_balls(np.ascontiguousarray(probabilities[self._ball_id]), threshold=self.ball_threshold)
        return Segmentation(label_image, balls, size, engine_ms)
