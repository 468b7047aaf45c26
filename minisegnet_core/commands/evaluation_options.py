"""What `evaluate` and `evaluate-bag` share: their options, the progress bar, the output and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager

from minisegnet_core.cli import EXIT_INTERRUPTED
from minisegnet_core.commands.model_options import add_model_options
from minisegnet_core.commands.parser import choice, integer, number, path
from minisegnet_core.commands.progress import counter
from minisegnet_core.data.importers.yolo import LAYOUTS
from minisegnet_core.errors import ConfigurationError, shortened
from minisegnet_core.evaluation.plan import Plan
from minisegnet_core.evaluation.report.values import summary
from minisegnet_core.evaluation.run import RESAMPLE, EvaluationOptions, EvaluationReport, Threshold
from minisegnet_core.evaluation.scoring.pipeline import Progress
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.statistics.bootstrap import RESAMPLES

EXIT_FAILED = 1


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both commands, those of the model included."""
    parser.add_argument('--output', type=path, required=True, metavar='DIR', help='folder for the report')
    truth = parser.add_argument_group('ground truth in files, by frame name')
    truth.add_argument('--labels', type=path, metavar='DIR', help='label images <name>.png (uint8 ids)')
    truth.add_argument(
        '--balls', type=path, metavar='PATH', help='folder of YOLO boxes <name>.txt, or a JSON Lines file of balls'
    )
    truth.add_argument(
        '--ball-class', type=integer(0), default=0, metavar='N', help='class of the ball in YOLO boxes (default: 0)'
    )
    truth.add_argument(
        '--box-layout',
        default='auto',
        **choice(*LAYOUTS),
        help='lines of six or more values in YOLO files: a box with track or keypoints, or an outline (default: auto)',
    )
    report = parser.add_argument_group('report')
    for option, maximum, word, example in (
        ('--fail-under', False, 'lower', 'mean_iou=0.8'),
        ('--fail-over', True, 'higher', 'latency_ms.p95=60'),
    ):
        report.add_argument(
            option,
            action='append',
            default=[],
            type=_threshold(maximum),
            metavar='KEY=VALUE',
            help=f'exit with 1 if this figure of report.json is {word}, for example {example}; may be repeated',
        )
    report.add_argument(
        '--compare',
        default='',
        metavar='OTHER',
        help='another model to run on the same frames, or the folder of an earlier evaluation of them',
    )
    report.add_argument(
        '--resample',
        **choice(*RESAMPLE),
        default='auto',
        help=f'unit of the {RESAMPLES} bootstrap draws; auto draws groups if every frame has one (default: auto)',
    )
    report.add_argument(
        '--worst', type=integer(0), default=6, metavar='N', help='number of worst frames to show (default: 6)'
    )
    report.add_argument(
        '--overlay', action='store_true', help='write a video with labels and ball drawn over the images'
    )
    report.add_argument(
        '--write-bag', action='store_true', help='write the predictions as an MCAP bag with equal stamps'
    )
    run = parser.add_argument_group('execution')
    run.add_argument(
        '--workers', type=integer(1), default=1, metavar='N', help='processes on this machine (default: 1)'
    )
    run.add_argument('--cluster', default='', metavar='ADDRESS', help='Dask scheduler whose workers see the same files')
    add_model_options(parser)


def _threshold(maximum: bool) -> Callable[[str], Threshold]:
    """Return an argument type for KEY=VALUE."""

    def parse(text: str) -> Threshold:
        key, mark, limit = text.partition('=')
        if not key or not mark:
            raise argparse.ArgumentTypeError(f'is {shortened(repr(text))}; it must be KEY=VALUE, such as mean_iou=0.8')
        return Threshold(key, number()(limit), maximum)

    return parse


def evaluation_options(values: argparse.Namespace) -> EvaluationOptions:
    """Return the options that parsed arguments describe. Raises ConfigurationError if two exclude each other."""
    return EvaluationOptions(
        compare=values.compare,
        thresholds=(*values.fail_under, *values.fail_over),
        resample=values.resample,
        worst=values.worst,
        overlay=values.overlay,
        write_bag=values.write_bag,
        workers=values.workers,
        cluster=values.cluster,
    )


def ground_truth_files(values: argparse.Namespace) -> GroundTruthFiles:
    """Return the ground truth files that parsed arguments describe. Raises SourceError if one does not exist."""
    return GroundTruthFiles(values.labels, values.balls, values.ball_class, values.box_layout)


def progress_bar(plan: Plan, options: EvaluationOptions, title: str = 'evaluate') -> AbstractContextManager[Progress]:
    """Display the progress over the frames of a plan, which count twice if a second model is compared."""
    return counter(title, 'frame', plan.frames * (2 if options.compares_model else 1))


def print_report(report: EvaluationReport) -> int:
    """Print the figures, the path of the report and what failed; return the exit code.

    Raises:
        ConfigurationError: a threshold names no figure of the report.
    """
    print(summary(report.values))
    if 'comparison' in report.values:
        comparison = report.values['comparison']
        print(f'compared with {comparison["other"]}: {comparison["sentence"]}')
    print(report.folder / 'report.html')
    for text in (*report.failed, *report.failures):
        print(f'FAILED: {text}')
    if report.interrupted:
        return EXIT_INTERRUPTED
    if report.undefined:
        raise ConfigurationError('; '.join(report.undefined))
    return 0 if report.passed else EXIT_FAILED
