"""Normalisation of an image before inference; every model file carries its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError, shortened

Pixels = TypeVar('Pixels')

FORMAT = 'minisegnet/1'
"""Name and version of the metadata layout in model files; readers reject other versions."""


@dataclass(frozen=True)
class Preprocessing:
    """Per-channel normalisation (x / 255 - mean) / std of RGB pixels 0..255. The defaults are ImageNet's values."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def pixel_mean_std(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and standard deviation in grey levels 0..255, (3,) float32 each.

        ``(pixel - mean) / std`` needs one operation less than the definition; exported networks compute it.
        """
        return np.array(self.mean, np.float32) * 255, np.array(self.std, np.float32) * 255

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in model files: ``{'mean': [r, g, b], 'std': [r, g, b]}``."""
        return {'mean': list(self.mean), 'std': list(self.std)}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing of a mapping in the form of :meth:`to_dict`.

        Raises:
            ModelError: a value is missing or not three finite numbers, or a deviation is not positive.
        """
        try:
            mean, std = (tuple(float(v) for v in entry[key]) for key in ('mean', 'std'))
            for name, values in (('mean', mean), ('std', std)):
                with np.errstate(over='ignore'):
                    pixels = np.array(values, np.float32) * 255
                if len(values) != 3 or not np.isfinite(pixels).all() or (name == 'std' and (pixels <= 0).any()):
                    numbers = 'three finite numbers' if name == 'mean' else 'three finite numbers above 0'
                    raise ValueError(f'{name} is {shortened(str(values))}; it must be {numbers}')
        except KeyError as error:
            raise ModelError(f'the preprocessing has no {error.args[0]}') from error
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f'the preprocessing is not valid: {shortened(str(error), 120)}') from error
        return cls(mean, std)  # type: ignore[arg-type]


def normalize(pixels: Pixels, mean: Pixels, std: Pixels) -> Pixels:
    """Return ``(pixels / 255 - mean) / std``, for float32 tensors as for arrays.

    Args:
        pixels: (..., 3, H, W) grey levels 0..255.
        mean, std: (3, 1, 1), of a :class:`Preprocessing`.
    """
    return (pixels / 255 - mean) / std  # type: ignore
