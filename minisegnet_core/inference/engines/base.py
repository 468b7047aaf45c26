"""The interface of all inference engines, and the words that select precision and device."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.encodings import Order
from minisegnet_core.errors import ConfigurationError, shortened, suggestion

AUTO = 'auto'
"""Selects the fastest engine, precision or device that works here."""

ImageSize = tuple[int, int]
"""(width, height) in pixels."""

Precision = Literal['float32', 'bfloat16', 'float16', 'int8']
"""Numeric precision of a network's convolutions."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Device = Literal['auto', 'cpu', 'gpu', 'npu']
"""Requested device. ``auto`` is an NVIDIA GPU if the engine can use one, and the CPU otherwise."""

DEVICES: tuple[Device, ...] = get_args(Device)


class Engine(Protocol):
    """Run one network on images.

    Attributes:
        name: name in the registry: ``openvino``, ``onnxruntime`` or ``torch``.
        precision: precision in use, read back from the compiled network.
        device: device in use: ``CPU``, ``GPU``, ``NPU``, ``CUDA`` or ``TensorRT``.
        notes: sentences that explain each deviation from the requested settings.
        classes: classes of the model.
    """

    name: str
    precision: Precision
    device: str
    notes: tuple[str, ...]
    classes: ClassSet

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return labels and class probabilities on the network's own grid.

        Args:
            image: (H, W, 3) uint8, C-contiguous and writeable. It is neither changed nor kept.
            order: channel order of the image.
            network_size: size to which the image is resized before the network.

        Returns:
            Labels, (h', w') uint8, and probabilities, (C, h', w') float32. h' and w' are a quarter of the network size,
            rounded up. Both arrays are valid until the next call.
        """
        ...


def parse_precision(text: str) -> Precision | None:
    """Return the named precision, or None for ``auto``.

    Raises:
        ConfigurationError: there is no such precision.
    """
    if text == AUTO:
        return None
    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise unknown_choice('precision', text, (AUTO, *PRECISIONS))


def parse_device(text: str) -> Device:
    """Return the named device.

    Raises:
        ConfigurationError: there is no such device.
    """
    for device in DEVICES:
        if text == device:
            return device
    raise unknown_choice('device', text, DEVICES)


def unknown_choice(kind: str, text: str, known: tuple[str, ...]) -> ConfigurationError:
    """Return the error for an unknown word; it suggests the nearest known one."""
    hint = suggestion(text, known) or f'; choose from {", ".join(known)}'
    return ConfigurationError(f'{kind} {shortened(repr(text))} is unknown{hint}')


def file_hash(path: Path) -> str:
    """Return the first twelve hexadecimal digits of a file's SHA-256."""
    status = path.stat()
    return _file_hash(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _file_hash(path: Path, size: int, modified_ns: int) -> str:
    """Hash a file once per size and modification time: segmenter, engine and diagnostics all ask for it."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]
