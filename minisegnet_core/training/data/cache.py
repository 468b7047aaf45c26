"""The cache of decoded images and labels beside the data set, which saves decoding and halving them in each epoch.

Its folder holds ``half-*.bin`` and ``full-*.bin``, images (H, W, 3) uint8 RGB in sequence, and ``labels-*.bin``, labels
(H, W) uint8 at full size; labels of the half-resolution stages are reduced from these, never from a shrunk label image.
``manifest.jsonl`` has one line per entry: its place, and the size and modification time of its source. An entry whose
source changed is made again.

Files are read with ``pread`` instead of mapped. It is as fast, all workers share the system's page cache, and a
truncated file is detected instead of crashing the process. The folder can be deleted at any time. A new file always has
a new name, so that a process that still uses the old manifest cannot read other pixels from it. Samples that do not fit
are decoded each time, with identical results.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.data.dataset import Sample
from minisegnet_core.errors import DatasetError, OutputError
from minisegnet_core.files import fingerprint, write_text_atomically
from minisegnet_core.geometry import half_size
from minisegnet_core.imaging import image_size, read_image, read_labels
from minisegnet_core.parallel import map_with_progress
from minisegnet_core.training.config import Resolution
from minisegnet_core.training.data.reader import LABELS, Place, SampleReader, at_resolution

MANIFEST = 'manifest.jsonl'
GIGABYTE = 10**9
RESERVE = GIGABYTE
"""Bytes of disk space that are left free."""

Key = tuple[str, str]
"""Kind (``half``, ``full``, ``labels``) and name of the sample."""
Progress = Callable[[Sequence[Sample]], Iterable[Sample]]
Message = Callable[[str], None]


def cache_folder(root: Path, fallback: Path) -> Path:
    """Return ``root/cache`` if the data set's folder is writable, else ``fallback``."""
    return root / 'cache' if os.access(root, os.W_OK) else fallback


def open_cache(
    samples: Sequence[Sample],
    resolution: Resolution,
    folder: Path,
    *,
    limit_gb: float,
    progress: Progress = lambda samples: samples,
    message: Message = lambda text: None,
) -> SampleReader:
    """Add missing and outdated samples to the cache, on all cores, and return a reader that uses it.

    Processes of one machine may call this concurrently: one of them decodes, the others wait. After an interruption the
    next call continues where it stopped. Samples that do not fit are decoded each time they are read.

    Args:
        folder: of the cache; see :func:`cache_folder`.
        limit_gb: maximum size of ``folder`` in 10^9 bytes; 0: cache nothing.
        progress: wraps the samples that are decoded.
        message: receives notes on where samples are cached, and why some are not.

    Raises:
        ImageError, DatasetError: a source cannot be read, or labels and image differ in size.
    """
    if limit_gb <= 0:
        return SampleReader(resolution)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _Update(samples, resolution, folder, message).run(limit_gb * GIGABYTE, progress)
    except (OSError, OutputError) as error:
        reason = getattr(error, 'strerror', None) or error
        message(f'cannot cache images in {folder} ({reason}); they are decoded each time')
        return SampleReader(resolution)


