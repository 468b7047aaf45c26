"""Renders a series of images with several processes, as a data set or a bag, and goes on where it was stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.writer import DatasetWriter, write_sample
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.parallel import bounded_map
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.renderer import LabelledImage, render_scene
from minisegnet_core.scenes.sequence import SceneSequence

RECORD = 'synthesize.json'
START = 1_700_000_000_000_000_000
"""Nanoseconds; stamp of the first frame of a sequence. Not 0, which ROS takes for "no stamp"."""
AHEAD = 4
"""Images that each worker may be ahead of the one that is waited for."""
T = TypeVar('T')
Progress = Callable[[Iterable[T], int, int], Iterable[T]]


@dataclass(frozen=True)
class Series:
    """What to render: ``count`` scenes, or frames of one sequence at ``rate`` a second."""

    config: SceneConfig
    seed: int
    count: int
    sequence: bool = False
    rate: float = 10.0

    def name(self, index: int) -> str:
        """Name of an image."""
        return f'{"frame" if self.sequence else "scene"}_{index:06d}'

    def stamp(self, index: int) -> int:
        """Nanoseconds."""
        return START + round(index * 1e9 / self.rate)

    def describe(self) -> dict[str, Any]:
        """All that decides over the bytes of an image."""
        kind = {'sequence': True, 'rate': self.rate} if self.sequence else {'sequence': False}
        return {'seed': self.seed, **kind, 'config': self.config.to_mapping()}


_series: Series | None = None
_sequence: SceneSequence | None = None


def start_worker(series: Series) -> None:
    """Prepares a process to render images of a series."""
    global _series, _sequence  # noqa: PLW0603 - a process pool hands its workers no other state
    cv2.setNumThreads(1)
    _series = series
    _sequence = SceneSequence(series.config, series.seed, series.rate) if series.sequence else None


def render_index(index: int) -> LabelledImage:
    """Image ``index`` of the series of this process."""
    assert _series is not None
    if _sequence is not None:
        return _sequence.frame(index)
    return render_scene(_series.config, _series.seed, index)


def _start_child(series: Series) -> None:
    # Ctrl-C reaches the whole group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start_worker(series)


@contextmanager
def mapped(series: Series, work: Callable[[int], T], indices: list[int], workers: int) -> Iterator[Iterator[T]]:
    """``work`` on every index, in order, in this process or in ``workers`` others.

    Raises:
        ConfigurationError: the other processes ended before their work was done, as they do under a script that has no
            main guard, since each of them imports it.
    """
    if workers <= 1 or len(indices) < 2:
        threads = cv2.getNumThreads()
        start_worker(series)
        try:
            yield (work(index) for index in indices)
        finally:
            cv2.setNumThreads(threads)
        return
    # Each worker is one process on one core; libraries that start threads of their own would make them compete.
    for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ.setdefault(name, '1')
    workers = min(workers, len(indices))
    spawn = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_child, initargs=(series,))
    try:
        yield (result for _, result in bounded_map(pool, work, indices, AHEAD * workers))
    except BrokenProcessPool as error:
        raise ConfigurationError(
            f'the {workers} worker processes ended before their work was done. A script must do its work under '
            "`if __name__ == '__main__':`, since each worker imports it; where that is not the cause, memory may have "
            'run out: fewer --workers need less'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_record(folder: Path, description: dict[str, Any]) -> None:
    """Makes sure that a folder is new or holds the beginning of this very series, and notes what it will hold.

    Raises:
        DatasetError: it holds something else.
    """
    record = folder / RECORD
    if record.is_file():
        try:
            held = json.loads(record.read_text())
        except json.JSONDecodeError as error:
            raise DatasetError(f'{record} is damaged ({error}); remove {folder} and begin anew') from error
        if held != json.loads(json.dumps(description)):
            differing = [key for key in description if held.get(key) != json.loads(json.dumps(description))[key]]
            raise DatasetError(
                f'{folder} holds a series with other settings ({", ".join(differing)}); '
                'choose another --output, or remove it'
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f'{folder} is not empty and not made by synthesize; choose another --output')
    folder.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(description))


@dataclass(frozen=True)
class _Write:
    """Renders an image and writes its files; made in the parent, called in workers."""

    root: Path
    series: Series
    extension: str

    def __call__(self, index: int) -> tuple[int, list[dict[str, float]], dict[str, Any]]:
        rendered = render_index(index)
        write_sample(self.root, self.series.name(index), rendered.image, rendered.labels, self.extension)
        return index, [asdict(ball) for ball in rendered.balls], rendered.camera.describe()


def in_validation(index: int, share: float) -> bool:
    """Whether an image belongs to the validation split: evenly spread, independent of how many there are."""
    return int((index + 1) * share + 1e-9) > int(index * share + 1e-9)


def write_dataset(
    series: Series, output: Path, *, val_share: float, extension: str, workers: int, progress: Progress[Any]
) -> int:
    """Renders a series into a data set; images that are there already are kept. Returns how many were rendered.

    What was finished when it is interrupted is a data set too.

    Raises:
        DatasetError: ``output`` holds something else.
    """
    description = {**series.describe(), 'val_share': val_share, 'extension': extension}
    check_record(output, description)
    writer = DatasetWriter(output)
    finished = {name: entry for name, entry in _annotations(output).items() if _is_whole(output, name, extension)}
    missing = [i for i in range(series.count) if series.name(i) not in finished]
    records: dict[int, tuple[list[dict[str, float]], dict[str, Any]]] = {}
    try:
        with mapped(series, _Write(output, series, extension), missing, workers) as results:
            for index, balls, camera in progress(results, series.count, series.count - len(missing)):
                records[index] = balls, camera
    finally:
        with writer:
            for index in range(series.count):
                name = series.name(index)
                if index in records:
                    balls, camera = records[index]
                elif name in finished:
                    balls, camera = finished[name]['balls'], finished[name]['camera']
                else:
                    continue
                is_val = val_share >= 1 if series.sequence else in_validation(index, val_share)
                writer.add(
                    name,
                    None,
                    None,
                    split='val' if is_val else 'train',
                    group=f'sequence_{series.seed}' if series.sequence else None,
                    balls=[BallTruth(**ball) for ball in balls],
                    stamp=series.stamp(index) if series.sequence else None,
                    camera=camera,
                )
    return len(missing)


def _is_whole(root: Path, name: str, extension: str) -> bool:
    return (root / 'images' / f'{name}.{extension}').is_file() and (root / 'labels' / f'{name}.png').is_file()


def _annotations(root: Path) -> dict[str, dict[str, Any]]:
    path = root / 'annotations.jsonl'
    if not path.is_file():
        return {}
    entries = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {entry['name']: entry for entry in entries}
