"""The sensor, from light to pixel values: blur, exposure, white balance, vignetting, noise, tone curve, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise
from minisegnet_core.scenes.config.settings import SensorSettings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sensor:
    """The parameters of one exposure. Light levels are linear; 1 is white.

    Attributes:
        brightness: exposed mean of the field.
        gains: (3,) RGB gains of the white balance.
        saturation: saturation factor.
        gamma, lift: exponent and black offset of the tone curve.
        vignetting: fraction of the light lost in the corners.
        sigma: standard deviation of the blur, in pixels.
        motion: length (pixels) and angle (radians) of the motion blur.
        noise: standard deviation of a dark pixel, and factor of the shot noise.
        quality: JPEG quality; 0: no compression.
        rim: pixels over which light fades at the rim of the lens's image circle.
        veil: light that flare adds everywhere; negative: black level that is subtracted.
        bleach: fraction of an overexposed green that spills into red and blue.
        glare: fraction of the light above white that the lens spreads, and the radius in pixels.
    """

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
    rim: float = 1.0
    veil: float = 0.0
    bleach: float = 0.0
    glare: tuple[float, float] = (0.0, 1.0)

    def expose(self, light: Floats, exposure: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Turn linear light (H, W, 3) float32 into an image (H, W, 3) uint8 RGB.

        Args:
            light: linear light.
            exposure: factor of the light.
            rng: random generator of the noise.
        """
        height, width = light.shape[:2]
        light = np.minimum(light, np.float32(6 / max(exposure, 1e-6)))
        if self.motion[0] > 1:
            light = motion_blur(light, *self.motion)
        if self.sigma > 0.2:
            side = 2 * int(np.ceil(2.2 * self.sigma)) + 1
            light = cv2.GaussianBlur(light, (side, side), self.sigma, borderType=cv2.BORDER_REPLICATE)
        if self.glare[0]:
            light = _with_halos(light, np.float32(1 / max(exposure, 1e-6)), *self.glare)
        gain = (self.gains * np.float32(exposure)).astype(np.float32)
        image = cv2.transform(light, np.diag(gain) @ _saturation_matrix(self.saturation))
        if self.veil:
            image += np.float32(self.veil)
        if self.vignetting > 0.01:
            edge = 1 - np.float32(self.vignetting) * _corners(width, height)
            image *= cv2.merge([edge, edge, edge])
        np.maximum(image, 0, out=image)
        if self.bleach:
            # An overexposed channel spills into the others: overexposed turf is pale, not pure green.
            spill = cv2.transform(image, self.bleach * np.array([[0.1, 0.8, 0.1]], np.float32))
            spill -= np.float32(0.5 * self.bleach)
            np.maximum(spill, 0, out=spill)
            image += cv2.merge([spill, np.zeros_like(spill), spill])
        dark, shot = self.noise
        spread = image * np.float32(shot * shot)
        spread += np.float32(dark * dark)
        cv2.sqrt(spread, dst=spread)
        spread *= noise.sensor_noise(rng, image.shape)
        image += spread
        # The tone curve is tabulated over the square root, which resolves shadows as finely as highlights.
        np.maximum(image, 0, out=image)
        cv2.sqrt(image, dst=image)
        levels = cv2.convertScaleAbs(image, alpha=255.0)
        result = cv2.LUT(levels, _curve(self.gamma, self.lift))
        if self.quality:
            good, data = cv2.imencode('.jpg', result, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            if good:
                result = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(result, np.uint8)


def sample_sensor(settings: SensorSettings, width: int, rng: np.random.Generator) -> Sensor:
    """Sample the parameters of one exposure of an image ``width`` pixels wide."""
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
    # Noise of very dark images is only halved, so relative to their brightness they are noisier.
    floor = float(np.exp(rng.uniform(np.log(settings.noise[0]), np.log(settings.noise[1]))))
    # At probability 0 no random number is drawn: series without glare must not depend on this setting.
    glare = (0.0, 1.0)
    if settings.glare and rng.random() < settings.glare:
        glare = (float(rng.uniform(0.1, 0.8)), float(np.exp(rng.uniform(np.log(5), np.log(30)))) * scale)
    return Sensor(
        glare=glare,
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
        rim=float(np.exp(rng.uniform(np.log(0.7), np.log(settings.rim)))) * scale,
        bleach=float(rng.uniform(0, 0.9)) if rng.random() < 0.8 else 0.0,
        veil=brightness * float(rng.uniform(*settings.veil)) * float(rng.random() < 0.4),
    )


def _saturation_matrix(amount: float) -> Floats:
    grey = np.array([0.25, 0.6, 0.15], np.float32)
    matrix: Floats = amount * np.eye(3, dtype=np.float32) + (1 - amount) * np.tile(grey, (3, 1))
    return matrix.astype(np.float32)


@lru_cache(maxsize=8)
def _corners(width: int, height: int) -> Floats:
    """Return the squared distance from the centre, (H, W) float32, 1 in the corners."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return np.asarray((x * x + y * y) / 2, np.float32)


def _curve(gamma: float, lift: float) -> NDArray[np.uint8]:
    """Return the tone curve (256,) uint8, indexed by 255 times the square root of the linear level."""
    roots = np.linspace(0, 1, 256, dtype=np.float32)
    return np.asarray(np.round((lift + (1 - lift) * roots ** np.float32(2 / gamma)) * 255), np.uint8)


def _with_halos(light: Floats, white: np.float32, strength: float, sigma: float) -> Floats:
    """Spread a fraction of the light above ``white`` around it, at an eighth of the resolution since halos are soft."""
    height, width = light.shape[:2]
    small = cv2.resize(light, (max(width // 8, 1), max(height // 8, 1)), interpolation=cv2.INTER_AREA)
    beyond = np.maximum(small - white, 0)
    if not beyond.any():
        return light
    beyond = cv2.GaussianBlur(beyond, (0, 0), max(sigma / 8, 0.5), borderType=cv2.BORDER_REPLICATE)
    halo = cv2.resize(beyond, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(light + np.float32(strength) * halo, np.float32)


def motion_blur(light: Floats, length: float, angle: float) -> Floats:
    """Blur along a line, in pixels and radians. Three short streaks are several times faster than one long streak."""
    if length > 5:
        x, y = round(length / 3 * float(np.cos(angle))), round(length / 3 * float(np.sin(angle)))
        height, width = light.shape[:2]
        wide = cv2.copyMakeBorder(light, abs(y), abs(y), abs(x), abs(x), cv2.BORDER_REPLICATE)
        total = light.copy()
        for sign in (-1, 1):
            top, left = abs(y) + sign * y, abs(x) + sign * x
            total += wide[top : top + height, left : left + width]
        total *= np.float32(1 / 3)
        light, length = total, length / 3
    return np.asarray(cv2.filter2D(light, -1, streak(length, angle), borderType=cv2.BORDER_REPLICATE), np.float32)


def streak(length: float, angle: float) -> Floats:
    """Return a kernel that averages along a line, in pixels and radians.

    The line is centred, so labels stay in the middle of the streak.
    """
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    cosine, sine = math.cos(angle), math.sin(angle)
    for step in np.linspace(-length / 2, length / 2, 4 * size).tolist():
        x, y = middle + step * cosine, middle + step * sine
        x0, y0 = math.floor(x), math.floor(y)
        for dy in (0, 1):
            for dx in (0, 1):
                if 0 <= y0 + dy < size and 0 <= x0 + dx < size:
                    kernel[y0 + dy, x0 + dx] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
    return np.asarray(kernel / kernel.sum(), np.float32)
