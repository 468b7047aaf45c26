"""The frames an evaluation shows: those that went worst, with truth, prediction and their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, TruthFrame
from minisegnet_core.visualization import colorize, draw_overlay, enlarge_labels

Image = NDArray[np.uint8]

WRONG, RIGHT = (230, 30, 60), (60, 60, 60)
"""RGB of label pixels that are wrong and right in the difference; ignored ones are grey."""

JPEG_QUALITY = 85


def encode_jpeg(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    """JPEG bytes of an (H, W, 3) uint8 RGB image."""
    return bytes(cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def encode_png(image: Image) -> bytes:
    """PNG bytes of an (H, W, 3) uint8 RGB or an (H, W) uint8 image."""
    return bytes(cv2.imencode('.png', image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def decode(data: bytes) -> Image:
    """Inverse of the two above."""
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


@dataclass(frozen=True)
class KeptFrame:
    """A frame that is shown. badness: higher is worse; reason: in words; image: JPEG; truth: PNG of ids, or None."""

    badness: float
    score: FrameScore
    reason: str
    image: bytes
    truth: bytes | None
    balls: tuple[BallTruth, ...] | None

    @property
    def order(self) -> tuple[float, str, int]:
        """Sorting key, the worst first; total, so that it does not matter which process saw which frame."""
        return -self.badness, self.score.source, self.score.index


def badness(score: FrameScore, changed: float, absent: tuple[int, ...]) -> tuple[float, str]:
    """How bad a frame is, 0..3, and why in words.

    With labels, 1 less its mean IoU, and 1 more for a missed or a false ball each; with balls alone, those; without any
    truth the share of label pixels that changed since the frame before (``changed``, 0..1).
    """
    parts, value = [], 0.0
    if score.match is not None:
        value += bool(score.match.missed) + score.match.false
        parts += ['ball missed'] if score.match.missed else []
        parts += ['false ball'] if score.match.false else []
        if score.match.hit is not None:
            value += min(score.match.distance / max(score.match.hit.radius, 1.0), 1.0) * 0.1
            parts.append(f'ball {score.match.distance:.1f} px off')
    iou = score.mean_iou(absent)
    if math.isfinite(iou):
        value += 1 - iou
        parts.insert(0, f'mean IoU {iou:.3f}')
    if score.match is None and score.confusion is None:
        value = changed
        parts = [f'{100 * changed:.1f} % of label pixels changed']
    return value, ', '.join(parts) or 'no ball, none seen'


@dataclass
class Worst:
    """Keeps the worst frames of a source; one of every run of neighbours, as they are bad for one reason."""

    count: int
    absent: tuple[int, ...] = ()
    apart: int = 0
    kept: list[KeptFrame] = field(default_factory=list)
    _previous: Image | None = None

    def add(self, frame: TruthFrame, prediction: Prediction | None, score: FrameScore) -> None:
        """Considers a frame; those that were not answered are not shown."""
        if prediction is None or self.count < 1:
            return
        labels, previous = prediction.label_image, self._previous
        self._previous = labels
        same_shape = previous is not None and previous.shape == labels.shape
        changed = float(np.mean(previous != labels)) if same_shape else 0.0
        value, reason = badness(score, changed, self.absent)
        neighbours = [k for k in self.kept if abs(k.score.index - score.index) <= self.apart]
        if any(k.badness >= value for k in neighbours):
            return
        if len(self.kept) >= self.count and not neighbours and value <= self.kept[-1].badness:
            return
        truth = None if frame.labels is None else encode_png(frame.labels)
        self.kept = [k for k in self.kept if k not in neighbours]
        self.kept.append(KeptFrame(value, score, reason, encode_jpeg(frame.image), truth, frame.balls))
        self.kept = worst_of(self.kept, self.count)


def worst_of(kept: list[KeptFrame], count: int) -> list[KeptFrame]:
    """The ``count`` worst, the worst first."""
    return sorted(kept, key=lambda k: k.order)[:count]


def panels(kept: KeptFrame, classes: ClassSet, width: int) -> dict[str, Image]:
    """Pictures of a kept frame, at most ``width`` pixels wide: image, truth, prediction, difference (where known)."""
    image = decode(kept.image)
    labels = kept.score.label_image()
    assert labels is not None, 'only answered frames are kept'
    balls = () if kept.score.ball is None else (kept.score.ball,)
    pictures = {'image': image}
    truth = None if kept.truth is None else decode(kept.truth)
    height_, width_ = image.shape[:2]
    if truth is not None:
        full = truth if truth.shape == (height_, width_) else enlarge_labels(truth, width_, height_)
        pictures['truth'] = with_circles(colorize(full, classes), kept.balls or ())
    elif kept.balls is not None:
        pictures['truth'] = with_circles(image.copy(), kept.balls)
    pictures['prediction'] = draw_overlay(image, labels, classes, balls)
    if truth is not None:
        pictures['difference'] = difference(full, enlarge_labels(labels, width_, height_))
    scale = min(1.0, width / width_)
    size = max(1, round(width_ * scale)), max(1, round(height_ * scale))
    return {
        name: np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        for name, picture in pictures.items()
    }


def with_circles(picture: Image, balls: tuple[BallTruth, ...]) -> Image:
    """The picture with true balls circled; it is drawn on."""
    for ball in balls:
        center = round(ball.x * 16), round(ball.y * 16)
        cv2.circle(picture, center, round(max(ball.radius, 3.0) * 16) + 32, (0, 200, 255), 2, cv2.LINE_AA, shift=4)
    return picture


def difference(truth: Image, predicted: Image) -> Image:
    """(H, W, 3) RGB: wrong label pixels red, right ones dark, ignored ones grey."""
    picture: Image = np.where((truth == predicted)[..., None], np.array(RIGHT, np.uint8), np.array(WRONG, np.uint8))
    picture[truth == IGNORE] = (128, 128, 128)
    return picture
