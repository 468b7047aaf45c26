"""Import labelled images into a data set, or label the frames of a bag with a model.

    minisegnet import-dataset labelled --format masks --colors ball=255,0,0 field=0,255,0 --output match
    minisegnet import-dataset coco.json --format coco --map 'sports ball=ball' --output coco_soccer
    minisegnet import-dataset yolo --format boxes --map 0=ball 1=background --output weak
    minisegnet import-dataset match.mcap --format frames --fps 2 --output match --label-tools to_label
    minisegnet import-dataset scenes --format minisegnet --hardest 500 --evaluation out --output hard

formats:
  masks       folders of images and of label images painted in colours, as label tools export them
  seglight    masks in SegLight's colours
  coco        COCO segmentations: polygons and run-length masks
  torso21     the TORSO-21 data set
  boxes       images with YOLO's label files; a model labels them, and the boxes correct its labels
  frames      a bag, a video or a folder, labelled by a model, for correction in a label tool
  minisegnet  minisegnet's own data sets, to merge them, split them again or select hard images
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.cli import command
from minisegnet_core.commands.model_options import add_model_options, segmenter_config
from minisegnet_core.commands.parser import CommandParser, choice, fraction, integer, number, path
from minisegnet_core.commands.progress import progress
from minisegnet_core.data.dataset import read_classes
from minisegnet_core.data.importers.boxes import BoxedImages, BoxOptions
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import Color, ColorMap, colors_beside, parse_colors
from minisegnet_core.data.importers.entry import Content, Entry, Importer
from minisegnet_core.data.importers.frames import FrameSelection, LabelledFrames, source_name
from minisegnet_core.data.importers.masks import SEGLIGHT_COLORS, MaskFolders, MaskOptions
from minisegnet_core.data.importers.minisegnet import MinisegnetDataset, classes_beside
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.data.importers.yolo import LAYOUTS
from minisegnet_core.data.importing import IMAGE_FORMATS, ImportOptions, ImportReport, SplitRule, import_images
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.frames import open_frames
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig

FORMATS_WITH_CLASSES = ('masks', 'seglight', 'coco')
"""Formats whose classes can be chosen."""


@dataclass(frozen=True)
class SourceOptions:
    """The source of an import; each format reads the options that concern it.

    Attributes:
        path: folder, JSON file, bag or video.
        format: one of :data:`OPENERS`.
        classes_file: ``dataset.yaml`` with the classes, or None.
        class_folders: folders that may be data sets with the classes, in order of precedence.
        colors: colours of label images, or None for those of the format.
        masks: folders of images and label images.
        categories: category names or numbers to class names.
        rest: class of pixels that COCO does not cover, or None.
        topic: image topic of a bag, or None.
        selection: which frames are imported.
        min_label_confidence: probability from which a model's label is kept.
        box_layout: meaning of YOLO lines of six or more values.
        model: the model that labels frames and images with boxes.
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
    box_layout: str = 'auto'
    model: SegmenterConfig = field(default_factory=SegmenterConfig)
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
    report = import_images(OPENERS[source.format](source), options, _progress)
    print('\n'.join(report.lines()))
    if options.rule.val_fraction and not report.images['val'] and not options.append:
        print(_empty_validation_hint(report, source.format))
    print('nothing was written (--dry-run)' if options.dry_run else options.output)
    return 0


def _open_masks(source: SourceOptions) -> Importer:
    classes = _classes(source)
    default = SEGLIGHT_COLORS if source.format == 'seglight' else None
    colors = source.colors or default or colors_beside(source.path, classes)
    return MaskFolders(source.path, ColorMap(colors, classes), classes, source.masks)


def _open_coco(source: SourceOptions) -> Importer:
    images = source.masks.images
    return Coco(source.path, _classes(source), names=source.categories, rest=source.rest, images=images)


def _open_torso21(source: SourceOptions) -> Importer:
    return Torso21(source.path)


