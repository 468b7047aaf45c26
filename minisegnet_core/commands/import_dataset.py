"""Import labelled images of other formats into a data set, or label the frames of a bag with a model.

Formats:
  masks       folders of images and of label images painted in colours, such as CVAT's "Segmentation mask 1.1"
  seglight    masks in SegLight's colours
  coco        COCO segmentations: polygons and run-length masks
  torso21     TORSO-21
  boxes       images with YOLO's label files; a model labels them, and the boxes correct its labels
  frames      a bag, a video or a folder of images, labelled by a model, for correction in a label tool
  minisegnet  minisegnet's own data sets, to merge them, to split them again or to select the hardest images

Examples:
  minisegnet import-dataset labelled --format masks --output match --group-pattern '^([a-z]+)_' \\
      --colors ball=0,0,255 line=255,255,255 field=0,255,0 background=0,0,0
  minisegnet import-dataset coco/annotations.json --format coco --map 'sports ball=ball' --output coco_soccer
  minisegnet import-dataset yolo --format boxes --map 0=ball 1=background --output weak
  minisegnet import-dataset match.mcap --format frames --fps 2 --output match --label-tools to_label
  minisegnet import-dataset scenes --format minisegnet --hardest 500 --evaluation evaluated --output hard
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.cli import command
from minisegnet_core.data.dataset import read_classes
from minisegnet_core.data.importers.boxes import BoxedImages, BoxOptions
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import Color, ColorMap, colors_beside, parse_colors
from minisegnet_core.data.importers.entry import Content, Entry, Importer
from minisegnet_core.data.importers.frames import FrameSelection, LabelledFrames, source_name
from minisegnet_core.data.importers.masks import SEGLIGHT_COLORS, MaskFolders, MaskOptions
from minisegnet_core.data.importers.minisegnet import MinisegnetDataset, classes_beside
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.data.importing import IMAGE_FORMATS, ImportOptions, ImportReport, SplitRule, import_images
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.frames import open_frames

FORMATS = ('masks', 'seglight', 'coco', 'torso21', 'boxes', 'frames', 'minisegnet')
FORMATS_WITH_CLASSES = ('masks', 'seglight', 'coco')
"""Formats whose classes can be chosen."""


@dataclass(frozen=True)
class SourceOptions:
    """The source of an import; each format reads the options that concern it.

    Attributes:
        path: folder, JSON file, bag or video.
        format: one of :data:`FORMATS`.
        classes_file: ``dataset.yaml`` with the classes, or None.
        class_folders: folders that may be data sets with the classes, in order of precedence.
        colors: colours of label images, or None for those of the format.
        masks: folders of images and label images.
        categories: category names or numbers to class names.
        rest: class of pixels that COCO does not cover, or None.
        topic: image topic of a bag, or None.
        selection: which frames are taken.
        min_label_confidence: probability from which a model's label is kept.
        model, network_size: the model that labels frames and images with boxes.
        hardest: number of images to take, with ``evaluation``; 0 takes all.
        evaluation: output folder of `minisegnet evaluate`, or None.
    """

    path: Path
    format: str
    classes_file: Path | None = None
    class_folders: tuple[Path, ...] = ()
    colors: dict[Color, str] | None = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    categories: dict[str, str] = field(default_factory=dict)
    rest: str | None = None
    topic: str | None = None
    selection: FrameSelection = field(default_factory=FrameSelection)
    min_label_confidence: float = 0.8
    model: str = ''
    network_size: str = 'native'
    hardest: int = 0
    evaluation: Path | None = None

    def __post_init__(self) -> None:
        if self.classes_file and self.format not in FORMATS_WITH_CLASSES:
            raise ConfigurationError(f'--classes needs --format {", ".join(FORMATS_WITH_CLASSES)}')
        if bool(self.hardest) != bool(self.evaluation) or (self.hardest and self.format != 'minisegnet'):
            raise ConfigurationError('--hardest N and --evaluation DIR need each other, and --format minisegnet')


@command
def main(argv: Sequence[str], prog: str) -> int:
    source, options = _parse(argv, prog)
    report = import_images(_open(source), options, _progress)
    print('\n'.join(report.lines()))
    if options.rule.val_fraction and not report.images['val'] and not options.append:
        print(_empty_validation_hint(report, source.format))
    print('nothing was written (--dry-run)' if options.dry_run else options.output)
    return 0


def _open(source: SourceOptions) -> Importer:
    """Return the importer of a source."""
    if source.format in ('masks', 'seglight'):
        classes = _classes(source)
        default = SEGLIGHT_COLORS if source.format == 'seglight' else None
        colors = source.colors or default or colors_beside(source.path, classes)
        return MaskFolders(source.path, ColorMap(colors, classes), classes, source.masks)
    if source.format == 'coco':
        images = source.masks.images
        return Coco(source.path, _classes(source), names=source.categories, rest=source.rest, images=images)
    if source.format == 'torso21':
        return Torso21(source.path)
    if source.format == 'minisegnet':
        return MinisegnetDataset(source.path, _hardest(source))
    return _labelled_by_model(source)


def _hardest(source: SourceOptions) -> tuple[str, ...] | None:
    if source.evaluation is None:
        return None
    from minisegnet_core.evaluation.scoring.hardest import hardest  # the packages of evaluation load slowly

    return hardest(source.evaluation, source.hardest)


def _labelled_by_model(source: SourceOptions) -> Importer:
    frames = open_frames(source.path, source.topic) if source.format == 'frames' else None
    from minisegnet_core.inference.segmenter import Segmenter  # the packages of the engines load slowly

    segmenter = Segmenter(source.model, network_size=source.network_size)
    if frames is None:
        categories = {_category_number(text): name for text, name in source.categories.items()} or {0: BALL}
        options = BoxOptions(categories, source.min_label_confidence, source.masks.max_side)
        return BoxedImages(source.path, segmenter.probabilities, segmenter.classes, options)
    return LabelledFrames(
        frames,
        source_name(source.path),
        lambda image: segmenter.run(image).label_image,
        segmenter.classes,
        source.selection,
    )


def _classes(source: SourceOptions) -> ClassSet:
    return read_classes(source.classes_file) if source.classes_file else classes_beside(source.class_folders)


def _category_number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigurationError(f'--map {text}=... must begin with the number of a YOLO class, such as 0=ball')
    return int(text)


def _empty_validation_hint(report: ImportReport, source_format: str) -> str:
    groups = sum(map(len, report.groups.values())) or report.count
    shorter = ' or make them shorter with --group-seconds,' if source_format == 'frames' else ''
    return (
        f'no image is in the validation split: of {groups} groups, name some with --val-groups,{shorter} or try '
        'another --seed'
    )


def _progress(results: Iterator[tuple[Entry, Content]], total: int) -> Iterable[tuple[Entry, Content]]:
    shown: Iterable[tuple[Entry, Content]] = tqdm(results, desc='import', unit='image', total=total)
    return shown


def _parse(argv: Sequence[str], prog: str) -> tuple[SourceOptions, ImportOptions]:
    """Return the options of a command line."""
    arguments = _make_parser(prog).parse_args(list(argv))
    output, images = Path(arguments.output), _path(arguments.images)
    class_folders = [output] if arguments.append else []
    if images is not None:
        class_folders += [images, images.absolute().parent]
    source = SourceOptions(
        path=Path(arguments.source),
        format=arguments.format,
        classes_file=_path(arguments.classes),
        class_folders=tuple(class_folders),
        colors=parse_colors(arguments.colors) if arguments.colors else None,
        masks=MaskOptions(
            images, _path(arguments.masks), arguments.mask_name, arguments.max_side, arguments.skip_unlabelled
        ),
        categories=_pairs(arguments.map or (), '--map'),
        rest=arguments.rest,
        topic=arguments.topic,
        selection=FrameSelection(arguments.every, arguments.fps, arguments.min_change, arguments.group_seconds),
        min_label_confidence=arguments.min_label_confidence,
        model=arguments.model,
        network_size=arguments.network_size,
        hardest=arguments.hardest,
        evaluation=_path(arguments.evaluation),
    )
    rule = SplitRule(
        val_fraction=arguments.val_fraction,
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        group_pattern=arguments.group_pattern,
        val_groups=tuple(arguments.val_groups or ()),
        test_groups=tuple(arguments.test_groups or ()),
        keep=arguments.keep_splits,
    )
    options = ImportOptions(
        output,
        rule,
        absent=None if arguments.absent is None else _pairs(arguments.absent, '--absent'),
        prefix=arguments.prefix,
        append=arguments.append,
        dry_run=arguments.dry_run,
        max_unknown=arguments.max_unknown,
        image_format=arguments.image_format,
        label_tools=_path(arguments.label_tools),
    )
    return source, options


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition('=')
        if not equals or not name or not value:
            raise ConfigurationError(f'{option} {text!r} must be NAME=CLASS')
        if pairs.setdefault(name, value) != value:
            raise ConfigurationError(f'{option} maps {name} to both {pairs[name]} and {value}; give one of them')
    return pairs


def _make_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('source', help='folder, JSON file, bag or video')
    add('--format', required=True, choices=FORMATS, help='format of the source')
    add('--output', required=True, metavar='DIR', help='folder of the data set to write')
    add('--append', action='store_true', help='add to the data set in --output, or continue an interrupted import')
    add('--dry-run', action='store_true', help='read everything, report what would be written, write nothing')
    add('--prefix', default='', metavar='TEXT', help="text before every image's name")
    add(
        '--absent',
        nargs='*',
        action='extend',
        metavar='CLASS=DRAWN',
        help='class that the labels never draw, and the class that they draw in its place, such as ball=field',
    )
    add(
        '--image-format',
        default='png',
        choices=IMAGE_FORMATS,
        help='format of images that are not copied unchanged (default: png)',
    )
    add('--label-tools', metavar='DIR', help='also write the labels for CVAT and as COCO into this folder')
    _add_split_options(parser)
    _add_label_options(parser)
    _add_model_options(parser)
    return parser


def _add_split_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('splits').add_argument
    add('--group-pattern', metavar='REGEX', help="the first parentheses match the group in an image's name")
    add(
        '--val-fraction',
        type=float,
        default=0.15,
        metavar='F',
        help='fraction of the groups for validation (default: 0.15)',
    )
    add('--test-fraction', type=float, default=0.0, metavar='F', help='fraction of the groups for testing (default: 0)')
    add('--seed', type=int, default=0, metavar='N', help='another seed draws other groups (default: 0)')
    add(
        '--val-groups',
        nargs='*',
        action='extend',
        metavar='GROUP',
        help='groups for validation; the others are trained on',
    )
    add('--test-groups', nargs='*', action='extend', metavar='GROUP', help='groups for testing')
    add('--keep-splits', action='store_true', help="keep the source's own splits where it has some")


def _add_label_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('labels (masks, coco and boxes)').add_argument
    add('--images', metavar='DIR', help='folder of the images (default: searched for in the source)')
    add('--masks', metavar='DIR', help='folder of the label images (default: searched for in the source)')
    add(
        '--mask-name',
        default='{name}',
        metavar='TEXT',
        help="name of the label image of image {name}, such as '{name}_mask' (default: {name})",
    )
    add('--skip-unlabelled', action='store_true', help='leave out images without a label image')
    add(
        '--colors',
        nargs='+',
        action='extend',
        metavar='CLASS=COLOR',
        help="R,G,B or GREY or #rrggbb (default: labelmap.txt, else the classes' own)",
    )
    add(
        '--max-unknown',
        type=float,
        default=0.001,
        metavar='F',
        help='maximum fraction of unknown colours in an image (default: 0.001)',
    )
    add(
        '--map',
        nargs='+',
        action='extend',
        metavar='CATEGORY=CLASS',
        help="classes of COCO's categories or YOLO's class numbers",
    )
    add(
        '--rest',
        metavar='CLASS',
        help='class of pixels that COCO does not cover (default: background, or ignore without such a class)',
    )
    add(
        '--classes',
        metavar='FILE',
        help='dataset.yaml with the classes (default: the data set that --append extends or that contains --images, '
        'else background, ball, line, field)',
    )
    add(
        '--max-side',
        type=int,
        default=0,
        metavar='PIXELS',
        help='maximum of the longer side, to which larger images are shrunk (default: no limit)',
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('frames').add_argument
    add('--topic', help='image topic of a bag (default: the only one)')
    add('--every', type=int, default=1, metavar='N', help='take every n-th frame (default: 1)')
    add('--fps', type=float, default=0.0, metavar='N', help='maximum number of frames per second (default: no limit)')
    add(
        '--min-change',
        type=float,
        default=2.0,
        metavar='LEVELS',
        help='minimum change between frames in grey levels, 0 to 255 (default: 2)',
    )
    add(
        '--group-seconds',
        type=float,
        default=0.0,
        metavar='S',
        help='length of a group in seconds (default: one group for the source)',
    )
    add = parser.add_argument_group('frames and boxes').add_argument
    add('--model', default='', help='model file, or name of a shipped model (default: the fastest pair here)')
    add(
        '--network-size',
        default='native',
        metavar='SIZE',
        help='native, half or WIDTHxHEIGHT, at which the model runs (default: native)',
    )
    add(
        '--min-label-confidence',
        type=float,
        default=0.8,
        metavar='P',
        help="boxes: probability from which the model's label is kept; others are ignored (default: 0.8)",
    )
    add = parser.add_argument_group('minisegnet').add_argument
    add(
        '--hardest',
        type=int,
        default=0,
        metavar='N',
        help='take only the N images on which a model had the most errors',
    )
    add(
        '--evaluation',
        metavar='DIR',
        help='output of `minisegnet evaluate` on the source, which ranks the images',
    )
