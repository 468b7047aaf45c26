"""Find learning rates for one stage by the LR range test.

    minisegnet lr-range-test --data scenes --stage stage1 --output rates

Writes OUTPUT/lr_range_<stage>.csv and .png, and prints the options for the suggested rates. All options of
`minisegnet train` apply. A training with `--stage1.lr auto` runs the same test before the stage.
The method is L. N. Smith's (Cyclical Learning Rates for Training Neural Networks, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import choice
from minisegnet_core.commands.setting_options import SettingsParser
from minisegnet_core.commands.train import TerminalReporter, add_training_options, training_config
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import TrainConfig


def make_parser(prog: str) -> SettingsParser:
    """Return the parser of the command."""
    parser = SettingsParser.of(prog, __doc__)
    parser.add_argument('--stage', default='stage1', help='stage to test', **choice(*TrainConfig().stages))
    add_training_options(parser)
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Run the command."""
    parser = make_parser(prog)
    parsed = parser.parse_args(argv)
    config, stage = training_config(parser, parsed), parsed.stage
    if not config.stages[stage].epochs:
        raise ConfigurationError(f'{stage} has no epochs, so it is never trained; choose another --stage')
    if not config.data:
        raise ConfigurationError(
            '--data is missing; it is the folder of a data set, and `minisegnet synthesize` makes one'
        )
    from minisegnet_core.training.lr_range import find_learning_rates

    result = find_learning_rates(config, stage, TerminalReporter())
    if result is not None:
        test, file = result
        base_lr, lr = test.suggest()
        print(f'--{stage}.base-lr {base_lr:.3g} --{stage}.lr {lr:.3g}')
        print(file)
    return 0
