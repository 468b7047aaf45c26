"""Evaluate a model on a data set, images or a video: IoU, ball, latency, and a report.

    minisegnet evaluate scenes --split val --model runs/first/best.safetensors --output evaluated
    minisegnet evaluate photos --balls boxes --output evaluated --compare other.onnx

SOURCE is a data set, a folder of images or a video; `evaluate-bag` evaluates ROS bags. Writes report.html (one page),
report.json, report.csv, frames.jsonl and worst.png into the output folder. With `--fail-under mean_iou=0.8` the exit
code is 1 if the figure is lower.
"""

from __future__ import annotations

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
from minisegnet_core.commands.parser import CommandParser, choice, path
from minisegnet_core.data.dataset import SPLITS
from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.plan import plan_source, processes
from minisegnet_core.evaluation.run import evaluate
from minisegnet_core.frames import is_bag


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument(
        'source', type=path, metavar='SOURCE', help='folder of a data set or of images, or a video file'
    )
    parser.add_argument('--split', **choice(*SPLITS), default='val', help='split of a data set (default: val)')
    add_evaluation_options(parser)
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    values = make_parser(prog).parse_args(argv)
    options, config = evaluation_options(values), segmenter_config(values)
    if is_bag(values.source):
        raise SourceError(f'{values.source} is a ROS bag; use evaluate-bag')
    workers = processes(options.workers, options.cluster)
    plan = plan_source(values.source, values.split, ground_truth_files(values), workers)
    with progress_bar(plan, options) as progress:
        report = evaluate(plan, values.output, config, options=options, progress=progress)
    return print_report(report)


if __name__ == '__main__':
    raise SystemExit(main(prog='evaluate'))
