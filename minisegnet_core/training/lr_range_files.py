"""What an LR range test leaves in a folder: its curves as a table, and as a picture with the rates it suggests."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from minisegnet_core.files import write_atomically
from minisegnet_core.training.curves import HINT, save_figure
from minisegnet_core.training.lr_range import RangeTest, smoothed


def write_range_test(
    test: RangeTest, folder: Path, stage: str, message: Callable[[str], None], *, picture: bool = True
) -> Path:
    """Writes ``lr_range_<stage>.csv`` and, where matplotlib is installed, ``lr_range_<stage>.png``.

    Args:
        stage: name of the tested stage.
        message: is told where there can be no picture.
        picture: False writes the table alone.

    Returns:
        The picture's path, else the table's.

    Raises:
        TrainingError: a file cannot be written.
    """
    table, drawing = folder / f'lr_range_{stage}.csv', folder / f'lr_range_{stage}.png'
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(['lr', 'loss', 'accuracy'])
    writer.writerows(zip(test.rates, test.losses, test.accuracies, strict=True))
    write_atomically(table, text.getvalue().encode(), durable=True)
    if not picture:
        return table
    try:
        draw(test, drawing, f'LR range test, {stage}')
    except ModuleNotFoundError:
        message(HINT)
        return table
    return drawing


def draw(test: RangeTest, path: Path, title: str) -> None:
    """Raw and smoothed curves with the suggested rates, as PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TrainingError: the picture cannot be written.
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
