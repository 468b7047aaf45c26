"""What stands behind the field: a panorama, painted or cut from photos the user names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import photos
from minisegnet_core.scenes.appearance.interior import (
    HEIGHT,
    HIGHEST,
    HORIZON,
    LOWEST,
    WIDEST,
    Painter,
    Picture,
    crowd,
    painted,
)
from minisegnet_core.scenes.config.sections import HallSettings
from minisegnet_core.scenes.geometry.viewport import Viewport

Floats = NDArray[np.float32]
_LINEAR = ((np.arange(256, dtype=np.float32) / 255) ** 2.2).astype(np.float32)
_LINEAR[248:] *= np.linspace(1.5, 5, 8, dtype=np.float32)  # what is burnt out in the picture is a lamp or the sky


@dataclass(frozen=True)
class Hall:
    """A panorama around the camera, ``columns`` wide, from azimuth ``start`` over ``extent`` radians.

    Painted when first looked at, from its own ``seed``: a camera that looks down sees none of it.
    """

    settings: HallSettings
    start: float
    extent: float
    columns: int
    brightness: float
    seed: int

    @cached_property
    def picture(self) -> Picture:
        """(HEIGHT, columns, 3) uint8 RGB."""
        rng = np.random.default_rng(self.seed)
        if self.settings.backgrounds and rng.random() < self.settings.photo:
            return _from_photo(self.settings.backgrounds, self.columns, self.extent, rng)
        return painted(self.columns, self.extent, self.settings.lamps, rng)

    def paint(self, view: Viewport, rows: slice) -> Floats:
        """(h, W, 3) linear light of the hall in the directions of some rows of the image."""
        dx, dy, dz = view.coarse
        middle = np.float32(self.start + self.extent / 2)
        azimuth = np.arctan2(dy, dx) - middle
        azimuth -= np.round(azimuth * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi)
        u = (azimuth * np.float32(1 / self.extent) + np.float32(0.5)) * np.float32(self.picture.shape[1] - 1)
        elevation = np.arcsin(np.clip(dz, -1, 1))
        v = (np.float32(HIGHEST) - elevation) * np.float32((HEIGHT - 1) / (HIGHEST - LOWEST))
        # Right edge first, as pictures are seen from inside the panorama.
        u = np.float32(self.picture.shape[1] - 1) - u
        window = rows, slice(0, view.camera.width)
        seen = cv2.remap(
            self.picture,
            view.refine(u, window),
            view.refine(v, window),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(cv2.LUT(seen, _LINEAR * np.float32(self.brightness)), np.float32)


def sample_hall(settings: HallSettings, middle: float, extent: float, density: float, rng: np.random.Generator) -> Hall:
    """Paints a hall.

    Args:
        middle, extent: azimuth range in radians that will be seen.
        density: columns per radian.
    """
    extent = min(extent, 2 * np.pi)
    columns = int(np.clip(extent * density, 160, WIDEST))
    low, high = (max(value, 1e-3) for value in settings.brightness)
    brightness = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if settings.backgrounds:  # a wrong folder is told now, in every scene
        photos.photo_paths(settings.backgrounds)
    return Hall(settings, middle - extent / 2, extent, columns, brightness, int(rng.integers(2**31)))


def _from_photo(folder: str, columns: int, extent: float, rng: np.random.Generator) -> Picture:
    paths = photos.photo_paths(folder)
    image = photos.photo(paths[int(rng.integers(len(paths)))])
    height, width = image.shape[:2]
    share = rng.uniform(0.45, 1.0)
    crop_height, crop_width = int(height * share), int(width * rng.uniform(0.45, 1.0))
    top, left = (int(rng.integers(0, size - crop + 1)) for size, crop in ((height, crop_height), (width, crop_width)))
    crop = image[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    picture = cv2.resize(crop, (columns, HEIGHT), interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(picture, np.uint8)
    if rng.random() < 0.5:
        crowd(Painter(picture, rng, extent), HORIZON + int(rng.integers(-15, 15)), int(rng.integers(3, 20)))
    return picture
