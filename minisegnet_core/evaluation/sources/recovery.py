"""Recovery of bags that were cut off or never indexed: what can still be read is written as a new bag.

A recorder writes its index at the end of the file. A bag of a robot that was switched off has none, so its records are
read one by one up to the point where the file ends or breaks off.

Formats: ROS bag 2.0 (wiki.ros.org/Bags/Format/2.0), MCAP (mcap.dev/spec), rosbag2's SQLite tables.

The ``StreamReader`` of the package ``mcap`` is not used: it drops the chunk in which the file breaks off, even if the
chunk is not compressed. Of two test bags cut off in their first or second chunk it reads 29 of 38 and 0 of 34 messages.
"""

from __future__ import annotations

import bz2
import mmap
import sqlite3
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from minisegnet_core.errors import SourceError
from minisegnet_core.files import natural_key

MCAP_MAGIC = b'\x89MCAP0\r\n'
ROS1_MAGIC = b'#ROSBAG V2.0\n'
SQLITE_MAGIC = b'SQLite format 3\0'

Message = tuple[str, str, str, int, bytes]
"""Topic, type, definition (empty if the bag holds none), time of reception in nanoseconds, serialized message."""


class Records(Protocol):
    """Messages of a file, iterated once. Afterwards ``lost_bytes`` is the number of bytes that could not be read."""

    lost_bytes: int

    def __init__(self, path: Path) -> None: ...

    def __iter__(self) -> Iterator[Message]: ...


class McapRecords:
    """Messages of an MCAP file, in the order of the file.

    A chunk that is cut off is read up to its last whole record unless it is compressed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schemas: dict[int, tuple[str, str]] = {}
        self._channels: dict[int, tuple[str, int]] = {}
        self._read_of_chunk = 0
        self.lost_bytes = 0

    def __iter__(self) -> Iterator[Message]:
        size = self._path.stat().st_size
        with self._path.open('rb') as stream:
            stream.seek(len(MCAP_MAGIC))
            while True:
                start = stream.tell()
                head = stream.read(9)
                if len(head) < 9 or head[0] in (0x02, 0x0F):  # footer, or end of data: indexes follow
                    self.lost_bytes = 0 if len(head) == 9 else size - start
                    return
                (length,) = struct.unpack('<Q', head[1:])
                body = stream.read(min(length, size - stream.tell()))
                whole = len(body) == length
                self._read_of_chunk = 0
                try:
                    yield from self._record(head[0], body, whole)
                except (struct.error, ValueError, RuntimeError, UnicodeDecodeError, KeyError, EOFError):
                    whole = False
                if not whole:
                    self.lost_bytes = size - start - self._read_of_chunk
                    return

    def _record(self, kind: int, body: bytes, whole: bool) -> Iterator[Message]:
        if kind == 0x06:
            yield from self._chunk(body, whole)
        elif whole and kind == 0x03:
            (number,) = struct.unpack_from('<H', body)
            name, at = _text(body, 2)
            encoding, at = _text(body, at)
            definition, _ = _text(body, at)
            self._schemas[number] = (name, definition if encoding == 'ros2msg' else '')
        elif whole and kind == 0x04:
            number, schema = struct.unpack_from('<HH', body)
            self._channels[number] = (_text(body, 4)[0], schema)
        elif whole and kind == 0x05:
            channel, _, received, _ = struct.unpack_from('<HIQQ', body)
            topic, schema = self._channels[channel]
            yield (topic, *self._schemas[schema], received, body[22:])

    def _chunk(self, body: bytes, whole: bool) -> Iterator[Message]:
        compression, at = _text(body, 28)
        data = body[at + 8 :]
        if compression and not whole:
            return
        if compression == 'lz4':
            data = import_module('lz4.frame').decompress(data)
        elif compression == 'zstd':
            data = decompress_zstd(data)
        position = 0
        while position + 9 <= len(data):
            (length,) = struct.unpack_from('<Q', data, position + 1)
            record = data[position + 9 : position + 9 + length]
            yield from self._record(data[position], record, len(record) == length)
            position += 9 + length
            if not compression and len(record) == length:
                self._read_of_chunk = 9 + at + 8 + position  # including the chunk's header


def decompress_zstd(data: bytes) -> bytes:
    """Decompress Zstandard with the package that rosbags depends on."""
    name = 'compression.zstd' if sys.version_info >= (3, 14) else 'backports.zstd'
    return bytes(import_module(name).decompress(data))


def _text(body: bytes, at: int) -> tuple[str, int]:
    """Return the length-prefixed string at a position, and the position after it."""
    (length,) = struct.unpack_from('<I', body, at)
    if at + 4 + length > len(body):
        raise ValueError('a string is cut off')
    return body[at + 4 : at + 4 + length].decode(), at + 4 + length


class Ros1Records:
    """Messages of a ROS 1 bag, in the order of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: dict[int, tuple[str, str, str]] = {}
        self.lost_bytes = 0

    def __iter__(self) -> Iterator[Message]:
        data = memoryview(_mapped(self._path))
        position = len(ROS1_MAGIC)
        while position < len(data):
            try:
                fields, body, end, whole = _ros1_record(data, position)
                yield from self._record(fields, body, whole)
            except (struct.error, ValueError, RuntimeError, OSError, EOFError, KeyError):
                whole = False
            if not whole:
                self.lost_bytes = len(data) - position
                return
            position = end

    def _record(self, fields: dict[str, bytes], body: memoryview, whole: bool) -> Iterator[Message]:
        kind = fields['op'][0]
        if kind == 5:
            compression = fields['compression']
            if compression != b'none' and not whole:
                return
            inner: Any = body
            if compression == b'bz2':
                inner = bz2.decompress(body)
            elif compression == b'lz4':
                decompress = import_module('lz4.frame').decompress
                inner = decompress(body)
            inner, position = memoryview(inner), 0
            while position + 8 <= len(inner):
                inner_fields, record, position, inner_whole = _ros1_record(inner, position)
                if inner_whole:
                    yield from self._record(inner_fields, record, True)
        elif kind == 7 and whole:
            (number,) = struct.unpack('<I', fields['conn'])
            connection = _ros1_fields(body)
            name = connection['type'].decode().replace('/', '/msg/', 1)
            definition = connection['message_definition'].decode()
            self._connections[number] = (fields['topic'].decode(), name, definition)
        elif kind == 2 and whole:
            seconds, nanoseconds = struct.unpack('<II', fields['time'])
            (number,) = struct.unpack('<I', fields['conn'])
            yield (*self._connections[number], seconds * 10**9 + nanoseconds, bytes(body))


