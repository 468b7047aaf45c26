"""What every engine offers, and what a model file says of itself."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError

ImageSize = tuple[int, int]
"""(width, height) in pixels."""

Order = Literal['rgb', 'bgr']
"""Order of an image's channels."""

Precision = Literal['float32', 'bfloat16', 'float16', 'int8']
"""In which a network's convolutions multiply."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Device = Literal['auto', 'cpu', 'gpu', 'npu']
"""What an engine is asked to run on. ``auto``: the CPU, or an NVIDIA GPU where the engine can use one."""

DEVICES: tuple[Device, ...] = get_args(Device)


class Engine(Protocol):
    """Runs a network on images.

    Attributes:
        name: ``openvino``, ``onnxruntime`` or ``torch``.
        precision: in which it really computes, read back from what was compiled.
        device: on which it really runs: ``CPU``, ``GPU``, ``NPU``, ``CUDA`` or ``TensorRT``.
        notes: why it does not do what was asked for, a sentence each.
        classes: of the model.
    """

    name: str
    precision: Precision
    device: str
    notes: tuple[str, ...]
    classes: ClassSet

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Labels and class probabilities on the network's own grid.

        Args:
            image: (H, W, 3) uint8, C-contiguous; not kept and not changed.
            order: of its channels.
            network_size: to which the image is resized before the network.

        Returns:
            labels (h', w') uint8 and probabilities (C, h', w') float32, where h', w' are a quarter of the network size,
            rounded up. Both are valid until the next call.
        """
        ...


def check_choices(precision: str, device: str) -> tuple[Precision | None, Device]:
    """Precision (None: ``auto``) and device of the words that a user gave.

    Raises:
        ConfigurationError: a word is none of them.
    """
    if precision not in ('auto', *PRECISIONS):
        raise ConfigurationError(f'there is no precision {precision!r}; there are: auto, {", ".join(PRECISIONS)}')
    if device not in DEVICES:
        raise ConfigurationError(f'there is no device {device!r}; there are: {", ".join(DEVICES)}')
    return (None if precision == 'auto' else precision), device  # type: ignore[return-value]


def file_hash(path: Path) -> str:
    """First twelve hexadecimal digits of the file's SHA-256."""
    status = path.stat()
    return _file_hash(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _file_hash(path: Path, size: int, changed_ns: int) -> str:
    """Of the file as it is at this size and time: a start asks more than once."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]


def cache_directory(engine: str) -> Path:
    """Where an engine keeps compiled networks: ``minisegnet/<engine>`` in the user's cache folder (XDG base
    directories). It may be removed at any time.

    OpenVINO's is kept small by :mod:`~minisegnet_core.inference.engines.compiled_cache`.
    """
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'minisegnet' / engine
