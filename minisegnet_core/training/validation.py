"""Validation of a network on a split: loss, confusion and ball score, over all processes and by group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minisegnet_core.ball import find_balls
from minisegnet_core.classes import BALL
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.metrics import BallScore, ConfusionMatrix
from minisegnet_core.training.data.loader import Batch
from minisegnet_core.training.hardware import gather
from minisegnet_core.training.loop import Machinery
from minisegnet_core.training.losses import SegmentationLoss

PICTURES = 4


@dataclass
class Score:
    """Confusion and ball score of some images."""

    confusion: ConfusionMatrix
    balls: BallScore = field(default_factory=BallScore)
    images: int = 0

    def merge(self, other: Score) -> None:
        """Adds the images of another score."""
        self.confusion.counts += other.confusion.counts
        self.images += other.images
        self.balls.merge(other.balls)


@dataclass
class Picture:
    """What TensorBoard shows of an image: (H, W, 3) uint8 RGB as the network saw it, (h, w) uint8 truth and answer."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


@dataclass
class Validation:
    """Result of :func:`validate`.

    loss: the criterion's, over all images as one batch; groups: the score of each group of images, by name.
    """

    loss: float
    groups: dict[str, Score]
    pictures: list[Picture]
    seconds: float

    @property
    def total(self) -> Score:
        """The score of all images together."""
        total = Score(ConfusionMatrix(len(next(iter(self.groups.values())).confusion.counts)))
        for score in self.groups.values():
            total.merge(score)
        return total


@torch.inference_mode()
def validate(
    model: nn.Module,
    batches: Iterable[Batch],
    samples: Sequence[Sample],
    dataset: Dataset,
    criterion: SegmentationLoss,
    machinery: Machinery,
    scale: int,
    group_of: Callable[[Sample], str] = lambda sample: '',
) -> Validation:
    """Scores a model on this process's batches, on the label grid of their images, and adds those of the others.

    Args:
        samples: what the batches' indices point into; give the ball truth.
        dataset: gives the classes, and those that its truth never draws.
        scale: received pixels per pixel of the network's images: 1, or 2 at half resolution.
        group_of: names the group to which an image counts.
    """
    started = time.monotonic()
    model.eval()
    classes = len(dataset.classes)
    groups: dict[str, Score] = {}
    sums = np.zeros((2, 3))
    pictured = {round(i) for i in np.linspace(0, len(samples) - 1, PICTURES)}  # spread over the split
    pictures = []
    for images, targets, indices in batches:
        with machinery.fabric.autocast():
            logits = model(machinery.prepare(images)).float()  # (N, C, h, w)
        sums += _sums(criterion, logits, targets.to(logits.device))
        probabilities = logits.softmax(1).cpu().numpy()
        answers = dataset.map_absent(probabilities.argmax(1).astype(np.uint8))  # (N, h, w)
        truths = targets.numpy().astype(np.uint8)
        for row, index in enumerate(indices.tolist()):
            sample = samples[index]
            score = groups.setdefault(group_of(sample), Score(ConfusionMatrix(classes)))
            score.images += 1
            score.confusion.add(truths[row], answers[row])
            _score_ball(score.balls, sample, dataset, probabilities[row], scale)
            if index in pictured:
                image = images[row].permute(1, 2, 0).numpy()
                pictures.append(Picture(sample.name, image, truths[row], answers[row]))
    everything = gather(machinery.fabric, (sums, groups))
    total = torch.from_numpy(np.sum([part for part, _ in everything], axis=0))
    merged: dict[str, Score] = {name: Score(ConfusionMatrix(classes)) for _, part in everything for name in part}
    for _, part in everything:
        for name, score in part.items():
            merged[name].merge(score)
    loss = float(criterion.combine(total[0], total[1]))
    return Validation(loss, dict(sorted(merged.items())), pictures, time.monotonic() - started)


def _sums(criterion: SegmentationLoss, logits: Tensor, targets: Tensor) -> NDArray[np.float64]:
    sums = torch.stack((criterion.sums(logits, targets).double(), criterion.weights(targets)))
    return np.asarray(sums.cpu().numpy())


def _score_ball(score: BallScore, sample: Sample, dataset: Dataset, probabilities: NDArray[Any], scale: int) -> None:
    """``probabilities``: (C, h, w) of one image."""
    ball_id = dataset.classes.id_of(BALL)
    if ball_id is None or sample.balls is None:
        return
    found = find_balls(np.ascontiguousarray(probabilities[ball_id]))
    score.add(sample.balls, found[0].scaled(scale) if found else None)
