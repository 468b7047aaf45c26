"""The worst frames of an evaluation, kept with their images so that the report can show them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.imaging import encode_image

JPEG_QUALITY = 85


@dataclass(frozen=True)
class KeptFrame:
    """A frame to show.

    Attributes:
        badness: 0 to 3; higher is worse.
        reason: why the frame is bad, for people.
        image: JPEG of the image.
        truth: PNG of the ground-truth labels, or None.
        balls: ground-truth balls, or None.
    """

    badness: float
    score: FrameScore
    reason: str
    image: bytes
    truth: bytes | None
    balls: tuple[BallTruth, ...] | None

    @property
    def order(self) -> tuple[float, str, int]:
        """Sorting key, worst first. It is a total order, so the result does not depend on the number of processes."""
        return -self.badness, self.score.source, self.score.index


def badness(score: FrameScore, changed: float, absent: tuple[int, ...]) -> tuple[float, str]:
    """Return how bad a frame is, 0 to 3, and the reason.

    Labels contribute 1 minus the frame's mean IoU. A missed ball and a false ball contribute 1 each, a found ball up to
    0.1 for its distance. Without ground truth the badness is ``changed``, the fraction of label pixels (0 to 1) that
    differ from the frame before.
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
    return value, ', '.join(parts) or ('no ball, none predicted' if score.match is not None else 'no label to compare')


@dataclass
class WorstFrames:
    """Keep the worst frames of a source.

    Args:
        count: maximum number of frames to keep.
        absent: class ids to leave out of the mean IoU.
        spacing: of frames at most this far apart only one is kept, since neighbours are bad for the same reason.
    """

    count: int
    absent: tuple[int, ...] = ()
    spacing: int = 0
    kept: list[KeptFrame] = field(default_factory=list)
    _previous: NDArray[np.uint8] | None = None

    def add(self, frame: SourceFrame, prediction: Prediction | None, score: FrameScore) -> None:
        """Consider a frame. Frames without a prediction are never kept."""
        if prediction is None or self.count < 1:
            return
        labels, previous = prediction.label_image, self._previous
        self._previous = labels
        same_shape = previous is not None and previous.shape == labels.shape
        changed = float(np.mean(previous != labels)) if same_shape else 0.0
        value, reason = badness(score, changed, self.absent)
        neighbours = [k for k in self.kept if abs(k.score.index - score.index) <= self.spacing]
        if any(k.badness >= value for k in neighbours):
            return
        if len(self.kept) >= self.count and not neighbours and value <= self.kept[-1].badness:
            return
        truth = None if frame.labels is None else encode_image(frame.labels, '.png')
        image = encode_image(frame.image, '.jpg', JPEG_QUALITY)
        kept = KeptFrame(value, score, reason, image, truth, frame.balls)
        self.kept = worst_of([*(k for k in self.kept if k not in neighbours), kept], self.count)


def worst_of(kept: Iterable[KeptFrame], count: int) -> list[KeptFrame]:
    """Return the ``count`` worst frames, worst first."""
    return sorted(kept, key=lambda k: k.order)[:count]
