"""One epoch of training. Knows batches, a network and an optimizer; nothing of stages or files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from minisegnet_core.classes import IGNORE
from minisegnet_core.data.dataset import Sample
from minisegnet_core.errors import TrainingError
from minisegnet_core.preprocessing import Preprocessing
from minisegnet_core.training.data.loader import Batch
from minisegnet_core.training.data.transforms import to_network
from minisegnet_core.training.hardware import gather, summed
from minisegnet_core.training.losses import SegmentationLoss


@dataclass
class Machinery:
    """What every step needs: devices, processes and precision; how images are normalised and laid out in memory."""

    fabric: Fabric
    preprocessing: Preprocessing
    memory_format: torch.memory_format = torch.channels_last

    def prepare(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 of a batch to the network's normalised float input on the device."""
        mean = torch.tensor(self.preprocessing.mean, device=self.fabric.device).view(3, 1, 1)
        std = torch.tensor(self.preprocessing.std, device=self.fabric.device).view(3, 1, 1)
        images = images.to(self.fabric.device, non_blocking=True)
        return to_network(images, mean, std).contiguous(memory_format=self.memory_format)


def train_one_epoch(
    network: nn.Module,
    batches: Iterable[Batch],
    samples: Sequence[Sample],
    criterion: SegmentationLoss,
    optimizer: torch.optim.Optimizer,
    learning_rate: Callable[[int], float],
    machinery: Machinery,
    on_step: Callable[[float, float], None],
    accumulation: int = 1,
) -> float:
    """Mean training loss of one pass over the batches.

    The network is used in the mode it comes in: whoever froze parts of it has set them to evaluation.

    Args:
        samples: what the batches' indices point into.
        learning_rate: of the step within this epoch, from 0.
        on_step: called with (loss, learning rate) after each step.
        accumulation: parts in which a step is computed.

    Raises:
        TrainingError: the loss is not finite; the text names the images.
    """
    losses = []
    for step, batch in enumerate(batches):
        rate = learning_rate(step)
        loss, _ = train_step(network, batch, criterion, optimizer, rate, machinery, accumulation)
        if not math.isfinite(loss):
            mine = [samples[index].image_path.name for index in batch[2].tolist()]
            names = ', '.join(name for names in gather(machinery.fabric, mine) for name in names)
            raise TrainingError(
                f'the loss is {loss} at step {step}, at the learning rate {rate:.2g}, for the images {names}. '
                'If they and their labels are in order, lower the rate (--stage1.lr ...), or use --precision float32'
            )
        losses.append(loss)
        on_step(loss, rate)
    return float(np.mean(losses))


def train_step(
    network: nn.Module,
    batch: Batch,
    criterion: SegmentationLoss,
    optimizer: torch.optim.Optimizer,
    rate: float,
    machinery: Machinery,
    accumulation: int = 1,
) -> tuple[float, float]:
    """One optimizer step at a learning rate: its loss, and its share of right pixels, over all processes.

    A step whose loss is not finite is not taken.
    """
    for group in optimizer.param_groups:
        group['lr'] = rate
    fabric = machinery.fabric
    images, targets = batch[0], batch[1].to(fabric.device, non_blocking=True)
    weights = summed(fabric, criterion.weights(targets))  # (3,), of the whole optimizer batch
    optimizer.zero_grad(set_to_none=True)
    seen = torch.zeros(3, dtype=torch.float64, device=fabric.device)  # loss, right pixels, valid pixels
    parts = list(zip(images.chunk(accumulation), targets.chunk(accumulation), strict=True))
    for number, (x, y) in enumerate(parts, 1):
        with fabric.no_backward_sync(network, enabled=number < len(parts)):  # type: ignore[arg-type]
            logits = network(machinery.prepare(x)).float()  # (n, C, h, w)
            loss = criterion.combine(criterion.sums(logits, y), weights)
            # Processes take the mean of their gradients; it is to be the sum, the weights being those of all.
            fabric.backward(loss * fabric.world_size)
        seen += torch.stack((loss.detach(), (logits.argmax(1) == y).sum(), (y != IGNORE).sum()))
    total, right, valid = summed(fabric, seen).tolist()
    if math.isfinite(total):
        optimizer.step()
    return total, right / max(1, valid)
