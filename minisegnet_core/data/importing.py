"""Bringing an importer's images into a data set: split by group, nothing overwritten, everything told."""

from __future__ import annotations

import filecmp
import glob
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.importers.entry import Content, Entry, Importer
from minisegnet_core.data.label_tools import LabelToolFiles
from minisegnet_core.data.split import group_of, split_of
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.files import write_atomically
from minisegnet_core.imaging import write_image
from minisegnet_core.parallel import map_in_threads

SAVED_EVERY = 200
"""Images after which the index is written, so that a kill loses few."""

Progress = Callable[[Iterator[tuple[Entry, Content]], int], Iterable[tuple[Entry, Content]]]


@dataclass(frozen=True)
class SplitRule:
    """Which split an image goes to: by its group, or, without one, by its name.

    Args:
        val, test: shares of the groups, 0..1, chosen by the hash of the group's name and ``seed``.
        pattern: regular expression whose first parentheses hold the group in an image's name; None: what the source
            tells.
        val_groups, test_groups: groups that go to these splits, whatever the hash says; if any are named, the hash says
            nothing and the others are trained on.
        keep: take the source's own split where it has one.
    """

    val: float = 0.15
    test: float = 0.0
    seed: int = 0
    pattern: str | None = None
    val_groups: Collection[str] = ()
    test_groups: Collection[str] = ()
    keep: bool = False

    def group(self, entry: Entry) -> str | None:
        """The group of an image."""
        return entry.group if self.pattern is None else group_of(entry.name, self.pattern)

    def split(self, entry: Entry) -> str:
        """The split of an image."""
        if self.keep and entry.split is not None:
            return entry.split
        group = self.group(entry) or entry.name
        if self.val_groups or self.test_groups:
            return 'val' if group in self.val_groups else 'test' if group in self.test_groups else 'train'
        return split_of(group, self.val, self.test, self.seed)


@dataclass
class ImportReport:
    """What was imported. images: of each split; groups: of each split; pixels: (C,) of each class, and ignored; notes:
    what the importer has to tell, with numbers; present: images that were in the data set already.
    """

    classes: ClassSet
    images: Counter[str] = field(default_factory=Counter)
    groups: dict[str, set[str]] = field(default_factory=dict)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    notes: Counter[str] = field(default_factory=Counter)
    present: int = 0

    @property
    def count(self) -> int:
        """Images imported."""
        return sum(self.images.values())

    def add(self, split: str, group: str | None, content: Content) -> None:
        """Counts one image in."""
        self.images[split] += 1
        if group is not None:
            self.groups.setdefault(split, set()).add(group)
        self.pixels += np.bincount(content.labels.ravel(), minlength=256)
        self.notes += content.notes

    def lines(self) -> list[str]:
        """What a person wants to know of it."""
        lines = []
        for split in ('train', 'val', 'test'):
            groups = self.groups.get(split)
            of_groups = f' of {len(groups)} groups' if groups else ''
            lines.append(f'{split}: {self.images[split]} images{of_groups}')
        total = max(int(self.pixels.sum()), 1)
        shares = [f'{name} {self.pixels[i] / total:.2%}' for i, name in enumerate(self.classes.names)]
        lines.append('pixels: ' + ', '.join([*shares, f'ignored {self.pixels[IGNORE] / total:.2%}']))
        lines += [f'{text}: {number}' for text, number in self.notes.items() if number]
        if self.present:
            lines.append(f'{self.present} images were there already and stay as they are')
        return lines


