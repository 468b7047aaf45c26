"""Draw the curves of a training run from its metrics.csv.

python -m minisegnet_core.commands.curves runs/first --output curves.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, path
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training import curves


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument('run', type=path, metavar='RUN', help='folder of a run, or its metrics.csv')
    parser.add_argument(
        '--output', type=path, metavar='FILE', help=f'PNG file (default: {curves.CURVES} in the folder of the run)'
    )
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Run the command."""
    parsed = make_parser(prog).parse_args(argv)
    table = parsed.run / curves.TABLE if parsed.run.is_dir() else parsed.run
    image = parsed.output or table.with_name(curves.CURVES)
    try:
        curves.draw_run(curves.Metrics.read(table), image, table.absolute().parent.name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(curves.HINT) from error
    print(image)
    return 0


if __name__ == '__main__':
    sys.exit(main(prog='python -m minisegnet_core.commands.curves'))
