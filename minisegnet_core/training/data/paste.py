"""Balls of other images pasted into training images, so that few photographed balls are seen in many places.

Source: Dwibedi, Misra and Hebert, "Cut, Paste and Learn" (ICCV 2017). An object shown on many backgrounds teaches the
network the object instead of its surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from minisegnet_core.classes import BALL, IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.training.data.augmentation import between, chance
from minisegnet_core.training.data.reader import SampleReader

MIN_RADIUS = 4.0
"""Radius in pixels below which a ball is not cut out: it has too little detail to be enlarged."""
MIN_ROUNDNESS = 0.8
"""Minimum fraction of its enclosing circle that a ball fills. A half-hidden ball would be half a ball anywhere."""
RADIUS = (0.004, 0.06)
"""Minimum and maximum radius of a pasted ball, as a fraction of the image's width."""
ALOFT = 0.2
"""Fraction of the pasted balls that are anywhere in the image, like balls in flight or in hands."""
MAX_MAGNIFICATION = 1.3
TRIES = 8
"""Samples in which a ball is looked for."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Cutout:
    """A ball cut from an image, at the resolution of its labels.

    Attributes:
        image: (h, w, 3) uint8 RGB, the ball with a rim.
        mask: (h, w) float32, 1 on the ball, 0 elsewhere.
        radius: of a circle with the ball's area, in pixels.
        ground: mean grey of the ground in the whole image, 0 to 255; 0 where there is no ground.
    """

    image: Pixels
    mask: NDArray[np.float32]
    radius: float
    ground: float


class BallPaste:
    """Pastes a ball of a random sample into an image, mostly on the ground, sometimes in the air.

    Ground is every class except the first and the ball. Random numbers come from torch's default generator.

    Args:
        samples: the balls are cut from these.
        classes: of the labels; without a class called ball nothing is pasted.
        reader: reads the samples.
        probability: of pasting a ball into an image.
    """

    def __init__(self, samples: Sequence[Sample], classes: ClassSet, reader: SampleReader, probability: float) -> None:
        ball = classes.id_of(BALL)
        self.ball = -1 if ball is None else ball
        self.reader = reader
        self.probability = probability
        self.donors = [] if ball is None else [s for s in samples if s.balls is None or s.balls]

    def __call__(self, image: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
        """Return an image (H, W, 3) uint8 RGB and its labels (H', W') uint8 with one more ball, or unchanged.

        They are unchanged by chance, if there is no ground, if no whole ball was found in a few samples, or if the new
        ball would cover another one.
        """
        if not self.donors or not chance(self.probability):
            return image, labels
        aloft = chance(ALOFT)
        places = (labels != self.ball) & (labels != IGNORE) if aloft else self._ground(labels)
        rows, columns = np.nonzero(places)
        cutout = self._cutout() if len(rows) else None
        if cutout is None:
            return image, labels
        low, high = (fraction * labels.shape[1] for fraction in RADIUS)
        high = max(low, min(high, MAX_MAGNIFICATION * cutout.radius))
        radius = math.exp(between(math.log(low), math.log(high)))
        chosen = int(torch.randint(len(rows), ()))
        # A ball on the ground touches it at the chosen pixel, seen slightly from above.
        center = float(columns[chosen]), float(rows[chosen]) - (0 if aloft else 0.8 * radius)
        here = self._level(image, labels)
        gain = float(np.clip(here / cutout.ground, 0.4, 2.5)) if cutout.ground and here else 1.0
        shadow = 0.0 if aloft else between(0, 0.6)
        return self._pasted(image, labels, cutout, radius, center, gain * between(0.8, 1.25), shadow)

    def _ground(self, labels: Pixels) -> NDArray[np.bool_]:
        return np.asarray((labels != 0) & (labels != self.ball) & (labels != IGNORE))

    def _level(self, image: Pixels, labels: Pixels) -> float:
        """Return the mean grey of the ground, 0 without ground."""
        small = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)
        ground = self._ground(cv2.resize(labels, (80, 60), interpolation=cv2.INTER_NEAREST))
        return float(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[ground].mean()) if ground.any() else 0.0

    def _cutout(self) -> Cutout | None:
        """Return a whole ball of a random sample; None if a few samples have none."""
        for _ in range(TRIES):
            sample = self.donors[int(torch.randint(len(self.donors), ()))]
            labels = self.reader.labels(sample)
            count, parts, boxes, _ = cv2.connectedComponentsWithStats((labels == self.ball).astype(np.uint8))
            if count == 1:
                continue
            part = 1 + int(torch.randint(count - 1, ()))
            x, y, width, height, area = (int(value) for value in boxes[part])
            radius = math.sqrt(area / math.pi)
            inside = x > 0 and y > 0 and x + width < labels.shape[1] and y + height < labels.shape[0]
            mask = (parts[y : y + height, x : x + width] == part).astype(np.uint8)
            if radius < MIN_RADIUS or not inside or radius**2 < MIN_ROUNDNESS * _enclosing_radius(mask) ** 2:
                continue
            image = self.reader.image(sample)
            whole = image
            if image.shape[:2] != labels.shape:
                image = np.asarray(cv2.resize(image, labels.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
            rim = 2
            top, left = max(0, y - rim), max(0, x - rim)
            box = np.s_[top : y + height + rim, left : x + width + rim]
            alone = (parts[box] == part).astype(np.float32)
            return Cutout(np.ascontiguousarray(image[box]), alone, radius, self._level(whole, labels))
        return None

    def _pasted(
        self,
        image: Pixels,
        labels: Pixels,
        cutout: Cutout,
        radius: float,
        center: tuple[float, float],
        gain: float,
        shadow: float,
    ) -> tuple[Pixels, Pixels]:
        """Return image and labels with the ball drawn.

        Args:
            radius, center: of the ball, in pixels of the labels.
            gain: factor on the ball's brightness.
            shadow: relative darkening of the ground below the ball, 0 to 1.
        """
        scale = radius / cutout.radius
        middle = np.array([np.average(axis, weights=cutout.mask) for axis in np.indices(cutout.mask.shape)[::-1]])
        flip = -1.0 if chance(0.5) else 1.0
        linear = np.diag([flip * scale, scale])
        to_labels = np.hstack(
            [linear, (np.array(center) - linear @ middle)[:, None]]
        )  # (2, 3), from pixels of the cutout
        placed = cv2.warpAffine(cutout.mask, to_labels, labels.shape[::-1], flags=cv2.INTER_LINEAR) > 0.5
        if not placed.any() or (labels[placed] == self.ball).any():
            return image, labels
        # Blend a window around the ball only, because images may be large.
        ratio = np.array([image.shape[1] / labels.shape[1], image.shape[0] / labels.shape[0]])
        place = ratio * center + (ratio - 1) / 2
        reach = 2.5 * radius * ratio.max() + 4
        left, top = (int(max(0, side - reach)) for side in place)
        right, bottom = (int(min(limit, side + reach)) for side, limit in zip(place, image.shape[1::-1], strict=True))
        view = (right - left, bottom - top)
        to_view = np.diag(ratio) @ to_labels
        to_view[:, 2] += (ratio - 1) / 2 - (left, top)
        soft = max(0.3, 0.4 / min(1.0, scale * ratio[0]))  # pixels of the cutout; avoids aliasing
        mask, ball = (cv2.GaussianBlur(part, (0, 0), soft) for part in (cutout.mask, cutout.image))
        alpha = cv2.warpAffine(mask, to_view, view, flags=cv2.INTER_LINEAR)
        color = cv2.warpAffine(ball, to_view, view, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shade = _shadow(view, place - (left, top), radius * float(ratio[0]), shadow)
        below = image[top:bottom, left:right].astype(np.float32) * (1 - shade)[..., None]
        blended = below + alpha[..., None] * (np.minimum(gain * color.astype(np.float32), 255) - below)
        image, labels = image.copy(), labels.copy()
        image[top:bottom, left:right] = np.rint(np.clip(blended, 0, 255))
        labels[placed] = self.ball
        return image, labels


def _shadow(size: tuple[int, int], center: NDArray[np.float64], radius: float, strength: float) -> NDArray[np.float32]:
    """Return (h, w) float32, the relative darkening of the ground below a ball, 0 to 1; ``size`` is (width, height)."""
    shade = np.zeros(size[::-1], np.float32)
    place = round(16 * center[0]), round(16 * (center[1] + 0.85 * radius))  # fixed point with 4 fractional bits
    axes = round(16 * 1.2 * radius), round(16 * 0.4 * radius)
    cv2.ellipse(shade, place, axes, 0, 0, 360, strength, -1, cv2.LINE_8, 4)
    return np.asarray(cv2.GaussianBlur(shade, (0, 0), max(0.5, 0.25 * radius)), np.float32)


def _enclosing_radius(mask: Pixels) -> float:
    """Return the radius of the smallest circle around all pixels of a mask."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    return float(cv2.minEnclosingCircle(points)[1]) + 0.5
