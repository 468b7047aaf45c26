"""Curves of a run: losses, IoU and learning rate over the epochs. A training draws them after each stage."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ConfigurationError, shortened
from minisegnet_core.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES, TABLE = 'curves.png', 'metrics.csv'
HINT = 'matplotlib is not installed, so no curves are drawn; the CSV files hold the figures: pip install matplotlib'
IOU_PREFIX = 'iou_'
"""Begins the names of columns of metrics.csv that hold a class's IoU."""
DPI = 110


@dataclass(frozen=True)
class Metrics:
    """The columns of a run's metrics.csv.

    Attributes:
        stages: name and resolution of each epoch's stage.
        columns: names to arrays with one value per epoch, NaN where undefined.
    """

    stages: list[tuple[str, str]]
    columns: dict[str, NDArray[np.float64]]

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """Read a ``metrics.csv``.

        Raises:
            ConfigurationError: the file is missing, has no epoch, or is something else.
        """
        try:
            with path.open(newline='') as file:
                rows = list(csv.DictReader(file))
            if not rows:
                raise ValueError('it has no rows')
            stages = [(row['stage'], row['resolution']) for row in rows]
            names = [name for name in rows[0] if name not in ('stage', 'resolution')]
            columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
        except OSError as error:
            raise ConfigurationError(f'cannot read {path}: {error.strerror or error}') from error
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f'{path} is not the metrics.csv of a run with at least one epoch: {shortened(str(error))}'
            ) from error
        return cls(stages, columns)

    @property
    def spans(self) -> list[tuple[str, float, float]]:
        """Each stage: its name with its resolution, and its first and last position on the axis of epochs."""
        numbered = zip(self.columns['epoch'].tolist(), self.stages, strict=True)
        spans = []
        for (name, resolution), epochs in groupby(numbered, key=lambda pair: pair[1]):
            numbers = [epoch for epoch, _ in epochs]
            spans.append((f'{name}, {resolution}', numbers[0] - 0.5, numbers[-1] + 0.5))
        return spans

    @property
    def best(self) -> int:
        """Index of the epoch of the best checkpoint: maximum mean IoU at the highest resolution."""
        full = np.array([resolution == 'full' for _, resolution in self.stages])
        score = np.where(np.isnan(self.columns['mean_iou']), -math.inf, self.columns['mean_iou'])
        return int(np.where(full | ~full.any(), score, -math.inf).argmax())


def draw_run(metrics: Metrics, path: Path, title: str) -> None:
    """Draw losses, mean IoU, IoU of each class and learning rate over the epochs, as PNG, with the stages marked.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OutputError: the image cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout='constrained')
    figure.suptitle(title)
    panels = figure.subplots(2, 2, sharex=True)
    (loss, mean), (classes, rate) = panels
    epochs, columns = metrics.columns['epoch'], metrics.columns
    for name, label in (('train_loss', 'training'), ('val_loss', 'validation')):
        loss.plot(epochs, columns[name], marker='.', label=label)
    best = metrics.best
    mean.plot(epochs, columns['mean_iou'], marker='.', label='mean IoU')
    label = f'best: {columns["mean_iou"][best]:.3f}, epoch {epochs[best]:.0f}'
    mean.plot(epochs[best], columns['mean_iou'][best], 'o', color='tab:red', label=label)
    for name in columns:
        if name.startswith(IOU_PREFIX):
            classes.plot(epochs, columns[name], marker='.', label=name.removeprefix(IOU_PREFIX))
    rate.plot(epochs, columns['lr'], marker='.', label='last of each epoch')
    for axes, quantity in (
        (loss, 'loss'),
        (mean, 'mean IoU, validation'),
        (classes, 'IoU, validation'),
        (rate, 'learning rate'),
    ):
        _label(axes, quantity, metrics.spans)
    loss.set_yscale('log')
    rate.set_yscale('log')
    for axes in panels[1]:
        axes.set_xlabel('epoch')
        axes.xaxis.get_major_locator().set_params(integer=True)
    save_figure(figure, path)


def _label(axes: Axes, quantity: str, spans: list[tuple[str, float, float]]) -> None:
    axes.set_ylabel(quantity)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_xlim(spans[0][1], spans[-1][2])
    for number, (name, begin, end) in enumerate(spans):
        axes.axvspan(begin, end, color='tab:blue' if number % 2 else 'none', alpha=0.07, zorder=0)
        if number:
            axes.axvline(begin, color='0.6', linewidth=0.8)
        axes.text((begin + end) / 2, 1.01, name, transform=axes.get_xaxis_transform(), ha='center', fontsize='small')


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, lambda file: figure.savefig(file, format='png', dpi=DPI), durable=True)
