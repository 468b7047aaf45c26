"""Play a bag, or a rendered scene, to the real node over DDS.

    minisegnet demo --output demo
    minisegnet demo --bag match.mcap --topic /camera/image_raw --output demo

Writes OUTPUT/report.json (images in and out, latency), OUTPUT/overlay.mp4 (the answers over the images) and
OUTPUT/sheet.png (twelve of them on one page). The node runs as on a robot, in a ROS domain of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, choice, integer, number, path
from minisegnet_core.commands.progress import counter
from minisegnet_core.inference.engines.base import AUTO
from minisegnet_core.inference.engines.registry import ENGINES
from minisegnet_core.inference.segmenter import SegmenterConfig

if TYPE_CHECKING:  # it imports rclpy, which --help must not need
    from minisegnet_ros.demonstration import DemoOptions


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument(
        '--bag', type=path, metavar='BAG', help='ROS bag: .bag, .db3, .mcap or folder (default: render a scene)'
    )
    parser.add_argument('--topic', metavar='NAME', help='image topic of the bag (default: its only image topic)')
    parser.add_argument('--output', type=path, default=Path('demo'), metavar='DIR', help='folder to write')
    parser.add_argument(
        '--rate', type=number(above=0), default=1.0, metavar='X', help='playback speed; 1 is as recorded'
    )
    group = parser.add_argument_group('model')
    group.add_argument(
        '--model',
        default='',
        metavar='FILE',
        help='model file or name of a shipped model (default: the fastest here)',
    )
    group.add_argument('--engine', default=AUTO, **choice(AUTO, *ENGINES), help='inference engine')
    group.add_argument(
        '--network-size',
        default=AUTO,
        metavar='SIZE',
        help='size at which the network runs: native, half or WIDTHxHEIGHT; auto selects native if this machine keeps '
        'up with the bag, and half otherwise',
    )
    group.add_argument(
        '--threads', type=integer(0), default=0, metavar='N', help='CPU threads; 0 uses all cores but one'
    )
    return parser


def parse(argv: Sequence[str], prog: str) -> DemoOptions:
    """Parse the command line. Raises ConfigurationError if a value is out of range."""
    values = make_parser(prog).parse_args(argv)
    from minisegnet_ros.demonstration import DemoOptions

    choose = values.network_size == AUTO
    return DemoOptions(
        output=values.output,
        bag=values.bag,
        topic=values.topic,
        rate=values.rate,
        model=SegmenterConfig(values.model, values.engine, 'native' if choose else values.network_size, values.threads),
        choose_network_size=choose,
    )


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Run the demo and print its result."""
    options = parse(argv, prog)
    from minisegnet_ros.demonstration import OUTPUTS, run_demo

    report = run_demo(options, counter=counter, log=print)
    balls = f', ball seen in {report["balls_seen"]}' if 'balls_seen' in report else ''
    print(
        f'{report["frames_out"]} of {report["frames_in"]} images answered, {report["latency_ms_p50"]} ms (p50), '
        f'{report["latency_ms_p95"]} ms (p95){balls}, engine {report["engine"]}'
    )
    for name in OUTPUTS:
        print(options.output / name)
    return 0


if __name__ == '__main__':
    raise SystemExit(main(prog='demo'))
