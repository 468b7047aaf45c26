"""Frames from ROS bags, read by the pure-Python package ``rosbags``: ROS 1 ``.bag``, ROS 2 ``.db3`` and ``.mcap``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet_core.encodings import Pixels, decode_compressed, decode_image
from minisegnet_core.errors import DamagedBagError, ImageError, SourceError, listed, shortened
from minisegnet_core.files import natural_key
from minisegnet_core.frames import STORAGE_SUFFIXES
from minisegnet_core.frames.frame import Frame, UniqueNames

try:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection
    from rosbags.typesys import Stores, get_typestore
except ImportError as error:
    raise SourceError(f'reading ROS bags needs the package rosbags: pip install rosbags ({error})') from error

RAW_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'

MAX_TOPICS = 8
"""Number of topics that one message lists."""


@dataclass(frozen=True)
class BagImage:
    """One image message of a bag, as recorded.

    Attributes:
        received: time of recording, ns.
        stamp: the header's stamp, ns.
        frame_id: the header's frame.
        compressed: whether the message is a CompressedImage.
        encoding: encoding of a raw image, or format of a compressed one.
        width, height, step, is_bigendian: of a raw image, sizes in pixels and the step in bytes; 0 for a compressed
            one.
        data: (N,) uint8.
    """

    received: int
    stamp: int
    frame_id: str
    compressed: bool
    encoding: str
    width: int
    height: int
    step: int
    is_bigendian: int
    data: Any

    def decode(self) -> Pixels:
        """Return the pixels of the message.

        Raises:
            ImageError: the message cannot be decoded.
        """
        if self.compressed:
            return decode_compressed(self.data, self.encoding)
        return decode_image(self.data, self.encoding, self.width, self.height, self.step, self.is_bigendian)


class BagImages:
    """The images of one topic of a bag, in the order of recording.

    Args:
        path: the bag.
        topic: name of the topic, with or without the leading slash; None selects the only image topic.

    Attributes:
        path: the bag.
        topic: full name of the topic.
        compressed: whether the topic carries CompressedImage messages.

    Raises:
        SourceError: the bag is damaged, not indexed, or holds no images, or the topic is missing or ambiguous.
    """

    missing = 0

    def __init__(self, path: Path, topic: str | None = None) -> None:
        self.path = path
        with open_bag(path) as reader:
            counts: dict[str, int] = {}
            types: dict[str, str] = {}
            for connection in reader.connections:
                if connection.msgtype in (RAW_TYPE, COMPRESSED_TYPE):
                    counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
                    types[connection.topic] = connection.msgtype
            others = len({c.topic for c in reader.connections}) - len(counts)
        self.topic = _choose(path, topic, types, counts, others)
        self.compressed = types[self.topic] == COMPRESSED_TYPE
        self._length = counts[self.topic]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        unique = UniqueNames()
        for message in self.messages():
            name = unique(str(message.stamp))
            try:
                # Frames of every source are writable; the message's bytes are not.
                yield Frame(message.stamp, name, np.require(message.decode().rgb(), requirements='W'))
            except ImageError as error:
                raise ImageError(f'{self.path}, topic {self.topic}, frame {name}: {error}') from error

    def messages(self) -> Generator[BagImage, None, None]:
        """Yield the topic's messages without decoding them.

        Raises:
            DamagedBagError: the bag is truncated or damaged.
        """
        with open_bag(self.path) as reader:
            connections = [c for c in reader.connections if c.topic == self.topic and _is_image(c)]
            messages = reader.messages(connections)
            while True:
                try:
                    connection, received, raw = next(messages)
                    image = _image(reader.deserialize(raw, connection.msgtype), received, connection)
                except StopIteration:
                    return
                except Exception as error:
                    raise _damaged(self.path, error) from error
                yield image


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a bag of any format for reading.

    Raises:
        DamagedBagError: the bag is truncated, damaged or not indexed.
    """
    try:
        # Bags up to Humble carry no message definitions; the image types have not changed since.
        reader = AnyReader(_storage(path), default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except Exception as error:  # the readers of three formats, and their C libraries, raise errors of any type
        raise _damaged(path, error) from error
    try:
        yield reader
    finally:
        reader.close()


def _damaged(path: Path, error: Exception) -> DamagedBagError:
    repair = 'rosbag reindex' if path.suffix == '.bag' else 'ros2 bag reindex (MCAP: mcap recover)'
    reason = shortened(str(error).strip().rstrip('.') or type(error).__name__, 100)
    damaged = DamagedBagError(f'cannot read bag {path}: {reason}; it may be truncated or not indexed, try {repair}')
    damaged.reason = reason
    return damaged


def _storage(path: Path) -> list[Path]:
    """Return the paths that rosbags opens: a folder without metadata.yaml is read through its storage files."""
    if path.is_dir() and not (path / 'metadata.yaml').is_file():
        files = [p for p in path.iterdir() if p.suffix in STORAGE_SUFFIXES]
        return sorted(files, key=lambda p: natural_key(p.name))
    return [path]


def _is_image(connection: Connection) -> bool:
    return connection.msgtype in (RAW_TYPE, COMPRESSED_TYPE)


def _choose(path: Path, topic: str | None, types: dict[str, str], counts: dict[str, int], others: int) -> str:
    """Return the requested topic, or the only one with images."""
    topics = [f'{name} ({types[name].rsplit("/", 1)[-1]}, {counts[name]} messages)' for name in sorted(types)]
    shown = listed(topics, MAX_TOPICS)
    if not types:
        raise SourceError(f'bag {path} holds no images: none of its {others} topics is an Image or CompressedImage')
    if topic is None:
        filled = [name for name in types if counts[name]]
        if len(filled) > 1:
            raise SourceError(f'bag {path} has several image topics; choose one with --topic: {shown}')
        if not filled:
            raise SourceError(f'bag {path} holds no images: its image topics are empty: {shown}')
        return filled[0]
    name = topic if topic.startswith('/') else f'/{topic}'
    if name not in types:
        raise SourceError(f'bag {path} has no image topic {topic}; there are: {shown}')
    if not counts[name]:
        raise SourceError(f'topic {topic} of bag {path} holds no messages; there are: {shown}')
    return name


def _image(message: Any, received: int, connection: Connection) -> BagImage:
    header = message.header
    stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
    if connection.msgtype == COMPRESSED_TYPE:
        return BagImage(received, stamp, header.frame_id, True, message.format, 0, 0, 0, 0, message.data)
    return BagImage(
        received, stamp, header.frame_id, False, message.encoding, message.width, message.height, message.step,
        message.is_bigendian, message.data,
    )  # fmt: skip
