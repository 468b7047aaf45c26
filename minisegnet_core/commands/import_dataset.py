"""Bring labelled images of other formats, or a bag to label, into a data set: split by group, checked, nothing lost.

    minisegnet import-dataset labelled --format masks --colors ball=0,0,255 line=255,255,255 field=0,255,0 \\
        background=0,0,0 --group-pattern '^([a-z]+)_' --output match
    minisegnet import-dataset TORSO-21/reality --format torso21 --output torso
    minisegnet import-dataset coco/annotations.json --format coco --map 'sports ball=ball' --output coco_soccer
    minisegnet import-dataset match.mcap --format frames --rate 2 --output match --label-tools to_label
    minisegnet import-dataset yolo --format boxes --map 0=ball 1=background --output weak
    minisegnet import-dataset scenes --format minisegnet --hardest 500 --evaluation evaluated --output hard

masks: folders of images and of label images painted in colours (also CVAT's "Segmentation mask 1.1", with its
labelmap.txt, and seglight for SegLight's colours). torso21: TORSO-21. coco: COCO segmentations, polygons and run-length
masks. frames: a bag, video or folder of images, with a model's own predictions to be corrected in a label tool.
boxes: images with YOLO's text files of boxes; a model labels what it is sure of, and the boxes put it right.
minisegnet: data sets of our own, to merge them, to split anew or to take the hardest images. docs/data.md tells more.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from minisegnet_core.classes import BACKGROUND, BALL, SOCCER, ClassSet
from minisegnet_core.cli import command
from minisegnet_core.data.importers.boxes import BoxedImages
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import IGNORE_NAME, ColorMap, colors_beside, parse_colors
from minisegnet_core.data.importers.entry import Content, Entry, Importer
from minisegnet_core.data.importers.frames import LabelledFrames, stem_of
from minisegnet_core.data.importers.masks import SEGLIGHT, MaskFolders
from minisegnet_core.data.importers.own import INDEX, OwnFormat, classes_of
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.data.importing import SplitRule, import_entries
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.frames import open_frames

FORMATS = ('masks', 'seglight', 'torso21', 'coco', 'frames', 'boxes', 'minisegnet')
ANY_CLASSES = ('masks', 'seglight', 'coco')


@command
def main(argv: Sequence[str], prog: str) -> int:
    arguments = _parser(prog).parse_args(list(argv))
    if bool(arguments.hardest) != bool(arguments.evaluation) or (
        arguments.hardest and arguments.format != 'minisegnet'
    ):
        raise ConfigurationError('--hardest N and --evaluation DIR go together, and with --format minisegnet')
    source, classes = _importer(arguments)
    output = Path(arguments.output)
    rule = SplitRule(
        val=arguments.val,
        test=arguments.test,
        seed=arguments.seed,
        pattern=arguments.group_pattern,
        val_groups=arguments.val_groups or (),
        test_groups=arguments.test_groups or (),
        keep=arguments.keep_splits,
    )
    report = import_entries(
        source,
        output,
        classes,
        rule,
        absent=None if arguments.absent is None else _pairs(arguments.absent, '--absent'),
        prefix=arguments.prefix,
        append=arguments.append,
        dry_run=arguments.dry_run,
        most_unknown=arguments.most_unknown,
        extension=arguments.image_format,
        label_tools=Path(arguments.label_tools) if arguments.label_tools else None,
        progress=_progress,
    )
    if not report.count and not report.present:
        raise SourceError(f'{arguments.source} gave no image')
    if isinstance(source, MaskFolders) and source.unlabelled:
        print(f'{source.unlabelled} images have no label image and were left out')
    if isinstance(source, LabelledFrames) and source.alike:
        print(f'{source.alike} frames look like the one before them and were left out')
    print('\n'.join(report.lines()))
    if arguments.val and not report.images['val'] and not arguments.append:
        shorter = ' or make them shorter with --group-seconds,' if isinstance(source, LabelledFrames) else ''
        print(
            f'nothing fell to val: of {sum(map(len, report.groups.values())) or report.count} groups, name some with '
            f'--val-groups,{shorter} or try another --seed'
        )
    print('nothing was written (--dry-run)' if arguments.dry_run else output)
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='folder, JSON file, bag or video')
    parser.add_argument('--format', required=True, choices=FORMATS)
    parser.add_argument('--output', required=True, help='folder of the data set to write')
    parser.add_argument('--append', action='store_true', help='add to the data set in --output, or go on with it')
    parser.add_argument(
        '--dry-run', action='store_true', help='read everything, tell what would be written, write nothing'
    )
    parser.add_argument('--prefix', default='', help="set before every image's name")
    parser.add_argument(
        '--absent', nargs='*', action='extend', metavar='CLASS=INSTEAD', help='never drawn here, such as ball=field'
    )
    parser.add_argument(
        '--image-format', default='png', choices=('png', 'jpg'), help='of images not copied as they are'
    )
    parser.add_argument('--label-tools', metavar='DIR', help='write the labels for CVAT and as COCO too')
    _add_split_arguments(parser.add_argument_group('split'))
    _add_format_arguments(parser)
    return parser


def _add_split_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--group-pattern', metavar='REGEX', help="what the first parentheses find in an image's name is its group"
    )
    group.add_argument('--val', type=float, default=0.15, help='share of the groups that validate (default: 0.15)')
    group.add_argument('--test', type=float, default=0.0, help='share of the groups kept for a test (default: 0)')
    group.add_argument('--seed', type=int, default=0, help='another one draws other groups (default: 0)')
    group.add_argument(
        '--val-groups', nargs='*', action='extend', metavar='GROUP', help='these validate, the rest trains'
    )
    group.add_argument('--test-groups', nargs='*', action='extend', metavar='GROUP', help='these are kept for a test')
    group.add_argument('--keep-splits', action='store_true', help="take the source's own splits where it has some")


def _add_format_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('masks, coco and boxes')
    group.add_argument('--images', metavar='DIR', help='folder of the images (default: looked for below the source)')
    group.add_argument('--masks', metavar='DIR', help='folder of the label images (default: looked for)')
    group.add_argument(
        '--mask-name', default='{name}', help="label image of image {name}, such as '{name}_mask' (default: {name})"
    )
    group.add_argument(
        '--skip-unlabelled', action='store_true', help='leave out images without a mask, instead of refusing all'
    )
    group.add_argument(
        '--colors',
        nargs='+',
        action='extend',
        metavar='CLASS=COLOR',
        help="R,G,B or GREY or #rrggbb (default: labelmap.txt, else the classes' own)",
    )
    group.add_argument(
        '--most-unknown', type=float, default=0.001, help='share of unknown colours an image may have (default: 0.001)'
    )
    group.add_argument(
        '--map', nargs='+', action='extend', metavar='CATEGORY=CLASS', help="of COCO's categories, YOLO's numbers"
    )
    group.add_argument(
        '--rest', help='class of what COCO does not cover (default: background; ignore where there is no such class)'
    )
    group.add_argument(
        '--classes',
        metavar='FILE',
        help='dataset.yaml with the classes (default: of the data set that --append adds to, or --images lies in; else '
        'background, ball, line, field)',
    )
    group = parser.add_argument_group('frames')
    group.add_argument('--topic', help='image topic of a bag (default: the only one)')
    group.add_argument('--every', type=int, default=1, help='take each n-th frame (default: 1)')
    group.add_argument('--rate', type=float, default=0.0, help='most frames a second (default: all)')
    group.add_argument(
        '--least-change', type=float, default=2.0, help='leave out frames that change less, grey levels (default: 2)'
    )
    group.add_argument(
        '--group-seconds', type=float, default=0.0, help='length of a group (default: the whole source is one)'
    )
    group = parser.add_argument_group('minisegnet')
    group.add_argument(
        '--hardest', type=int, default=0, metavar='N', help='take the N images only that a model got most wrong'
    )
    group.add_argument(
        '--evaluation', metavar='DIR', help='output of `minisegnet evaluate` of the source, which tells how wrong'
    )
    group = parser.add_argument_group('boxes')
    group.add_argument(
        '--confidence',
        type=float,
        default=0.8,
        help='pixels of which the model is less sure are ignored (default: 0.8)',
    )
    group = parser.add_argument_group('masks and boxes')
    group.add_argument(
        '--longest-side', type=int, default=0, help='shrink larger images to it, pixels (default: as they are)'
    )
    group = parser.add_argument_group('frames and boxes')
    group.add_argument(
        '--network-size', default='native', help='native, half or WIDTHxHEIGHT, at which the model labels'
    )
    group.add_argument(
        '--model', default='', help='model file, or name of a shipped one (default: what runs best here)'
    )


def _importer(arguments: argparse.Namespace) -> tuple[Importer, ClassSet]:
    path, images = Path(arguments.source), Path(arguments.images) if arguments.images else None
    if arguments.classes and arguments.format not in ANY_CLASSES:
        raise ConfigurationError(f'--classes goes with --format {", ".join(ANY_CLASSES)} only')
    if arguments.format in ('masks', 'seglight'):
        classes = _classes(arguments)
        source = MaskFolders(
            path,
            ColorMap(_colors(arguments, path, classes), classes),
            classes,
            images=images,
            masks=Path(arguments.masks) if arguments.masks else None,
            mask_name=arguments.mask_name,
            longest_side=arguments.longest_side,
            skip_unlabelled=arguments.skip_unlabelled,
        )
        return source, classes
    if arguments.format == 'torso21':
        return Torso21(path), SOCCER
    if arguments.format == 'coco':
        classes = _classes(arguments)
        rest = arguments.rest or (BACKGROUND if BACKGROUND in classes.names else IGNORE_NAME)
        names = _pairs(arguments.map or (), '--map')
        return Coco(path, classes, names=names, rest=rest, images=images), classes
    if arguments.format == 'minisegnet':
        only = None
        if arguments.hardest:
            from minisegnet_core.evaluation.scoring.frames_file import (
                hardest,
            )  # data knows no evaluation: only this command does

            only = hardest(Path(arguments.evaluation), arguments.hardest)
        own = OwnFormat(path, only)
        return own, own.dataset.classes
    return _labelled_by_a_model(arguments, path)


def _labelled_by_a_model(arguments: argparse.Namespace, path: Path) -> tuple[Importer, ClassSet]:
    frames = open_frames(path, arguments.topic) if arguments.format == 'frames' else None
    from minisegnet_core.inference.segmenter import Segmenter  # data knows no models: only this command brings one

    segmenter = Segmenter(arguments.model, network_size=arguments.network_size)
    if frames is None:
        names = _pairs(arguments.map or (), '--map') or {'0': BALL}
        boxes = BoxedImages(
            path,
            segmenter.probabilities,
            segmenter.classes,
            {_number(text): name for text, name in names.items()},
            confidence=arguments.confidence,
            longest_side=arguments.longest_side,
        )
        return boxes, segmenter.classes
    source = LabelledFrames(
        frames,
        stem_of(path),
        lambda image: segmenter.run(image).label_image,
        every=arguments.every,
        rate=arguments.rate,
        least_change=arguments.least_change,
        group_seconds=arguments.group_seconds,
    )
    return source, segmenter.classes


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigurationError(f'--map {text}=... must begin with the number of a class of the boxes, such as 0=ball')
    return int(text)


def _classes(arguments: argparse.Namespace) -> ClassSet:
    """Those that --classes names, else of the data set that is there already, else the four of soccer."""
    if arguments.classes:
        return classes_of(Path(arguments.classes))
    folders = [Path(arguments.output)] if arguments.append else []
    if arguments.images:
        folders += [Path(arguments.images), Path(arguments.images).absolute().parent]
    return next((classes_of(path / INDEX) for path in folders if (path / INDEX).is_file()), SOCCER)


def _colors(arguments: argparse.Namespace, path: Path, classes: ClassSet) -> dict[tuple[int, int, int], str]:
    if arguments.colors:
        return parse_colors(arguments.colors)
    return SEGLIGHT if arguments.format == 'seglight' else colors_beside(path, classes)


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition('=')
        if not equals or not name or not value:
            raise ConfigurationError(f'{option} {text!r} must be NAME=CLASS')
        if pairs.setdefault(name, value) != value:
            raise ConfigurationError(f'{option} maps {name} to both {pairs[name]} and {value}')
    return pairs


def _progress(results: Iterator[tuple[Entry, Content]], total: int) -> Iterable[tuple[Entry, Content]]:
    shown: Iterable[tuple[Entry, Content]] = tqdm(results, desc='import', unit='image', total=total)
    return shown
