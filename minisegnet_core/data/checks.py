"""Looking through a data set before hours are spent on it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.data.split import reject_leaks
from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.files import fingerprint
from minisegnet_core.imaging import IMAGE_SUFFIXES, read_image, read_labels
from minisegnet_core.parallel import map_with_progress

RECORD = Path('cache', 'checked.json')
MOST_FAULTS = 10

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]


def check_dataset(
    dataset: Dataset, splits: Sequence[str] = ('train', 'val'), progress: Progress = lambda samples: samples
) -> dict[str, tuple[str, ...]]:
    """Opens every image and label of these splits; files that were good and have not changed are not opened again.

    Args:
        progress: wraps the samples that are opened.

    Returns:
        By split, the names of the classes that none of its labels shows, in the order of the classes; those that the
        data set calls absent are left out.

    Raises:
        DatasetError: a split is empty, a group (or a recording without groups) stands on both sides of a split, a label
            has no image or an image no label, sizes differ, a file cannot be read, is cut off, has ids that are no
            class's, or shows a class that the data set calls absent. The text names the first ten files and what is
            wrong with each.
    """
    samples = [sample for split in splits for sample in dataset.split(split)]
    reject_leaks(dataset, splits)
    _reject_orphans(dataset.root)
    record = dataset.root / RECORD
    good = _read(record)
    states = {sample.name: _state(sample, dataset.classes) for sample in samples}
    unknown = [sample for sample in samples if good.get(sample.name, {}).get('state') != states[sample.name]]
    faults = []
    try:
        for sample, found in map_with_progress(lambda sample: _look(sample, dataset.classes), unknown, progress):
            if isinstance(found, str):
                faults.append(found)
            else:
                good[sample.name] = {'state': states[sample.name], 'shown': found}
    finally:
        if unknown:
            _write(record, good)
    absent = {label for label, name in enumerate(dataset.classes.names) if name in dataset.absent}
    for sample in samples:
        for label in sorted(absent.intersection(good.get(sample.name, {}).get('shown', ()))):
            name = dataset.classes.names[label]
            faults.append(f'{sample.label_path} shows {name}, which dataset.yaml calls absent')
    if faults:
        raise DatasetError(f'{dataset.root} cannot be used: {_lines(faults)}')
    return {split: _not_in_labels(dataset, split, good) for split in splits}


def never_shown(train: Sequence[str], val: Sequence[str] = ()) -> list[str]:
    """A sentence each on the classes of :func:`check_dataset` that no label shows: a user may have reasons, so this is
    no error.
    """
    sentences = []
    for kind, names, problem in (
        ('training', train, 'the network cannot learn'),
        ('validation', [name for name in val if name not in train], 'validation cannot judge'),
    ):
        if names:
            them = 'it' if len(names) == 1 else 'them'
            sentences.append(f'no {kind} label shows {", ".join(names)}: {problem} {them}')
    return sentences


def _not_in_labels(dataset: Dataset, split: str, good: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    shown = {label for sample in dataset.split(split) for label in good[sample.name]['shown']}
    names = enumerate(dataset.classes.names)
    return tuple(name for label, name in names if label not in shown and name not in dataset.absent)


def _reject_orphans(root: Path) -> None:
    images = {p.stem for p in (root / 'images').iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}
    orphans = sorted(p for p in (root / 'labels').glob('*.png') if p.stem not in images)
    if orphans:
        raise DatasetError(f'{root} has labels without an image: {_lines([str(path) for path in orphans])}')


def _look(sample: Sample, classes: ClassSet) -> list[int] | str:
    """Ids of the classes that the label shows, or what is wrong with the files."""
    try:
        image = read_image(sample.image_path)
        if _is_cut_off(sample.image_path):
            return f'{sample.image_path} breaks off: it was not copied to its end'
        labels = read_labels(sample.label_path, (image.shape[0], image.shape[1]))
    except (ImageError, DatasetError) as error:
        return str(error)
    shown = [int(label) for label in np.nonzero(np.bincount(labels.ravel()))[0] if label != IGNORE]
    stray = [label for label in shown if label >= len(classes)]
    if stray:
        return (
            f'{sample.label_path} has ids {stray}, which are neither a class (0..{len(classes) - 1}) nor ignore (255)'
        )
    return shown


def _is_cut_off(path: Path) -> bool:
    """Whether a JPEG file lacks its end after the last scan; OpenCV fills what is missing with grey, in silence.

    By content: a PNG may be called .jpg, and has these bytes by chance.
    """
    data = path.read_bytes()
    return data.startswith(b'\xff\xd8') and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')


def _state(sample: Sample, classes: ClassSet) -> list[int]:
    return [len(classes), *fingerprint(sample.image_path), *fingerprint(sample.label_path)]


def _read(record: Path) -> dict[str, dict[str, Any]]:
    """Entries by name of the sample; those of older versions, which held no shown classes, are left out."""
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, dict) and 'shown' in entry}


def _write(record: Path, good: dict[str, dict[str, Any]]) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written only costs looking again
        record.parent.mkdir(exist_ok=True)
        temporary = record.with_suffix('.part')
        temporary.write_text(json.dumps(good))
        temporary.replace(record)


def _lines(faults: Sequence[str]) -> str:
    rest = [f'... and {len(faults) - MOST_FAULTS} more'] if len(faults) > MOST_FAULTS else []
    return ''.join(f'\n  {fault}' for fault in [*faults[:MOST_FAULTS], *rest])
