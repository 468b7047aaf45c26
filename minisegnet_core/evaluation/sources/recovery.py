"""Recovery of bags that were cut off or never indexed: what can still be read is written as a new bag.

A recorder writes its index at the end of the file. A bag of a robot that was switched off has none, so its records are
read one by one up to the point where the file breaks off.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.sources.bag_records import (
    MCAP_MAGIC,
    ROS1_MAGIC,
    SQLITE_MAGIC,
    McapRecords,
    Message,
    Records,
    Ros1Records,
    SqliteRecords,
    decompress_zstd,
)
from minisegnet_core.files import natural_key

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
"""First bytes of a compressed message; a serialized one begins with a zero byte."""

READERS: dict[bytes, type[Records]] = {
    MCAP_MAGIC: McapRecords,
    ROS1_MAGIC: Ros1Records,
    SQLITE_MAGIC: SqliteRecords,
}


@dataclass(frozen=True)
class Recovered:
    """A bag that can be opened.

    Attributes:
        path: the new bag.
        messages: number of messages that were read.
        lost_bytes: bytes of the original that could not be read; 0 if only its index was missing.
    """

    path: Path
    messages: int
    lost_bytes: int


def is_cut_off(path: Path) -> bool:
    """Return whether an SQLite bag is shorter than its header says.

    SQLite opens such a file without an error. The other formats hold their index at the end, so opening them fails.
    """
    for file in _storage_files(path):
        if file.suffix != '.db3':
            continue
        with file.open('rb') as stream:
            header = stream.read(100)
        if len(header) < 100:
            return True
        page, pages = struct.unpack('>H', header[16:18])[0], struct.unpack('>I', header[28:32])[0]
        if file.stat().st_size < (65536 if page == 1 else page) * pages:
            return True
    return False


def recover(path: Path, folder: Path) -> Recovered:
    """Write what can be read of a bag as a new bag into ``folder``.

    Raises:
        SourceError: nothing can be read.
    """
    target, count, lost = None, 0, 0
    for file in _storage_files(path):
        with file.open('rb') as stream:
            start = stream.read(16)
        reader = next((reader for magic, reader in READERS.items() if start.startswith(magic)), None)
        if reader is None:
            lost += file.stat().st_size
            continue
        records = reader(file)
        target = target or _NewBag(folder, ros1=reader is Ros1Records)
        for message in records:
            target.write(message)
            count += 1
        lost += records.lost_bytes
    if target is not None:
        target.close()
    if target is None or not count:
        raise SourceError(f'nothing can be read of bag {path}; it is empty, not a bag, or cut off near its beginning')
    return Recovered(target.path, count, lost)


def _storage_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = [p for p in path.iterdir() if p.suffix in ('.db3', '.mcap')]
    return sorted(files, key=lambda p: natural_key(p.name))


class _NewBag:
    """The recovered bag, of the same ROS version as the original. Topics of unknown types are left out."""

    def __init__(self, folder: Path, ros1: bool) -> None:
        from rosbags.rosbag1 import Writer as Writer1
        from rosbags.rosbag2 import StoragePlugin
        from rosbags.rosbag2 import Writer as Writer2
        from rosbags.typesys import Stores, get_typestore

        self.path = folder / ('recovered.bag' if ros1 else 'recovered')
        self._ros1 = ros1
        self._store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
        self._writer: Any = (
            Writer1(self.path) if ros1 else Writer2(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        )
        self._writer.open()
        self._connections: dict[tuple[str, str], Any] = {}

    def write(self, message: Message) -> None:
        topic, kind, definition, received, data = message
        if not self._ros1 and data.startswith(ZSTD_MAGIC):  # recorded with --compression-mode message
            data = decompress_zstd(data)
        if (topic, kind) not in self._connections:
            self._connections[topic, kind] = self._connection(topic, kind, definition)
        connection = self._connections[topic, kind]
        if connection is not None:
            self._writer.write(connection, received, data)

    def _connection(self, topic: str, kind: str, definition: str) -> Any:
        from rosbags.typesys import get_types_from_msg

        if kind not in self._store.types and definition:
            try:
                types = get_types_from_msg(definition, kind)
                self._store.register({k: v for k, v in types.items() if k not in self._store.types})
            except Exception:  # a definition in a dialect that rosbags does not parse
                return None
        if kind not in self._store.types:
            return None
        return self._writer.add_connection(topic, kind, typestore=self._store)

    def close(self) -> None:
        self._writer.close()
