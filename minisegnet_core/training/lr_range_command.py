"""Find learning rates by the LR range test (Smith, section 3.3): a plot and a suggestion for one stage.

    minisegnet lr-range-test --data scenes --stage stage1 --output rates

Writes OUTPUT/lr_range_<stage>.csv and .png and prints the suggested base_lr and lr. All options of `minisegnet train`
apply. `--stage1.lr auto` in a training runs the same test before the stage.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minisegnet_core.cli import command
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.command import TerminalReporter, make_parser, parse_settings

if TYPE_CHECKING:
    from minisegnet_core.training.lr_range_test import RangeTest


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = make_parser(prog, __doc__ or '')
    parser.add_argument('--stage', type=str, default='stage1', help='stage1, stage2 or stage3 (default: stage1)')
    arguments, config = parse_settings(parser, argv)
    name = arguments.stage
    if name not in config.stages or not config.stages[name].epochs:
        raise ConfigurationError(f'stage is {name!r}; it must be one with epochs: {", ".join(config.stages)}')
    config.check()
    from minisegnet_core.training.hardware import make_fabric
    from minisegnet_core.training.lr_range_test import run_range_test
    from minisegnet_core.training.setup import Setup

    reporter = TerminalReporter()
    fabric = make_fabric(config)
    setup = Setup(config, open_dataset(config.data), fabric, reporter.message, reporter.reading)
    stage = setup.stages[name]
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    data, _ = setup.stage_data(stage, output)
    test = run_range_test(setup, name, stage, setup.enter_stage(stage), data, reporter.epoch)
    if not fabric.is_global_zero:  # one process reports
        return 0
    base_lr, lr = test.suggest()
    write_curves(test, output / f'lr_range_{name}.csv')
    plot(test, output / f'lr_range_{name}.png', f'LR range test, {name}')
    print(f'--{name}.base_lr {base_lr:.3g} --{name}.lr {lr:.3g}')
    print(output / f'lr_range_{name}.png')
    return 0


def write_curves(test: RangeTest, path: Path) -> None:
    """The raw curves as CSV: lr, loss, accuracy."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['lr', 'loss', 'accuracy'])
        writer.writerows(zip(test.rates, test.losses, test.accuracies, strict=True))


def plot(test: RangeTest, path: Path, title: str) -> None:
    """Raw and smoothed curves with the suggested rates, as PNG."""
    from matplotlib.figure import Figure

    from minisegnet_core.training.lr_range_test import smoothed

    figure = Figure(figsize=(8, 6), layout='constrained')
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title)
    for axes, values, label in ((above, test.accuracies, 'pixel accuracy'), (below, test.losses, 'loss')):
        axes.plot(test.rates, values, color='0.8')
        axes.plot(test.rates, smoothed(values))
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        for rate in test.suggest():
            axes.axvline(rate, color='tab:red', linestyle='--')
    below.set_xlabel('learning rate')
    figure.savefig(path, dpi=110)
