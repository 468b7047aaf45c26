"""Decoded images and labels, kept beside the data set: the half-resolution copy, and what spares decoding each epoch.

A folder holds ``half-*.bin`` and ``full-*.bin``, images (H, W, 3) uint8 RGB one after the other, and ``labels-*.bin``,
labels (H, W) uint8 at the image's full size: labels of the half-resolution stages are reduced from those, never from a
shrunk label image. ``manifest.jsonl`` has a line for each: where it lies, and of which source, by size and modification
time, it was made; what changed is made again. Files are read with ``pread`` rather than mapped: as fast, shared by all
workers through the system's page cache, and a file that somebody cuts off is noticed instead of a crash. All of it can
be deleted at any time: a file made anew has another name, so that whoever still goes by the old manifest does not read
other pixels from it. What cannot be kept is decoded each time, with the same result to the bit.
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
from minisegnet_core.errors import DatasetError
from minisegnet_core.files import fingerprint
from minisegnet_core.geometry import half_size
from minisegnet_core.imaging import image_size, read_image, read_labels
from minisegnet_core.parallel import map_with_progress
from minisegnet_core.training.config import Resolution
from minisegnet_core.training.data.reading import LABELS, Place, SampleReader, at_resolution

MANIFEST = 'manifest.jsonl'
GIGABYTE = 10**9
SPARE = GIGABYTE
"""Bytes of disk that are left free."""

Key = tuple[str, str]
"""Kind (``half``, ``full``, ``labels``) and name of the sample."""
Progress = Callable[[Sequence[Sample]], Iterable[Sample]]
Message = Callable[[str], None]


def cache_folder(root: Path, fallback: Path) -> Path:
    """``root/cache`` where the data set's folder can be written, else ``fallback``."""
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
    """A reader of ``samples``; what the cache lacks of them, or holds of another state, is made now, on all cores.

    Processes of one machine may call this at once: one makes, the others wait and read. An interrupted call loses
    nothing; the next goes on where it stopped. What does not fit is left out and decoded each time.

    Args:
        folder: of the cache, see :func:`cache_folder`.
        limit_gb: most that ``folder`` may come to, in 10^9 bytes; 0: keep nothing, decode each time.
        progress: wraps the samples that must be made.
        message: is told what will be kept where, and why something could not be.

    Raises:
        ImageError, DatasetError: a source cannot be read, or labels and image differ in size; the text names the file.
    """
    if limit_gb <= 0:
        return SampleReader(resolution)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _Making(samples, resolution, folder, message).run(limit_gb * GIGABYTE, progress)
    except OSError as error:
        message(f'nothing is cached in {folder} ({error.strerror or error}); images are decoded each time')
        return SampleReader(resolution)


class _Making:
    """One call of :func:`open_cache`, alone in its folder."""

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
        # Whoever reads from a file that was cut off must not find other pixels there: it is not written to again.
        broken = {place.file for _, place in entries.values() if place.offset + place.size > ends[place.file]}
        # Of other samples and resolutions, entries stay as they are; of these, only what is still true.
        self.entries = {
            key: (source, place)
            for key, (source, place) in entries.items()
            if place.file not in broken and self.sources.get(key, source) == source
        }
        self.files = {kind: _new_name(kind) for kind in self.kinds}
        """Which are written to, by kind."""
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
                self._make_all(chosen, places, progress)
        kept = {key: self.entries[key][1] for key in self.sources if key in self.entries}
        return SampleReader(self.resolution, self.folder, kept)

    def _tidy(self) -> None:
        """Forgets what is out of date; a file that is mostly out of date begins anew."""
        for kind in self.kinds:
            used = sum(place.size for (of, _), (_, place) in self.entries.items() if of == kind)
            if self._end(self.files[kind]) > 2 * used:
                self.entries = {key: entry for key, entry in self.entries.items() if key[0] != kind}
                self.files[kind] = _new_name(kind)
        manifest = self.folder / MANIFEST
        temporary = manifest.with_suffix('.part')
        temporary.write_text(''.join(_line(key, *entry) for key, entry in self.entries.items()))
        temporary.replace(manifest)
        known = {place.file for _, place in self.entries.values()}
        for path in self.folder.glob('*.bin'):
            if path.name not in known:
                path.unlink(missing_ok=True)
        self.stale = [sample for sample in self.stale if self._missing(sample)]

    def _places(self, limit: float) -> dict[Key, Place]:
        """Where the missing pixels shall lie; those beyond the limit, or the room on the disk, get no place."""
        ends = {kind: self._end(file) for kind, file in self.files.items()}
        here = sum(path.stat().st_size for path in self.folder.glob('*.bin'))
        free = shutil.disk_usage(self.folder).free - SPARE
        room = min(limit - here, free)
        places: dict[Key, Place] = {}
        new = left = 0
        for sample in self.stale:
            mine = {}
            for kind, name in self._missing(sample):
                shape = _shape(kind, image_size(sample.image_path))
                mine[kind, name] = Place(self.files[kind], ends[kind], shape)
            size = sum(place.size for place in mine.values())
            if new + size > room:
                left += 1
                continue
            new += size
            places |= mine
            ends |= {kind: place.offset + place.size for (kind, _), place in mine.items()}
        if places:
            self.message(
                f'{(here + new) / GIGABYTE:.2f} GB of decoded images and labels are kept in {self.folder}, '
                f'{new / GIGABYTE:.2f} GB of it new'
            )
        if left:
            cause = f'the limit of {limit / GIGABYTE:g} GB' if limit - here < free else 'too little room on the disk'
            self.message(f'{left} images are not cached in {self.folder}, for {cause}; they are decoded each time')
        return places

    def _make_all(self, samples: Sequence[Sample], places: dict[Key, Place], progress: Progress) -> None:
        with ExitStack() as stack:
            files = {kind: _open_to_write(self.folder / file, stack) for kind, file in self.files.items()}
            # Line by line, so that a kill loses nothing that was made.
            manifest = stack.enter_context((self.folder / MANIFEST).open('a', buffering=1))

            def make(sample: Sample) -> dict[Key, Place]:
                arrays = _decode(sample, self.resolution)
                done = {}
                for key in self._missing(sample):
                    array = arrays[key[0]]
                    place = Place(places[key].file, places[key].offset, array.shape)
                    if place.size != places[key].size:
                        raise DatasetError(f'{sample.image_path} decodes to another size than its header tells')
                    _write_at(files[key[0]], array, place.offset)
                    done[key] = place
                return done

            try:
                for _, done in map_with_progress(make, samples, progress):
                    for key, place in done.items():
                        manifest.write(_line(key, self.sources[key], place))
                        self.entries[key] = self.sources[key], place
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.message(f'the disk of {self.folder} is full; what is not cached yet is decoded each time')


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
    """Key to source and place; later lines win, and one that a crash cut off counts for nothing."""
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
    """Holds the folder for this process; another that wants it waits."""
    with (folder / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
