"""Read the metadata of an ONNX file without the onnx package, which a robot does not need.

An ONNX file is a Protocol Buffers message. Its field 14, ``metadata_props``, repeats (key, value) pairs. The other
fields are skipped by their lengths, so the weights are never read.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import BinaryIO

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.inference.engines.base import Precision
from minisegnet_core.preprocessing import FORMAT

METADATA_PROPS = 14
"""Number of the metadata field in ONNX's ModelProto."""

# Wire types of Protocol Buffers.
VARINT = 0
LENGTH_DELIMITED = 2
FIXED_SIZES = {1: 8, 5: 4}
"""Bytes of a value, by wire type."""


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file.

    Raises:
        ModelError: the file is missing or not an ONNX file.
    """
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    metadata: dict[str, str] = {}
    try:
        with path.open('rb') as file:
            end = os.fstat(file.fileno()).st_size
            while file.tell() < end:
                field, wire_type = divmod(_varint(file), 8)
                if wire_type == LENGTH_DELIMITED:
                    length = _varint(file)
                    if file.tell() + length > end:
                        raise ValueError('a field reaches past the end of the file')
                    if field == METADATA_PROPS:
                        key, value = _pair(file.read(length))
                        metadata[key] = value
                    else:
                        file.seek(length, os.SEEK_CUR)
                elif wire_type == VARINT:
                    _varint(file)
                elif wire_type in FIXED_SIZES:
                    file.seek(FIXED_SIZES[wire_type], os.SEEK_CUR)
                else:
                    raise ValueError(f'unknown wire type {wire_type}')
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        raise ModelError(f'{path} is damaged or not an ONNX file ({error}); export or download it again') from error
    return metadata


def classes_of(path: Path) -> ClassSet:
    """Return the classes of an exported model.

    Raises:
        ModelError: the file is missing, damaged, or was not made by ``minisegnet export``.
    """
    metadata = read_metadata(path)
    if metadata.get('format') != FORMAT:
        raise ModelError(f'{path} was not made by `minisegnet export` (format {metadata.get("format")!r})')
    try:
        return ClassSet.from_list(json.loads(metadata['classes']))
    except (KeyError, json.JSONDecodeError, ConfigurationError) as error:
        raise ModelError(f'the metadata of {path} is damaged ({error}); export it again') from error


def is_int8(path: Path) -> bool:
    """Return whether the file's convolutions are quantized to int8.

    Raises:
        ModelError: the file is missing or not an ONNX file.
    """
    return read_metadata(path).get('precision') == 'int8'


def width_of(path: Path) -> float:
    """Return the width multiplier of an exported network; 1 if the file, made by an early version, has none.

    Raises:
        ModelError: the file is missing, damaged, or not an ONNX file.
    """
    try:
        return float(read_metadata(path).get('width_mult', 1))
    except ValueError as error:
        raise ModelError(f'the metadata of {path} is damaged ({error}); export it again') from error


def check_precision(path: Path, precision: Precision | None) -> None:
    """Check that a file can run in a precision: int8 is a property of the file, which no engine can change.

    Raises:
        ModelError: an int8 file is to run in another precision, or a float file in int8.
    """
    if precision is None:
        return
    if is_int8(path) and precision != 'int8':
        raise ModelError(f'{path} is an int8 model and cannot run in {precision}; give its float file')
    if not is_int8(path) and precision == 'int8':
        raise ModelError(f'{path} is not an int8 model; make one with `minisegnet export CHECKPOINT --output F --int8`')


def _varint(file: BinaryIO) -> int:
    """Read a variable-length integer: seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte:
            raise EOFError('it ends within a number')
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError('a number is too long')


def _pair(data: bytes) -> tuple[str, str]:
    """Return key and value of a StringStringEntryProto: its fields 1 and 2, both strings."""
    file, parts = io.BytesIO(data), {1: '', 2: ''}
    while file.tell() < len(data):
        field, _ = divmod(_varint(file), 8)
        parts[field] = file.read(_varint(file)).decode()
    return parts[1], parts[2]