class _Update:
    """One call of :func:`open_cache`, which holds the lock of its folder."""

    def __init__(self, samples: Sequence[Sample], resolution: Resolution, folder: Path, message: Message) -> None:
        self.resolution, self.folder, self.message = resolution, folder, message
        self.kinds = (LABELS, resolution)
        self.sources = {
            (kind, sample.name): fingerprint(sample.label_path if kind == LABELS else sample.image_path)
            for sample in samples
            for kind in self.kinds
        }
        entries = _read_manifest(folder / MANIFEST)
        ends = {place.file: self._end(place.file) for _, place in entries.values()}
        # A truncated file is never written to again: a process that still reads from it must not find other pixels.
        broken = {place.file for _, place in entries.values() if place.offset + place.size > ends[place.file]}
        # Entries of other samples and resolutions are kept; those of these samples only if their source is unchanged.
        self.entries = {
            key: (source, place)
            for key, (source, place) in entries.items()
            if place.file not in broken and self.sources.get(key, source) == source
        }
        self.files = {kind: _new_name(kind) for kind in self.kinds}  # those that are written to
        self.files |= {kind: place.file for (kind, _), (_, place) in self.entries.items() if kind in self.files}
        self.stale = [s for s in samples if self._missing(s)]

    def _end(self, file: str) -> int:
        return fingerprint(self.folder / file)[0]

    def _missing(self, sample: Sample) -> list[Key]:
        return [(kind, sample.name) for kind in self.kinds if (kind, sample.name) not in self.entries]

    def run(self, limit: float, progress: Progress) -> SampleReader:
        if self.stale:
            self._tidy()
            places = self._places(limit)
            chosen = [sample for sample in self.stale if not places.keys().isdisjoint(self._missing(sample))]
            if chosen:
                self._decode_all(chosen, places, progress)
        cached = {key: self.entries[key][1] for key in self.sources if key in self.entries}
        return SampleReader(self.resolution, self.folder, cached)

    def _tidy(self) -> None:
        """Drop outdated entries; replace a file of which more than half is outdated."""
        for kind in self.kinds:
            used = sum(place.size for (of, _), (_, place) in self.entries.items() if of == kind)
            if self._end(self.files[kind]) > 2 * used:
                self.entries = {key: entry for key, entry in self.entries.items() if key[0] != kind}
                self.files[kind] = _new_name(kind)
        manifest = self.folder / MANIFEST
        write_text_atomically(manifest, ''.join(_line(key, *entry) for key, entry in self.entries.items()))
        known = {place.file for _, place in self.entries.values()}
        for path in self.folder.glob('*.bin'):
            if path.name not in known:
                path.unlink(missing_ok=True)
        self.stale = [sample for sample in self.stale if self._missing(sample)]

    def _places(self, limit: float) -> dict[Key, Place]:
        """Return places for missing entries, as far as the limit and the disk have room."""
        ends = {kind: self._end(file) for kind, file in self.files.items()}
        here = sum(path.stat().st_size for path in self.folder.glob('*.bin'))
        free = shutil.disk_usage(self.folder).free - RESERVE
        room = min(limit - here, free)
        places: dict[Key, Place] = {}
        new = left = 0
        for sample in self.stale:
            wanted = {}
            for kind, name in self._missing(sample):
                shape = _shape(kind, image_size(sample.image_path))
                wanted[kind, name] = Place(self.files[kind], ends[kind], shape)
            size = sum(place.size for place in wanted.values())
            if new + size > room:
                left += 1
                continue
            new += size
            places |= wanted
            ends |= {kind: place.offset + place.size for (kind, _), place in wanted.items()}
        if places:
            self.message(
                f'caching {new / GIGABYTE:.2f} GB of decoded images and labels in {self.folder}, which will hold '
                f'{(here + new) / GIGABYTE:.2f} GB'
            )
        if left:
            cause = f'the limit is {limit / GIGABYTE:g} GB' if limit - here < free else 'the disk has too little space'
            self.message(f'{left} images are decoded each time instead of cached in {self.folder}: {cause}')
        return places

    def _decode_all(self, samples: Sequence[Sample], places: dict[Key, Place], progress: Progress) -> None:
        with ExitStack() as stack:
            files = {kind: _open_to_write(self.folder / file, stack) for kind, file in self.files.items()}
            # Written line by line, so that a killed process loses no finished entry.
            manifest = stack.enter_context((self.folder / MANIFEST).open('a', buffering=1))

            def add(sample: Sample) -> dict[Key, Place]:
                arrays = _decode(sample, self.resolution)
                done = {}
                for key in self._missing(sample):
                    array = arrays[key[0]]
                    place = Place(places[key].file, places[key].offset, array.shape)
                    if place.size != places[key].size:
                        raise DatasetError(
                            f'{sample.image_path} is damaged: its header gives another size than its content'
                        )
                    _write_at(files[key[0]], array, place.offset)
                    done[key] = place
                return done

            try:
                for _, done in map_with_progress(add, samples, progress):
                    for key, place in done.items():
                        manifest.write(_line(key, self.sources[key], place))
                        self.entries[key] = self.sources[key], place
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.message(f'the disk of {self.folder} is full; images that are not cached yet are decoded each time')


def _new_name(kind: str) -> str:
    return f'{kind}-{secrets.token_hex(4)}.bin'


def _shape(kind: str, size: tuple[int, int]) -> tuple[int, ...]:
    width, height = half_size(*size) if kind == 'half' else size
    return (height, width) if kind == LABELS else (height, width, 3)


def _decode(sample: Sample, resolution: Resolution) -> dict[str, NDArray[np.uint8]]:
    image = read_image(sample.image_path)
    labels = read_labels(sample.label_path, (image.shape[0], image.shape[1]))
    return {LABELS: labels, resolution: at_resolution(image, resolution)}


def _line(key: Key, source: list[int], place: Place) -> str:
    return json.dumps([*key, source, place.file, place.offset, list(place.shape)]) + '\n'


def _read_manifest(path: Path) -> dict[Key, tuple[list[int], Place]]:
    """Return key to (source, place). Later lines win; a line that a crash truncated is skipped."""
    entries: dict[Key, tuple[list[int], Place]] = {}
    for line in path.read_text(errors='replace').splitlines() if path.is_file() else ():
        try:
            kind, name, source, file, offset, shape = json.loads(line)
            entries[str(kind), str(name)] = source, Place(str(file), int(offset), tuple(map(int, shape)))
        except (ValueError, TypeError):
            continue
    return entries


def _open_to_write(path: Path, stack: ExitStack) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    stack.callback(os.close, descriptor)
    return descriptor


def _write_at(descriptor: int, array: NDArray[np.uint8], offset: int) -> None:
    rest = np.ascontiguousarray(array).data.cast('B')
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder; other processes wait for it."""
    with (folder / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
