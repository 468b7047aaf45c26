"""Play a bag, or a rendered scene, to the real node over DDS.

    minisegnet demo
    minisegnet demo --bag match.mcap --topic /camera/image_raw --output demo

Writes OUTPUT/report.json (images in and out, latency), OUTPUT/overlay.mp4 (the answers over the images) and
OUTPUT/sheet.png (twelve of them on one page). The node runs as on a robot, in a ROS domain of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, choice, integer, number, path
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.inference.selection import AUTO, ENGINE_MODULES
from minisegnet_ros.demonstration import DemoOptions, run_demo


@command
def main(argv: Sequence[str], prog: str) -> int:
    """Run the demo and print its result."""
    options = parse_options(argv, prog)
    options.output.mkdir(parents=True, exist_ok=True)
    report = run_demo(options)
    print(
        f'{report["frames_out"]} of {report["frames_in"]} images answered, {report["latency_ms_p50"]} ms (p50), '
        f'{report["latency_ms_p95"]} ms (p95), ball seen in {report["balls_seen"]}, engine {report["engine"]}'
    )
    for name in ('report.json', 'overlay.mp4', 'sheet.png'):
        print(options.output / name)
    return 0


def parse_options(argv: Sequence[str], prog: str) -> DemoOptions:
    """Return the options that the arguments describe.

    Raises:
        ConfigurationError: a value is out of range.
    """
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument('--bag', type=path, help='ROS bag: .bag, .db3, .mcap or folder (default: render a scene)')
    parser.add_argument('--topic', help='image topic of the bag (default: the only one)')
    parser.add_argument('--output', type=path, default=Path('demo'), help='folder to write into')
    parser.add_argument('--rate', type=number(above=0), default=1.0, help='playback speed; 1 is as recorded')
    parser.add_argument('--model', default='', help='model file or name of a shipped model (default: the fastest here)')
    parser.add_argument('--engine', **choice(AUTO, *ENGINE_MODULES), default=AUTO, help='inference engine')
    parser.add_argument(
        '--network-size',
        default=AUTO,
        help='native, half, WIDTHxHEIGHT, or auto: native if this machine keeps up with the bag, else half',
    )
    parser.add_argument('--threads', type=integer(0), default=0, help='CPU threads; 0 uses all cores but one')
    values = parser.parse_args(list(argv))
    network_size = 'native' if values.network_size == AUTO else values.network_size
    return DemoOptions(
        output=values.output,
        bag=values.bag,
        topic=values.topic,
        rate=values.rate,
        segmenter=SegmenterConfig(values.model, values.engine, network_size, values.threads),
        choose_network_size=values.network_size == AUTO,
    )


if __name__ == '__main__':
    raise SystemExit(main(prog='demo'))
