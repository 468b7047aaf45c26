"""Another view of a training image and its labels: mirror image, magnification, rotation and place, as one map."""

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
from minisegnet_core.training.data.pixels import between, chance, mean_color, pixels_of, wrapped_like


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
            'fill': tuple(mean_color(pixels_of(image))),
            'size': size,
            'kept': kept,
        }

    def transform(self, entry: Any, params: dict[str, Any]) -> Any:
        """Applies the map to an image, with linear interpolation, or to labels, with none."""
        if params['linear'] is None and not params['flip']:
            return entry
        is_image = isinstance(entry, tv_tensors.Image)
        pixels = pixels_of(entry)
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
        return wrapped_like(moved, entry)


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
