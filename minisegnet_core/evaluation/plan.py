"""What to evaluate: the jobs of a data set, of a folder or video, or of ROS bags."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.errors import ConfigurationError, SourceError, listed
from minisegnet_core.evaluation.job import BagJob, DatasetJob, FilesJob, Job
from minisegnet_core.evaluation.sources.bags import BagPart, BagSelection, ReadableBag, choose_topics
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.sources.source import Problems
from minisegnet_core.frames import is_bag, open_frames
from minisegnet_core.frames.bag import BagImages

PARTS_PER_WORKER = 4
"""Parts of a data set per worker; small parts let all workers finish at about the same time."""

MAX_NAMED = 3
"""Bags that the heading of the report names; its table lists all of them."""


@dataclass(frozen=True)
class Plan:
    """The jobs of an evaluation.

    Attributes:
        source: description for the report.
        jobs: at least one.
        frames: expected number of frames.
        names: file names for the outputs of each job. Parts of one data set share the empty name.
        problems: met while planning.
        failures: sources that cannot be evaluated, one sentence each.
    """

    source: str
    jobs: tuple[Job, ...]
    frames: int
    names: tuple[str, ...]
    problems: Problems = field(default_factory=Problems)
    failures: tuple[str, ...] = ()


def plan_source(path: Path, split: str = 'val', ground_truth: GroundTruthFiles | None = None, workers: int = 1) -> Plan:
    """Return the jobs of a data set, a folder of images, a video, or a bag.

    Args:
        split: split of a data set.
        ground_truth: ground truth of images, a video or a bag; a data set has its own.
        workers: number of processes among which a data set is divided.

    Raises:
        SourceError, DatasetError: the source is missing or cannot be read.
        ConfigurationError: ``ground_truth`` is given for a data set.
    """
    ground_truth = ground_truth or GroundTruthFiles()
    if not path.exists():
        raise SourceError(f'{path} does not exist; give the folder of a data set or of images, a video or a bag')
    if (path / 'dataset.yaml').is_file():
        if ground_truth != GroundTruthFiles():
            raise ConfigurationError(
                f'{path} is a data set, which has its own ground truth; leave out labels and balls, or give its images '
                'folder'
            )
        frames = len(open_dataset(path).split(split))
        parts = min(workers * PARTS_PER_WORKER, frames) if workers > 1 else 1
        jobs = tuple(DatasetJob(path, split, (k, parts)) for k in range(parts))
        return Plan(f'{path} ({split})', jobs, frames, ('',) * parts)
    if is_bag(path):
        return plan_bags([path], BagSelection(files=ground_truth))
    return Plan(str(path), (FilesJob(path, ground_truth),), len(open_frames(path)), ('',))


def plan_bags(paths: Sequence[Path], selection: BagSelection | None = None) -> Plan:
    """Return the jobs of bags. A bag that cannot be used is listed in ``failures``.

    Raises:
        SourceError: none of the bags can be used.
    """
    selection = selection or BagSelection()
    parts: list[BagPart] = []
    frames, problems, failures = 0, Problems(), []
    for path in paths:
        own = Problems()
        try:
            with ReadableBag(path) as bag:
                for topic in choose_topics(bag.path, selection, own):
                    parts.append(BagPart(path, topic))
                    frames += len(BagImages(bag.path, topic))
        except SourceError as error:
            failures.append(str(error))
        problems.merge(own)
    if not parts:
        raise SourceError(listed(failures, MAX_NAMED, '; '))
    source = listed((f'{part.path.name} {part.topic}' for part in parts), MAX_NAMED)
    names = file_names(parts) if len(parts) > 1 else ['']
    jobs = tuple(BagJob(part, selection) for part in parts)
    return Plan(source, jobs, frames, tuple(names), problems, tuple(failures))


def file_names(parts: Sequence[BagPart]) -> list[str]:
    """Return a different file name for each part: the bag's, and the topic's if a bag has several parts."""
    several = {part.path for part in parts if sum(other.path == part.path for other in parts) > 1}
    names: list[str] = []
    for part in parts:
        text = part.path.stem + (part.topic if part.path in several else '')
        name = base = re.sub(r'[^\w.-]+', '_', text).strip('_')
        number = 1
        while name in names:
            number += 1
            name = f'{base}_{number}'
        names.append(name)
    return names


def processes(workers: int, cluster: str) -> int:
    """Return the number of processes among which a data set is divided; a cluster's size is not known in advance."""
    return max(workers, os.cpu_count() or 1, 2) if workers > 1 or cluster else 1
