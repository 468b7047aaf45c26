"""Evaluate a model on a data set or on images with truth: IoU, balls, times, a report.

    minisegnet evaluate scenes --split val --model runs/first/best.safetensors --output evaluated
    minisegnet evaluate photos --balls boxes --output evaluated --compare yesterday.onnx

SOURCE is a data set, a folder of images or a video; bags have `evaluate-bag`. Writes OUTPUT/report.html (one page to
look at), report.json, report.csv, frames.jsonl and worst.png. With --fail-under mean_iou=0.8 the exit code is 1 where
the figure is lower.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from minisegnet_core.cli import command
from minisegnet_core.commands.evaluation_options import (
    add_evaluation_arguments,
    bounds_of,
    evaluate_and_report,
    offline,
    wanted_of,
)
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.job import DatasetWork, FilesWork, Work, settings_of
from minisegnet_core.frames import is_bag, open_frames

PARTS_PER_WORKER = 4
"""A data set is cut into so many parts per worker, so that none waits long for the last."""


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = ArgumentParser(prog=prog, description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('source', type=str, help='folder of a data set, folder of images, or video file')
    parser.add_argument('--split', type=str, default='val', help='of a data set: train, val or test (default: val)')
    add_evaluation_arguments(parser)
    arguments = parser.parse_args(list(argv))
    bounds_of(arguments)
    path = Path(arguments.source)
    works: list[Work]
    if (path / 'dataset.yaml').is_file() or not path.exists():
        if arguments.labels or arguments.balls:
            raise ConfigurationError('a data set brings its own truth; --labels and --balls are for folders of images')
        total = len(open_dataset(path).split(arguments.split))
        parts = 1
        if arguments.workers > 1 or arguments.cluster:
            parts = min(max(arguments.workers, os.cpu_count() or 1) * PARTS_PER_WORKER, total)
        if parts > 1 and (arguments.overlay or arguments.write_bag):
            raise ConfigurationError(
                '--overlay and --write-bag of a data set need it in one piece: leave --workers out'
            )
        wanted = wanted_of(arguments)
        works = [DatasetWork(path, arguments.split, (k, parts), wanted) for k in range(parts)]
        source = f'{arguments.source} ({arguments.split})'
    elif is_bag(path):
        raise SourceError(f'{path} is a ROS bag: use evaluate-bag')
    else:
        total = len(open_frames(path))
        labels, balls = (Path(text) if text else None for text in (arguments.labels, arguments.balls))
        works = [FilesWork(path, labels, balls, arguments.ball_class, wanted_of(arguments))]
        source = arguments.source
    settings = settings_of(arguments, arguments.workers)
    return evaluate_and_report(arguments, works, settings, offline(arguments.workers, arguments.cluster, total), source)


if __name__ == '__main__':
    raise SystemExit(main(prog='evaluate'))
