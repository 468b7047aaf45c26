"""Check that an exported file computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.checkpoint import ModelRecord
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.base import Engine, ImageSize
from minisegnet_core.inference.engines.torch import TorchEngine
from minisegnet_core.inference.selection import open_model
from minisegnet_core.model import MiniSegNet

CHECK_SIZES: tuple[ImageSize, ...] = ((640, 480), (331, 243))
"""Sizes of the images of noise; no stride of the network divides the second."""

MINIMUM_AGREEMENT = 0.999
"""Fraction of label pixels on which the exported file must agree with PyTorch."""

MAXIMUM_DIFFERENCE = 1e-3
"""Bound of the mean absolute difference of the class probabilities of an image."""


def check_agreement(path: Path, model: MiniSegNet, record: ModelRecord, images: list[NDArray[np.uint8]]) -> float:
    """Compare an exported file with the network that it was exported from.

    The file runs in float32 on the CPU, with the engine that is fastest here. Where bfloat16 is faster, its rounding
    would hide errors of the file.

    Args:
        path: ONNX file.
        model, record: network and record of the checkpoint.
        images: (H, W, 3) uint8 RGB, at least one.

    Returns:
        The fraction of label pixels that agree, 0..1.

    Raises:
        ModelError: it is below ``MINIMUM_AGREEMENT``, or probabilities differ by more than ``MAXIMUM_DIFFERENCE``.
    """
    exported = open_model(path, precision='float32', device='cpu').engine
    reference: Engine = TorchEngine(model, record, 'float32')
    agreeing = total = 0
    worst = 0.0
    for image in images:
        size = (image.shape[1], image.shape[0])
        labels, probabilities = exported.infer(image, 'rgb', size)
        expected_labels, expected_probabilities = reference.infer(image, 'rgb', size)
        agreeing += int((labels == expected_labels).sum())
        total += labels.size
        worst = max(worst, float(np.abs(probabilities - expected_probabilities).mean()))
    agreement = agreeing / total
    if agreement < MINIMUM_AGREEMENT or worst > MAXIMUM_DIFFERENCE:
        raise ModelError(
            f'the export was not kept: it agrees with PyTorch on {agreement:.4%} of the label pixels (at least '
            f'{MINIMUM_AGREEMENT:.1%} is required), and its probabilities differ by {worst:.1e} on average'
        )
    return agreement


def noise_images(seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return images of coarse noise, (H, W, 3) uint8, for a comparison without data."""
    random = np.random.default_rng(seed)
    images = []
    for width, height in CHECK_SIZES:
        coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
        images.append(np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width]))
    return images
