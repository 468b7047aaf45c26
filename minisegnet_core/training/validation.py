"""Validation of a network on a split: loss, confusion matrix and ball score, over all processes and by group."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minisegnet_core.ball import find_balls
from minisegnet_core.classes import BALL
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.metrics import BallScore, ConfusionMatrix
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.context import TrainingContext
from minisegnet_core.training.data.loader import SegmentationDataset, validation_loader
from minisegnet_core.training.hardware import gather
from minisegnet_core.training.loop import NetworkInput
from minisegnet_core.training.losses import TERMS, SegmentationLoss
from minisegnet_core.training.stage import loader_workers

SHOWN_IMAGES = 4


@dataclass
class Score:
    """Confusion matrix and ball score of some images."""

    confusion: ConfusionMatrix
    balls: BallScore = field(default_factory=BallScore)
    images: int = 0

    def merge(self, other: Score) -> None:
        """Add the images of another score."""
        self.confusion.counts += other.confusion.counts
        self.images += other.images
        self.balls.merge(other.balls)


@dataclass
class ShownImage:
    """One validation image for TensorBoard.

    Attributes:
        name: of the sample.
        image: (H, W, 3) uint8 RGB, as the network received it.
        ground_truth, prediction: (h, w) uint8 ids on the label grid.
    """

    name: str
    image: NDArray[np.uint8]
    ground_truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


@dataclass
class Validation:
    """Result of :func:`validate`.

    Attributes:
        loss: of all images, as if they were one batch.
        groups: score of each group of images, by name.
        shown: some images of this process, spread over the split.
        seconds: wall time.
    """

    loss: float
    groups: dict[str, Score]
    shown: list[ShownImage]
    seconds: float

    @property
    def total(self) -> Score:
        """The score of all images together."""
        total = Score(ConfusionMatrix(len(next(iter(self.groups.values())).confusion.counts)))
        for score in self.groups.values():
            total.merge(score)
        return total


def no_group(sample: Sample) -> str:
    """Put all samples into one group."""
    return ''


@torch.inference_mode()
def validate(
    context: TrainingContext,
    settings: StageConfig,
    data: SegmentationDataset,
    layout: torch.memory_format = torch.channels_last,
    group_of: Callable[[Sample], str] = no_group,
) -> Validation:
    """Score the model with its present weights; each process scores its part of the images.

    Args:
        settings: of the stage, which give batch size and resolution.
        data: validation images at that resolution.
        layout: memory format of the images.
        group_of: names the group to which a sample counts.
    """
    started = time.monotonic()
    torch.backends.cudnn.benchmark = False
    fabric, criterion, dataset = context.fabric, context.criterion, context.dataset
    prepare = NetworkInput(context.preprocessing, fabric.device, layout)
    rank, world = fabric.global_rank, fabric.world_size
    size = max(1, settings.batch_size // (world * settings.accumulation))
    scale = 2 if settings.resolution == 'half' else 1  # received pixels per pixel of the network's image
    batches = validation_loader(data, size, loader_workers(context), rank=rank, world_size=world)
    context.model.eval()
    groups: dict[str, Score] = {}
    sums = np.zeros((2, len(TERMS)))
    chosen = {round(index) for index in np.linspace(0, len(data) - 1, SHOWN_IMAGES)}
    shown = []
    for images, targets, indices in batches:
        with fabric.autocast():
            logits = context.model(prepare(images)).float()  # (N, C, h, w)
        sums += _loss_sums(criterion, logits, targets.to(logits.device))
        probabilities = logits.softmax(1).cpu().numpy()
        predictions = dataset.map_absent(probabilities.argmax(1).astype(np.uint8))  # (N, h, w)
        ground_truths = targets.numpy().astype(np.uint8)
        for row, index in enumerate(indices.tolist()):
            sample = data.samples[index]
            score = groups.setdefault(group_of(sample), Score(ConfusionMatrix(len(context.classes))))
            score.images += 1
            score.confusion.add(ground_truths[row], predictions[row])
            _score_ball(score.balls, sample, dataset, probabilities[row], scale)
            if index in chosen:
                image = images[row].permute(1, 2, 0).numpy()
                shown.append(ShownImage(sample.name, image, ground_truths[row], predictions[row]))
    everything = gather(fabric, (sums, groups))
    totals = torch.from_numpy(np.sum([part for part, _ in everything], axis=0))
    loss = float(criterion.combine(totals[0], totals[1]))
    merged = _merged([part for _, part in everything])
    return Validation(loss, merged, shown, time.monotonic() - started)


def _merged(parts: list[dict[str, Score]]) -> dict[str, Score]:
    """Return the scores of all processes, sorted by the name of the group."""
    merged: dict[str, Score] = {}
    for part in parts:
        for name, score in part.items():
            merged.setdefault(name, Score(ConfusionMatrix(len(score.confusion.counts)))).merge(score)
    return dict(sorted(merged.items()))


def _loss_sums(criterion: SegmentationLoss, logits: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """Return (2, len(TERMS)): the sums of the loss terms, and the weights that they are to be divided by."""
    sums = torch.stack((criterion.sums(logits, targets).double(), criterion.weights(targets)))
    return np.asarray(sums.cpu().numpy())


def _score_ball(score: BallScore, sample: Sample, dataset: Dataset, probabilities: NDArray[Any], scale: int) -> None:
    """Score the best ball of one image, from its (C, h, w) class probabilities."""
    ball_id = dataset.classes.id_of(BALL)
    if ball_id is None or sample.balls is None:
        return
    balls = find_balls(np.ascontiguousarray(probabilities[ball_id]))
    score.add(sample.balls, balls[0].scaled(scale) if balls else None)
