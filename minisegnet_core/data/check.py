"""Looking through a data set before hours are spent on it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.cache import fingerprint
from minisegnet_core.data.dataset import IMAGE_EXTENSIONS, Dataset, Sample, read_image, read_labels
from minisegnet_core.data.split import reject_leaks
from minisegnet_core.data.threads import threaded
from minisegnet_core.errors import DatasetError, ImageError

RECORD = Path('cache', 'checked.json')
MOST_FAULTS = 10

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]


def check_dataset(
    dataset: Dataset, splits: Sequence[str] = ('train', 'val'), progress: Progress = lambda samples: samples
) -> None:
    """Opens every image and label of these splits; files that were good and have not changed are not opened again.

    Args:
        progress: wraps the samples that are opened.

    Raises:
        DatasetError: a split is empty, a group (or a recording without groups) stands on both sides of a split, a label
            has no image or an image no label, sizes differ, a file cannot be read, is cut off, or has ids that are no
            class's. The text names the first ten files and what is wrong with each.
    """
    samples = [sample for split in splits for sample in dataset.split(split)]
    reject_leaks(dataset, splits)
    _reject_orphans(dataset.root)
    record = dataset.root / RECORD
    good = _read(record)
    states = {sample.name: _state(sample, dataset.classes) for sample in samples}
    unknown = [sample for sample in samples if good.get(sample.name) != states[sample.name]]
    faults = []
    try:
        for sample, fault in threaded(lambda sample: _fault(sample, dataset.classes), unknown, progress):
            if fault is None:
                good[sample.name] = states[sample.name]
            else:
                faults.append(fault)
    finally:
        if unknown:
            _write(record, good)
    if faults:
        raise DatasetError(f'{dataset.root} cannot be used: {_lines(faults)}')


def _reject_orphans(root: Path) -> None:
    images = {p.stem for p in (root / 'images').iterdir() if p.suffix.lower() in IMAGE_EXTENSIONS}
    orphans = sorted(p for p in (root / 'labels').glob('*.png') if p.stem not in images)
    if orphans:
        raise DatasetError(f'{root} has labels without an image: {_lines([str(path) for path in orphans])}')


def _fault(sample: Sample, classes: ClassSet) -> str | None:
    try:
        image = read_image(sample.image_path)
        if sample.image_path.suffix.lower() != '.png' and _is_cut_off(sample.image_path):
            return f'{sample.image_path} breaks off: it was not copied to its end'
        labels = read_labels(sample.label_path, (image.shape[0], image.shape[1]))
    except (ImageError, DatasetError) as error:
        return str(error)
    counts = np.bincount(labels.ravel(), minlength=256)
    stray = [int(label) for label in np.nonzero(counts)[0] if label >= len(classes) and label != IGNORE]
    if stray:
        return (
            f'{sample.label_path} has ids {stray}, which are neither a class (0..{len(classes) - 1}) nor ignore (255)'
        )
    return None


def _is_cut_off(path: Path) -> bool:
    """Whether a JPEG file lacks its end after the last scan; OpenCV fills what is missing with grey, in silence."""
    data = path.read_bytes()
    return data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')


def _state(sample: Sample, classes: ClassSet) -> list[int]:
    return [len(classes), *fingerprint(sample.image_path), *fingerprint(sample.label_path)]


def _read(record: Path) -> dict[str, list[int]]:
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(record: Path, good: dict[str, list[int]]) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written only costs looking again
        record.parent.mkdir(exist_ok=True)
        temporary = record.with_suffix('.part')
        temporary.write_text(json.dumps(good))
        temporary.replace(record)


def _lines(faults: Sequence[str]) -> str:
    rest = [f'... and {len(faults) - MOST_FAULTS} more'] if len(faults) > MOST_FAULTS else []
    return ''.join(f'\n  {fault}' for fault in [*faults[:MOST_FAULTS], *rest])
