"""What random changes of training images share: torch's random numbers, and OpenCV's view of torchvision's tensors."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors


def chance(probability: float) -> bool:
    """True with a probability, by torch's random numbers."""
    return float(torch.rand(())) < probability


def between(low: float, high: float) -> float:
    """Uniform in low..high, by torch's random numbers."""
    return low + (high - low) * float(torch.rand(()))


def mean_color(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3,) mean of every fourth pixel along each axis: near enough, and cheap."""
    return np.array(cv2.mean(np.ascontiguousarray(pixels[2::4, 2::4]))[:3])


def pixels_of(entry: Tensor) -> NDArray[np.uint8]:
    """OpenCV's view of an image (3, H, W) or of labels (H, W): (H, W, 3) or (H, W), copied only where it has gaps."""
    array = entry.numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0) if array.ndim == 3 else array)


def wrapped_like(pixels: NDArray[np.uint8], like: Tensor) -> Tensor:
    """Inverse of :func:`pixels_of`."""
    tensor = torch.from_numpy(pixels)
    wrapped: Tensor = tv_tensors.wrap(tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor, like=like)
    return wrapped
