"""The one door for every user of a trained model: an image in, labels and balls out. Needs no PyTorch.

segmenter = Segmenter()                # the shipped model, the fastest engine here
result = segmenter.run(image)          # (H, W, 3) uint8 RGB
result.label_image, result.ball
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import MINIMUM_CONFIDENCE, Ball, find_balls, relabel_stray_balls
from minisegnet_core.classes import BALL
from minisegnet_core.errors import ConfigurationError, ImageError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, label_size, parse_network_size, resample_to_label_grid
from minisegnet_core.inference.engines.base import ImageSize, Order, check_choices, file_hash
from minisegnet_core.inference.selection import AUTO, open_model


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
        check_choices(self.precision, self.device)


def check_ball_threshold(value: float) -> None:
    """Raise ConfigurationError if a ball threshold is outside (0, 1]."""
    if not 0 < value <= 1:
        raise ConfigurationError(f'ball_threshold is {value}; it must be above 0 and at most 1')


def check_ball_confidence(value: float) -> None:
    """Raise ConfigurationError if a ball confidence is outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigurationError(f'ball_confidence is {value}; it must be 0 to 1')


class Segmenter:
    """Runs one model with one engine.

    Args:
        model: model file, name of a shipped one, or empty for the shipped one that suits this machine.
        engine: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
        network_size: at which the network runs: ``native``, ``half`` or ``WIDTHxHEIGHT``; results always refer to the
            received image.
        threads: CPU threads; 0: all cores but one.
        ball_threshold: ball probability from which a label pixel can belong to a ball, above 0 and at most 1.
        ball_confidence: confidence from which a blob of such pixels is a ball, 0..1: higher, fewer false balls and more
            that are missed. Ball labels without such a blob become the next most probable class; at 0 the label image
            is the network's own.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8``. ``auto``: int8 where the file is, else
            bfloat16 where the CPU multiplies in it (float16 on GPUs), else float32.
        device: ``auto``, ``cpu``, ``gpu`` or ``npu``. ``auto``: an NVIDIA GPU where the engine can use one, else the
            CPU.

    Attributes:
        engine: its name. precision, device: what is really used, read back from the engine.
        notes: why not what was asked for, or what would be faster, a sentence each.

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
        self.engine = self._engine.name
        self.precision, self.device = self._engine.precision, self._engine.device
        self.notes = (*selection.reasons, *self._engine.notes)
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
    def ball_threshold(self) -> float:
        """Ball probability from which a label pixel can belong to a ball; may be set between frames."""
        return self._ball_threshold

    @ball_threshold.setter
    def ball_threshold(self, value: float) -> None:
        check_ball_threshold(value)
        self._ball_threshold = value

    @property
    def ball_confidence(self) -> float:
        """Confidence from which a blob is a ball; may be set between frames."""
        return self._ball_confidence

    @ball_confidence.setter
    def ball_confidence(self, value: float) -> None:
        check_ball_confidence(value)
        self._ball_confidence = value

    def run(self, image: NDArray[np.uint8], order: Order = 'rgb', out: NDArray[np.uint8] | None = None) -> Segmentation:
        """Segments one image.

        Args:
            image: (H, W, 3) uint8, both sides at least 64 pixels; not changed, not kept.
            order: of its channels, ``rgb`` or ``bgr``.
            out: (ceil(H/4), ceil(W/4)) uint8 into which the labels are written, such as a message's buffer; it is the
                result's ``label_image``. Without it a new one is made.

        Raises:
            ImageError: the image is of another shape or type, or too small, or ``out`` does not fit it.
        """
        size, network_size = self._checked(image, order)
        width, height = label_size(*size)
        if out is None:
            out = np.empty((height, width), np.uint8)
        elif out.shape != (height, width) or out.dtype != np.uint8 or not out.flags.writeable:
            raise ImageError(
                f'out is {out.dtype} {out.shape}; for an image of {size[0]}x{size[1]} it must be a writable uint8 '
                f'({height}, {width})'
            )
        started = time.perf_counter()
        labels, probabilities = self._infer(image, order, network_size)
        engine_ms = (time.perf_counter() - started) * 1e3
        if network_size == size:
            out[...] = labels  # the engine's own buffer is overwritten by the next frame
        else:
            probabilities = resample_to_label_grid(probabilities, size, network_size)
            most_probable(probabilities, out)
        balls = () if self._ball_id is None else self._find_balls(out, probabilities, self._ball_id)
        return Segmentation(out, balls, size, engine_ms)

    def _find_balls(
        self, labels: NDArray[np.uint8], probabilities: NDArray[np.float32], ball_id: int
    ) -> tuple[Ball, ...]:
        """The balls; labels are put right where none is."""
        ball = np.ascontiguousarray(probabilities[ball_id])
        blobs = np.zeros(ball.shape, bool)
        balls: tuple[Ball, ...] = ()
        if ball.max() >= self.ball_threshold:  # a look is cheaper where there is none
            balls = find_balls(
                ball, threshold=self.ball_threshold, minimum_confidence=self.ball_confidence, blobs=blobs
            )
        if self.ball_confidence > 0:
            relabel_stray_balls(labels, probabilities, ball_id, blobs)
        return balls

    def probabilities(self, image: NDArray[np.uint8], order: Order = 'rgb') -> NDArray[np.float32]:
        """Probability of each class, (C, ceil(H/4), ceil(W/4)) float32, of one image as :meth:`run` takes it.

        Raises:
            ImageError: as :meth:`run`.
        """
        size, network_size = self._checked(image, order)
        _, probabilities = self._infer(image, order, network_size)
        if network_size == size:
            return np.array(probabilities)  # the engine's own buffer is overwritten by the next image
        return resample_to_label_grid(probabilities, size, network_size)

    def _infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        # The camera's own bytes go in. Copied are only views with gaps, and read-only arrays, which OpenVINO refuses.
        return self._engine.infer(np.require(image, requirements=('C', 'W')), order, network_size)

    def _checked(self, image: NDArray[np.uint8], order: str) -> tuple[ImageSize, ImageSize]:
        """Size of the image, and at which the network is to see it."""
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
        return size, network_size


def most_probable(probabilities: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
    """Writes the (h, w) uint8 ids of the largest of (C, h, w) probabilities, the first of equals.

    As ``probabilities.argmax(0)``, which jumps through memory and takes ten times as long.
    """
    out[...] = 0
    best = probabilities[0].copy()
    larger = np.empty(out.shape, bool)
    ids = larger.view(np.uint8)
    for class_id in range(1, len(probabilities)):
        np.greater(probabilities[class_id], best, out=larger)
        np.multiply(ids, np.uint8(class_id), out=ids)
        np.maximum(out, ids, out=out)  # later ids are the larger ones
        np.maximum(best, probabilities[class_id], out=best)
