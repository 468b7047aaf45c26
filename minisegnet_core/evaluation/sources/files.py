"""Data sets, folders of images and videos as sources of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.checks import PREDICTED_LABELS
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.evaluation.sources.ground_truth import BallSource, GroundTruthMatcher, LabelSource, check_labels
from minisegnet_core.evaluation.sources.source import Problems, SourceFrame
from minisegnet_core.frames import open_frames
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.frames.frame import UniqueNames
from minisegnet_core.imaging import read_image


class DatasetSource:
    """Samples of one split of a data set. Implements :class:`~minisegnet_core.evaluation.sources.source.Source`.

    Args:
        classes: classes of the model.
        part: (k, n) selects the k-th of n runs of neighbouring samples.

    Raises:
        DatasetError: the model's classes differ from the data set's.
    """

    duration = 0
    consecutive = False

    def __init__(self, dataset: Dataset, split: str, classes: ClassSet, part: tuple[int, int] = (0, 1)) -> None:
        if classes.names != dataset.classes.names:
            raise DatasetError(
                f'the model has the classes {", ".join(classes.names)}, {dataset.root} has '
                f'{", ".join(dataset.classes.names)}; evaluate a model that was trained with the same classes'
            )
        self.name = f'{dataset.root} ({split})'
        self.absent = classes.absent_ids(dataset.absent)
        self.problems = Problems()
        samples = dataset.split(split)
        self._first, last = (len(samples) * (part[0] + k) // part[1] for k in (0, 1))
        self._samples: Sequence[Sample] = samples[self._first : last]
        self._classes = classes
        self.total = len(self._samples)

    def __iter__(self) -> Iterator[SourceFrame]:
        for index, sample in enumerate(self._samples, self._first):
            try:
                image, labels = sample.read()
            except (DatasetError, ImageError) as error:
                self.problems.add('unreadable', f'image or labels cannot be read, skipped: {error}', sample.name)
                continue
            usable = check_labels(labels, image, sample.name, self._classes, self.problems)
            if sample.predicted:
                self.problems.add('predicted_labels', PREDICTED_LABELS, sample.name)
            if sample.balls is None and self._classes.has_ball:
                self.problems.add('no_ball_truth', 'image has no ball annotation, not in the ball figures', sample.name)
            yield SourceFrame(
                index, sample.name, image, sample.stamp, group=sample.group, labels=usable, balls=sample.balls
            )


class FileSource:
    """A folder of images or a video, with labels and balls by frame name.

    Implements :class:`~minisegnet_core.evaluation.sources.source.Source`.

    Raises:
        SourceError: the folder or video is missing or holds no images.
    """

    duration = 0

    def __init__(self, path: Path, labels: LabelSource | None, balls: BallSource | None, classes: ClassSet) -> None:
        self.name = str(path)
        self.absent: dict[int, int] = {}
        self.problems = Problems()
        self._frames = open_frames(path)
        self.consecutive = not isinstance(self._frames, ImageFolder)
        self._matcher = GroundTruthMatcher(labels, balls, classes, self.problems)
        self.total = len(self._frames)

    def __iter__(self) -> Iterator[SourceFrame]:
        for index, (name, stamp, image) in enumerate(self._images()):
            if image is None:
                continue
            labels, balls = self._matcher.match(name, stamp, None, image)
            yield SourceFrame(index, name, image, stamp, labels=labels, balls=balls)
        self._matcher.finish()

    def _images(self) -> Iterator[tuple[str, int | None, NDArray[np.uint8] | None]]:
        """Yield name, stamp and image of each frame; the image is None if it cannot be decoded."""
        if not isinstance(self._frames, ImageFolder):
            yield from ((frame.name, frame.stamp, frame.image) for frame in self._frames)
            missing = self._frames.missing
            if missing:
                self.problems.add('breaks_off', f'frame is missing at the end of {self.name}', '', missing)
            return
        unique = UniqueNames()  # the names that `predict` gives
        for path in self._frames.paths:
            name = unique(path.stem)
            try:
                yield name, None, read_image(path)
            except ImageError as error:
                self.problems.add('undecodable', f'image cannot be decoded: {error}', path.name)
                yield name, None, None
