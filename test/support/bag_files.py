"""Bags of the three formats, written message by message with rosbags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

FORMATS = ('ros1', 'sqlite3', 'mcap')
BASE = 1_700_000_000_000_000_000


class BagMaker:
    """Write messages to a bag of one of the three formats."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.store = get_typestore(Stores.ROS1_NOETIC if kind == 'ros1' else Stores.ROS2_JAZZY)
        self.path = folder / ('bag.bag' if kind == 'ros1' else 'bag')
        plugin = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}.get(kind)
        self.writer = Writer1(self.path) if kind == 'ros1' else Writer2(self.path, version=9, storage_plugin=plugin)
        self.connections: dict[str, object] = {}

    def __enter__(self):
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def header(self, stamp: int):
        """Return a header with a stamp in nanoseconds."""
        time = self.store.types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
        sequence = {'seq': 0} if self.kind == 'ros1' else {}
        return self.store.types['std_msgs/msg/Header'](**sequence, stamp=time, frame_id='camera')

    def write(self, topic: str, kind: str, message, received: int) -> None:
        """Write a message of a type, received at a time in nanoseconds."""
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.kind == 'ros1' else self.store.serialize_cdr
        self.writer.write(self.connections[topic], received, serialize(message, kind))

    def image(self, image, stamp: int, received: int, encoding='rgb8', topic='/camera/image', padding=0, cut=0) -> None:
        """Write an Image with ``padding`` bytes behind each row, and without its last ``cut`` bytes."""
        height, width = image.shape[:2]
        rows = np.pad(image.reshape(height, -1), ((0, 0), (0, padding)))
        message = self.store.types['sensor_msgs/msg/Image'](
            header=self.header(stamp), height=height, width=width, encoding=encoding, is_bigendian=0,
            step=rows.shape[1], data=rows.reshape(-1)[: rows.size - cut],
        )  # fmt: skip
        self.write(topic, 'sensor_msgs/msg/Image', message, received)

    def compressed(self, data: bytes, image_format: str, stamp: int, received: int, topic='/camera/compressed') -> None:
        """Write a CompressedImage."""
        message = self.store.types['sensor_msgs/msg/CompressedImage'](
            header=self.header(stamp), format=image_format, data=np.frombuffer(data, np.uint8)
        )
        self.write(topic, 'sensor_msgs/msg/CompressedImage', message, received)
