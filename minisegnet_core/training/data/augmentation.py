"""Random changes of training images and their labels. Labels are moved, never interpolated; validation uses none.

The changes are transforms of torchvision's v2 kind: each draws its parameters once and applies them to image and labels
alike, so that both move together even where their sizes differ (half-resolution images have full-size labels).

OpenCV changes the pixels, because torchvision's kernels take 5 to 100 times as long for uint8 images on a CPU. Measured
for 640x480 on one core of an AMD EPYC with PyTorch 2.15 and OpenCV 4.14: affine map 14.7 ms against 1.2 ms, blur 6.2 ms
against 1.0 ms, hue 28 ms against 0.2 ms. For the same reason the whole geometry is one affine map, and brightness,
contrast, saturation and hue are one matrix.
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
from minisegnet_core.training.config import AugmentConfig

BLUR = (0.3, 2.0)
"""Minimum and maximum standard deviation of the blur, in pixels of an image 640 pixels wide."""
NOISE = (1.0, 10.0)
"""Minimum and maximum standard deviation of the noise, in grey levels of 255."""
DARK_GREY = (6.0, 50.0)
"""Minimum and maximum mean grey of a darkened image, of 255."""
DARK_NOISE = (0.5, 2.5)
"""Minimum and maximum standard deviation of a darkened image's noise, in grey levels of 255."""

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""From RGB to luma (ITU-R BT.601) and the two axes of the colour plane (I and Q of NTSC)."""


def training_transform(config: AugmentConfig) -> v2.Transform:
    """Return all random changes of ``config``, in the order of a camera: view, light, lens, sensor.

    The transform maps (tv_tensors.Image (3, H, W) uint8 RGB, tv_tensors.Mask (H', W') uint8 ids) to the same types.
    Both show the same view, each at its own resolution. Random numbers come from torch's default generator.
    """
    changes = [RandomView(config), RandomLight(config), RandomBlur(config.blur), RandomNoise(config.noise)]
    return v2.Compose([*changes, RandomDarkness(config.darkness)])


class RandomView(v2.Transform):  # type: ignore[misc]
    """Mirroring, magnification, rotation and translation as one affine map about the image's centre.

    The output has the size of the input, or that of ``crop``. Pixels from outside get the image's mean colour and the
    label ignore. Where the magnified image is larger than the output, the translation covers the whole surplus, which
    makes a random crop. With the probability ``foreground`` the view shows a pixel of a class that is drawn at random
    from the image's classes except the first (Isensee et al., "nnU-Net", Nature Methods 2021, methods: oversampling of
    foreground).
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the linear part of the map, its translation as a fraction of width and height, and the image's fill."""
        config = self.config
        image = next(entry for entry in flat_inputs if isinstance(entry, tv_tensors.Image))
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
            mask = next(entry for entry in flat_inputs if isinstance(entry, tv_tensors.Mask))
            shift = _shift_to_foreground(mask, linear, kept / size, reach, shift)
        return {
            'flip': flip,
            'linear': linear,
            'shift': shift,
            'fill': tuple(mean_color(pixels_of(image))),
            'size': size,
            'kept': kept,
        }

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Apply the map to an image with linear interpolation, or to labels without any."""
        if params['linear'] is None and not params['flip']:
            return entry
        is_image = isinstance(entry, tv_tensors.Image)
        pixels = pixels_of(entry)
        if params['linear'] is None:
            moved = cv2.flip(pixels, 1)  # exact, while the map below would round
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
        return wrapped_like(moved, entry)


def _affine_matrix(params: dict[str, Any], size: tuple[int, int], kept: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the (2, 3) map of pixel coordinates, with pixel centres at integers.

    Args:
        params: drawn for the image; the input may be its labels at another resolution.
        size, kept: (width, height) of input and output.
    """
    ratio = np.divide(size, params['size'])  # pixels of the input per pixel of the image
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
    """Return the translation that moves a pixel of a random class into view.

    Args:
        mask: (H, W) uint8 ids.
        linear: linear part of the map, in pixels of the image.
        kept: width and height of the output, as fractions of the image's.
        reach: maximum translation in either direction, as a fraction of width and height.
        otherwise: the translation for a mask without foreground.
    """
    ids = pixels_of(mask)
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
    """Brightness, contrast, saturation and hue as one matrix, then a brightness curve (gamma).

    Contrast is relative to the image's mean grey. Saturation and hue scale and rotate the colour plane of YIQ, which
    preserves grey and the luma of each pixel.
    """

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw factors of brightness, contrast and saturation, the hue in radians, and the exponent of the curve."""
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
        """Change an image; return labels unchanged."""
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
    """Return the (3, 4) matrix from RGB to RGB, both 0 to 255, of four photometric changes.

    Args:
        mean: (3,) mean colour of the image.
        brightness, contrast, saturation: factors; 1 changes nothing.
        hue: angle in the colour plane, radians.
        gamma: ignored; accepted because it is drawn with the others.
    """
    turn = np.array([[1, 0, 0], [0, math.cos(hue), -math.sin(hue)], [0, math.sin(hue), math.cos(hue)]])
    color = np.linalg.inv(YIQ) @ np.diag([1, saturation, saturation]) @ turn @ YIQ
    grey = float(YIQ[0] @ mean)
    return brightness * np.hstack([contrast * color, np.full((3, 1), (1 - contrast) * grey)])


class RandomBlur(v2.Transform):  # type: ignore[misc]
    """Gaussian blur of an image, relative to the image's width so that it looks the same at every resolution."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the standard deviation in pixels of an image 640 pixels wide; 0: no blur."""
        return {'sigma': between(*BLUR) if chance(self.probability) else 0.0}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Blur an image; return labels unchanged."""
        if not params['sigma'] or not isinstance(entry, tv_tensors.Image):
            return entry
        return wrapped_like(cv2.GaussianBlur(pixels_of(entry), (0, 0), params['sigma'] * entry.shape[2] / 640), entry)


class RandomNoise(v2.Transform):  # type: ignore[misc]
    """Gaussian noise, independent for each pixel and channel of an image."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the standard deviation in grey levels of 255; 0: no noise."""
        return {'sigma': between(*NOISE) if chance(self.probability) else 0.0}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Add noise to an image; return labels unchanged."""
        if not params['sigma'] or not isinstance(entry, tv_tensors.Image):
            return entry
        pixels = pixels_of(entry)
        noise = torch.randn(pixels.shape).mul_(params['sigma']).numpy()
        return wrapped_like(cv2.add(pixels, noise, dtype=cv2.CV_8U), entry)


class RandomDarkness(v2.Transform):  # type: ignore[misc]
    """Strong underexposure: little light, few grey levels, and the noise of the sensor.

    The mean grey of the result is drawn instead of a factor, so that a dark image does not become invisible.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor on the light, and the standard deviation of the noise in grey levels of 255."""
        if not chance(self.probability):
            return {}
        image = next(entry for entry in flat_inputs if isinstance(entry, tv_tensors.Image))
        grey = math.exp(between(math.log(DARK_GREY[0]), math.log(DARK_GREY[1])))
        light = grey / max(float(YIQ[0] @ mean_color(pixels_of(image))), grey)
        return {'light': light, 'sigma': between(*DARK_NOISE)}

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Darken an image; return labels unchanged."""
        if not params or not isinstance(entry, tv_tensors.Image):
            return entry
        pixels = pixels_of(entry)
        noise = torch.randn(pixels.shape).mul_(params['sigma']).numpy()
        # Noise is added before rounding: it preserves differences below one grey level that rounding would remove.
        darkened = cv2.scaleAdd(pixels.astype(np.float32), params['light'], noise)
        return wrapped_like(cv2.convertScaleAbs(np.maximum(darkened, 0)), entry)


def chance(probability: float) -> bool:
    """Return True with a probability, drawn from torch's default generator."""
    return float(torch.rand(())) < probability


def between(low: float, high: float) -> float:
    """Return a number uniform in low to high, drawn from torch's default generator."""
    return low + (high - low) * float(torch.rand(()))


def mean_color(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the (3,) mean of every fourth pixel along each axis, which is fast and accurate enough."""
    return np.array(cv2.mean(np.ascontiguousarray(pixels[2::4, 2::4]))[:3])


def pixels_of(entry: Tensor) -> NDArray[np.uint8]:
    """Return OpenCV's view, (H, W, 3) or (H, W), of an image (3, H, W) or of labels (H, W); copy it only if needed."""
    array = entry.numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0) if array.ndim == 3 else array)


def wrapped_like(pixels: NDArray[np.uint8], like: Tensor) -> Tensor:
    """Return pixels as a tensor of the type of ``like``; the inverse of :func:`pixels_of`."""
    tensor = torch.from_numpy(pixels)
    wrapped: Tensor = tv_tensors.wrap(tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor, like=like)
    return wrapped
