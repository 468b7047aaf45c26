"""From light to bytes: blur, exposure, white balance, vignetting, noise, tone curve, JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes import noise
from minisegnet_core.scenes.config import SensorSettings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sensor:
    """One exposure. brightness: where the field's mean goes, linear; gains: RGB; sigma, motion (pixels, radians);
    noise: (of a dark pixel, of shot noise), linear; quality: of JPEG, 0 for none."""

    brightness: float
    gains: Floats
    saturation: float
    gamma: float
    lift: float
    vignetting: float
    sigma: float
    motion: tuple[float, float]
    noise: tuple[float, float]
    quality: int

    def expose(self, light: Floats, exposure: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of (H, W, 3) linear light, each value multiplied by ``exposure``."""
        height, width = light.shape[:2]
        light = np.minimum(light, np.float32(6 / max(exposure, 1e-6)))
        if self.motion[0] > 1:
            light = cv2.filter2D(light, -1, _streak(*self.motion), borderType=cv2.BORDER_REPLICATE)
        if self.sigma > 0.2:
            light = cv2.GaussianBlur(light, (0, 0), self.sigma, borderType=cv2.BORDER_REPLICATE)
        gain = (self.gains * np.float32(exposure)).astype(np.float32)
        image = cv2.transform(light, np.diag(gain) @ _saturation_matrix(self.saturation))
        if self.vignetting > 0.01:
            edge = 1 - np.float32(self.vignetting) * _corners(width, height)
            image *= cv2.merge([edge, edge, edge])
        np.maximum(image, 0, out=image)
        dark, shot = self.noise
        spread = image * np.float32(shot * shot)
        spread += np.float32(dark * dark)
        np.sqrt(spread, out=spread)
        spread *= noise.sensor_noise(rng, image.shape)
        image += spread
        # A table of square roots: even steps of the root resolve shadows as finely as highlights.
        np.clip(image, 0, 1, out=image)
        np.sqrt(image, out=image)
        levels = cv2.convertScaleAbs(image, alpha=255.0)
        result = cv2.LUT(levels, _curve(self.gamma, self.lift))
        if self.quality:
            good, data = cv2.imencode('.jpg', result, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            if good:
                result = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(result, np.uint8)


def sample_sensor(settings: SensorSettings, width: int, rng: np.random.Generator) -> Sensor:
    """Draws one exposure; blur grows with the image's width."""
    scale = width / 640
    kind = rng.random()
    dark = kind < settings.dark
    burnt = settings.dark <= kind < settings.dark + settings.burnt
    span = settings.dark_brightness if dark else settings.burnt_brightness if burnt else settings.brightness
    brightness = float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))
    error = rng.uniform(settings.white_balance[0], settings.white_balance[1], 2)
    error *= 3 if rng.random() < settings.cast else 1
    sigma = rng.uniform(*settings.focus) * (rng.uniform(1, 4) if rng.random() < settings.defocus else 1)
    length = 0.0
    if rng.random() < settings.motion:
        length = float(np.exp(rng.uniform(*np.log(np.maximum(settings.motion_length, 1e-3)))))
    # Dark images are dark for want of light: their gain, and with it their noise, is higher.
    floor = float(np.exp(rng.uniform(np.log(settings.noise[0]), np.log(settings.noise[1]))))
    return Sensor(
        brightness=brightness,
        gains=np.array([2 ** error[0], 1, 2 ** error[1]], np.float32),
        saturation=float(rng.uniform(*settings.saturation)),
        gamma=float(rng.uniform(*settings.gamma)),
        lift=float(rng.uniform(0, 0.03)) if rng.random() < 0.3 else 0.0,
        vignetting=float(rng.uniform(*settings.vignetting)),
        sigma=float(sigma * scale),
        motion=(length * scale, float(rng.uniform(0, np.pi))),
        noise=(floor * (0.5 if dark else 1.0), floor * float(rng.uniform(1, 4))),
        quality=int(rng.uniform(*settings.jpeg_quality)) if rng.random() < settings.jpeg else 0,
    )


def _saturation_matrix(amount: float) -> Floats:
    grey = np.array([0.25, 0.6, 0.15], np.float32)
    matrix: Floats = amount * np.eye(3, dtype=np.float32) + (1 - amount) * np.tile(grey, (3, 1))
    return matrix.astype(np.float32)


@lru_cache(maxsize=8)
def _corners(width: int, height: int) -> Floats:
    """(H, W) float32: 0 in the middle, 1 in the corners, as the square of the distance."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return np.asarray((x * x + y * y) / 2, np.float32)


def _curve(gamma: float, lift: float) -> NDArray[np.uint8]:
    """(256,) uint8: bytes of the tone curve, by the square root of the linear level in 255ths."""
    roots = np.linspace(0, 1, 256, dtype=np.float32)
    return np.asarray(np.round((lift + (1 - lift) * roots ** np.float32(2 / gamma)) * 255), np.uint8)


def _streak(length: float, angle: float) -> Floats:
    """A kernel that averages along a line through its centre, so that labels stay in the middle of the streak."""
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    for step in np.linspace(-length / 2, length / 2, 4 * size):
        x, y = middle + step * np.cos(angle), middle + step * np.sin(angle)
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for dy in (0, 1):
            for dx in (0, 1):
                if 0 <= y0 + dy < size and 0 <= x0 + dx < size:
                    kernel[y0 + dy, x0 + dx] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
    return np.asarray(kernel / kernel.sum(), np.float32)
