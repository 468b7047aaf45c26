"""Evaluate a model on ROS bags: accuracy where there is truth, and always latency, the ball's track, flicker.

    minisegnet evaluate-bag match.mcap --output evaluated
    minisegnet evaluate-bag bags/*.mcap --topic /camera/image_raw --balls boxes --output evaluated --workers 2
    ros2 run minisegnet_ros evaluate_bag match.mcap --live --output evaluated

Reads ROS 1 bags, sqlite3 and mcap, raw and compressed images. Offline (the default) every frame is segmented, as fast
as the machine can, and the result is always the same; this needs no ROS. With --live the bag is played at its own rate
to the real node over DDS: drops and latency are then the robot's. Truth comes from topics of the bag (those of
`synthesize` are found by themselves), a folder of labels by stamp, or boxes of balls.

Writes OUTPUT/report.html (one page to look at), report.json, report.csv, frames.jsonl, worst.png.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minisegnet_core.cli import command
from minisegnet_core.commands.evaluation_options import (
    add_evaluation_arguments,
    bounds_of,
    evaluate_and_report,
    offline,
    wanted_of,
)
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.job import BagWork, settings_of
from minisegnet_core.evaluation.sources.bags import AUTO, BagPart, BagQuestion, ReadableBag, choose_topics
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.frames.bag import BagImages

APART = 5
"""Frames between two that are shown: neighbours in a bag are bad for the same reason."""


NAMED = 3
"""Sources named in the report's head; all stand in its table."""


@dataclass
class Plan:
    """What the given bags come to: their parts, their images together, and what is wrong with them."""

    parts: list[BagPart] = field(default_factory=list)
    images: int = 0
    problems: Problems = field(default_factory=Problems)
    failures: list[str] = field(default_factory=list)


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = make_parser(prog)
    arguments = parser.parse_args(list(argv))
    bounds_of(arguments)
    if arguments.live and (arguments.workers > 1 or arguments.cluster):
        raise ConfigurationError('--live plays one bag after the other; leave --workers and --cluster out')
    if not arguments.live and (arguments.check_live or arguments.rate != 1):
        raise ConfigurationError('--rate and --check-live are of a live replay: give --live too')
    if not arguments.rate > 0:
        raise ConfigurationError(f'--rate is {arguments.rate:g}; it must be above 0')
    if arguments.live:
        # Late: offline needs no ROS. Before any work: ROS's wheels start Python anew when they are first imported.
        import minisegnet_ros.live_evaluation as live_module
    question = BagQuestion(
        tuple(arguments.topic),
        arguments.label_topic,
        arguments.ball_topic,
        Path(arguments.labels) if arguments.labels else None,
        Path(arguments.balls) if arguments.balls else None,
        arguments.ball_class,
    )
    plan = plan_of([Path(bag) for bag in arguments.bags], question)
    if not plan.parts:
        raise SourceError('; '.join(plan.failures))
    names = file_names(plan.parts)
    works = [
        BagWork(part, question, wanted_of(arguments, names[k] if len(names) > 1 else '', APART))
        for k, part in enumerate(plan.parts)
    ]
    settings = settings_of(arguments, arguments.workers)
    run = offline(arguments.workers, arguments.cluster, plan.images)
    if arguments.live:
        run = live_module.live(arguments.rate, plan.images, arguments.check_live)
    source = ', '.join(f'{part.path.name} {part.topic}' for part in plan.parts[:NAMED])
    if len(plan.parts) > NAMED:
        source += f' and {len(plan.parts) - NAMED} more'
    return evaluate_and_report(arguments, works, settings, run, source, plan.problems, plan.failures)


def make_parser(prog: str) -> ArgumentParser:
    """The command's options."""
    parser = ArgumentParser(prog=prog, description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('bags', nargs='+', help='ROS bags: .bag, .db3, .mcap or folders')
    parser.add_argument(
        '--topic',
        action='append',
        default=[],
        help='image topic; repeated: the first that a bag has; all: each of a bag (default: the only one)',
    )
    topics = parser.add_argument_group('truth in the bag')
    topics.add_argument(
        '--label-topic',
        default=AUTO,
        help='topic of label images, or none (default: auto, that of synthesize if there)',
    )
    topics.add_argument(
        '--ball-topic',
        default=AUTO,
        help='topic of balls, PointStamped or Detection2DArray, or none (default: auto, as above)',
    )
    live = parser.add_argument_group('replay')
    live.add_argument('--live', action='store_true', help='play to the real node over DDS, in a domain of its own')
    live.add_argument('--rate', type=float, default=1.0, help='speed of --live (default: 1, as recorded)')
    live.add_argument(
        '--check-live', action='store_true', help='with --live: evaluate offline too, and say where the two differ'
    )
    add_evaluation_arguments(parser)
    return parser


def plan_of(bags: Sequence[Path], question: BagQuestion) -> Plan:
    """Looks into all bags; one that cannot be used is a failure with its reason, and the others go on."""
    plan = Plan()
    for path in bags:
        problems = Problems()
        try:
            with ReadableBag(path) as bag:
                for topic in choose_topics(bag.path, question, problems):
                    plan.parts.append(BagPart(path, topic))
                    plan.images += len(BagImages(bag.path, topic))
        except SourceError as error:
            plan.failures.append(str(error))
        plan.problems.merge(problems)
    return plan


def file_names(parts: Sequence[BagPart]) -> list[str]:
    """A name fit for files for each part: the bag's, and the topic's where a bag has several; all different."""
    several = {part.path for part in parts if sum(other.path == part.path for other in parts) > 1}
    names: list[str] = []
    for part in parts:
        text = part.path.stem + (part.topic if part.path in several else '')
        name = base = re.sub(r'[^\w.-]+', '_', text).strip('_')
        number = 1
        while name in names:
            number += 1
            name = f'{base}_{number}'
        names.append(name)
    return names


if __name__ == '__main__':
    raise SystemExit(main(prog='evaluate_bag'))
