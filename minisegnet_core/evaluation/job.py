"""The work of an evaluation in parts that can run anywhere: in this process, in many, on many machines."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from minisegnet_core.commands.model_options import add_model_arguments, segmenter_of
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.evaluation.report.pictures import KeptFrame, Worst
from minisegnet_core.evaluation.report.recordings import OverlayVideo, ResultsBag, rate_of
from minisegnet_core.evaluation.scoring.pipeline import Listener, Predict, SourceResult, evaluate_source, predict_with
from minisegnet_core.evaluation.sources.bags import BagPart, BagQuestion, BagSource, ReadableBag
from minisegnet_core.evaluation.sources.files import DatasetSource, FileSource, Source
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.evaluation.sources.truth import LabelFolder, ball_truth_file
from minisegnet_core.inference.segmenter import Segmenter

Progress = Callable[[int], object]
Settings = tuple[tuple[str, Any], ...]
"""The options of `add_model_arguments` and their values: small, and the same model everywhere."""


@dataclass(frozen=True)
class Wanted:
    """What is to be written of each source. worst: number of frames to keep; apart: frames between two of them;
    overlay, results: the file and the folder to write, or None.
    """

    worst: int = 6
    apart: int = 0
    overlay: Path | None = None
    results: Path | None = None


@dataclass(frozen=True)
class DatasetWork:
    """One part of a data set's split: (k, n), the k-th of n."""

    root: Path
    split: str
    part: tuple[int, int] = (0, 1)
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True)
class FilesWork:
    """A folder of images or a video, with truth by name or without."""

    path: Path
    labels: Path | None = None
    balls: Path | None = None
    ball_class: int = 0
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True)
class BagWork:
    """One image topic of one bag."""

    part: BagPart
    question: BagQuestion
    wanted: Wanted = field(default_factory=Wanted)


Work = DatasetWork | FilesWork | BagWork


@dataclass
class Done:
    """A part that was worked on. failure: why nothing came of it, else empty; facts: of the model that ran."""

    result: SourceResult
    worst: list[KeptFrame]
    failure: str = ''
    facts: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=1)
def segmenter_for(settings: Settings) -> Segmenter:
    """The model that these settings mean; loaded once per process."""
    return segmenter_of(SimpleNamespace(**dict(settings)))


def model_facts(segmenter: Segmenter) -> dict[str, Any]:
    """What the report says of the model."""
    return {
        'model': {
            'file': segmenter.model_path.name,
            'hash': segmenter.model_hash,
            'engine': segmenter.engine,
            'precision': segmenter.precision,
            'device': segmenter.device,
        },
        'network_size': segmenter.network_size,
        'replay': 'offline',
        'notes': list(segmenter.notes),
    }


def do(work: Work, settings: Settings, progress: Progress = lambda _: None) -> Done:
    """Evaluates one part offline. Faults of the source are told in the result, those of the model raised."""
    segmenter = segmenter_for(settings)
    done = evaluate_work(work, segmenter.classes, predict_with(segmenter), progress)
    done.facts = model_facts(segmenter)
    return done


def evaluate_work(
    work: Work,
    classes: Any,
    predict: Predict,
    progress: Progress = lambda _: None,
    bag: tuple[ReadableBag, BagSource] | None = None,
) -> Done:
    """Evaluates one part with whatever predicts; ``bag``: the work's bag, where it is open already."""
    opened: ReadableBag | None = None
    listeners: list[Any] = []
    try:
        source: Source
        if isinstance(work, DatasetWork):
            source = DatasetSource(open_dataset(work.root), work.split, classes, work.part)
        elif isinstance(work, FilesWork):
            labels = None if work.labels is None else LabelFolder(work.labels)
            balls = None if work.balls is None else ball_truth_file(work.balls, work.ball_class)
            source = FileSource(work.path, labels, balls, classes)
        elif bag is not None:
            source = bag[1]
        else:
            opened = ReadableBag(work.part.path)
            source = BagSource(opened, work.part, work.question, classes)
        worst = Worst(work.wanted.worst, tuple(sorted(source.absent)), work.wanted.apart)
        if work.wanted.overlay is not None:
            work.wanted.overlay.parent.mkdir(parents=True, exist_ok=True)
            rate = rate_of(source.total, source.duration if isinstance(source, BagSource) else 0)
            listeners.append(OverlayVideo(work.wanted.overlay, classes, rate))
        if work.wanted.results is not None:
            work.wanted.results.parent.mkdir(parents=True, exist_ok=True)
            listeners.append(ResultsBag(work.wanted.results, classes))
        hearing: Sequence[Listener] = [worst, *listeners]
        return Done(evaluate_source(source, predict, classes, listeners=hearing, progress=progress), worst.kept)
    except MinisegnetError as error:
        return Done(SourceResult(name_of(work), [], Problems()), [], str(error))
    finally:
        for listener in listeners:
            listener.close()
        if opened is not None:
            opened.close()


def name_of(work: Work) -> str:
    """What a part is called before it could be opened."""
    if isinstance(work, DatasetWork):
        return f'{work.root} ({work.split})'
    return str(work.path) if isinstance(work, FilesWork) else f'{work.part.path} {work.part.topic}'


def do_all(
    works: Sequence[Work], settings: Settings, executor: Executor | None = None, progress: Progress = lambda _: None
) -> list[Done]:
    """Evaluates all parts, in the order given: here one after the other, or wherever the executor runs them.

    Ctrl-C: parts not begun are left out, those at work end with the frames they have.
    """
    if executor is None:
        alone = []
        for work in works:
            alone.append(do(work, settings, progress))
            if alone[-1].result.interrupted:
                break
        return alone
    futures = [executor.submit(do, work, settings) for work in works]
    try:
        for future in as_completed(futures):
            progress(len(future.result().result.scores))
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
    done = [future.result() for future in futures if not future.cancelled()]
    if len(done) < len(works):
        done[-1].result.interrupted = True
    return done


@contextmanager
def open_executor(workers: int, cluster: str) -> Iterator[Executor | None]:
    """Where the parts run: this process (None), ``workers`` processes of this machine, or a Dask cluster at an address.

    Raises:
        ConfigurationError: both are asked for, or the cluster cannot be reached or its package lacks.
    """
    if workers < 1:
        raise ConfigurationError(f'--workers is {workers}; it must be 1 or more')
    if cluster and workers > 1:
        raise ConfigurationError('--workers are processes of this machine, --cluster has its own; give one of them')
    if cluster:
        with _dask(cluster) as client, client.get_executor() as executor:
            yield executor
    elif workers > 1:
        # Started afresh: engines and threads do not survive a fork.
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as executor:
            yield executor
    else:
        yield None


def _dask(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigurationError(
            f'--cluster needs Dask: pip install "minisegnet_ros[cluster]", on every machine ({error})'
        ) from error
    try:
        return Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigurationError(f'no Dask scheduler answers at {address}: {error}') from error


def settings_of(arguments: Any, workers: int = 1) -> Settings:
    """The model's options out of a command's.

    With several workers and ``threads`` 0 the cores are shared out, one per worker at least.
    """
    parser = ArgumentParser()
    add_model_arguments(parser)
    names = [action.dest for action in parser._actions if action.dest != 'help']
    values = {name: getattr(arguments, name) for name in names}
    if workers > 1 and not values['threads']:
        values['threads'] = max(((os.cpu_count() or 1) - 1) // workers, 1)
    return tuple(values.items())
