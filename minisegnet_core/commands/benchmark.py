"""Measure latency, memory and agreement of engines, precisions and sizes on this machine.

    minisegnet benchmark --threads 2 --sizes 640x480,320x240 --json table.json --plot table.png

Each case runs in a fresh process. Without --images it runs on rendered scenes, whose ground truth gives the IoU too.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.benchmark.plan import BenchmarkConfig
from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, choice, integer, number, one_of, path
from minisegnet_core.commands.progress import progress
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.files import defined, write_text_atomically
from minisegnet_core.geometry import parse_network_size
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS, ImageSize
from minisegnet_core.inference.engines.registry import ENGINES

ALL = 'all'
STANDARD_OUTPUT = '-'


@dataclass(frozen=True)
class BenchmarkOptions:
    """The command line of ``benchmark``.

    Attributes:
        config: what to measure.
        json: file for the JSON report; None writes none.
        json_to_stdout: whether to print JSON in place of the table.
        plot: file for the plot; None draws none.
    """

    config: BenchmarkConfig
    json: Path | None
    json_to_stdout: bool
    plot: Path | None


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument(
        '--model',
        action='append',
        default=[],
        metavar='FILE',
        help='model file or name of a shipped model; may be repeated (default: all shipped models)',
    )
    parser.add_argument(
        '--engines', type=words(*ENGINES), default=ALL, metavar='LIST', help=f'all, or some of {",".join(ENGINES)}'
    )
    parser.add_argument(
        '--precisions',
        type=words(*PRECISIONS),
        default=ALL,
        metavar='LIST',
        help=f'all native ones, or some of {",".join(PRECISIONS)}, emulated if necessary (default: all)',
    )
    parser.add_argument(
        '--sizes', type=sizes, default='640x480', metavar='LIST', help='image sizes, such as 640x480,320x240'
    )
    parser.add_argument(
        '--threads', type=integer(0), default=0, metavar='N', help='CPU threads; 0 uses all cores but one'
    )
    parser.add_argument('--device', default='auto', **choice(*DEVICES), help='device of every engine')
    parser.add_argument(
        '--duration',
        type=number(above=0),
        default=BenchmarkConfig.duration,
        metavar='SECONDS',
        help='duration of each measurement',
    )
    parser.add_argument(
        '--streams',
        type=integer(0),
        metavar='N',
        help='engines that run at once to measure throughput; 0 measures none (default: one per thread)',
    )
    parser.add_argument(
        '--images', type=path, metavar='DIR', help='data set or folder of images to run on (default: rendered scenes)'
    )
    parser.add_argument(
        '--count', type=integer(1), default=BenchmarkConfig.count, metavar='N', help='number of images or scenes'
    )
    parser.add_argument(
        '--jitter', action='store_true', help='measure how late a 500 Hz loop wakes up beside the fastest case'
    )
    parser.add_argument(
        '--json',
        nargs='?',
        const=STANDARD_OUTPUT,
        metavar='FILE',
        help='write JSON to FILE; without FILE, print it in place of the table',
    )
    parser.add_argument('--plot', type=path, metavar='FILE', help='draw the latencies (needs matplotlib)')
    return parser


def parse(argv: Sequence[str], prog: str) -> BenchmarkOptions:
    """Parse the command line."""
    values = make_parser(prog).parse_args(argv)
    config = BenchmarkConfig(
        tuple(values.model),
        values.engines or tuple(ENGINES),
        values.precisions,
        values.sizes,
        values.threads,
        values.device,
        values.duration,
        values.streams,
        values.images,
        values.count,
        values.jitter,
    )
    to_stdout = values.json == STANDARD_OUTPUT
    json_path = None if values.json is None or to_stdout else path(values.json)
    return BenchmarkOptions(config, json_path, to_stdout, values.plot)


def words(*known: str) -> Callable[[str], tuple[str, ...] | None]:
    """Return an argument type for a list of known words, joined by commas; ``all`` gives None."""

    def parse_words(text: str) -> tuple[str, ...] | None:
        if text == ALL:
            return None
        return tuple(one_of(*known)(word.strip()) for word in text.split(','))

    return parse_words


def sizes(text: str) -> tuple[ImageSize, ...]:
    """Return the sizes of a list such as ``640x480,320x240``."""
    result = []
    for word in text.split(','):
        try:
            if word in ('native', 'half'):
                raise ConfigurationError(f'{word!r} must be WIDTHxHEIGHT, such as 320x240')
            result.append(parse_network_size(word.strip(), 0, 0))
        except ConfigurationError as error:
            raise ArgumentTypeError(str(error)) from None
    return tuple(result)


@command
def main(argv: Sequence[str], prog: str) -> int:
    options = parse(argv, prog)
    for file in (options.json, options.plot):
        if file is not None:  # fails before minutes of measurements and not after them
            file.parent.mkdir(parents=True, exist_ok=True)

    from minisegnet_core.benchmark.report import jitter_lines, plot, table
    from minisegnet_core.benchmark.runner import run_benchmark

    report = run_benchmark(options.config, progress('benchmark', 'case'))
    text = json.dumps(defined(report), indent=2)
    if options.json_to_stdout:
        print(text)
    else:
        print(table(report['machine'], report['results']))
        if 'jitter' in report:
            print(jitter_lines(report['jitter']))
    if options.json is not None:
        write_text_atomically(options.json, text + '\n')
    if options.plot is not None:
        plot(report['machine'], report['results'], options.plot)
    return 0 if any('error' not in row for row in report['results']) else 1
