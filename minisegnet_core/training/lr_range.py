"""The LR range test of L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section
3.3.

The rate rises linearly over one run of a few epochs while loss and accuracy are recorded. Where accuracy begins to rise
is the base rate; where it slows, becomes ragged or falls, the maximum. Afterwards weights, batch-norm statistics and
random state are what they were, to the bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.context import Setup
from minisegnet_core.training.data.loader import Batch, SegmentationDataset
from minisegnet_core.training.loop import train_step

SMOOTHING = 0.9
"""Of the exponential moving average that is read instead of the raw curves."""

RISE_BEGINS, RISE_ENDS = 0.1, 0.9
"""Shares of the whole rise of accuracy: at the first the base rate is read, at the second the maximum."""

DIVERGED = 3.0
"""The test ends early where the smoothed loss is this many times its lowest."""

NOISE_OF_SMOOTHED = ((1 - SMOOTHING) / (1 + SMOOTHING)) ** 0.5
"""Standard deviation of the smoothed curve, as a share of that of independent raw values."""

LAG = round(1 / (1 - SMOOTHING))
"""Steps by which the smoothed curve comes late."""

NEARLY_LOWEST = 1.02
"""A smoothed loss up to this many times the lowest one counts as the lowest."""

BASE_OF_MAXIMUM = 0.25
"""Base rate where the curve gives none below the maximum: Smith's rule of thumb is a third or a quarter of it."""


@dataclass
class RangeTest:
    """Curves of a range test, one value per optimizer step: learning rate, loss, pixel accuracy 0..1."""

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def suggest(self) -> tuple[float, float]:
        """(base_lr, lr): where the smoothed accuracy began to rise, and where its rise was nearly over.

        Where it never rises by more than its noise, since the network was trained before, there is no such place: then
        ``lr`` is the rate just before accuracy begins to fall by more than its noise, or the one with the lowest loss,
        whichever is lower, and ``base_lr`` a quarter of it.
        """
        accuracy = smoothed(self.accuracies)
        best = int(accuracy.argmax())
        low, high = float(accuracy[: best + 1].min()), float(accuracy[best])
        start = float(np.mean(self.accuracies[:LAG]))
        noise = NOISE_OF_SMOOTHED * float(np.std(np.diff(self.accuracies))) / 2**0.5 if len(accuracy) > 1 else 0.0
        if best < LAG or high - start <= 6 * noise:
            still_good = np.flatnonzero(accuracy >= start - 2 * noise)
            losses = smoothed(self.losses)
            # In a test of few steps accuracy's noise hides its fall, and the loss tells more.
            lowest = int(np.flatnonzero(losses <= NEARLY_LOWEST * losses.min())[-1])
            falls = max(int(still_good[-1]) - LAG, 1) if still_good.size else 0
            maximum = self.rates[min(falls, max(lowest, 1), len(self.rates) - 1)]
            return maximum * BASE_OF_MAXIMUM, maximum
        reached = (accuracy[: best + 1] - low) / max(high - low, 1e-12)
        maximum = self.rates[int(np.argmax(reached >= RISE_ENDS))]
        base = self.rates[int(np.argmax(reached >= RISE_BEGINS))]
        return (base if base < maximum else maximum * BASE_OF_MAXIMUM), maximum


def smoothed(values: Sequence[float]) -> NDArray[np.float64]:
    """Exponential moving average without the start's bias towards zero."""
    result = np.empty(len(values))
    average = 0.0
    for step, value in enumerate(values):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        result[step] = average / (1 - SMOOTHING ** (step + 1))
    return result


def lr_range_test(
    setup: Setup,
    parameters: list[nn.Parameter],
    batches: Iterable[Batch],
    steps: int,
    *,
    accumulation: int = 1,
    on_step: Callable[[float, float], None] = lambda loss, rate: None,
) -> RangeTest:
    """Runs the test with the model in the mode in which it comes, and puts everything back.

    Args:
        setup: gives the network, as its stage trains it, and the settings ``lr_range`` and ``weight_decay``.
        parameters: that the stage trains.
        batches: at least ``steps`` of them.
        on_step: called with (loss, rate) after each step.
    """
    model, machinery = setup.model, setup.machinery
    lowest, highest = setup.config.lr_range
    state = {key: value.clone() for key, value in model.state_dict().items()}
    scaling = copy.deepcopy(machinery.fabric.strategy.precision.state_dict())
    devices = [machinery.fabric.device] if machinery.fabric.device.type == 'cuda' else []
    optimizer = setup.make_optimizer(parameters, lowest)
    result = RangeTest()
    try:
        with torch.random.fork_rng(devices=devices):
            for step, batch in zip(range(steps), batches, strict=False):
                rate = lowest + (highest - lowest) * step / max(1, steps - 1)
                loss, accuracy = train_step(
                    setup.network, batch, setup.criterion, optimizer, rate, machinery, accumulation
                )
                if not math.isfinite(loss):
                    break
                result.rates.append(rate)
                result.losses.append(loss)
                result.accuracies.append(accuracy)
                on_step(loss, rate)
                losses = smoothed(result.losses)
                if losses[-1] > DIVERGED * losses.min():
                    break
    finally:
        model.load_state_dict(state)
        machinery.fabric.strategy.precision.load_state_dict(scaling)
        for parameter in model.parameters():
            parameter.grad = None
    return result


def run_range_test(
    setup: Setup,
    name: str,
    stage: StageConfig,
    parameters: list[nn.Parameter],
    data: SegmentationDataset,
    progress: Callable[[str, int], AbstractContextManager[Callable[[float, float], None]]],
) -> RangeTest:
    """The range test of one stage of a training, with the settings ``lr_range`` and ``lr_range_epochs``.

    Raises:
        ConfigurationError: the loss is not finite from the first step on.
    """
    epochs = [setup.batches(stage, data, epoch) for epoch in range(setup.config.lr_range_epochs)]
    steps = sum(len(batches) for batches in epochs)
    setup.train_mode(stage)
    with progress(f'range test {name}', steps) as on_step:
        batches = _epoch_by_epoch(data, epochs)
        test = lr_range_test(setup, parameters, batches, steps, accumulation=stage.accumulation, on_step=on_step)
    if not test.rates:
        lowest = setup.config.lr_range[0]
        raise ConfigurationError(f'{name}: the loss is not finite at the rate {lowest:g}; lower lr_range')
    return test


def _epoch_by_epoch(data: SegmentationDataset, epochs: Iterable[Iterable[Batch]]) -> Iterator[Batch]:
    for epoch, batches in enumerate(epochs):
        data.epoch = epoch
        yield from batches
