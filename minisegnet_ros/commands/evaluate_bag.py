"""Evaluate a model on ROS bags: accuracy against ground truth, latency, ball track, flicker.

    minisegnet evaluate-bag match.mcap --output evaluated
    minisegnet evaluate-bag bags/*.mcap --topic /camera/image_raw --balls boxes --output evaluated --workers 2
    ros2 run minisegnet_ros evaluate_bag match.mcap --live --output evaluated

Reads ROS 1 bags, sqlite3 and mcap, raw and compressed images. Offline, which is the default and needs no ROS, every
frame is segmented as fast as possible, and the result is always the same. With `--live` the bag is played at its own
speed to the node over DDS, so that dropped frames and latency correspond to the robot's.

Ground truth comes from topics of the bag (those of `synthesize` are found automatically), from a folder of label images
by stamp, or from annotated balls. Writes report.html (one page), report.json, report.csv, frames.jsonl and worst.png
into the output folder.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from minisegnet_core.cli import command
from minisegnet_core.commands.evaluation_options import (
    add_evaluation_options,
    evaluation_options,
    ground_truth_files,
    print_report,
    progress_bar,
)
from minisegnet_core.commands.model_options import segmenter_config
from minisegnet_core.commands.parser import CommandParser, number, path
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.plan import plan_bags
from minisegnet_core.evaluation.run import evaluate
from minisegnet_core.evaluation.sources.bags import AUTO, BagSelection


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument('bags', nargs='+', type=path, metavar='BAG', help='ROS bag: .bag, .db3, .mcap or a folder')
    parser.add_argument(
        '--topic',
        action='append',
        default=[],
        metavar='NAME',
        help='image topic, or all; if repeated, the first topic that a bag has (default: its only image topic)',
    )
    topics = parser.add_argument_group('ground truth in the bag')
    topics.add_argument(
        '--label-topic',
        default=AUTO,
        metavar='NAME',
        help='topic of label images, or none (default: auto, the topic of synthesize if the bag has it)',
    )
    topics.add_argument(
        '--ball-topic',
        default=AUTO,
        metavar='NAME',
        help='topic of balls, PointStamped or Detection2DArray, or none (default: auto, as for --label-topic)',
    )
    live = parser.add_argument_group('live replay')
    live.add_argument('--live', action='store_true', help='play the bag to the node over DDS, in a domain of its own')
    live.add_argument('--rate', type=number(above=0), default=1.0, metavar='X', help='playback speed; 1 is as recorded')
    live.add_argument(
        '--check-live', action='store_true', help='also evaluate offline, and count the frames where the two differ'
    )
    add_evaluation_options(parser)
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    values = make_parser(prog).parse_args(argv)
    options, config = evaluation_options(values), segmenter_config(values)
    _check_live(values)
    runner = None
    if values.live:
        # Offline needs no ROS. Import it before any work: the ROS wheels restart Python on their first import.
        from minisegnet_ros.live_evaluation import live_runner

        runner = live_runner(values.rate, values.check_live)
    selection = BagSelection(tuple(values.topic), values.label_topic, values.ball_topic, ground_truth_files(values))
    plan = plan_bags(values.bags, selection)
    with progress_bar(plan, options, 'live' if values.live else 'evaluate') as progress:
        report = evaluate(plan, values.output, config, options=options, runner=runner, progress=progress)
    return print_report(report)


def _check_live(values: Namespace) -> None:
    if values.live and (values.workers > 1 or values.cluster):
        raise ConfigurationError('--live plays one bag after the other; leave out --workers and --cluster')
    if not values.live and (values.check_live or values.rate != 1):
        raise ConfigurationError('--rate and --check-live belong to a live replay; add --live')


if __name__ == '__main__':
    raise SystemExit(main(prog='evaluate_bag'))
