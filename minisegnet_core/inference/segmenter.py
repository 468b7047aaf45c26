"""Run a trained model: an image goes in, labels and balls come out. This needs no PyTorch.

::

    segmenter = Segmenter()                # the shipped model with the engine that is fastest here
    result = segmenter.run(image)          # (H, W, 3) uint8 RGB
    result.label_image, result.ball
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import MINIMUM_CONFIDENCE, Ball, find_balls, relabel_stray_balls
from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.encodings import Order
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, label_size, parse_network_size, resample_to_label_grid
from minisegnet_core.inference.engines.base import AUTO, Engine, ImageSize, file_hash, parse_device, parse_precision
from minisegnet_core.inference.selection import check_engine, open_model


@dataclass(frozen=True)
class SegmenterConfig:
    """How to run a model: the value that commands, evaluation jobs and the node hand around.

    It is small, hashable and picklable, and holds no engine. :meth:`Segmenter.from_config` opens it.

    Attributes:
        model: path of a model file, name of a shipped model, or empty for the shipped model that is fastest here.
        engine: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
        network_size: size at which the network runs: ``native``, ``half`` or ``WIDTHxHEIGHT``. Results always refer to
            the received image.
        threads: CPU threads; 0 uses all available cores but one.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8``. ``auto`` selects int8 for an int8 file,
            bfloat16 on CPUs with native bfloat16, float16 on GPUs, and float32 otherwise.
        device: ``auto``, ``cpu``, ``gpu`` or ``npu``. ``auto`` selects an NVIDIA GPU if the engine supports it, and the
            CPU otherwise.
        ball_threshold: ball probability from which a label pixel can belong to a ball, in (0, 1].
        ball_confidence: confidence from which a connected region of such pixels is a ball, in [0, 1]. A higher value
            gives fewer false balls and more missed ones.

    Raises:
        ConfigurationError: a value is unknown or out of range.
    """

    model: str = ''
    engine: str = AUTO
    network_size: str = 'native'
    threads: int = 0
    precision: str = AUTO
    device: str = AUTO
    ball_threshold: float = 0.5
    ball_confidence: float = MINIMUM_CONFIDENCE

    def __post_init__(self) -> None:
        parse_network_size(self.network_size, 640, 480)  # fails here and not on the first image
        if self.threads < 0:
            raise ConfigurationError(f'threads is {self.threads}; it must be 0 (all cores but one) or more')
        check_ball_threshold(self.ball_threshold)
        check_ball_confidence(self.ball_confidence)
        check_engine(self.engine)
        parse_precision(self.precision)
        parse_device(self.device)


def check_ball_threshold(value: float) -> None:
    """Raise ConfigurationError if a ball threshold is outside (0, 1]."""
    if not 0 < value <= 1:
        raise ConfigurationError(f'ball_threshold is {value}; it must be above 0 and at most 1')


def check_ball_confidence(value: float) -> None:
    """Raise ConfigurationError if a ball confidence is outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigurationError(f'ball_confidence is {value}; it must be 0 to 1')


@dataclass(frozen=True)
class Segmentation:
    """Labels and balls of one image.

    Attributes:
        label_image: (ceil(H/4), ceil(W/4)) uint8 class ids on the label grid of the received image.
        balls: detected balls in pixels of the received image, the most confident first.
        image_size: (width, height) of the received image, in pixels.
        engine_ms: time spent in the engine, in milliseconds.
    """

    label_image: NDArray[np.uint8]
    balls: tuple[Ball, ...]
    image_size: ImageSize
    engine_ms: float

    @property
    def ball(self) -> Ball | None:
        """The most confident ball, or None."""
        return self.balls[0] if self.balls else None


class ImageSegmenter(Protocol):
    """The part of :class:`Segmenter` that comparisons and predictions need, for substitutes."""

    classes: ClassSet

    def run(self, image: NDArray[np.uint8]) -> Segmentation: ...


