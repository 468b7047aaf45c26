"""Bags of plain images with chosen stamps. Rendered bags come from `minisegnet synthesize`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from minisegnet_core.errors import SourceError
from minisegnet_core.frames.bag import RAW_TYPE

FRAME_ID = 'camera_optical_frame'


class BagWriter:
    """Writes a bag with one topic of rgb8 images.

    Args:
        path: folder to create; it must not exist.
        topic: name of the image topic.

    Raises:
        SourceError: the folder exists or cannot be created.
    """

    def __init__(self, path: Path, topic: str = '/camera/image_raw') -> None:
        self.topic = topic
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except Exception as error:
            raise SourceError(f'cannot write bag {path}: {error}') from error
        self._connection = self._writer.add_connection(topic, RAW_TYPE, typestore=self._store)

    def add(self, image: NDArray[np.uint8], stamp: int) -> None:
        """Add an (H, W, 3) uint8 RGB image; its stamp in nanoseconds is the time of recording too."""
        types = self._store.types
        time = types['builtin_interfaces/msg/Time'](sec=stamp // 10**9, nanosec=stamp % 10**9)
        message = types[RAW_TYPE](
            header=types['std_msgs/msg/Header'](stamp=time, frame_id=FRAME_ID),
            height=image.shape[0],
            width=image.shape[1],
            encoding='rgb8',
            is_bigendian=0,
            step=image.shape[1] * 3,
            data=np.ascontiguousarray(image).reshape(-1),
        )
        self._writer.write(self._connection, stamp, self._store.serialize_cdr(message, RAW_TYPE))

    def close(self) -> None:
        """Finish the bag; it cannot be read before."""
        self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