def _open_boxes(source: SourceOptions) -> Importer:
    segmenter = Segmenter.from_config(source.model)
    categories = {_category_number(text): name for text, name in source.categories.items()} or {0: BALL}
    options = BoxOptions(categories, source.min_label_confidence, source.masks.max_side, source.box_layout)
    return BoxedImages(source.path, segmenter.probabilities, segmenter.classes, options)


def _open_frames(source: SourceOptions) -> Importer:
    frames = open_frames(source.path, source.topic)  # a wrong path fails before the model is loaded
    segmenter = Segmenter.from_config(source.model)
    return LabelledFrames(
        frames,
        source_name(source.path),
        lambda image: segmenter.run(image).label_image,
        segmenter.classes,
        source.selection,
    )


def _open_minisegnet(source: SourceOptions) -> Importer:
    if source.evaluation is None:
        return MinisegnetDataset(source.path, None)
    from minisegnet_core.evaluation.scoring.frames_file import hardest  # the packages of evaluation load slowly

    return MinisegnetDataset(source.path, hardest(source.evaluation, source.hardest))


OPENERS: dict[str, Callable[[SourceOptions], Importer]] = {
    'masks': _open_masks,
    'seglight': _open_masks,
    'coco': _open_coco,
    'torso21': _open_torso21,
    'boxes': _open_boxes,
    'frames': _open_frames,
    'minisegnet': _open_minisegnet,
}
"""The formats, and what opens the importer of each."""


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
    return progress('import', 'image', total)(results)


def _parse(argv: Sequence[str], prog: str) -> tuple[SourceOptions, ImportOptions]:
    """Return the options of a command line."""
    arguments = make_parser(prog).parse_args(argv)
    class_folders = [arguments.output] if arguments.append else []
    if arguments.images is not None:
        class_folders += [arguments.images, arguments.images.absolute().parent]
    source = SourceOptions(
        path=arguments.source,
        format=arguments.format,
        classes_file=arguments.classes,
        class_folders=tuple(class_folders),
        colors=parse_colors(arguments.colors) if arguments.colors else None,
        masks=MaskOptions(
            arguments.images, arguments.masks, arguments.mask_name, arguments.max_side, arguments.skip_unlabelled
        ),
        categories=_pairs(arguments.map or (), '--map'),
        rest=arguments.rest,
        topic=arguments.topic,
        selection=FrameSelection(arguments.every, arguments.fps, arguments.min_change, arguments.group_seconds),
        min_label_confidence=arguments.min_label_confidence,
        box_layout=arguments.box_layout,
        model=segmenter_config(arguments),
        hardest=arguments.hardest,
        evaluation=arguments.evaluation,
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
        arguments.output,
        rule,
        absent=None if arguments.absent is None else _pairs(arguments.absent, '--absent'),
        prefix=arguments.prefix,
        append=arguments.append,
        dry_run=arguments.dry_run,
        max_unknown=arguments.max_unknown,
        image_format=arguments.image_format,
        label_tools=arguments.label_tools,
    )
    return source, options


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition('=')
        if not equals or not name or not value:
            raise ConfigurationError(f'{option} {text!r} must be NAME=CLASS')
        if pairs.setdefault(name, value) != value:
            raise ConfigurationError(f'{option} maps {name} to both {pairs[name]} and {value}; give one of them')
    return pairs


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser.of(prog, __doc__)
    add = parser.add_argument
    add('source', type=path, metavar='SOURCE', help='folder, JSON file, bag or video')
    add('--format', required=True, **choice(*OPENERS), help='format of the source')
    add('--output', required=True, type=path, metavar='DIR', help='folder of the data set to write')
    add('--append', action='store_true', help='add to the data set in --output, or continue an import')
    add('--dry-run', action='store_true', help='read everything, report what would be written, write nothing')
    add('--prefix', default='', metavar='TEXT', help="text before every image's name")
    add(
        '--absent',
        nargs='*',
        action='extend',
        metavar='CLASS=DRAWN',
        help='class that the labels never draw, and the class drawn in its place, such as ball=field',
    )
    add(
        '--image-format',
        default='png',
        **choice(*IMAGE_FORMATS),
        help='format of images that are not copied unchanged',
    )
    add('--label-tools', type=path, metavar='DIR', help='also write the labels for CVAT and as COCO into this folder')
    _add_split_options(parser)
    _add_label_options(parser)
    _add_selection_options(parser)
    add_model_options(parser)
    return parser


