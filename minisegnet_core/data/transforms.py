"""Joint transforms of images and labels for training. Labels are moved, never interpolated; validation uses none."""

from __future__ import annotations

import torch
from torchvision.transforms import v2


def training_transform() -> v2.Transform:
    """Random horizontal flip of image and labels, and photometric changes of the image alone.

    Takes and gives (tv_tensors.Image (3, H, W) uint8, tv_tensors.Mask (H', W') uint8); the mask may be of another
    resolution than the image, so only transforms that need no common pixel grid stand here.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.3, saturation=0.4)], 0.6),
            v2.RandomApply([v2.GaussianBlur(5, sigma=(0.1, 1.5))], 0.15),
        ]
    )


def to_network(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) uint8 RGB to normalised float; mean, std: (3, 1, 1), of pixels 0..1."""
    return (images.float() / 255 - mean) / std
