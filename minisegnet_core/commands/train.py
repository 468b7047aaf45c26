"""Train the network by a staged schedule on a data set.

    minisegnet train --data scenes --output runs/first
    minisegnet train --config finetune.yaml --init-from models/minisegnet.safetensors --data venue
    minisegnet train --smoke

Settings come from the defaults, then from the files of --config (train.yaml shows all settings), then from options.
After an interruption, --resume continues with the same settings from the last finished epoch.
torchrun trains on several GPUs: `torchrun --nproc-per-node 4 --no-python minisegnet train --data scenes`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import integer, path
from minisegnet_core.commands.progress import progress
from minisegnet_core.commands.setting_options import SettingsParser
from minisegnet_core.data.dataset import Sample
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.reporting import EpochRow

SECONDS_PER_LINE = 10.0
"""Interval of the lines that report progress where standard error is not a terminal."""


class TerminalReporter:
    """Displays a training's progress on standard error, and one line of figures per epoch on standard output."""

    def message(self, text: str) -> None:
        """Print a message above the progress bar."""
        tqdm.write(text, file=sys.stderr)

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        """Display the progress over images that are read."""
        return progress('read images', 'image')(samples)

    @contextlib.contextmanager
    def epoch(self, name: str, steps: int) -> Iterator[Callable[[float, float], None]]:
        """Show a progress bar over an epoch's steps; a line every few seconds where there is no terminal."""
        with tqdm(total=steps, desc=name, unit='step', leave=False, disable=None) as bar:
            done, printed = 0, time.monotonic()

            def on_step(loss: float, rate: float) -> None:
                nonlocal done, printed
                done += 1
                bar.set_postfix(loss=f'{loss:.3f}', lr=f'{rate:.1e}', refresh=False)
                bar.update()
                if bar.disable and time.monotonic() - printed > SECONDS_PER_LINE:
                    printed = time.monotonic()
                    self.message(f'{name}: step {done} of {steps}, loss {loss:.3f}')

            yield on_step

    def epoch_done(self, row: EpochRow) -> None:
        """Print the figures of an epoch."""
        ious = ' '.join(f'{name} {value:.3f}' for name, value in row.iou.items())
        error = '-' if math.isnan(row.ball_error_px) else f'{row.ball_error_px:.1f} px'
        balls = f', balls found {row.ball_found} missed {row.ball_missed} false {row.ball_false}, error {error}'
        tqdm.write(
            f'epoch {row.epoch:3} {row.stage} {row.resolution}: loss {row.train_loss:.3f} / {row.val_loss:.3f}, '
            f'mean IoU {row.mean_iou:.3f} ({ious}){balls if row.has_ball else ""}'
        )


def add_training_options(parser: SettingsParser) -> None:
    """Add an option for every training setting, and the short names for trainings of a single stage."""
    parser.add_argument('--epochs', type=integer(1), metavar='N', help='epochs of the only stage that has epochs')
    parser.add_argument('--batch-size', type=integer(2), metavar='N', help='batch size of the only stage with epochs')
    parser.add_settings(TrainConfig)


def training_config(parser: SettingsParser, parsed: argparse.Namespace) -> TrainConfig:
    """Return the settings that files and options describe.

    Raises:
        ConfigurationError: a setting is wrong, or a short name is used for a training of several stages.
    """
    config = parser.settings(TrainConfig, parsed)
    short = {name: getattr(parsed, name) for name in ('epochs', 'batch_size') if getattr(parsed, name) is not None}
    if not short:
        return config
    stages = [name for name, stage in config.stages.items() if stage.epochs]
    if len(stages) != 1:
        option = '--' + next(iter(short)).replace('_', '-')
        raise ConfigurationError(
            f'{option} is for trainings of one stage, but {", ".join(stages)} have epochs; use '
            f'--{stages[0]}.{option[2:]}, or set the epochs of the other stages to 0'
        )
    (name,) = stages
    changed: dict[str, Any] = {name: replace(config.stages[name], **short)}
    return replace(config, **changed)


def make_parser(prog: str) -> SettingsParser:
    """Return the parser of the command."""
    parser = SettingsParser.of(prog, __doc__)
    parser.add_argument('--resume', action='store_true', help='continue an interrupted run from OUTPUT/last.ckpt')
    parser.add_argument(
        '--show-samples',
        type=path,
        metavar='FILE',
        help='write a sheet of augmented training samples as PNG or JPEG, and exit',
    )
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='check the installation: train all stages within a minute on a few images of --data, or on rendered ones',
    )
    add_training_options(parser)
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Run the command."""
    parser = make_parser(prog)
    parsed = parser.parse_args(argv)
    config = training_config(parser, parsed)
    if not config.data and not parsed.smoke:
        raise ConfigurationError(
            '--data is missing; it is the folder of a data set, and `minisegnet synthesize` makes one'
        )
    with tempfile.TemporaryDirectory(prefix='minisegnet-smoke-') as folder:
        if parsed.smoke:
            from minisegnet_core.training.smoke import make_smoke_config

            config = make_smoke_config(config, Path(folder))
        if parsed.show_samples:
            from minisegnet_core.training.data.sample_sheet import write_sample_sheet

            write_sample_sheet(config, parsed.show_samples)
            print(parsed.show_samples)
            return 0
        return _train(config, resume=parsed.resume)


def _train(config: TrainConfig, *, resume: bool) -> int:
    from minisegnet_core.training.fine_tuning import format_report
    from minisegnet_core.training.trainer import train

    reporter = TerminalReporter()
    try:
        result = train(config, resume=resume, reporter=reporter)
    except KeyboardInterrupt:
        reporter.message(f'stopped; --resume continues after the last finished epoch in {config.output}')
        raise
    if not result.main_process:
        return 0
    if result.fine_tuning:
        print(format_report(result.fine_tuning))
    best = result.best
    print(f'best: epoch {best.epoch}, mean IoU {best.mean_iou:.3f} at {best.resolution} resolution')
    print(result.best_checkpoint)
    return 0
