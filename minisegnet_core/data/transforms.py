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

from minisegnet_core.classes import IGNORE
from minisegnet_core.config import AugmentConfig

BLUR = (0.3, 2.0)
"""Smallest and largest standard deviation of the blur, in pixels of an image 640 pixels wide."""
NOISE = (1.0, 10.0)
"""Smallest and largest standard deviation of the noise, in grey levels of 255."""

# Luma of RGB (ITU-R BT.601), and the axes of its colour plane (NTSC's I and Q).
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def training_transform(config: AugmentConfig) -> v2.Transform:
    """All random changes of ``config``, in the order in which a camera meets them: view, light, lens, sensor.

    Takes and gives (tv_tensors.Image (3, H, W) uint8 RGB, tv_tensors.Mask (H', W') uint8 ids), which show the same view
    at whatever resolution each has. Random numbers are torch's.
    """
    return v2.Compose([RandomView(config), RandomLight(config), RandomBlur(config.blur), RandomNoise(config.noise)])


class RandomView(v2.Transform):  # type: ignore[misc]
    """Mirror image, magnification, rotation and shift, as one affine map about the image's centre.

    The picture keeps its size, or has that of ``crop``. What comes from outside has the image's own mean colour, and is
    ignore in the labels. A picture larger than what is kept is shifted over all of its surplus: that is a random crop.
    With the probability ``foreground`` it shows a pixel of a class drawn among those present, all but the first
    (Isensee et al., "nnU-Net", Nature Methods 2021, methods: oversampling of foreground).
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The map's linear part, its shift as a share of width and height, and the image's fill and size."""
        config = self.config
        image = next(given for given in flat_inputs if isinstance(given, tv_tensors.Image))
        flip = chance(config.flip)
        changed = chance(config.geometry)
        if not changed and not config.crop:
            return {'flip': flip, 'linear': None}
        magnification, angle = 1.0, 0.0
        if changed:
            low, high = config.scale
            magnification = math.exp(between(math.log(low), math.log(high)))
            angle = math.radians(between(-config.rotation, config.rotation))
        size = np.array([image.shape[2], image.shape[1]])
        kept = np.array(config.crop or size)
        reach = config.translation + np.maximum(magnification - kept / size, 0) / 2  # of width, of height
        cosine, sine = magnification * math.cos(angle), magnification * math.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1 if flip else 1, 1])
        shift = np.array([between(-limit, limit) for limit in reach])
        if config.foreground and chance(config.foreground):
            mask = next(given for given in flat_inputs if isinstance(given, tv_tensors.Mask))
            shift = _shift_to_foreground(mask, linear, kept / size, reach, shift)
        return {
            'flip': flip,
            'linear': linear,
            'shift': shift,
            'fill': tuple(_mean_color(_pixels(image))),
            'size': size,
            'kept': kept,
        }

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Applies the map to an image, with linear interpolation, or to labels, with none."""
        if params['linear'] is None and not params['flip']:
            return entry
        is_image = isinstance(entry, tv_tensors.Image)
        pixels = _pixels(entry)
        if params['linear'] is None:
            moved = cv2.flip(pixels, 1)  # to the pixel, where the map below would round
        else:
            size = (pixels.shape[1], pixels.shape[0])
            kept = tuple(int(side) for side in np.rint(params['kept'] * size / params['size']))
            moved = cv2.warpAffine(
                pixels,
                _affine_matrix(params, size, kept),
                kept,
                flags=cv2.INTER_LINEAR if is_image else cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=params['fill'] if is_image else IGNORE,
            )
        return _wrapped(moved, entry)


def _affine_matrix(params: dict[str, Any], size: tuple[int, int], kept: tuple[int, ...]) -> NDArray[np.float64]:
    """(2, 3) map of pixel coordinates (centres at integers) from an input of ``size`` to an output of ``kept``, both
    (width, height).
    """
    ratio = np.divide(size, params['size'])  # of the input's pixels to the image's
    linear = np.diag(ratio) @ params['linear'] @ np.diag(1 / ratio)
    offset = (np.array(kept) - 1) / 2 - linear @ ((np.array(size) - 1) / 2) + params['shift'] * size
    return np.hstack([linear, offset[:, None]])


def _shift_to_foreground(
    mask: Tensor,
    linear: NDArray[np.float64],
    kept: NDArray[np.float64],
    reach: NDArray[np.float64],
    otherwise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The shift, as a share of width and height and within ``reach``, that brings a pixel of a random class into view.

    Args:
        mask: (H, W) uint8 ids.
        linear: linear part of the map, of the image's pixels.
        kept: the output's width and height as shares of the image's.
        otherwise: the shift for a mask without foreground.
    """
    ids = _pixels(mask)
    present = [label for label in np.flatnonzero(np.bincount(ids.ravel(), minlength=256)) if 0 < label < IGNORE]
    if not present:
        return otherwise
    rows, columns = np.nonzero(ids == present[int(torch.randint(len(present), ()))])
    chosen = int(torch.randint(len(rows), ()))
    size = np.array([ids.shape[1], ids.shape[0]])
    place = np.array([columns[chosen], rows[chosen]]) + 0.5 - size / 2
    target = np.array([between(-0.4, 0.4), between(-0.4, 0.4)]) * kept
    wanted: NDArray[np.float64] = np.clip(target - linear @ place / size, -reach, reach)
    return wanted


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
        pixels = _pixels(entry)
        changed = cv2.transform(pixels, light_matrix(_mean_color(pixels), **params).astype(np.float32))
        if params['gamma'] != 1:
            curve = 255 * (np.arange(256) / 255) ** params['gamma']
            changed = cv2.LUT(changed, curve.round().astype(np.uint8))
        return _wrapped(changed, entry)


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
        return _wrapped(cv2.GaussianBlur(_pixels(entry), (0, 0), params['sigma'] * entry.shape[2] / 640), entry)


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
        pixels = _pixels(entry)
        noise = torch.randn(pixels.shape).mul_(params['sigma']).numpy()
        return _wrapped(cv2.add(pixels, noise, dtype=cv2.CV_8U), entry)


def chance(probability: float) -> bool:
    """True with a probability, by torch's random numbers."""
    return float(torch.rand(())) < probability


def between(low: float, high: float) -> float:
    """Uniform in low..high, by torch's random numbers."""
    return low + (high - low) * float(torch.rand(()))


def _mean_color(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3,) mean of every fourth pixel along each axis: near enough, and cheap."""
    return np.array(cv2.mean(np.ascontiguousarray(pixels[2::4, 2::4]))[:3])


def _pixels(entry: Tensor) -> NDArray[np.uint8]:
    """OpenCV's view of an image (3, H, W) or of labels (H, W): (H, W, 3) or (H, W), copied only where it has gaps."""
    array = entry.numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0) if array.ndim == 3 else array)


def _wrapped(pixels: NDArray[np.uint8], like: Tensor) -> Tensor:
    """Inverse of :func:`_pixels`."""
    tensor = torch.from_numpy(pixels)
    wrapped: Tensor = tv_tensors.wrap(tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor, like=like)
    return wrapped


def to_network(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 RGB to normalised float; mean, std: (3, 1, 1), of pixels 0..1."""
    return (images.float() / 255 - mean) / std
