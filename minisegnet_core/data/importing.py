"""Import of labelled images into a data set: split by group, without overwriting, with a report."""

from __future__ import annotations

import filecmp
import glob
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import INDEX, SPLITS
from minisegnet_core.data.importers.entry import UNKNOWN, Content, Entry, Importer
from minisegnet_core.data.label_tools import LabelToolFiles
from minisegnet_core.data.split import group_of, split_of
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.files import write_atomically
from minisegnet_core.imaging import write_image
from minisegnet_core.parallel import map_in_threads

SAVE_INTERVAL = 200
"""Number of images after which the index is written, so that a killed process loses few."""

IMAGE_FORMATS = ('png', 'jpg')

ImportProgress = Callable[[Iterator[tuple[Entry, Content]], int], Iterable[tuple[Entry, Content]]]
"""A progress display: takes the results and their maximum number, and returns the results."""


@dataclass(frozen=True)
class SplitRule:
    """Assignment of images to splits: by group, or by name for images without a group.

    Attributes:
        val_fraction, test_fraction: expected fractions of the groups, 0..1, drawn by the hash of a group's name.
        seed: another seed draws other groups.
        group_pattern: regular expression whose first parentheses match the group in an image's name; None uses the
            source's groups.
        val_groups, test_groups: groups of these splits. If any are named, nothing is drawn, and all others are trained
            on.
        keep: keep the source's own split where it has one.
    """

    val_fraction: float = 0.15
    test_fraction: float = 0.0
    seed: int = 0
    group_pattern: str | None = None
    val_groups: Collection[str] = ()
    test_groups: Collection[str] = ()
    keep: bool = False

    def group(self, entry: Entry) -> str | None:
        """Return the group of an image, or None."""
        return entry.group if self.group_pattern is None else group_of(entry.name, self.group_pattern)

    def split(self, entry: Entry) -> str:
        """Return the split of an image."""
        if self.keep and entry.split is not None:
            return entry.split
        group = self.group(entry) or entry.name
        if self.val_groups or self.test_groups:
            return 'val' if group in self.val_groups else 'test' if group in self.test_groups else 'train'
        return split_of(group, self.val_fraction, self.test_fraction, self.seed)


@dataclass(frozen=True)
class ImportOptions:
    """How images are written into a data set.

    Attributes:
        output: folder of the data set.
        rule: assignment of images to splits.
        absent: names of classes that the ground truth never draws, with the class that it draws in their place; None
            uses the source's.
        prefix: text before every image's name.
        append: add to an existing data set, or continue an interrupted import.
        dry_run: read everything and write nothing.
        max_unknown: maximum fraction of an image's pixels with unknown colours; beyond it, the import stops.
        image_format: format of images that are not copied unchanged, one of :data:`IMAGE_FORMATS`.
        label_tools: folder for a copy of the labels in the formats of label tools; None writes none.

    Raises:
        ConfigurationError: a value is out of range.
    """

    output: Path
    rule: SplitRule = field(default_factory=SplitRule)
    absent: Mapping[str, str] | None = None
    prefix: str = ''
    append: bool = False
    dry_run: bool = False
    max_unknown: float = 0.001
    image_format: str = 'png'
    label_tools: Path | None = None

    def __post_init__(self) -> None:
        if self.image_format not in IMAGE_FORMATS:
            raise ConfigurationError(f'image format {self.image_format!r} must be one of {", ".join(IMAGE_FORMATS)}')
        if not 0 <= self.max_unknown <= 1:
            raise ConfigurationError(f'maximum fraction of unknown colours {self.max_unknown:g} must be 0..1')


