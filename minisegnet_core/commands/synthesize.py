"""Render labelled robot-soccer scenes as a data set or a ROS 2 bag.

    minisegnet synthesize --output scenes --count 5000 --workers 8

Settings come from --config, --preset and --set; --print-config explains all of them. --sequence renders the frames of
one scene in which the robot walks and the ball rolls. --preview adds a contact sheet of images beside their labels;
without --output it renders the sheet alone.

The same settings and seed give the same bytes, whatever the number of workers. After Ctrl-C the output is a usable data
set or bag, and the same command continues it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minisegnet_core.cli import command
from minisegnet_core.commands.parser import CommandParser, choice, fraction, integer, number, path
from minisegnet_core.commands.progress import counter
from minisegnet_core.errors import ConfigurationError, shortened
from minisegnet_core.scenes.config.scene import PRESETS, SceneConfig, describe_settings, merged
from minisegnet_core.scenes.series import Series, write_dataset, write_dataset_preview, write_preview
from minisegnet_core.settings import parse_yaml_value, read_settings_file

DEFAULT_PREVIEW = Path()
"""Value of --preview without a file: the sheet is written beside the output."""


@dataclass(frozen=True)
class Output:
    """Where and how a series is written."""

    folder: Path | None
    format: str
    image_format: str
    compressed: bool
    preview: Path | None
    workers: int


@command
def main(argv: Sequence[str], prog: str) -> int:
    arguments = make_parser(prog).parse_args(argv)
    series = read_series(arguments)
    if arguments.print_config:
        print_settings(series.config)
        return 0
    output = Output(
        arguments.output,
        arguments.format,
        arguments.image_format,
        arguments.compressed,
        arguments.preview,
        arguments.workers,
    )
    if output.folder is None and output.preview in (None, DEFAULT_PREVIEW):
        raise ConfigurationError('there is nothing to write; give --output DIR or --preview FILE')
    if output.compressed and output.format == 'dataset':
        raise ConfigurationError('--compressed applies to bags; add --format mcap or --format sqlite3')
    series.check_photos()
    for line in write(series, output):
        print(line)
    return 0


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    parser.add_argument('--output', type=path, metavar='DIR', help='folder of the data set or bag')
    parser.add_argument('--count', type=integer(1), metavar='N', help=f'number of images (default: {Series.count})')
    parser.add_argument('--seed', type=integer(0), metavar='N', help=f'seed of the series (default: {Series.seed})')
    parser.add_argument('--preset', **choice(*sorted(PRESETS)), help='settings to start from (default: mixed)')
    parser.add_argument(
        '--config', type=path, metavar='FILE', help='YAML file of settings; may hold preset, count, seed, val_fraction'
    )
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='change one setting, such as camera.roll=[-5,5]; may be repeated',
    )
    parser.add_argument(
        '--print-config', action='store_true', help='print all settings with limits and meaning, and exit'
    )
    parser.add_argument('--size', metavar='WIDTHxHEIGHT', help='image size in pixels (default: 640x480)')
    parser.add_argument(
        '--workers',
        type=integer(1),
        default=os.cpu_count() or 1,
        metavar='N',
        help='number of processes (default: one for each core)',
    )
    parser.add_argument('--backgrounds', metavar='DIR', help='folder of photos of halls')
    parser.add_argument('--textures', metavar='DIR', help='folder of photos of turf')
    parser.add_argument('--format', **choice('dataset', 'mcap', 'sqlite3'), default='dataset', help='what to write')
    parser.add_argument('--compressed', action='store_true', help='bags: JPEG images instead of raw images')
    parser.add_argument('--image-format', **choice('jpg', 'png'), default='jpg', help='data sets: format of the images')
    parser.add_argument('--sequence', action='store_true', help='render frames of one scene instead of many scenes')
    parser.add_argument(
        '--fps',
        type=number(above=0),
        metavar='N',
        help=f'frames per second of sequences and bags (default: {Series.fps:g})',
    )
    parser.add_argument(
        '--val-fraction',
        type=fraction,
        metavar='F',
        help=f'data sets: fraction of the images in the split val (default: {Series.val_fraction})',
    )
    parser.add_argument(
        '--preview',
        type=path,
        nargs='?',
        const=DEFAULT_PREVIEW,
        metavar='FILE',
        help='write a contact sheet; without FILE to DIR/preview.png (data set) or DIR.png (bag)',
    )
    return parser


def read_series(arguments: argparse.Namespace) -> Series:
    """Return the series that the options describe: the file first, then --preset, then the single options.

    Raises:
        ConfigurationError: a setting is unknown or outside its limits; the message names it.
    """
    content: dict[str, Any] = read_settings_file(arguments.config) if arguments.config else {}
    if arguments.preset:
        content['preset'] = arguments.preset
    series = Series.from_mapping(content, str(arguments.config or ''))
    given = {name: getattr(arguments, name) for name in ('count', 'seed', 'fps', 'val_fraction')}
    given['sequence'] = arguments.sequence or None
    changes: Mapping[str, Any] = {}
    if arguments.size:
        width, mark, height = arguments.size.lower().partition('x')
        if not (mark and width.isdigit() and height.isdigit()):
            raise ConfigurationError(f'--size is {arguments.size!r}; it must be WIDTHxHEIGHT, such as 640x480')
        changes = {'image': {'width': int(width), 'height': int(height)}}
    if arguments.backgrounds:
        changes = merged(changes, {'hall': {'backgrounds': arguments.backgrounds}})
    if arguments.textures:
        changes = merged(changes, {'turf': {'textures': arguments.textures}})
    for assignment in arguments.set:
        changes = merged(changes, _setting(assignment))
    return replace(
        series,
        config=series.config.updated(changes),
        **{name: value for name, value in given.items() if value is not None},
    )


def _setting(assignment: str) -> dict[str, Any]:
    """Return the nested mapping of ``SECTION.NAME=VALUE``; the value is YAML."""
    name, mark, text = assignment.partition('=')
    if not mark or '.' not in name:
        raise ConfigurationError(
            f'--set {shortened(assignment)!r} must be SECTION.NAME=VALUE, such as camera.roll=[-5,5]'
        )
    try:
        nested: Any = parse_yaml_value(text)
    except ConfigurationError:
        raise ConfigurationError(
            f'--set {shortened(assignment)!r} has a value that is not YAML; quote lists, as [-5,5]'
        ) from None
    for part in reversed(name.split('.')):
        nested = {part: nested}
    result: dict[str, Any] = nested
    return result


def print_settings(config: SceneConfig) -> None:
    """Print every setting with its value, allowed values and meaning."""
    for name, value, allowed, meaning in describe_settings(config):
        shown = list(value) if isinstance(value, tuple) else value
        print(f'{name}: {shown}  # {allowed}: {meaning}')


def write(series: Series, output: Output) -> Iterable[str]:
    """Write a series and its contact sheet; yield a line on each result."""
    if output.folder is None:
        assert output.preview is not None
        write_preview(series, output.preview)
        yield f'wrote {output.preview}'
        return
    if output.format == 'dataset':
        rendered = write_dataset(
            series, output.folder, image_format=output.image_format, workers=output.workers, progress=_progress
        )
        if output.preview is not None:
            default = output.folder / 'preview.png'
            write_dataset_preview(output.folder, output.preview if output.preview != DEFAULT_PREVIEW else default)
    else:
        from minisegnet_core.scenes.bags import write_bag  # needs rosbags

        rendered = write_bag(
            series,
            output.folder,
            storage=output.format,
            compressed=output.compressed,
            workers=output.workers,
            progress=_progress,
        )
        if output.preview is not None:
            default = output.folder.with_suffix('.png')
            write_preview(series, output.preview if output.preview != DEFAULT_PREVIEW else default)
    yield f'{output.folder}: {series.count} images, {rendered} of them rendered now'


def _progress(results: Iterable[Any], total: int, done: int) -> Iterator[Any]:
    with counter('render', 'image', total) as advance:
        advance(done)
        for result in results:
            yield result
            advance(1)


if __name__ == '__main__':
    raise SystemExit(main(prog='synthesize'))
