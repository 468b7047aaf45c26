"""What can be evaluated: data sets, folders of images and videos, each with the truth that is there for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.errors import DatasetError, ImageError, SourceError
from minisegnet_core.evaluation.scoring.frames import TruthFrame, clean_labels
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.evaluation.sources.truth import BallTruths, LabelTruth
from minisegnet_core.frames import open_frames
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.frames.frame import UniqueNames
from minisegnet_core.imaging import read_image


class Source(Protocol):
    """Iterated once; faults of the input are collected in ``problems`` and do not end it.

    Attributes:
        name: of the source, in reports. absent: ids that its truth never draws, and what it draws instead. total:
        frames that there should be, for progress bars and for what is lost. in_time: whether neighbours follow each
        other in time, so that what changes from one to the next means something.
    """

    name: str
    in_time: bool
    absent: dict[int, int]
    problems: Problems
    total: int

    def __iter__(self) -> Iterator[TruthFrame]: ...


class DatasetSource:
    """Samples of a data set.

    Args:
        part: (k, n) takes the k-th of n parts of the samples, each a run of neighbours.

    Raises:
        DatasetError: the model's classes are not the data set's.
    """

    def __init__(self, dataset: Dataset, split: str, classes: ClassSet, part: tuple[int, int] = (0, 1)) -> None:
        if classes.names != dataset.classes.names:
            raise DatasetError(
                f'the model knows the classes {", ".join(classes.names)}, {dataset.root} has '
                f'{", ".join(dataset.classes.names)}; they must be the same'
            )
        names = classes.names
        self.in_time = False
        self.name = f'{dataset.root} ({split})'
        self.absent = {names.index(name): names.index(instead) for name, instead in dataset.absent.items()}
        self.problems = Problems()
        samples = dataset.split(split)
        self._first, last = (len(samples) * (part[0] + k) // part[1] for k in (0, 1))
        self._samples: Sequence[Sample] = samples[self._first : last]
        self._classes = classes
        self.total = len(self._samples)

    def __iter__(self) -> Iterator[TruthFrame]:
        for index, sample in enumerate(self._samples, self._first):
            try:
                image, labels = sample.read()
            except (DatasetError, ImageError) as error:
                self.problems.add(
                    'unreadable', f'image or labels cannot be read and are left out: {error}', sample.name
                )
                continue
            usable = check_labels(labels, image, sample.name, self._classes, self.problems)
            if sample.balls is None:
                self.problems.add('no_ball_truth', 'image without ball truth counts for no ball figure', sample.name)
            yield TruthFrame(
                index, sample.name, image, sample.stamp, group=sample.group, labels=usable, balls=sample.balls
            )


class FrameTruth:
    """Adds truth to the frames of any source, and counts what does not fit together.

    labels, balls: where truth comes from, None: there is none of this kind.
    """

    def __init__(
        self, labels: LabelTruth | None, balls: BallTruths | None, classes: ClassSet, problems: Problems
    ) -> None:
        self._labels, self._balls = labels, balls
        self._classes, self._problems = classes, problems
        self._ball_id = classes.id_of(BALL)
        self._matched = {'labels': 0, 'balls': 0}
        self._frames: list[str] = []

    def of(
        self, name: str, stamp: int | None, received: int | None, image: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8] | None, tuple[BallTruth, ...] | None]:
        """Labels and balls of one frame."""
        if len(self._frames) < 1:
            self._frames.append(name)
        size = image.shape[1], image.shape[0]
        labels: NDArray[np.uint8] | None = None
        if self._labels is not None:
            try:
                found = self._labels.take(name, stamp, received)
            except DatasetError as error:
                self._problems.add('unusable_truth', f'labels cannot be used: {error}', name)
            else:
                if found is None:
                    self._problems.add('no_truth', f'image without labels in {self._labels.where}', name)
                else:
                    self._matched['labels'] += 1
                    labels = check_labels(found, image, name, self._classes, self._problems)
        balls: tuple[BallTruth, ...] | None = None
        if self._balls is not None:
            balls = self._balls.take(name, stamp, size, labels, self._ball_id)
            if balls is None:
                self._problems.add('no_ball_truth', f'image without balls in {self._balls.where}', name)
            else:
                self._matched['balls'] += 1
        return labels, balls

    def close(self) -> None:
        """Frees what is open."""
        if self._labels is not None:
            self._labels.close()

    def finish(self) -> None:
        """Counts truth that no image took.

        Raises:
            SourceError: truth was asked for, and not one frame has any.
        """
        for kind, truth, word in (('labels', self._labels, 'labels'), ('balls', self._balls, 'ball truth')):
            if truth is None:
                continue
            unused = truth.unused()
            if self._frames and not self._matched[kind]:
                other = f'; its first is {unused[0]}, the first image {self._frames[0]}' if unused else ''
                raise SourceError(f'no image has {word} in {truth.where}: the names or stamps do not agree{other}')
            for name in unused:
                self._problems.add(f'{kind}_without_image', f'{word} in {truth.where} without an image', name)


def check_labels(
    labels: NDArray[np.uint8], image: NDArray[np.uint8], name: str, classes: ClassSet, problems: Problems
) -> NDArray[np.uint8] | None:
    """Truth made usable (see :func:`clean_labels`), what had to be done is counted; None where nothing can be."""
    height, width = image.shape[:2]
    usable, stray = clean_labels(labels, (width, height), len(classes))
    if usable is None:
        size = f'{labels.shape[1]}x{labels.shape[0]}'
        problems.add(
            'truth_size', f'labels of {size} fit neither their image of {width}x{height} nor its label grid', name
        )
    for label_id, pixels in stray.items():
        problems.add(
            f'stray_id_{label_id}',
            f'labels hold the id {label_id}, which is no class (0..{len(classes) - 1}) and not ignore: those pixels '
            'count nowhere; `import-dataset` maps other ids',
            f'{name}: {pixels} px',
        )
    return usable


class FileSource:
    """A folder of images or a video, with labels and balls by frame name.

    Raises:
        SourceError: the source is missing or holds no images.
    """

    def __init__(self, path: Path, labels: LabelTruth | None, balls: BallTruths | None, classes: ClassSet) -> None:
        self.name = str(path)
        self.absent: dict[int, int] = {}
        self.problems = Problems()
        self._frames = open_frames(path)
        self.in_time = not isinstance(self._frames, ImageFolder)
        self._truth = FrameTruth(labels, balls, classes, self.problems)
        self.total = len(self._frames)

    def __iter__(self) -> Iterator[TruthFrame]:
        for index, (name, stamp, image) in enumerate(self._images()):
            if image is None:
                continue
            labels, balls = self._truth.of(name, stamp, None, image)
            yield TruthFrame(index, name, image, stamp, labels=labels, balls=balls)
        self._truth.finish()

    def _images(self) -> Iterator[tuple[str, int | None, NDArray[np.uint8] | None]]:
        if not isinstance(self._frames, ImageFolder):
            yield from ((frame.name, frame.stamp, frame.image) for frame in self._frames)
            missing = self._frames.missing
            if missing:
                self.problems.add(
                    'breaks_off', f'{self.name} breaks off: frames that it claims are missing', '', missing
                )
            return
        unique = UniqueNames()  # as `predict` names them
        for path in self._frames.paths:
            name = unique(path.stem)
            try:
                yield name, None, read_image(path)
            except ImageError as error:
                self.problems.add('undecodable', f'image cannot be decoded: {error}', path.name)
                yield name, None, None
