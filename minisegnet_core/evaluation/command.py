"""Evaluate a model on a data set: IoU per class, balls found, errors, times.

    minisegnet evaluate scenes --split val --model runs/first/best.safetensors --output evaluated

Writes OUTPUT/report.json and OUTPUT/worst.png (image, truth, prediction with what is wrong in red). With --fail-under
mean_iou=0.8 the exit code is 1 where the figure is lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from tqdm import tqdm

from minisegnet_core.cli import command
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.evaluator import evaluate_dataset
from minisegnet_core.evaluation.report import lookup, report_values, summary, write_report
from minisegnet_core.inference.arguments import add_model_arguments, segmenter_of


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument('source', type=str, help='folder of a data set')
    parser.add_argument('--split', type=str, default='val', help='train, val or test (default: val)')
    parser.add_argument('--output', type=str, required=True, help='folder to write into')
    parser.add_argument(
        '--fail-under',
        type=str,
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='exit with 1 where the figure at this dotted key of report.json is lower; may be repeated',
    )
    add_model_arguments(parser)
    arguments = parser.parse_args(list(argv))
    bounds = [_bound(text) for text in arguments.fail_under]
    dataset = open_dataset(arguments.source)
    samples = dataset.split(arguments.split)
    segmenter = segmenter_of(arguments)
    evaluation = evaluate_dataset(segmenter, dataset, samples, lambda s: tqdm(s, desc='evaluate', unit='image'))
    values = report_values(evaluation, segmenter, f'{arguments.source} ({arguments.split})')
    write_report(values, evaluation, Path(arguments.output))
    print(summary(values))
    print(Path(arguments.output) / 'report.json')
    failed = [
        f'{key} is {lookup(values, key):.4f}, below {bound}' for key, bound in bounds if lookup(values, key) < bound
    ]
    for text in failed:
        print(f'FAILED: {text}')
    return 1 if failed else 0


def _bound(text: str) -> tuple[str, float]:
    key, _, value = text.partition('=')
    try:
        return key, float(value)
    except ValueError:
        raise ConfigurationError(f'--fail-under {text!r} must be KEY=VALUE, such as mean_iou=0.8') from None