def import_entries(
    source: Importer,
    output: Path,
    classes: ClassSet,
    rule: SplitRule,
    *,
    absent: dict[str, str] | None = None,
    prefix: str = '',
    append: bool = False,
    dry_run: bool = False,
    most_unknown: float = 0.001,
    extension: str = 'png',
    label_tools: Path | None = None,
    progress: Progress = lambda results, total: results,
) -> ImportReport:
    """Reads all images of ``source`` and writes them as a data set.

    An interrupted import leaves a data set of what was done; with ``append`` the next one goes on there.

    Args:
        absent: classes this truth never draws, and what it draws instead; None: as the source tells.
        prefix: set before every image's name.
        append: add to the data set that is there.
        dry_run: read everything, write nothing.
        most_unknown: share of an image's pixels that may be of unknown colour; beyond, the image is refused.
        extension: of images that are not copied as they are: jpg or png.
        label_tools: folder to write the labels into once more, as label tools read them.
        progress: wraps the results, and is told how many there may be.

    Raises:
        DatasetError: ``output`` holds something already, a name is taken by another image, an image cannot be used.
        SourceError, ImageError: the source cannot be read.
    """
    if extension not in ('jpg', 'png'):
        raise ConfigurationError(f'image format {extension!r} must be jpg or png')
    if not append:
        _reject_occupied(output)
    report = ImportReport(classes)
    with ExitStack() as stack:
        writer = tools = None
        if not dry_run:
            if not append:
                stack.push(partial(_remove_if_nothing_came, output, report))
            absent = dict(source.absent) if absent is None else absent
            writer = stack.enter_context(DatasetWriter(output, classes, absent=absent, append=append))
            if label_tools is not None:
                tools = stack.enter_context(LabelToolFiles(label_tools, classes))

        def work(entry: Entry) -> Content:
            content = entry.read()
            _check(entry, content, most_unknown)
            if writer is not None:
                _write(writer.root, prefix + entry.name, entry, content, extension)
            return content

        new = _new_entries(source, writer, prefix, report)
        results = stack.enter_context(closing(map_in_threads(work, new)))
        for entry, content in progress(results, len(source)):
            name, split, group = prefix + entry.name, rule.split(entry), rule.group(entry)
            if writer is not None:
                writer.add(name, None, None, split=split, group=group, balls=content.balls, stamp=entry.stamp)
            if tools is not None:
                suffix = entry.image_file.suffix.lower() if entry.image_file else f'.{extension}'
                tools.add(name, f'{name}{suffix}', content.labels)
            report.add(split, group, content)
            if writer is not None and report.count % SAVED_EVERY == 0:
                writer.close()
    return report


def _remove_if_nothing_came(output: Path, report: ImportReport, kind: type[BaseException] | None, *_: object) -> None:
    """An import that failed at its first image shall not stand in the way of the next try."""
    if kind is not None and not report.count:
        shutil.rmtree(output, ignore_errors=True)


def _reject_occupied(output: Path) -> None:
    if (output / 'dataset.yaml').is_file():
        raise DatasetError(f'{output} holds a data set already; --append adds to it, or choose another folder')
    if output.is_dir() and any(output.iterdir()):
        raise DatasetError(f'{output} is not empty, and what is in it would be mixed up; choose another folder')


def _new_entries(source: Importer, writer: DatasetWriter | None, prefix: str, report: ImportReport) -> Iterator[Entry]:
    """Entries that are not in the data set yet."""
    seen: set[str] = set()
    for entry in source:
        name = prefix + entry.name
        if name in seen:
            raise DatasetError(
                f'two images of the source would both have the name {name!r}; import their folders one by one'
            )
        seen.add(name)
        if writer is not None and name in writer:
            _reject_another(writer.root, name, entry)
            report.present += 1
            continue
        yield entry


def _reject_another(root: Path, name: str, entry: Entry) -> None:
    there = [path for path in (root / 'images').glob(f'{glob.escape(name)}.*') if path.stem == name]
    if entry.image_file and not any(filecmp.cmp(entry.image_file, path, shallow=False) for path in there):
        raise DatasetError(
            f'{root} has another image called {name!r} than {entry.image_file}; tell them apart with --prefix'
        )


def _check(entry: Entry, content: Content, most_unknown: float) -> None:
    unknown = content.notes['unknown'] / content.labels.size
    if unknown > most_unknown:
        colors = ', '.join(f'{text} ({number} pixels)' for text, number in content.notes.items() if text[0] == '#')
        raise DatasetError(
            f'the label image of {entry.label_file or entry.name} has {unknown:.1%} of unknown colours: {colors}; '
            'add them to --colors (ignore=#rrggbb leaves them out), or raise --most-unknown'
        )


def _write(root: Path, name: str, entry: Entry, content: Content, extension: str) -> None:
    """The image last, so that a sample with an image is whole."""
    write_image(root / 'labels' / f'{name}.png', content.labels)
    if entry.image_file is None:
        write_image(root / 'images' / f'{name}.{extension}', content.image)
    else:
        write_atomically(root / 'images' / f'{name}{entry.image_file.suffix.lower()}', entry.image_file.read_bytes())
