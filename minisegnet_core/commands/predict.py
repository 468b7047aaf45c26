"""Run a model on a folder of images, a video or a bag, and write label images and balls.

    minisegnet predict match.mcap --topic /camera/image_raw --output predicted

Writes OUTPUT/labels/NAME.png (class ids on the label grid), OUTPUT/predictions.jsonl (one object a frame) and, with
--overlay, OUTPUT/overlay.mp4.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.cli import command
from minisegnet_core.commands.model_options import add_model_options, segmenter_config
from minisegnet_core.commands.parser import CommandParser, path
from minisegnet_core.commands.progress import progress
from minisegnet_core.errors import SourceError
from minisegnet_core.frames import open_frames
from minisegnet_core.inference.prediction import predict_frames
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig


@dataclass(frozen=True)
class PredictOptions:
    """The command line of ``predict``."""

    source: Path
    topic: str | None
    output: Path
    full_size: bool
    overlay: bool
    model: SegmenterConfig


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument(
        'source',
        type=path,
        metavar='SOURCE',
        help='folder of images, image, video file, or ROS bag (ROS 1, sqlite3, mcap)',
    )
    parser.add_argument('--output', type=path, required=True, metavar='DIR', help='folder to write')
    parser.add_argument('--topic', metavar='NAME', help='image topic of a bag (default: its only image topic)')
    parser.add_argument(
        '--full-size', action='store_true', help='write labels at the size of the images, not on the label grid'
    )
    parser.add_argument(
        '--overlay', action='store_true', help='write a video that shows labels and the ball on the images'
    )
    add_model_options(parser)
    return parser


def parse(argv: Sequence[str], prog: str) -> PredictOptions:
    """Parse the command line. Raises ConfigurationError if a value is out of range."""
    values = make_parser(prog).parse_args(argv)
    return PredictOptions(
        values.source, values.topic, values.output, values.full_size, values.overlay, segmenter_config(values)
    )


@command
def main(argv: Sequence[str], prog: str) -> int:
    options = parse(argv, prog)
    frames = open_frames(options.source, options.topic)
    segmenter = Segmenter.from_config(options.model)
    for note in segmenter.notes:
        print(f'note: {note}', file=sys.stderr)
    summary = predict_frames(
        frames,
        segmenter,
        options.output,
        full_size=options.full_size,
        overlay=options.overlay,
        progress=progress('predict', 'frame', len(frames)),
    )
    if not summary.frames:
        raise SourceError(f'{options.source} has no frame')
    print(
        f'{summary.frames} frames with {segmenter.engine} {segmenter.precision} on {segmenter.device}, model '
        f'{segmenter.model_hash}: {options.output}'
    )
    if summary.missing:
        print(f'{options.source} is cut off: {summary.missing} of its frames are missing', file=sys.stderr)
    if summary.fps is not None:
        print(f'{summary.fps:.1f} frames/s; the engine was running {summary.engine_fraction:.0%} of the time')
    return 0
