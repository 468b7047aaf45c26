"""One epoch of training: batches, a network, an optimizer. Knows nothing of stages and files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from minisegnet_core.classes import IGNORE
from minisegnet_core.errors import TrainingError, shortened
from minisegnet_core.preprocessing import Preprocessing, normalize
from minisegnet_core.training.data.loader import Batch
from minisegnet_core.training.hardware import gather, summed
from minisegnet_core.training.losses import SegmentationLoss
from minisegnet_core.training.reporting import OnStep

MAX_NAMES = 100
"""Characters of the names of images in a message."""


@dataclass(frozen=True)
class NetworkInput:
    """Turns the images of a batch into the network's input: device, normalization, memory layout."""

    preprocessing: Preprocessing
    device: torch.device
    memory_format: torch.memory_format = torch.channels_last

    def __call__(self, images: Tensor) -> Tensor:
        """Return normalized float images on the device, from (N, 3, H, W) uint8 RGB."""
        mean = torch.tensor(self.preprocessing.mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=self.device).view(3, 1, 1)
        images = images.to(self.device, non_blocking=True)
        return normalize(images.float(), mean, std).contiguous(memory_format=self.memory_format)


@dataclass(frozen=True)
class Learner:
    """What an optimizer step needs besides its batch and learning rate.

    Attributes:
        network: in the mode it is to be used in; frozen parts are in evaluation mode.
        accumulation: parts into which a batch is split to save memory.
    """

    fabric: Fabric
    network: nn.Module
    prepare: NetworkInput
    criterion: SegmentationLoss
    optimizer: torch.optim.Optimizer
    accumulation: int = 1


def train_one_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    learning_rate: Callable[[int], float],
    on_step: OnStep,
    image_name: Callable[[int], str] = str,
) -> float:
    """Take one optimizer step per batch and return the mean loss.

    Args:
        learning_rate: of the step, counted from 0 within this epoch.
        on_step: called with (loss, learning rate) after each step.
        image_name: names the image of a batch's index, for messages.

    Raises:
        TrainingError: the loss is not finite; the message names the images.
    """
    losses = []
    for step, batch in enumerate(batches):
        rate = learning_rate(step)
        loss, _ = train_step(learner, batch, rate)
        if not math.isfinite(loss):
            here = [image_name(index) for index in batch[2].tolist()]
            names = shortened(', '.join(name for names in gather(learner.fabric, here) for name in names), MAX_NAMES)
            raise TrainingError(
                f'the loss is {loss} at step {step}, learning rate {rate:.2g}, for the images {names}. Check these '
                'images and their labels, reduce the learning rate (--stage1.lr), or use --precision float32'
            )
        losses.append(loss)
        on_step(loss, rate)
    return float(np.mean(losses))


def train_step(learner: Learner, batch: Batch, rate: float) -> tuple[float, float]:
    """Take one optimizer step, unless its loss is not finite.

    Returns:
        The loss, and the fraction of label pixels that were classified correctly, over all processes.
    """
    fabric, criterion = learner.fabric, learner.criterion
    for group in learner.optimizer.param_groups:
        group['lr'] = rate
    images, targets = batch[0], batch[1].to(fabric.device, non_blocking=True)  # (N, 3, H, W), (N, h, w)
    weights = summed(fabric, criterion.weights(targets))  # (3,), of the whole optimizer batch
    learner.optimizer.zero_grad(set_to_none=True)
    totals = torch.zeros(3, dtype=torch.float64, device=fabric.device)  # loss, correct pixels, valid pixels
    parts = list(zip(images.chunk(learner.accumulation), targets.chunk(learner.accumulation), strict=True))
    for number, (x, y) in enumerate(parts, 1):
        with fabric.no_backward_sync(learner.network, enabled=number < len(parts)):  # type: ignore[arg-type]
            logits = learner.network(learner.prepare(x)).float()  # (n, C, h, w)
            loss = criterion.combine(criterion.sums(logits, y), weights)
            # DDP averages gradients over processes, but the loss needs their sum: the weights are those of all.
            fabric.backward(loss * fabric.world_size)
        totals += torch.stack((loss.detach(), (logits.argmax(1) == y).sum(), (y != IGNORE).sum()))
    total, correct, valid = summed(fabric, totals).tolist()
    if math.isfinite(total):
        learner.optimizer.step()
    return total, correct / max(1, valid)
