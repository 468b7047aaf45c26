"""The LR range test of L. N. Smith, "Cyclical Learning Rates for Training Neural Networks".

Source: arXiv 1506.01186, section 3.3.

The learning rate rises linearly over a few epochs while loss and accuracy are recorded. The base rate is where accuracy
begins to rise; the maximum is where it slows, becomes ragged or falls. Afterwards the weights, batch-norm statistics
and random state are restored bit for bit.
"""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, OutputError
from minisegnet_core.files import write_text_atomically
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.context import TrainingContext, check_data, make_context
from minisegnet_core.training.curves import HINT, save_figure
from minisegnet_core.training.data.loader import Batch, SegmentationDataset
from minisegnet_core.training.hardware import make_fabric
from minisegnet_core.training.loop import train_step
from minisegnet_core.training.reporting import OnStep, Reporter
from minisegnet_core.training.stage import Stage, enter_stage, make_learner, set_training_mode, training_batches

SMOOTHING = 0.9
"""Decay of the exponential moving average through which the curves are read."""

RISE_BEGINS, RISE_ENDS = 0.1, 0.9
"""Fractions of the whole rise of accuracy at which the base rate and the maximum are read."""

DIVERGED = 3.0
"""The test ends early when the smoothed loss is this many times its minimum."""

SMOOTHED_NOISE = ((1 - SMOOTHING) / (1 + SMOOTHING)) ** 0.5
"""Standard deviation of the smoothed curve relative to that of independent raw values."""

LAG = round(1 / (1 - SMOOTHING))
"""Steps by which the smoothed curve is late."""

NEARLY_LOWEST = 1.02
"""A smoothed loss up to this many times the minimum counts as the minimum."""

BASE_OF_MAXIMUM = 0.25
"""Base rate relative to the maximum where the curve shows none: Smith's rule of thumb is a third or a quarter."""


@dataclass
class RangeTest:
    """Curves of a range test, one value per optimizer step.

    Attributes:
        rates: learning rates.
        losses: training loss.
        accuracies: fraction of label pixels classified correctly, 0 to 1.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def suggest(self) -> tuple[float, float]:
        """Return (base_lr, lr): where the smoothed accuracy begins to rise, and where its rise is nearly over.

        A network that was trained before may show no rise above the noise. Then ``lr`` is the rate just before accuracy
        falls by more than the noise, or the rate of the lowest loss if that is lower. ``base_lr`` is a quarter of it.
        """
        accuracy = smoothed(self.accuracies)
        best = int(accuracy.argmax())
        low, high = float(accuracy[: best + 1].min()), float(accuracy[best])
        start = float(np.mean(self.accuracies[:LAG]))
        noise = SMOOTHED_NOISE * float(np.std(np.diff(self.accuracies))) / 2**0.5 if len(accuracy) > 1 else 0.0
        if best < LAG or high - start <= 6 * noise:
            still_good = np.flatnonzero(accuracy >= start - 2 * noise)
            losses = smoothed(self.losses)
            # In a short test the noise of the accuracy hides its fall, and the loss shows it earlier.
            lowest = int(np.flatnonzero(losses <= NEARLY_LOWEST * losses.min())[-1])
            falls = max(int(still_good[-1]) - LAG, 1) if still_good.size else 0
            maximum = self.rates[min(falls, max(lowest, 1), len(self.rates) - 1)]
            return maximum * BASE_OF_MAXIMUM, maximum
        reached = (accuracy[: best + 1] - low) / max(high - low, 1e-12)
        maximum = self.rates[int(np.argmax(reached >= RISE_ENDS))]
        base = self.rates[int(np.argmax(reached >= RISE_BEGINS))]
        return (base if base < maximum else maximum * BASE_OF_MAXIMUM), maximum


def smoothed(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the exponential moving average, corrected for its bias towards zero at the start."""
    result = np.empty(len(values))
    average = 0.0
    for step, value in enumerate(values):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        result[step] = average / (1 - SMOOTHING ** (step + 1))
    return result


def run_range_test(context: TrainingContext, stage: Stage, reporter: Reporter) -> RangeTest:
    """Run the range test of a stage with the settings ``lr_range`` and ``lr_range_epochs``, and restore everything.

    Raises:
        ConfigurationError: the loss is not finite at the first step.
    """
    epochs = [training_batches(context, stage, epoch) for epoch in range(context.config.lr_range_epochs)]
    steps = sum(len(batches) for batches in epochs)
    set_training_mode(context, stage)
    with reporter.epoch(f'range test {stage.name}', steps) as on_step:
        test = _record_curves(context, stage, _epoch_by_epoch(stage.train_data, epochs), steps, on_step)
    if not test.rates:
        lowest = context.config.lr_range[0]
        raise ConfigurationError(
            f'{stage.name}: the loss is not finite at the learning rate {lowest:g}; reduce lr_range'
        )
    return test


