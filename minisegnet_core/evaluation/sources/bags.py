"""A bag to evaluate: one image topic, its truth, and every fault of the recording counted."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.evaluation.scoring.frames import TruthFrame
from minisegnet_core.evaluation.sources.files import FrameTruth
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.evaluation.sources.recovery import is_cut_off, recover
from minisegnet_core.evaluation.sources.topic_truth import POINT_TYPE, BallTopic, LabelTopic
from minisegnet_core.evaluation.sources.truth import BallTruths, LabelFolder, LabelTruth, ball_truth_file
from minisegnet_core.frames import is_bag
from minisegnet_core.frames.bag import COMPRESSED_TYPE, RAW_TYPE, BagImage, BagImages, open_bag
from minisegnet_core.frames.frame import UniqueNames

LABEL_TOPIC, BALL_TOPIC = '/ground_truth/label_image', '/ground_truth/ball'
"""Where `synthesize` records truth; taken by themselves where a bag has them."""

AUTO, NONE, ALL = 'auto', 'none', 'all'

BLOCK = 5_000_000_000
"""Nanoseconds of a bag that make one group. Frames of a sequence are alike: single ones are no independent sample, and
an interval from them would be too narrow (block bootstrap, E. Carlstein, Annals of Statistics 14, 1986).
"""


@dataclass(frozen=True)
class BagQuestion:
    """Which part of a bag is asked for, and against what.

    topics: image topics in the order of preference, the first that the bag has is taken; empty: the only one; `all`:
    each. label_topic, ball_topic: name, `auto` (that of `synthesize`, where there) or `none`. labels: folder of label
    images by stamp. balls: folder of YOLO boxes by stamp, or JSONL. ball_class: of those boxes.
    """

    topics: tuple[str, ...] = ()
    label_topic: str = AUTO
    ball_topic: str = AUTO
    labels: Path | None = None
    balls: Path | None = None
    ball_class: int = 0


@dataclass(frozen=True)
class BagPart:
    """One image topic of one bag."""

    path: Path
    topic: str


def is_bag_name(path: Path) -> bool:
    """Whether the path names a bag, one that was still being recorded (``.bag.active``) included."""
    return path.exists() and (is_bag(path) or path.name.endswith('.bag.active'))


class ReadableBag:
    """A bag that can be opened: itself, or what could be recovered of it, in a folder that goes when this is closed.

    Attributes:
        path: to open. problems: what was lost.

    Raises:
        SourceError: there is no such bag, or nothing of it can be read.
    """

    def __init__(self, path: Path) -> None:
        if not is_bag_name(path):
            raise SourceError(f'there is no ROS bag {path}; give a .bag, .db3 or .mcap file or the folder of a bag')
        self.path, self.problems = path, Problems()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        reason = 'it is shorter than it says of itself' if is_cut_off(path) else ''
        if not reason and not path.name.endswith('.active'):
            try:
                with open_bag(path):
                    return
            except SourceError as error:
                reason = str(error).removeprefix(f'cannot read bag {path}: ').partition(';')[0]
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
            f'bag {path.name} is cut off or has no index ({reason or "still being recorded"}): {recovered.messages} '
            f'messages could be read, {lost}',
        )

    def close(self) -> None:
        """Removes what was recovered."""
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> ReadableBag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def choose_topics(path: Path, question: BagQuestion, problems: Problems) -> list[str]:
    """The image topics of a bag that a question means; those that hold no picture (depth) are set aside and named.

    Raises:
        SourceError: there is none, or several and none was chosen.
    """
    asked = [t if t.startswith('/') else f'/{t}' for t in question.topics]
    with open_bag(path) as reader:
        images = {c.topic: c.msgtype for c in reader.connections if c.msgtype in (RAW_TYPE, COMPRESSED_TYPE)}
        filled = {c.topic for c in reader.connections if c.msgcount}
    if asked and asked != [f'/{ALL}']:
        for topic in asked:
            if topic in images:
                return [topic]
        BagImages(path, asked[0])  # says what there is
    truth = LABEL_TOPIC if question.label_topic == AUTO else question.label_topic
    candidates = sorted(t for t in images if t in filled and t != truth)
    pictures = []
    for topic in candidates:
        first = next(BagImages(path, topic).messages(), None)
        try:
            if first is not None:
                first.decode()
        except ImageError as error:
            if 'cannot segment' in str(error) or 'unknown image encoding' in str(error):
                problems.add('no_picture', f'topic without pictures is set aside: {error}', f'{path.name} {topic}')
                continue
        pictures.append(topic)
    if asked or len(pictures) == 1:
        if not pictures:
            raise SourceError(f'bag {path} holds no pictures: ' + '; '.join(problems.sentences()))
        return pictures
    if pictures:
        listed = ', '.join(pictures)
        raise SourceError(f'bag {path} has several image topics: {listed}; choose with --topic, or --topic all')
    if candidates:
        raise SourceError(f'bag {path} holds no pictures: ' + '; '.join(problems.sentences()))
    BagImages(path)
    raise SourceError(f'bag {path} holds no images but labels')


class BagSource:
    """The frames of one image topic of a bag, in the order of recording.

    Args:
        bag: readable. part: names the topic and, for the report, the bag as it was given.

    Attributes:
        duration: of the recording, nanoseconds.

    Raises:
        SourceError: truth that was asked for is missing.
    """

    def __init__(self, bag: ReadableBag, part: BagPart, question: BagQuestion, classes: ClassSet) -> None:
        self.name = f'{part.path} {part.topic}'
        self.absent: dict[int, int] = {}
        self.in_time = True
        self.problems = Problems()
        self.problems.merge(bag.problems)
        self.images = BagImages(bag.path, part.topic)
        self.total = len(self.images)
        with open_bag(bag.path) as reader:
            self.duration = reader.duration if self.total else 0
        labels, balls = _truth_of(bag.path, question)
        self.truth_named = [truth.where for truth in (labels, balls) if truth is not None]
        self._truth = FrameTruth(labels, balls, classes, self.problems)

    def __iter__(self) -> Generator[TruthFrame, None, None]:
        try:
            yield from self._frames()
            self._truth.finish()
        finally:
            self._truth.close()

    def _frames(self) -> Iterator[TruthFrame]:
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
                # A writable array of its own: engines refuse read-only memory.
                image = np.require(message.decode().rgb(), requirements='W')
            except ImageError as error:
                self.problems.add('undecodable', f'image cannot be decoded and is left out: {error}', name)
                continue
            labels, balls = self._truth.of(name, message.stamp, message.received, image)
            yield TruthFrame(
                index, name, image, message.stamp, message.received, message.frame_id,
                f'{self.name} {(message.received - begin) // BLOCK}', labels, balls,
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
            self.problems.add('zero_stamp', 'stamp is zero: the driver sets none', '')
        elif stamp in seen:
            self.problems.add('repeated_stamp', 'stamp stands at more than one image', str(stamp))
        elif previous is not None and stamp < previous:
            self.problems.add('disordered_stamp', 'stamp lies before that of the image before', str(stamp))
        seen.add(stamp)


def _truth_of(path: Path, question: BagQuestion) -> tuple[LabelTruth | None, BallTruths | None]:
    with open_bag(path) as reader:
        types = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
    labels: LabelTruth | None = None
    balls: BallTruths | None = None
    if question.labels is not None:
        labels = LabelFolder(question.labels)
    elif question.label_topic == AUTO:
        labels = LabelTopic(path, LABEL_TOPIC) if types.get(LABEL_TOPIC) == RAW_TYPE else None
    elif question.label_topic != NONE:
        labels = LabelTopic(path, question.label_topic)
    if question.balls is not None:
        balls = ball_truth_file(question.balls, question.ball_class)
    elif question.ball_topic == AUTO:
        balls = BallTopic(path, BALL_TOPIC) if types.get(BALL_TOPIC) == POINT_TYPE else None
    elif question.ball_topic != NONE:
        balls = BallTopic(path, question.ball_topic)
    return labels, balls