@dataclass
class ImportReport:
    """Result of an import.

    Attributes:
        classes: classes of the data set.
        images: number of images of each split.
        groups: groups of each split.
        pixels: (256,) number of pixels of each label id.
        notes: the importer's remarks, with numbers.
        present: number of images that the data set already contained.
        left_out: number of images that the importer left out, by reason.
    """

    classes: ClassSet
    images: Counter[str] = field(default_factory=Counter)
    groups: dict[str, set[str]] = field(default_factory=dict)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    notes: Counter[str] = field(default_factory=Counter)
    present: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of imported images."""
        return sum(self.images.values())

    def add(self, split: str, group: str | None, content: Content) -> None:
        """Count one image."""
        self.images[split] += 1
        if group is not None:
            self.groups.setdefault(split, set()).add(group)
        self.pixels += np.bincount(content.labels.ravel(), minlength=256)
        self.notes += content.notes

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = []
        for split in SPLITS:
            groups = self.groups.get(split)
            of_groups = f' of {len(groups)} groups' if groups else ''
            lines.append(f'{split}: {self.images[split]} images{of_groups}')
        total = max(int(self.pixels.sum()), 1)
        fractions = [f'{name} {self.pixels[i] / total:.2%}' for i, name in enumerate(self.classes.names)]
        lines.append('pixels: ' + ', '.join([*fractions, f'ignored {self.pixels[IGNORE] / total:.2%}']))
        lines += [f'{text}: {number}' for text, number in self.notes.items() if number]
        lines += [f'left out: {number} {reason}' for reason, number in self.left_out.items() if number]
        if self.present:
            lines.append(f'already in the data set and unchanged: {self.present} images')
        return lines


def import_images(
    source: Importer, options: ImportOptions, progress: ImportProgress = lambda results, total: results
) -> ImportReport:
    """Read all images of a source and write them as a data set.

    An interrupted import leaves a valid data set of the images written so far; with ``append`` the next one continues.

    Args:
        progress: wraps the results, for a progress display.

    Raises:
        DatasetError: the output holds other data, a name is taken by another image, or an image cannot be used.
        SourceError, ImageError: the source cannot be read, or holds no images.
        OutputError: a file cannot be written.
    """
    if not options.append:
        _reject_occupied(options.output)
    report = ImportReport(source.classes)
    with ExitStack() as stack:
        writer, tools = _open_outputs(source, options, report, stack)

        def read_and_write(entry: Entry) -> Content:
            content = entry.read()
            _reject_unknown_colors(entry, content, options.max_unknown)
            if writer is not None:
                _write(writer.root, options.prefix + entry.name, entry, content, options.image_format)
            return content

        new = _new_entries(source, writer, options.prefix, report)
        results = stack.enter_context(closing(map_in_threads(read_and_write, new)))
        for entry, content in progress(results, len(source)):
            name, split, group = options.prefix + entry.name, options.rule.split(entry), options.rule.group(entry)
            if writer is not None:
                writer.add(name, None, None, split=split, group=group, balls=content.balls, stamp=entry.stamp)
            if tools is not None:
                suffix = entry.image_file.suffix.lower() if entry.image_file else f'.{options.image_format}'
                tools.add(name, f'{name}{suffix}', content.labels)
            report.add(split, group, content)
            if writer is not None and report.count % SAVE_INTERVAL == 0:
                writer.close()
    report.left_out = dict(source.left_out)
    if not report.count and not report.present:
        raise SourceError('the source yields no images; check its options')
    return report


def _open_outputs(
    source: Importer, options: ImportOptions, report: ImportReport, stack: ExitStack
) -> tuple[DatasetWriter | None, LabelToolFiles | None]:
    if options.dry_run:
        return None, None
    if not options.append:
        stack.push(partial(_remove_if_empty, options.output, report))
    absent = source.absent if options.absent is None else options.absent
    writer = stack.enter_context(DatasetWriter(options.output, source.classes, absent=absent, append=options.append))
    if options.label_tools is None:
        return writer, None
    return writer, stack.enter_context(LabelToolFiles(options.label_tools, source.classes))


def _remove_if_empty(output: Path, report: ImportReport, kind: type[BaseException] | None, *_: object) -> None:
    """Remove the output of an import that failed at its first image, so that it does not block the next attempt."""
    if kind is not None and not report.count:
        shutil.rmtree(output, ignore_errors=True)


def _reject_occupied(output: Path) -> None:
    if (output / INDEX).is_file():
        raise DatasetError(f'{output} already holds a data set; add to it with --append, or choose another folder')
    if output.is_dir() and any(output.iterdir()):
        raise DatasetError(f'{output} is not empty; choose another folder, so that its files are not mixed with images')


def _new_entries(source: Importer, writer: DatasetWriter | None, prefix: str, report: ImportReport) -> Iterator[Entry]:
    """Yield the entries that the data set does not contain yet."""
    seen: set[str] = set()
    for entry in source:
        name = prefix + entry.name
        if name in seen:
            raise DatasetError(
                f'two images of the source would both have the name {name!r}; import their folders separately'
            )
        seen.add(name)
        if writer is not None and name in writer:
            _reject_other_image(writer.root, name, entry)
            report.present += 1
            continue
        yield entry


def _reject_other_image(root: Path, name: str, entry: Entry) -> None:
    existing = [path for path in (root / 'images').glob(f'{glob.escape(name)}.*') if path.stem == name]
    if entry.image_file and not any(filecmp.cmp(entry.image_file, path, shallow=False) for path in existing):
        raise DatasetError(
            f'{root} has another image called {name!r} than {entry.image_file}; rename the new ones with --prefix'
        )


def _reject_unknown_colors(entry: Entry, content: Content, max_unknown: float) -> None:
    unknown = content.notes[UNKNOWN] / content.labels.size
    if unknown > max_unknown:
        colors = ', '.join(f'{text} ({number} pixels)' for text, number in content.notes.items() if text[0] == '#')
        raise DatasetError(
            f'the label image of {entry.label_file or entry.name} has {unknown:.1%} of unknown colours: {colors}; '
            'add them to --colors (ignore=#rrggbb leaves one out), or raise --max-unknown'
        )


def _write(root: Path, name: str, entry: Entry, content: Content, image_format: str) -> None:
    """Write the labels, then the image, so that a sample with an image is complete."""
    write_image(root / 'labels' / f'{name}.png', content.labels)
    if entry.image_file is None:
        write_image(root / 'images' / f'{name}.{image_format}', content.image)
    else:
        write_atomically(root / 'images' / f'{name}{entry.image_file.suffix.lower()}', entry.image_file.read_bytes())
