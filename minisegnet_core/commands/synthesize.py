"""Renders labelled robot-soccer scenes as a data set or a ROS 2 bag."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from minisegnet_core.classes import SOCCER
from minisegnet_core.cli import command
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.imaging import write_image
from minisegnet_core.scenes.appearance.photos import photo, photo_paths
from minisegnet_core.scenes.config.scene import PRESETS, SceneConfig, read_yaml, settings
from minisegnet_core.scenes.series import Series, write_dataset
from minisegnet_core.visualization import colorize, contact_sheet

EXAMPLES = """examples:
  %(prog)s --output data/scenes --count 5000 --seed 1 --workers 8 --backgrounds photos/halls
  %(prog)s --output data/val --config config/validation.yaml
  %(prog)s --output bags/walk --sequence --count 300 --rate 15 --format mcap --compressed
  %(prog)s --preview scenes.png --count 24 --preset humanoid        (a sheet alone)
  %(prog)s --output data/msl --preset msl --set camera.height='[0.5, 0.7]' --set labels.things=ignore

The same settings and seed give the same bytes, whatever the number of workers. Stopped with Ctrl-C, it leaves what is
finished as a usable data set or bag; the same command again goes on from there."""
RUN_KEYS = {'count': int, 'seed': int, 'val_share': float}


def make_parser(prog: str) -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--output', type=Path, metavar='DIR', help='folder of the data set or bag')
    parser.add_argument('--count', type=int, metavar='N', help='number of images (default: 1000)')
    parser.add_argument('--seed', type=int, metavar='S', help='seed of the series, 0 or more (default: 0)')
    parser.add_argument('--preset', choices=sorted(PRESETS), help='ranges to start from (default: mixed)')
    parser.add_argument('--config', metavar='FILE', help='YAML file of ranges; may hold preset, count, seed, val_share')
    parser.add_argument(
        '--set', action='append', default=[], metavar='NAME=VALUE', help='changes one range, e.g. camera.roll=[-5,5]'
    )
    parser.add_argument('--print-config', action='store_true', help='print all ranges with their meaning, and stop')
    parser.add_argument('--size', metavar='WxH', help='image size in pixels (default: 640x480)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, metavar='K', help='processes (all cores)')
    parser.add_argument('--backgrounds', metavar='DIR', help='folder of photos of halls')
    parser.add_argument('--textures', metavar='DIR', help='folder of photos of turf')
    parser.add_argument(
        '--format', choices=('dataset', 'mcap', 'sqlite3'), default='dataset', help='what to write (default: dataset)'
    )
    parser.add_argument('--compressed', action='store_true', help='bags: JPEG images in place of raw ones')
    parser.add_argument('--image-format', choices=('jpg', 'png'), default='jpg', help='data sets (default: jpg)')
    parser.add_argument('--sequence', action='store_true', help='frames of one scene: a robot walks, a ball rolls')
    parser.add_argument('--rate', type=float, default=10.0, metavar='R', help='frames a second of bags and sequences')
    parser.add_argument('--val-share', type=float, metavar='X', help='share of the val split, 0..1 (default: 0.1)')
    parser.add_argument(
        '--preview',
        type=Path,
        nargs='?',
        const=Path(),
        metavar='FILE',
        help='write a sheet of images beside their labels: of the data set (default DIR/preview.png), or, '
        'without --output, of the first images alone',
    )
    return parser


@command
def main(argv: Sequence[str], prog: str) -> int:
    """``minisegnet synthesize``."""
    options = make_parser(prog).parse_args(argv)
    config, run = read_settings(options)
    if options.print_config:
        print_settings(config)
        return 0
    series = Series(config, run['seed'], run['count'], options.sequence, options.rate)
    _check(options, series, run['val_share'])
    if options.output is None:
        write_preview(series, options.preview)
        print(f'wrote {options.preview}')
        return 0
    if options.format == 'dataset':
        rendered = write_dataset(
            series,
            options.output,
            val_share=run['val_share'],
            extension=options.image_format,
            workers=options.workers,
            progress=_progress,
        )
        if options.preview is not None:
            sheet = options.preview if options.preview != Path() else options.output / 'preview.png'
            preview_dataset(options.output, sheet)
    else:
        from minisegnet_core.scenes.bags import write_bag

        rendered = write_bag(
            series,
            options.output,
            storage=options.format,
            compressed=options.compressed,
            workers=options.workers,
            progress=_progress,
        )
        if options.preview is not None:
            sheet = options.preview if options.preview != Path() else options.output.with_suffix('.png')
            write_preview(series, sheet)
    print(f'{options.output}: {series.count} images, {rendered} of them rendered now')
    return 0


def read_settings(options: argparse.Namespace) -> tuple[SceneConfig, dict[str, Any]]:
    """The configuration and the run's count, seed and val_share: file, then --preset, then single options.

    Raises:
        ConfigurationError: names the wrong setting.
    """
    content: dict[str, Any] = read_yaml(options.config) if options.config else {}
    run: dict[str, Any] = {'count': 1000, 'seed': 0, 'val_share': 0.1}
    for key, kind in RUN_KEYS.items():
        if key in content:
            value = content.pop(key)
            if isinstance(value, bool) or not isinstance(value, (int, kind)):
                raise ConfigurationError(f'{key} in {options.config} is {value!r}; it must be a number')
            run[key] = kind(value)
        if getattr(options, key) is not None:
            run[key] = getattr(options, key)
    if options.preset:
        content['preset'] = options.preset
    config = SceneConfig.from_mapping(content)
    changes: dict[str, Any] = {}
    if options.size:
        width, mark, height = options.size.lower().partition('x')
        if not (mark and width.isdigit() and height.isdigit()):
            raise ConfigurationError(f'--size is {options.size!r}; it must be WIDTHxHEIGHT, such as 640x480')
        changes['image'] = {'width': int(width), 'height': int(height)}
    if options.backgrounds:
        changes['hall'] = {'backgrounds': options.backgrounds}
    if options.textures:
        changes['turf'] = {'textures': options.textures}
    for assignment in options.set:
        name, mark, value = assignment.partition('=')
        section, dot, key = name.partition('.')
        if not (mark and dot):
            raise ConfigurationError(f'--set {assignment!r} must be SECTION.NAME=VALUE, such as camera.roll=[-5,5]')
        nested: Any = yaml.safe_load(value)
        for part in reversed(key.split('.')[1:]):
            nested = {part: nested}
        changes.setdefault(section, {})[key.split('.')[0]] = nested
    return settings.load(SceneConfig, changes, config), run


def print_settings(config: SceneConfig) -> None:
    """Prints every setting with its value, unit and meaning."""
    for name, value, unit, meaning in settings.describe(config):
        shown = list(value) if isinstance(value, tuple) else value
        print(f'{name}: {shown}  # {unit}: {meaning}')


def _check(options: argparse.Namespace, series: Series, val_share: float) -> None:
    for good, problem in (
        (options.output or (options.preview and options.preview != Path()), 'give --output DIR, or --preview FILE'),
        (series.count >= 1, f'--count is {series.count}; it must be at least 1'),
        (series.seed >= 0, f'--seed is {series.seed}; it must be at least 0'),
        (options.workers >= 1, f'--workers is {options.workers}; it must be at least 1'),
        (series.rate > 0, f'--rate is {series.rate}; it must be above 0'),
        (0 <= val_share <= 1, f'--val-share is {val_share}; it must lie in 0..1'),
        (not options.compressed or options.format != 'dataset', '--compressed goes with --format mcap or sqlite3'),
    ):
        if not good:
            raise ConfigurationError(problem)
    for folder in (series.config.hall.backgrounds, series.config.turf.textures):
        if folder:  # now, and not in the middle of the series
            for path in photo_paths(folder):
                photo(path)


def _progress(results: Iterable[Any], total: int, done: int) -> Iterable[Any]:
    bar: Iterable[Any] = tqdm(results, total=total, initial=done, unit='image', smoothing=0.1, file=sys.stderr)
    return bar


def write_preview(series: Series, path: Path, most: int = 24) -> None:
    """A sheet of the first images of a series beside their coloured labels."""
    from minisegnet_core.scenes.series import mapped, render_index

    with mapped(series, render_index, list(range(min(series.count, most))), 1) as rendered:
        cells = [np.hstack([one.image, colorize(one.labels, SOCCER)]) for one in rendered]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, contact_sheet(cells, 3, 480))


def preview_dataset(root: Path, path: Path, most: int = 24) -> None:
    """A sheet of images of a data set, evenly picked, beside their coloured labels."""
    dataset = open_dataset(root)
    samples = [sample for split in dataset.splits.values() for sample in split]
    picked = samples[:: max(1, len(samples) // most)][:most]
    pairs = [sample.read() for sample in picked]
    cells = [np.hstack([image, colorize(labels, dataset.classes)]) for image, labels in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, contact_sheet(cells, 3, 480))
