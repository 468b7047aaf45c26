"""Picture of a run: its losses, IoU and learning rate over the epochs. A training draws it after each stage; by hand:

python -m minisegnet_core.training.curves runs/first                 # runs/first/curves.png, from its metrics.csv
python -m minisegnet_core.training.curves runs/first --output a.png
"""

from __future__ import annotations

import csv
import math
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.cli import command
from minisegnet_core.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES, TABLE = 'curves.png', 'metrics.csv'
HINT = 'matplotlib is not installed, so no curves are drawn; the CSV files hold them: pip install matplotlib'
IOU = 'iou_'
"""What the columns of metrics.csv begin with that hold a class's IoU."""
RESOLUTION = 110
"""Pixels an inch of the pictures."""


@dataclass(frozen=True)
class Metrics:
    """The columns of a run's metrics.csv; each figure an array with one value for each epoch, NaN where undefined.

    stages: name and resolution of each epoch's stage.
    """

    stages: list[tuple[str, str]]
    columns: dict[str, NDArray[np.float64]]

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """Of a ``metrics.csv``.

        Raises:
            ConfigurationError: there is none, it has no epoch, or it is something else.
        """
        try:
            with path.open(newline='') as file:
                rows = list(csv.DictReader(file))
            if not rows:
                raise ValueError('it has none')
            stages = [(row['stage'], row['resolution']) for row in rows]
            names = [name for name in rows[0] if name not in ('stage', 'resolution')]
            columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
        except OSError as error:
            raise ConfigurationError(f'{path} cannot be read: {error.strerror or error}') from error
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f'{path} is not the metrics.csv of a run with at least one epoch: {error}'
            ) from error
        return cls(stages, columns)

    @property
    def spans(self) -> list[tuple[str, float, float]]:
        """Each stage's name with its resolution, and where it begins and ends on the axis of epochs."""
        numbered = zip(self.columns['epoch'].tolist(), self.stages, strict=True)
        spans = []
        for (name, resolution), epochs in groupby(numbered, key=lambda pair: pair[1]):
            numbers = [epoch for epoch, _ in epochs]
            spans.append((f'{name}, {resolution}', numbers[0] - 0.5, numbers[-1] + 0.5))
        return spans

    @property
    def best(self) -> int:
        """Index of the epoch whose checkpoint is the best one: highest mean IoU at the highest resolution."""
        full = np.array([resolution == 'full' for _, resolution in self.stages])
        score = np.where(np.isnan(self.columns['mean_iou']), -math.inf, self.columns['mean_iou'])
        return int(np.where(full | ~full.any(), score, -math.inf).argmax())


def draw_run(metrics: Metrics, path: Path, title: str) -> None:
    """Losses, mean IoU, IoU of each class and learning rate over the epochs, as PNG; the stages are marked.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TrainingError: the picture cannot be written.
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
        if name.startswith(IOU):
            classes.plot(epochs, columns[name], marker='.', label=name.removeprefix(IOU))
    rate.plot(epochs, columns['lr'], marker='.', label="each epoch's last")
    for axes, what in (
        (loss, 'loss'),
        (mean, 'mean IoU, validation'),
        (classes, 'IoU, validation'),
        (rate, 'learning rate'),
    ):
        _dress(axes, what, metrics.spans)
    loss.set_yscale('log')
    rate.set_yscale('log')
    for axes in panels[1]:
        axes.set_xlabel('epoch')
        axes.xaxis.get_major_locator().set_params(integer=True)
    save_figure(figure, path)


def _dress(axes: Axes, what: str, spans: list[tuple[str, float, float]]) -> None:
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_xlim(spans[0][1], spans[-1][2])
    for number, (name, begin, end) in enumerate(spans):
        axes.axvspan(begin, end, color='tab:blue' if number % 2 else 'none', alpha=0.07, zorder=0)
        if number:
            axes.axvline(begin, color='0.6', linewidth=0.8)
        axes.text((begin + end) / 2, 1.01, name, transform=axes.get_xaxis_transform(), ha='center', fontsize='small')


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG.

    Raises:
        TrainingError: the file cannot be written.
    """
    from minisegnet_core.files import write_atomically

    write_atomically(path, lambda file: figure.savefig(file, format='png', dpi=RESOLUTION), durable=True)


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = ArgumentParser(prog=prog, description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, help='folder of a run, or its metrics.csv')
    parser.add_argument('--output', type=Path, help=f'PNG file to write; default: {CURVES} in the folder of the run')
    options = parser.parse_args(argv)
    table = options.run / TABLE if options.run.is_dir() else options.run
    picture = options.output or table.with_name(CURVES)
    try:
        draw_run(Metrics.read(table), picture, table.absolute().parent.name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(HINT) from error
    print(picture)
    return 0


if __name__ == '__main__':
    sys.exit(main(prog='python -m minisegnet_core.training.curves'))
