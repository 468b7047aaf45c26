"""Find learning rates by the LR range test (Smith, section 3.3): a plot and a suggestion for one stage.

    minisegnet lr-range-test --data scenes --stage stage1 --output rates

Writes OUTPUT/lr_range_<stage>.csv and .png and prints the suggested base_lr and lr. All options of `minisegnet train`
apply. `--stage1.lr auto` in a training runs the same test before the stage, and leaves the same files in its folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minisegnet_core.cli import command
from minisegnet_core.commands.train import TerminalReporter, make_parser, parse_settings
from minisegnet_core.data.checks import check_dataset, never_shown
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = make_parser(prog, __doc__ or '')
    parser.add_argument('--stage', type=str, default='stage1', help='stage1, stage2 or stage3 (default: stage1)')
    arguments, config = parse_settings(parser, argv)
    name = arguments.stage
    if name not in config.stages or not config.stages[name].epochs:
        raise ConfigurationError(f'stage is {name!r}; it must be one with epochs: {", ".join(config.stages)}')
    config.check()
    from minisegnet_core.training.context import Setup
    from minisegnet_core.training.hardware import make_fabric
    from minisegnet_core.training.lr_range import run_range_test
    from minisegnet_core.training.lr_range_files import write_range_test

    reporter = TerminalReporter()
    fabric = make_fabric(config)
    dataset = open_dataset(config.data)
    if fabric.is_global_zero:
        for told in never_shown(**check_dataset(dataset, ('train',), reporter.reading)):
            reporter.message(told)
    fabric.barrier()
    setup = Setup(config, dataset, fabric, reporter.message, reporter.reading)
    stage = setup.stages[name]
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    data, _ = setup.stage_data(stage, output)
    test = run_range_test(setup, name, stage, setup.enter_stage(stage), data, reporter.epoch)
    if not fabric.is_global_zero:  # one process reports
        return 0
    base_lr, lr = test.suggest()
    written = write_range_test(test, output, name, reporter.message)
    print(f'--{name}.base_lr {base_lr:.3g} --{name}.lr {lr:.3g}')
    print(written)
    return 0