def _add_split_options(parser: CommandParser) -> None:
    add = parser.add_argument_group('splits').add_argument
    add(
        '--group-pattern',
        metavar='REGEX',
        help="regular expression whose first parentheses match the group in an image's name",
    )
    add('--val-fraction', type=fraction, default=0.15, metavar='F', help='fraction of the groups for validation')
    add('--test-fraction', type=fraction, default=0.0, metavar='F', help='fraction of the groups for testing')
    add('--seed', type=integer(0), default=0, metavar='N', help='seed of the split; another seed draws other groups')
    add(
        '--val-groups',
        nargs='*',
        action='extend',
        metavar='GROUP',
        help='groups for validation; others are for training',
    )
    add('--test-groups', nargs='*', action='extend', metavar='GROUP', help='groups for testing')
    add('--keep-splits', action='store_true', help="keep the source's own splits where it has some")


def _add_label_options(parser: CommandParser) -> None:
    add = parser.add_argument_group('masks, coco and boxes').add_argument
    add('--images', type=path, metavar='DIR', help='folder of the images (default: a folder in the source)')
    add('--masks', type=path, metavar='DIR', help='folder of the label images (default: a folder in the source)')
    add(
        '--mask-name',
        default='{name}',
        metavar='TEXT',
        help="name of the label image of image {name}, such as '{name}_mask'",
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
        type=fraction,
        default=0.001,
        metavar='F',
        help='maximum fraction of unknown colours in an image',
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
        type=path,
        metavar='FILE',
        help='dataset.yaml with the classes (default: those of the data set that --append extends or that contains '
        '--images, else background, ball, line, field)',
    )
    add(
        '--max-side',
        type=integer(0),
        default=0,
        metavar='PIXELS',
        help='maximum of the longer side, to which larger images are shrunk; 0 for no limit',
    )


def _add_selection_options(parser: CommandParser) -> None:
    add = parser.add_argument_group('frames').add_argument
    add('--topic', metavar='NAME', help='image topic of a bag (default: its only image topic)')
    add('--every', type=integer(1), default=1, metavar='N', help='take every n-th frame')
    add('--fps', type=number(0), default=0.0, metavar='N', help='maximum number of frames per second; 0 for no limit')
    add(
        '--min-change',
        type=number(0),
        default=2.0,
        metavar='LEVELS',
        help='minimum change between frames in grey levels, 0 to 255',
    )
    add(
        '--group-seconds',
        type=number(0),
        default=0.0,
        metavar='S',
        help='length of a group in seconds; 0 makes the source one group',
    )
    add = parser.add_argument_group('boxes').add_argument
    add(
        '--min-label-confidence',
        type=fraction,
        default=0.8,
        metavar='P',
        help="probability from which the model's label is kept; other pixels are ignored",
    )
    add(
        '--box-layout',
        default='auto',
        **choice(*LAYOUTS),
        help='lines of six or more values: a box with track or keypoints, or an outline; auto refuses what may be both',
    )
    add = parser.add_argument_group('minisegnet').add_argument
    add(
        '--hardest',
        type=integer(0),
        default=0,
        metavar='N',
        help='take only the N images on which a model has the most errors; 0 takes all',
    )
    add('--evaluation', type=path, metavar='DIR', help='output of `minisegnet evaluate` that ranks the images')
