"""Joint random changes of images and labels for training. Labels are moved, never interpolated; validation uses none.

They are transforms of torchvision's v2 kind: each draws its parameters once and applies them to whatever it is given,
so that image and labels move together also where they differ in size (the half-resolution image with its full-size
labels). The pixels themselves are changed by OpenCV: torchvision's kernels take 5 to 100 times as long for uint8 images
on a CPU (640x480, one core of an AMD EPYC, PyTorch 2.15, OpenCV 4.14: affine map 14.7 ms against 1.2, blur 6.2 against
1.0, hue 28 against 0.2). For the same reason all of geometry is one affine map, applied once, and brightness, contrast,
saturation and hue are one matrix.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from minisegnet_core.training.config import AugmentConfig
from minisegnet_core.training.data.pixels import between, chance, mean_color, pixels_of, wrapped_like
from minisegnet_core.training.data.view import RandomView

BLUR = (0.3, 2.0)
"""Smallest and largest standard deviation of the blur, in pixels of an image 640 pixels wide."""
NOISE = (1.0, 10.0)
"""Smallest and largest standard deviation of the noise, in grey levels of 255."""
DARK_GREY = (6.0, 50.0)
"""Lowest and highest mean grey of an image that is darkened, of 255."""
DARK_NOISE = (0.5, 2.5)
"""Smallest and largest standard deviation of a dark image's noise, in grey levels of 255."""

# Luma of RGB (ITU-R BT.601), and the axes of its colour plane (NTSC's I and Q).
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def training_transform(config: AugmentConfig) -> v2.Transform:
    """All random changes of ``config``, in the order in which a camera meets them: view, light, lens, sensor.

    Takes and gives (tv_tensors.Image (3, H, W) uint8 RGB, tv_tensors.Mask (H', W') uint8 ids), which show the same view
    at whatever resolution each has. Random numbers are torch's.
    """
    changes = [RandomView(config), RandomLight(config), RandomBlur(config.blur), RandomNoise(config.noise)]
    return v2.Compose([*changes, RandomDarkness(config.darkness)])


class RandomLight(v2.Transform):  # type: ignore[misc]
    """Brightness, contrast, saturation and hue as one matrix, then a brightness curve (gamma), of the image alone.

    Contrast is about the image's mean grey. Saturation and hue scale and turn the colour plane of YIQ, which leaves
    grey as it is and keeps each pixel's luma.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Factors of brightness, contrast, saturation; hue in radians; the exponent of the curve."""
        config = self.config
        if not chance(config.photometric):
            return {}
        factors = {
            name: between(1 - getattr(config, name), 1 + getattr(config, name))
            for name in ('brightness', 'contrast', 'saturation')
        }
        hue = 2 * math.pi * between(-config.hue, config.hue)
        gamma = math.exp(between(-math.log(config.gamma), math.log(config.gamma)))
        return {**factors, 'hue': hue, 'gamma': gamma}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Changes an image; labels pass."""
        if not params or not isinstance(entry, tv_tensors.Image):
            return entry
        pixels = pixels_of(entry)
        changed = cv2.transform(pixels, light_matrix(mean_color(pixels), **params).astype(np.float32))
        if params['gamma'] != 1:
            curve = 255 * (np.arange(256) / 255) ** params['gamma']
            changed = cv2.LUT(changed, curve.round().astype(np.uint8))
        return wrapped_like(changed, entry)


def light_matrix(
    mean: NDArray[np.float64], *, brightness: float, contrast: float, saturation: float, hue: float, gamma: float = 1
) -> NDArray[np.float64]:
    """(3, 4) matrix from RGB to RGB, both 0..255, of four photometric changes; ``gamma`` is none of them.

    Args:
        mean: (3,) mean colour of the image.
        brightness, contrast, saturation: factors; 1 changes nothing.
        hue: angle in the colour plane, radians.
    """
    turn = np.array([[1, 0, 0], [0, math.cos(hue), -math.sin(hue)], [0, math.sin(hue), math.cos(hue)]])
    color = np.linalg.inv(YIQ) @ np.diag([1, saturation, saturation]) @ turn @ YIQ
    grey = float(YIQ[0] @ mean)
    return brightness * np.hstack([contrast * color, np.full((3, 1), (1 - contrast) * grey)])


class RandomBlur(v2.Transform):  # type: ignore[misc]
    """Gaussian blur of an image, of a width relative to the image's, so that it means the same at each resolution."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The standard deviation in pixels of an image 640 pixels wide; 0: none."""
        return {'sigma': between(*BLUR) if chance(self.probability) else 0.0}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Blurs an image; labels pass."""
        if not params['sigma'] or not isinstance(entry, tv_tensors.Image):
            return entry
        return wrapped_like(cv2.GaussianBlur(pixels_of(entry), (0, 0), params['sigma'] * entry.shape[2] / 640), entry)


class RandomNoise(v2.Transform):  # type: ignore[misc]
    """Gaussian noise on each pixel and channel of an image."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The standard deviation in grey levels of 255; 0: none."""
        return {'sigma': between(*NOISE) if chance(self.probability) else 0.0}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Adds noise to an image; labels pass."""
        if not params['sigma'] or not isinstance(entry, tv_tensors.Image):
            return entry
        pixels = pixels_of(entry)
        noise = torch.randn(pixels.shape).mul_(params['sigma']).numpy()
        return wrapped_like(cv2.add(pixels, noise, dtype=cv2.CV_8U), entry)


class RandomDarkness(v2.Transform):  # type: ignore[misc]
    """Far too short an exposure of an image: little light, few grey levels, and the sensor's noise on them.

    The light that is left is drawn for the image as a whole, so that a dark image does not get too dark to see.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The share of the light that is left; the noise's standard deviation in grey levels of 255. Empty: none."""
        if not chance(self.probability):
            return {}
        image = next(given for given in flat_inputs if isinstance(given, tv_tensors.Image))
        grey = math.exp(between(math.log(DARK_GREY[0]), math.log(DARK_GREY[1])))
        light = grey / max(float(YIQ[0] @ mean_color(pixels_of(image))), grey)
        return {'light': light, 'sigma': between(*DARK_NOISE)}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Darkens an image; labels pass."""
        if not params or not isinstance(entry, tv_tensors.Image):
            return entry
        pixels = pixels_of(entry)
        noise = torch.randn(pixels.shape).mul_(params['sigma']).numpy()
        # Noise before the one rounding: of grey levels less than one apart it keeps what rounding alone would lose.
        darkened = cv2.scaleAdd(pixels.astype(np.float32), params['light'], noise)
        return wrapped_like(cv2.convertScaleAbs(np.maximum(darkened, 0)), entry)


def to_network(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 RGB to normalised float; mean, std: (3, 1, 1), of pixels 0..1."""
    return (images.float() / 255 - mean) / std
