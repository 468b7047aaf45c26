"""ROS bags as sources of an evaluation: one image topic with its ground truth; defects of the recording are counted."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import DamagedBagError, EncodingError, ImageError, SourceError
from minisegnet_core.evaluation.sources.ground_truth import BallSource, GroundTruthMatcher, LabelSource
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.sources.ground_truth_topics import POINT_TYPE, BallTopic, LabelTopic
from minisegnet_core.evaluation.sources.recovery import is_cut_off, recover
from minisegnet_core.evaluation.sources.source import Problems, SourceFrame
from minisegnet_core.frames import is_bag
from minisegnet_core.frames.bag import COMPRESSED_TYPE, RAW_TYPE, BagImage, BagImages, open_bag
from minisegnet_core.frames.frame import UniqueNames

LABEL_TOPIC, BALL_TOPIC = '/ground_truth/label_image', '/ground_truth/ball'
"""Topics on which `synthesize` records ground truth; used by default if a bag has them."""

AUTO, NONE, ALL = 'auto', 'none', 'all'

GROUP_NS = 5_000_000_000
"""Nanoseconds of a bag that form one group for the bootstrap.

Neighbouring frames resemble each other, so single frames are not independent samples and their confidence interval
would be too narrow (block bootstrap, E. Carlstein, Annals of Statistics 14, 1986).
"""


@dataclass(frozen=True)
class BagSelection:
    """Which topics of a bag to evaluate, and the ground truth.

    Attributes:
        topics: image topics in order of preference; the first one that the bag has is evaluated. Empty: the only image
            topic. ``('all',)``: every image topic.
        label_topic, ball_topic: name of the topic, ``none``, or ``auto``: the topic of `synthesize` if the bag has it.
        files: ground truth in files by stamp; takes precedence over topics.
    """

    topics: tuple[str, ...] = ()
    label_topic: str = AUTO
    ball_topic: str = AUTO
    files: GroundTruthFiles = field(default_factory=GroundTruthFiles)


@dataclass(frozen=True)
class BagPart:
    """One image topic of one bag."""

    path: Path
    topic: str


class ReadableBag:
    """A bag that can be opened: the given bag, or what was recovered of it into a folder that :meth:`close` removes.

    Attributes:
        path: bag to open.
        problems: describes what was lost.

    Raises:
        SourceError: there is no such bag, or nothing of it can be read.
    """

    def __init__(self, path: Path) -> None:
        unfinished = path.name.endswith('.active')  # ROS 1 names a bag so while it records
        if not path.exists() or not (is_bag(path) or path.name.endswith('.bag.active')):
            raise SourceError(f'there is no ROS bag {path}; give a .bag, .db3 or .mcap file or the folder of a bag')
        self.path, self.problems = path, Problems()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if is_cut_off(path):
            reason = 'the file is shorter than its header says'
        elif unfinished:
            reason = 'still being recorded'
        else:
            try:
                with open_bag(path):
                    return
            except DamagedBagError as error:
                reason = error.reason
        self._folder = tempfile.TemporaryDirectory(prefix='minisegnet_')
        try:
            recovered = recover(path, Path(self._folder.name))
        except BaseException:
            self._folder.cleanup()
            raise
        self.path = recovered.path
        lost = f'about {recovered.lost_bytes} bytes at its end are lost' if recovered.lost_bytes else 'nothing is lost'
        self.problems.add(
            'cut_off',
            f'bag {path.name} is cut off or has no index ({reason}): {recovered.messages} messages could be read, '
            f'{lost}',
        )

    def close(self) -> None:
        """Remove the recovered bag."""
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> ReadableBag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def choose_topics(path: Path, selection: BagSelection, problems: Problems) -> list[str]:
    """Return the image topics of a bag to evaluate.

    Topics without colour or brightness, such as depth, are left out of the automatic choice and counted in
    ``problems``.

    Raises:
        SourceError: there is no image topic, or there are several and none was selected.
    """
    asked = [t if t.startswith('/') else f'/{t}' for t in selection.topics]
    with open_bag(path) as reader:
        images = {c.topic: c.msgtype for c in reader.connections if c.msgtype in (RAW_TYPE, COMPRESSED_TYPE)}
        filled = {c.topic for c in reader.connections if c.msgcount}
    if asked and asked != [f'/{ALL}']:
        for topic in asked:
            if topic in images:
                return [topic]
        BagImages(path, asked[0])  # raises, and lists the topics
    label_topic = LABEL_TOPIC if selection.label_topic == AUTO else selection.label_topic
    candidates = sorted(t for t in images if t in filled and t != label_topic)
    topics = [topic for topic in candidates if _has_images(path, topic, problems)]
    if len(topics) == 1 or (topics and asked):
        return topics
    if topics:
        listed = ', '.join(topics)
        raise SourceError(f'bag {path} has several image topics: {listed}; choose with --topic, or --topic all')
    if candidates:
        raise SourceError(f'bag {path} holds no colour or grey images: ' + '; '.join(problems.sentences()))
    BagImages(path)  # raises if there is no image topic at all
    raise SourceError(f'bag {path} holds no images but its labels; choose them with --topic {label_topic}')


def _has_images(path: Path, topic: str, problems: Problems) -> bool:
    """Return whether the first image of a topic holds colour or brightness; count the topic as a problem if not."""
    first = next(BagImages(path, topic).messages(), None)
    try:
        if first is not None:
            first.decode()
    except EncodingError as error:
        problems.add('no_picture', f'topic without colour or grey images is left out: {error}', f'{path.name} {topic}')
        return False
    except ImageError:  # a damaged image, counted when it is evaluated
        pass
    return True


class BagSource:
    """The frames of one image topic of a bag, in the order of recording.

    Implements :class:`~minisegnet_core.evaluation.sources.source.Source`.

    Args:
        bag: the bag in a readable form.
        part: the topic, and the path for the report.

    Attributes:
        images: the topic's messages.

    Raises:
        SourceError: the selected ground truth is missing.
    """

    consecutive = True

    def __init__(self, bag: ReadableBag, part: BagPart, selection: BagSelection, classes: ClassSet) -> None:
        self.name = f'{part.path} {part.topic}'
        self.absent: dict[int, int] = {}
        self.problems = Problems()
        self.problems.merge(bag.problems)
        self.images = BagImages(bag.path, part.topic)
        self.total = len(self.images)
        with open_bag(bag.path) as reader:
            self.duration = reader.duration if self.total else 0
        labels, balls = _open_ground_truth(bag.path, selection)
        self._matcher = GroundTruthMatcher(labels, balls, classes, self.problems)

    def __iter__(self) -> Generator[SourceFrame, None, None]:
        try:
            yield from self._frames()
            self._matcher.finish()
        finally:
            self._matcher.close()

    def _frames(self) -> Iterator[SourceFrame]:
        unique = UniqueNames()
        begin: int | None = None
        previous: int | None = None
        seen: set[int] = set()
        for index, message in self._messages():
            begin = message.received if begin is None else begin
            name = unique(str(message.stamp))
            self._check_stamp(message.stamp, previous, seen)
            previous = message.stamp
            try:
                # Inference engines reject read-only memory such as a message's buffer.
                image = np.require(message.decode().rgb(), requirements='W')
            except ImageError as error:
                self.problems.add('undecodable', f'image cannot be decoded, skipped: {error}', name)
                continue
            labels, balls = self._matcher.match(name, message.stamp, message.received, image)
            yield SourceFrame(
                index, name, image, message.stamp, message.received, message.frame_id,
                f'{self.name} {(message.received - begin) // GROUP_NS}', labels, balls,
            )  # fmt: skip

    def _messages(self) -> Iterator[tuple[int, BagImage]]:
        done = 0
        try:
            for message in self.images.messages():
                yield done, message
                done += 1
        except SourceError as error:
            if not done:
                raise
            self.problems.add(
                'breaks_off', f'the bag breaks off: {self.total - done} of {self.total} images are lost: {error}'
            )

    def _check_stamp(self, stamp: int, previous: int | None, seen: set[int]) -> None:
        if stamp == 0:
            self.problems.add('zero_stamp', 'stamp is zero: the camera driver sets none', '')
        elif stamp in seen:
            self.problems.add('repeated_stamp', 'stamp is repeated', str(stamp))
        elif previous is not None and stamp < previous:
            self.problems.add('disordered_stamp', 'stamp is lower than that of the image before', str(stamp))
        seen.add(stamp)


def _open_ground_truth(path: Path, selection: BagSelection) -> tuple[LabelSource | None, BallSource | None]:
    with open_bag(path) as reader:
        types = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
    labels, balls = selection.files.open_labels(), selection.files.open_balls()
    if labels is None:
        if selection.label_topic != AUTO:
            labels = None if selection.label_topic == NONE else LabelTopic(path, selection.label_topic)
        elif types.get(LABEL_TOPIC) == RAW_TYPE:
            labels = LabelTopic(path, LABEL_TOPIC)
    if balls is None:
        if selection.ball_topic != AUTO:
            balls = None if selection.ball_topic == NONE else BallTopic(path, selection.ball_topic)
        elif types.get(BALL_TOPIC) == POINT_TYPE:
            balls = BallTopic(path, BALL_TOPIC)
    return labels, balls
