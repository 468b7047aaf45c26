"""Ground truth recorded in the bag itself: a topic of label images and a topic of balls, matched by stamp."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.evaluation.sources.ground_truth import Balls
from minisegnet_core.frames.bag import BagImage, BagImages, open_bag

POINT_TYPE = 'geometry_msgs/msg/PointStamped'
DETECTIONS_TYPE = 'vision_msgs/msg/Detection2DArray'
BALL_TYPES = (POINT_TYPE, DETECTIONS_TYPE)

LOOK_AHEAD = 5_000_000_000
"""Nanoseconds by which labels may be recorded later than their image."""

UNNAMED_VISIBLE = 0.25
"""Visible fraction assigned to balls that the labels show and the ball topic does not contain.

It is below the minimum for scoring, so a prediction there is neither correct nor false."""


def label_values(message: BagImage) -> NDArray[np.uint8]:
    """Return the (H, W) uint8 ids of a label message.

    Raises:
        DatasetError: the message holds no 8-bit ids: another encoding, colours, or a lossy codec.
    """
    if message.compressed:
        data = np.frombuffer(message.data, np.uint8)
        if data[:2].tobytes() == b'\xff\xd8':
            raise DatasetError('JPEG compression changes label ids; record labels raw or as PNG')
        labels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
            raise DatasetError(f'compressed labels ({message.encoding}) must be a PNG with one 8-bit channel')
        return np.asarray(labels, np.uint8)
    if message.encoding not in ('mono8', '8UC1'):
        raise DatasetError(f'labels have the encoding {message.encoding!r}; record 8-bit class ids as mono8 or 8UC1')
    data = np.frombuffer(message.data, np.uint8)
    if not message.width or message.step < message.width or data.size < message.step * message.height:
        raise DatasetError(f'labels are cut off: {data.size} bytes for {message.width}x{message.height}')
    rows = data[: message.step * message.height].reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, : message.width])


class LabelTopic:
    """Labels of a topic, read in step with the images. Labels with equal stamps go to their images in order."""

    def __init__(self, path: Path, topic: str) -> None:
        self.where = f'topic {topic}'
        self._messages: Generator[BagImage, None, None] = BagImages(path, topic).messages()
        self._waiting: dict[int, deque[BagImage]] = defaultdict(deque)
        self._unused: list[str] = []

    def take(self, name: str, stamp: int | None, received: int | None) -> NDArray[np.uint8] | None:
        assert stamp is not None and received is not None
        self._forget_before(received - LOOK_AHEAD)
        while not self._waiting.get(stamp):
            message = next(self._messages, None)
            if message is None:
                return None
            self._waiting[message.stamp].append(message)
            if message.received > received + LOOK_AHEAD:
                break
        if not self._waiting.get(stamp):
            return None
        return label_values(self._waiting[stamp].popleft())

    def _forget_before(self, received: int) -> None:
        """Drop labels whose image cannot follow any more, so that they do not fill the memory."""
        for stamp in [s for s, queue in self._waiting.items() if not queue or queue[-1].received < received]:
            self._unused += [str(stamp)] * len(self._waiting.pop(stamp))

    def unused(self) -> list[str]:
        waiting = [str(stamp) for stamp, queue in self._waiting.items() for _ in queue]
        return [*self._unused, *waiting, *(str(message.stamp) for message in self._messages)]

    def close(self) -> None:
        self._messages.close()


class BallTopic:
    """Balls of a topic: PointStamped with x, y and, as z, the radius in pixels, or Detection2DArray.

    An image without a message has no ball. Messages with equal stamps go to their images in order. If there are fewer
    of them than images, it is unknown which image has no ball, so the last images have no ball annotation.

    The point is the centroid of the ball's visible part. Its visible fraction is measured on the labels, if there are
    any. PointStamped can name only one ball of an image; other balls in the labels are not scored.

    Raises:
        SourceError: the topic is missing or of another type.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self.where = f'topic {topic}'
        self._left: dict[int, deque[list[tuple[float, float, float]]]] = defaultdict(deque)
        self._several = False
        with open_bag(path) as reader:
            connections = [c for c in reader.connections if c.topic == topic]
            if not connections:
                raise SourceError(f'bag {path} has no topic {topic}; its topics are {_listed(reader)}')
            kind = connections[0].msgtype
            if kind not in BALL_TYPES:
                raise SourceError(
                    f'topic {topic} of bag {path} is {kind}; balls can be read from {" and ".join(BALL_TYPES)}'
                )
            self._several = kind == DETECTIONS_TYPE
            for connection, _, raw in reader.messages(connections):
                message: Any = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                circles = list(_detections(message)) if self._several else [_point(message)]
                self._left[stamp].append(circles)

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        messages = self._left.get(stamp) if stamp is not None else None
        if messages is not None and not messages:
            return None
        circles = messages.popleft() if messages else []
        full = labels if labels is not None and labels.shape == (size[1], size[0]) else None
        if full is None or ball_id is None:
            return tuple(BallTruth(x, y, radius, 1.0, x, y) for x, y, radius in circles)
        mask = (full == ball_id).astype(np.uint8)
        balls = [BallTruth(x, y, r, _visible(mask, x, y, r), x, y) for x, y, r in circles]
        if not self._several and circles:
            balls += [ball for ball in _blobs(mask) if not any(_covers(known, ball) for known in balls)]
        return tuple(balls)

    def unused(self) -> list[str]:
        return [str(stamp) for stamp, messages in self._left.items() for _ in messages]