def _mapped(path: Path) -> Any:
    with path.open('rb') as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _ros1_record(data: memoryview, position: int) -> tuple[dict[str, bytes], memoryview, int, bool]:
    """Return the header fields and the data of the record at a position, its end, and whether it is whole."""
    (length,) = struct.unpack_from('<I', data, position)
    fields = _ros1_fields(data[position + 4 : position + 4 + length])
    (size,) = struct.unpack_from('<I', data, position + 4 + length)
    start = position + 8 + length
    body = data[start : start + size]
    return fields, body, start + size, len(body) == size


def _ros1_fields(header: memoryview) -> dict[str, bytes]:
    fields, position = {}, 0
    while position < len(header):
        (length,) = struct.unpack_from('<I', header, position)
        name, separator, value = bytes(header[position + 4 : position + 4 + length]).partition(b'=')
        if not separator:
            raise ValueError('a header field has no name')
        fields[name.decode()] = value
        position += 4 + length
    return fields


class SqliteRecords:
    """Messages of a rosbag2 SQLite file, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lost_bytes = 0

    def __iter__(self) -> Iterator[Message]:
        size = self._path.stat().st_size
        read = 0
        connection = sqlite3.connect(f'file:{self._path}?mode=ro&immutable=1', uri=True)
        try:
            # Without this, SQLite rejects a file that is shorter than its header states.
            connection.execute('PRAGMA writable_schema=ON')
            topics = {i: (name, kind) for i, name, kind in connection.execute('SELECT id, name, type FROM topics')}
            definitions = self._definitions(connection)
            for topic, received, data in connection.execute(
                'SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id'
            ):
                if not data:  # missing pages are read as zeros
                    raise KeyError
                read += len(data)
                name, kind = topics[topic]
                yield name, kind, definitions.get(kind, ''), received, bytes(data)
        except (sqlite3.DatabaseError, KeyError):
            self.lost_bytes = max(size - read, 1)  # approximate: tables and indexes take space too
        finally:
            connection.close()

    @staticmethod
    def _definitions(connection: sqlite3.Connection) -> dict[str, str]:
        try:
            rows = connection.execute(
                'SELECT topic_type, encoded_message_definition FROM message_definitions WHERE encoding = ?',
                ('ros2msg',),
            )
            return dict(rows.fetchall())
        except sqlite3.DatabaseError:  # recorded before ROS 2 Iron
            return {}


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
