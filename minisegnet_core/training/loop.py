"""One epoch of training, one of validation. Knows batches, a network and an optimizer; nothing of stages or files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from minisegnet_core.ball import find_balls
from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.data.loading import Batch
from minisegnet_core.data.transforms import to_network
from minisegnet_core.metrics import BallScore, ConfusionMatrix
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing


@dataclass
class Machinery:
    """What every step needs: where tensors live, how they are normalised, in which precision the network runs."""

    device: torch.device
    preprocessing: Preprocessing
    autocast: Callable[[], AbstractContextManager[object]]

    def prepare(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 of a batch to the network's normalised float input on the device."""
        mean = torch.tensor(self.preprocessing.mean, device=self.device).view(3, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=self.device).view(3, 1, 1)
        images = images.to(self.device, non_blocking=True)
        return to_network(images, mean, std).contiguous(memory_format=torch.channels_last)


def train_one_epoch(
    model: MiniSegNet,
    batches: Iterable[Batch],
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    learning_rate: Callable[[int], float],
    machinery: Machinery,
    on_step: Callable[[float, float], None],
) -> float:
    """Mean training loss of one pass over the batches.

    The model is used in the mode it comes in: whoever froze parts of it has set them to evaluation.

    Args:
        learning_rate: of the step within this epoch, from 0.
        on_step: called with (loss, learning rate) after each step.
    """
    losses = []
    for step, (images, targets, _) in enumerate(batches):
        rate = learning_rate(step)
        for group in optimizer.param_groups:
            group['lr'] = rate
        inputs = machinery.prepare(images)  # (N, 3, H, W)
        with machinery.autocast():
            logits = model(inputs)  # (N, C, h, w)
        loss = criterion(logits.float(), targets.to(machinery.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        on_step(losses[-1], rate)
    return float(np.mean(losses))


@dataclass
class Validation:
    """Result of :func:`validate`."""

    loss: float
    confusion: ConfusionMatrix
    balls: BallScore
    seconds: float


@torch.inference_mode()
def validate(
    model: MiniSegNet,
    batches: Iterable[Batch],
    samples: Sequence[Sample],
    classes: ClassSet,
    criterion: nn.Module,
    machinery: Machinery,
    scale: int,
) -> Validation:
    """Loss, confusion and ball score on validation batches, on the label grid of the stage's images.

    Args:
        samples: what the batches' indices point into; give the ball truth.
        scale: received pixels per pixel of the network's images: 1, or 2 at half resolution.
    """
    started = time.monotonic()
    model.eval()
    confusion, balls = ConfusionMatrix(len(classes)), BallScore()
    ball_id = classes.id_of(BALL)
    losses, counts = [], []
    for images, targets, indices in batches:
        with machinery.autocast():
            logits = model(machinery.prepare(images)).float()  # (N, C, h, w)
        losses.append(criterion(logits, targets.to(machinery.device)).item())
        counts.append(len(images))
        probabilities = logits.softmax(1).cpu().numpy()
        confusion.add(targets.numpy().astype(np.uint8), probabilities.argmax(1).astype(np.uint8))
        if ball_id is None:
            continue
        for index, probability in zip(indices.tolist(), probabilities[:, ball_id], strict=True):
            truths = samples[index].balls
            if truths is not None:
                found = find_balls(np.ascontiguousarray(probability))
                balls.add(truths, found[0].scaled(scale) if found else None)
    loss = float(np.average(losses, weights=counts)) if losses else float('nan')
    return Validation(loss, confusion, balls, time.monotonic() - started)
