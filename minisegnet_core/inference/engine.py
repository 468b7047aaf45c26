"""What every engine offers, and what a model file says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet

ImageSize = tuple[int, int]
"""(width, height) in pixels."""

Order = Literal['rgb', 'bgr']
"""Order of an image's channels."""

Precision = Literal['float32', 'bfloat16', 'float16', 'int8']


class Engine(Protocol):
    """Runs a network on images.

    Attributes:
        name: ``openvino``, ``onnxruntime`` or ``torch``.
        precision: in which it really computes.
        classes: of the model.
    """

    name: str
    precision: Precision
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


def file_hash(path: Path) -> str:
    """First twelve hexadecimal digits of the file's SHA-256."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]
