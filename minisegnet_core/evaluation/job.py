"""Parts of an evaluation that can run anywhere: in this process, in several processes, or on several machines.

A job is a small value that opens its own source. It is pickled and sent to the process that evaluates it.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.evaluation.report.recordings import OverlayVideo, ResultsBag, video_fps
from minisegnet_core.evaluation.scoring.pipeline import (
    Listener,
    Predict,
    Progress,
    SourceResult,
    evaluate_source,
    predict_with,
)
from minisegnet_core.evaluation.scoring.worst import KeptFrame, WorstFrames
from minisegnet_core.evaluation.sources.bags import BagPart, BagSelection, BagSource, ReadableBag
from minisegnet_core.evaluation.sources.files import DatasetSource, FileSource
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.sources.source import Source
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig


@dataclass(frozen=True)
class Outputs:
    """What a job keeps and writes beside its scores.

    Attributes:
        worst: maximum number of frames to keep for the report.
        overlay: video file to write, or None.
        results: bag folder to write, or None.
    """

    worst: int = 6
    overlay: Path | None = None
    results: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """One source, or a part of one, to evaluate."""

    spacing: ClassVar[int] = 0
    """Minimum number of frames between two of the worst frames, see :class:`WorstFrames`."""

    outputs: Outputs = Outputs()

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the source in reports, known before the source is opened."""

    @abstractmethod
    def open(self, classes: ClassSet) -> AbstractContextManager[Source]:
        """Open the source for a model with these classes.

        Raises:
            MinisegnetError: the source cannot be read.
        """


@dataclass(frozen=True)
class DatasetJob(Job):
    """One part of a split of a data set: ``part`` (k, n) is the k-th of n parts."""

    root: Path
    split: str
    part: tuple[int, int] = (0, 1)

    @property
    def name(self) -> str:
        return f'{self.root} ({self.split})'

    @contextmanager
    def open(self, classes: ClassSet) -> Iterator[Source]:
        yield DatasetSource(open_dataset(self.root), self.split, classes, self.part)


@dataclass(frozen=True)
class FilesJob(Job):
    """A folder of images or a video, with or without ground truth by frame name."""

    path: Path
    ground_truth: GroundTruthFiles = field(default_factory=GroundTruthFiles)

    @property
    def name(self) -> str:
        return str(self.path)

    @contextmanager
    def open(self, classes: ClassSet) -> Iterator[Source]:
        yield FileSource(self.path, self.ground_truth.open_labels(), self.ground_truth.open_balls(), classes)


@dataclass(frozen=True)
class BagJob(Job):
    """One image topic of one bag."""

    spacing = 5

    part: BagPart
    selection: BagSelection = field(default_factory=BagSelection)

    @property
    def name(self) -> str:
        return f'{self.part.path} {self.part.topic}'

    @contextmanager
    def open(self, classes: ClassSet) -> Iterator[BagSource]:
        with ReadableBag(self.part.path) as bag:
            yield BagSource(bag, self.part, self.selection, classes)


@dataclass
class JobResult:
    """The result of a job.

    Attributes:
        worst: the worst frames, worst first.
        failure: why the source could not be evaluated; empty if it could.
        facts: description of the model that ran, and of the replay.
    """

    result: SourceResult
    worst: list[KeptFrame] = field(default_factory=list)
    failure: str = ''
    facts: dict[str, Any] = field(default_factory=dict)


Runner = Callable[[Sequence[Job], SegmenterConfig, Progress], list[JobResult]]
"""Run jobs with a model and return their results in order."""


@lru_cache(maxsize=1)
def segmenter_for(config: SegmenterConfig) -> Segmenter:
    """Return the model that a configuration describes, loaded once per process."""
    return Segmenter.from_config(config)


def model_facts(segmenter: Segmenter) -> dict[str, Any]:
    """Return the report's description of a model that runs offline."""
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


def run_job(job: Job, config: SegmenterConfig, progress: Progress = lambda _: None) -> JobResult:
    """Evaluate one job offline. An error of the source is returned as ``failure``, an error of the model is raised."""
    segmenter = segmenter_for(config)
    try:
        with job.open(segmenter.classes) as source:
            done = evaluate_job(job, source, segmenter.classes, predict_with(segmenter), progress)
    except MinisegnetError as error:
        done = JobResult(SourceResult(job.name), failure=str(error))
    done.facts = model_facts(segmenter)
    return done


def evaluate_job(
    job: Job, source: Source, classes: ClassSet, predict: Predict, progress: Progress = lambda _: None
) -> JobResult:
    """Evaluate the opened source of a job and write the job's outputs.

    Raises:
        MinisegnetError: the source cannot be read, or an output cannot be written.
    """
    worst = WorstFrames(job.outputs.worst, tuple(sorted(source.absent)), job.spacing)
    with contextlib.ExitStack() as stack:
        listeners: list[Listener] = [worst]
        if job.outputs.overlay is not None:
            job.outputs.overlay.parent.mkdir(parents=True, exist_ok=True)
            video = OverlayVideo(job.outputs.overlay, classes, video_fps(source.total, source.duration))
            listeners.append(stack.enter_context(contextlib.closing(video)))
        if job.outputs.results is not None:
            job.outputs.results.parent.mkdir(parents=True, exist_ok=True)
            listeners.append(stack.enter_context(contextlib.closing(ResultsBag(job.outputs.results, classes))))
        result = evaluate_source(source, predict, classes, listeners=listeners, progress=progress)
    return JobResult(result, worst.kept)


def run_jobs(
    jobs: Sequence[Job], config: SegmenterConfig, executor: Executor | None = None, progress: Progress = lambda _: None
) -> list[JobResult]:
    """Evaluate all jobs offline and return their results in order.

    On Ctrl-C, jobs that have not begun are left out, and running ones end with the frames they have.

    Args:
        executor: where the jobs run; None runs them one after the other in this process.
    """
    if executor is None:
        results = []
        for job in jobs:
            results.append(run_job(job, config, progress))
            if results[-1].result.interrupted:
                break
        return results
    futures = [executor.submit(run_job, job, config) for job in jobs]
    try:
        for future in as_completed(futures):
            progress(len(future.result().result.scores))
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
    results = [future.result() for future in futures if not future.cancelled()]
    if len(results) < len(jobs):
        results[-1].result.interrupted = True
    return results


@contextmanager
def open_executor(workers: int, cluster: str) -> Iterator[Executor | None]:
    """Yield an executor of ``workers`` processes or of the Dask cluster at an address; None means this process.

    Raises:
        ConfigurationError: the cluster cannot be reached, or Dask is not installed.
    """
    if cluster:
        with _dask_client(cluster) as client, client.get_executor() as executor:
            yield executor
    elif workers > 1:
        # Engines and threads do not survive a fork.
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as executor:
            yield executor
    else:
        yield None


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigurationError(
            f'evaluation on a cluster needs Dask ({error}); pip install "minisegnet_ros[cluster]" on every machine'
        ) from error
    try:
        return Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigurationError(f'no Dask scheduler answers at {address}: {error}') from error
