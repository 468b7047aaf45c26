"""Check a whole data set before a training, so that faults do not stop it hours later."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import INDEX, Dataset, Sample
from minisegnet_core.data.split import reject_leaks
from minisegnet_core.errors import DatasetError, ImageError, MinisegnetError, OutputError
from minisegnet_core.files import fingerprint, read_json, write_text_atomically
from minisegnet_core.imaging import is_image_file, read_image, read_labels
from minisegnet_core.parallel import Progress, map_with_progress

RECORD = Path('cache', 'checked.json')
"""File inside a data set that records the checked files, so that only changed files are opened again."""

MAX_FAULTS = 10
"""Number of faults that one message lists."""


def check_dataset(
    dataset: Dataset,
    splits: Sequence[str] = ('train', 'val'),
    progress: Progress[Sample] = lambda samples: samples,
) -> dict[str, tuple[str, ...]]:
    """Open every image and label of some splits; files that passed an earlier check and have not changed are skipped.

    Args:
        progress: wraps the samples that are opened, for a progress display.

    Returns:
        For each split, the names of the classes that none of its labels shows, in the order of the classes and without
        the absent ones.

    Raises:
        DatasetError: a split is empty; a group, or a recording without groups, is in two splits; a label has no image
            or an image no label; sizes differ; a file cannot be read; a label has an unknown id, or shows an absent
            class. The message lists the first ten faults with their files.
    """
    samples = [sample for split in splits for sample in dataset.split(split)]
    reject_leaks(dataset, splits)
    _reject_orphans(dataset.root)
    record = dataset.root / RECORD
    passed = _read_record(record)
    states = {sample.name: _state(sample, dataset.classes) for sample in samples}
    unknown = [sample for sample in samples if passed.get(sample.name, {}).get('state') != states[sample.name]]
    faults = []
    try:
        for sample, found in map_with_progress(lambda sample: _check(sample, dataset.classes), unknown, progress):
            if isinstance(found, str):
                faults.append(found)
            else:
                passed[sample.name] = {'state': states[sample.name], 'shown': found}
    finally:
        if unknown:
            _write_record(record, passed)
    absent = dataset.classes.absent_ids(dataset.absent)
    for sample in samples:
        for label in sorted(absent.keys() & set(passed.get(sample.name, {}).get('shown', ()))):
            faults.append(f'{sample.label_path} shows {dataset.classes.names[label]}, which {INDEX} calls absent')
    if faults:
        raise DatasetError(f'{dataset.root} has faults; correct these files: {_lines(faults)}')
    return {split: _never_shown_classes(dataset, split, passed) for split in splits}


def never_shown(train: Sequence[str], val: Sequence[str] = ()) -> list[str]:
    """Return a warning for each split whose labels never show some classes, which may be intended.

    Args:
        train, val: classes of each split, as :func:`check_dataset` returns them.
    """
    warnings = []
    for kind, names, problem in (
        ('training', train, 'the network cannot learn'),
        ('validation', [name for name in val if name not in train], 'validation cannot measure'),
    ):
        if names:
            pronoun = 'it' if len(names) == 1 else 'them'
            warnings.append(f'no {kind} label shows {", ".join(names)}: {problem} {pronoun}')
    return warnings


def _never_shown_classes(dataset: Dataset, split: str, passed: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    shown = {label for sample in dataset.split(split) for label in passed[sample.name]['shown']}
    names = enumerate(dataset.classes.names)
    return tuple(name for label, name in names if label not in shown and name not in dataset.absent)


def _reject_orphans(root: Path) -> None:
    images = {path.stem for path in (root / 'images').iterdir() if is_image_file(path)}
    orphans = sorted(path for path in (root / 'labels').glob('*.png') if path.stem not in images)
    if orphans:
        raise DatasetError(f'{root} has labels without an image; add the images or delete: {_lines(orphans)}')


def _check(sample: Sample, classes: ClassSet) -> list[int] | str:
    """Return the ids of the classes that a label shows, or a description of the fault."""
    try:
        image = read_image(sample.image_path)
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


def _state(sample: Sample, classes: ClassSet) -> list[int]:
    return [len(classes), *fingerprint(sample.image_path), *fingerprint(sample.label_path)]


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries by sample name, without those of older versions, which do not record the shown classes."""
    try:
        content = read_json(path)
    except MinisegnetError:  # a missing or damaged record costs one check
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, dict) and 'shown' in entry}


def _write_record(path: Path, passed: dict[str, dict[str, Any]]) -> None:
    with contextlib.suppress(OSError, OutputError):  # without a record, the next check opens all files again
        path.parent.mkdir(exist_ok=True)
        write_text_atomically(path, json.dumps(passed))


def _lines(faults: Sequence[object]) -> str:
    rest = [f'and {len(faults) - MAX_FAULTS} more'] if len(faults) > MAX_FAULTS else []
    return ''.join(f'\n  {fault}' for fault in [*faults[:MAX_FAULTS], *rest])