def _point(message: Any) -> tuple[float, float, float]:
    return message.point.x, message.point.y, message.point.z


def _detections(message: Any) -> Iterator[tuple[float, float, float]]:
    """Yield x, y and radius of each detection whose class is the ball's, or that has no class."""
    for detection in message.detections:
        classes = {str(getattr(result.hypothesis, 'class_id', '')) for result in detection.results}
        if not classes or classes & {'ball', '1'}:
            center = getattr(detection.bbox.center, 'position', detection.bbox.center)
            yield center.x, center.y, (detection.bbox.size_x + detection.bbox.size_y) / 4


def _visible(mask: NDArray[np.uint8], x: float, y: float, radius: float) -> float:
    """Return the fraction of the ball's outline that the labels show as ball, 0 to 1.

    The visible centroid may be up to one radius from the centre of the whole ball, so the window around it reaches two
    radii.
    """
    reach = 2 * max(radius, 1.0)
    left, top = max(math.floor(x - reach), 0), max(math.floor(y - reach), 0)
    area = int(np.count_nonzero(mask[top : math.ceil(y + reach) + 1, left : math.ceil(x + reach) + 1]))
    return min(1.0, area / (math.pi * max(radius, 0.5) ** 2))


def _blobs(mask: NDArray[np.uint8]) -> Iterator[BallTruth]:
    """Yield a ball, not to be scored, for each connected region of ball labels."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = mask[top : top + height, left : left + width]
    count, _, stats, centroids = cv2.connectedComponentsWithStats(part, connectivity=8)
    for (x, y), area in itertools.islice(
        zip(centroids.tolist(), stats[:, cv2.CC_STAT_AREA].tolist(), strict=True), 1, count
    ):
        center_x, center_y = x + left, y + top
        yield BallTruth(center_x, center_y, math.sqrt(area / math.pi), UNNAMED_VISIBLE, center_x, center_y)


def _covers(ball: BallTruth, other: BallTruth) -> bool:
    return math.hypot(ball.x - other.x, ball.y - other.y) <= 2 * ball.radius


def _listed(reader: Any) -> str:
    return ', '.join(sorted({f'{c.topic} ({c.msgtype.rsplit("/", 1)[-1]})' for c in reader.connections})) or 'none'