class Segmenter:
    """Run one model with one engine.

    Args:
        model: path of a model file, name of a shipped model, or empty for the shipped model that is fastest here.
        engine, network_size, threads, precision, device, ball_threshold, ball_confidence: see
            :class:`SegmenterConfig`.

    Attributes:
        config: the configuration with which the model was opened.
        engine: name of the engine in use.
        precision, device: precision and device in use, read back from the engine.
        model_path: path of the model file.
        model_hash: first twelve hexadecimal digits of its SHA-256.
        classes: classes of the model.
        network_size: size at which the network runs, as in :class:`SegmenterConfig`.

    Raises:
        ModelError: there is no such model, or it cannot run here.
        ConfigurationError: a setting is unknown or out of range.
    """

    def __init__(
        self,
        model: str | Path = '',
        *,
        engine: str = AUTO,
        network_size: str = 'native',
        threads: int = 0,
        ball_threshold: float = 0.5,
        ball_confidence: float = MINIMUM_CONFIDENCE,
        precision: str = AUTO,
        device: str = AUTO,
    ) -> None:
        self.config = SegmenterConfig(
            str(model), engine, network_size, threads, precision, device, ball_threshold, ball_confidence
        )
        selection = open_model(model, engine, threads, precision, device)
        self.model_path = selection.path
        self.model_hash = file_hash(self.model_path)
        self._engine = selection.engine
        self._reasons = selection.reasons
        self.engine = self._engine.name
        self.precision, self.device = self._engine.precision, self._engine.device
        self.classes = self._engine.classes
        self.network_size = network_size
        self.ball_threshold = ball_threshold
        self.ball_confidence = ball_confidence
        self._ball_id = self.classes.id_of(BALL)

    @classmethod
    def from_config(cls, config: SegmenterConfig) -> Segmenter:
        """Open the model that a configuration describes. Raises as the constructor."""
        return cls(**asdict(config))

    @property
    def loaded_engine(self) -> Engine:
        """The open engine, for measurements and tests."""
        return self._engine

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that explain why requested settings or faster engines are not in use."""
        return (*self._reasons, *self._engine.notes)

    @property
    def ball_threshold(self) -> float:
        """Ball probability from which a label pixel can belong to a ball, in (0, 1]. It can be set between frames."""
        return self._ball_threshold

    @ball_threshold.setter
    def ball_threshold(self, value: float) -> None:
        check_ball_threshold(value)
        self._ball_threshold = value

    @property
    def ball_confidence(self) -> float:
        """Confidence from which a connected region is a ball, in [0, 1]. It can be set between frames.

        Ball labels outside such a region become the next most probable class. At 0 the label image is the network's
        own.
        """
        return self._ball_confidence

    @ball_confidence.setter
    def ball_confidence(self, value: float) -> None:
        check_ball_confidence(value)
        self._ball_confidence = value

    def run(self, image: NDArray[np.uint8], order: Order = 'rgb', out: NDArray[np.uint8] | None = None) -> Segmentation:
        """Segment one image.

        Args:
            image: (H, W, 3) uint8, both sides at least 64 pixels. It is neither changed nor kept.
            order: channel order of the image, ``rgb`` or ``bgr``.
            out: writeable (ceil(H/4), ceil(W/4)) uint8 array for the labels, such as the buffer of a message. It
                becomes the result's ``label_image``. By default a new array is allocated.

        Raises:
            ImageError: the image has another shape or type or is too small, or ``out`` does not fit it.
        """
        size, network_size = self._checked(image, order)
        width, height = label_size(*size)
        if out is None:
            out = np.empty((height, width), np.uint8)
        elif out.shape != (height, width) or out.dtype != np.uint8 or not out.flags.writeable:
            raise ImageError(
                f'out is {out.dtype} {out.shape}; for an image of {size[0]}x{size[1]} it must be a writeable uint8 '
                f'({height}, {width})'
            )
        started = time.perf_counter()
        labels, probabilities = self._infer(image, order, network_size)
        engine_ms = (time.perf_counter() - started) * 1e3
        if network_size == size:
            out[...] = labels  # the next frame overwrites the engine's own buffer
        else:
            probabilities = resample_to_label_grid(probabilities, size, network_size)
            most_probable(probabilities, out)
        balls = () if self._ball_id is None else self._find_balls(out, probabilities, self._ball_id)
        return Segmentation(out, balls, size, engine_ms)

    def probabilities(self, image: NDArray[np.uint8], order: Order = 'rgb') -> NDArray[np.float32]:
        """Return the class probabilities of one image, (C, ceil(H/4), ceil(W/4)) float32, 0..1.

        Args:
            image, order: as for :meth:`run`.

        Raises:
            ImageError: as for :meth:`run`.
        """
        size, network_size = self._checked(image, order)
        _, probabilities = self._infer(image, order, network_size)
        if network_size == size:
            return np.array(probabilities)  # the next frame overwrites the engine's own buffer
        return resample_to_label_grid(probabilities, size, network_size)

    def _find_balls(
        self, labels: NDArray[np.uint8], probabilities: NDArray[np.float32], ball_id: int
    ) -> tuple[Ball, ...]:
        """Return the balls, and relabel in place the ball labels that belong to none."""
        ball = np.ascontiguousarray(probabilities[ball_id])
        blobs = np.zeros(ball.shape, bool)
        balls: tuple[Ball, ...] = ()
        if ball.max() >= self.ball_threshold:  # cheaper than the search in images without a ball
            balls = find_balls(
                ball, threshold=self.ball_threshold, minimum_confidence=self.ball_confidence, blobs=blobs
            )
        if self.ball_confidence > 0:
            relabel_stray_balls(labels, probabilities, ball_id, blobs)
        return balls

    def _infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        # The engine receives the camera's own memory. Only views with gaps are copied, and read-only arrays, which
        # OpenVINO rejects.
        return self._engine.infer(np.require(image, requirements=('C', 'W')), order, network_size)

    def _checked(self, image: NDArray[np.uint8], order: str) -> tuple[ImageSize, ImageSize]:
        """Check an image and return its size and the network's size for it."""
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            actual = f'{image.dtype} {image.shape}' if isinstance(image, np.ndarray) else type(image).__name__
            raise ImageError(f'an image must be (height, width, 3) uint8; this one is {actual}')
        if order not in ('rgb', 'bgr'):
            raise ImageError(f"the channel order must be 'rgb' or 'bgr', not {order!r}")
        size = (image.shape[1], image.shape[0])
        network_size = parse_network_size(self.network_size, *size)
        if min(network_size) < MINIMUM_NETWORK_SIZE:
            raise ImageError(
                f'the image is {size[0]}x{size[1]} and the network would receive {network_size[0]}x{network_size[1]}; '
                f'both sides must be at least {MINIMUM_NETWORK_SIZE}'
            )
        return size, network_size


def most_probable(probabilities: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
    """Write the id of the most probable class of each pixel; the lowest id wins a tie.

    This is ``probabilities.argmax(0)``, which accesses memory in strides and takes ten times as long.

    Args:
        probabilities: (C, h, w) float32.
        out: (h, w) uint8.
    """
    out[...] = 0
    best = probabilities[0].copy()
    larger = np.empty(out.shape, bool)
    ids = larger.view(np.uint8)
    for class_id in range(1, len(probabilities)):
        np.greater(probabilities[class_id], best, out=larger)
        np.multiply(ids, np.uint8(class_id), out=ids)
        np.maximum(out, ids, out=out)  # ids increase, so the maximum is the latest id
        np.maximum(best, probabilities[class_id], out=best)