def _record_curves(
    context: TrainingContext, stage: Stage, batches: Iterable[Batch], steps: int, on_step: OnStep
) -> RangeTest:
    model, fabric = context.model, context.fabric
    lowest, highest = context.config.lr_range
    state = {key: value.clone() for key, value in model.state_dict().items()}
    scaling = copy.deepcopy(fabric.strategy.precision.state_dict())
    devices = [fabric.device] if fabric.device.type == 'cuda' else []
    learner = make_learner(context, stage, lowest)
    test = RangeTest()
    try:
        with torch.random.fork_rng(devices=devices):
            for step, batch in zip(range(steps), batches, strict=False):
                rate = lowest + (highest - lowest) * step / max(1, steps - 1)
                loss, accuracy = train_step(learner, batch, rate)
                if not math.isfinite(loss):
                    break
                test.rates.append(rate)
                test.losses.append(loss)
                test.accuracies.append(accuracy)
                on_step(loss, rate)
                losses = smoothed(test.losses)
                if losses[-1] > DIVERGED * losses.min():
                    break
    finally:
        model.load_state_dict(state)
        fabric.strategy.precision.load_state_dict(scaling)
        for parameter in model.parameters():
            parameter.grad = None
    return test


def _epoch_by_epoch(data: SegmentationDataset, epochs: Iterable[Iterable[Batch]]) -> Iterator[Batch]:
    for epoch, batches in enumerate(epochs):
        data.epoch = epoch
        yield from batches


def find_learning_rates(config: TrainConfig, stage: str, reporter: Reporter) -> tuple[RangeTest, Path] | None:
    """Run the range test of one stage of a configuration, from its starting weights.

    Args:
        stage: name of a stage with epochs.

    Returns:
        The curves and the file they were written to; None in all processes but the main one.

    Raises:
        ConfigurationError, DatasetError, ModelError: settings, data or starting weights cannot be used.
        OutputError: a file cannot be written.
    """
    if not config.data:
        raise ConfigurationError('data is empty; it must be the folder of a data set')
    fabric = make_fabric(config)
    dataset = open_dataset(config.data)
    check_data(dataset, ('train',), fabric, reporter)
    context = make_context(config, dataset, fabric, reporter)
    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'cannot create the folder {output}: {error.strerror}; choose another --output') from error
    test = run_range_test(context, enter_stage(context, stage, output, reporter), reporter)
    if not fabric.is_global_zero:
        return None
    return test, write_range_test(test, output, stage, reporter, draw=config.curves)


def write_range_test(test: RangeTest, folder: Path, stage: str, reporter: Reporter, *, draw: bool = True) -> Path:
    """Write ``lr_range_<stage>.csv`` and, where matplotlib is installed, ``lr_range_<stage>.png``.

    Args:
        stage: name of the tested stage.
        draw: False writes the table alone.

    Returns:
        The path of the image, or of the table if there is no image.

    Raises:
        OutputError: a file cannot be written.
    """
    table, drawing = folder / f'lr_range_{stage}.csv', folder / f'lr_range_{stage}.png'
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(['lr', 'loss', 'accuracy'])
    writer.writerows(zip(test.rates, test.losses, test.accuracies, strict=True))
    write_text_atomically(table, text.getvalue(), durable=True)
    if not draw:
        return table
    try:
        draw_range_test(test, drawing, f'LR range test, {stage}')
    except ModuleNotFoundError:
        reporter.message(HINT)
        return table
    return drawing


def draw_range_test(test: RangeTest, path: Path, title: str) -> None:
    """Draw raw and smoothed curves with the suggested rates, as PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OutputError: the image cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout='constrained')
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title)
    for axes, values, label in ((above, test.accuracies, 'pixel accuracy'), (below, test.losses, 'loss')):
        axes.plot(test.rates, values, color='0.8', label='each step')
        axes.plot(test.rates, smoothed(values), label='smoothed')
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        for rate in test.suggest():
            axes.axvline(rate, color='tab:red', linestyle='--')
    above.legend()
    for name, rate, side in zip(('base_lr', 'lr'), test.suggest(), ('right', 'left'), strict=True):
        above.text(rate, 1.01, f'{name} {rate:.2g}', transform=above.get_xaxis_transform(), ha=side)
    below.set_xlabel('learning rate')
    save_figure(figure, path)
