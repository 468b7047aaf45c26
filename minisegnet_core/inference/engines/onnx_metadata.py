"""Reads the metadata of an ONNX file without the onnx package, which robots need not have.

An ONNX file is a protocol-buffers message whose field 14, ``metadata_props``, repeats (key, value) pairs; skipping the
other fields by their lengths finds them without reading the weights.
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
LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        ModelError: the file is missing or no ONNX file.
    """
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    metadata: dict[str, str] = {}
    try:
        with path.open('rb') as file:
            end = os.fstat(file.fileno()).st_size
            while file.tell() < end:
                field, kind = divmod(_varint(file), 8)
                if kind == LENGTH_DELIMITED:
                    length = _varint(file)
                    if file.tell() + length > end:
                        raise ValueError('a field reaches past the end of the file')
                    if field == METADATA_PROPS:
                        key, value = _pair(file.read(length))
                        metadata[key] = value
                    else:
                        file.seek(length, os.SEEK_CUR)
                elif kind == 0:
                    _varint(file)
                elif kind in _FIXED_SIZES:
                    file.seek(_FIXED_SIZES[kind], os.SEEK_CUR)
                else:
                    raise ValueError(f'unknown wire type {kind}')
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        raise ModelError(f'{path} is damaged or no ONNX file: {error}') from error
    return metadata


def classes_of(path: Path) -> ClassSet:
    """The classes that an exported model speaks of.

    Raises:
        ModelError: the file is missing, damaged, or was not made by ``minisegnet export``.
    """
    metadata = read_metadata(path)
    if metadata.get('format') != FORMAT:
        raise ModelError(f'{path} was not made by `minisegnet export` (format {metadata.get("format")!r})')
    try:
        return ClassSet.from_list(json.loads(metadata['classes']))
    except (KeyError, json.JSONDecodeError, ConfigurationError) as error:
        raise ModelError(f'the metadata of {path} is damaged: {error}') from error


def is_int8(path: Path) -> bool:
    """Whether the file's convolutions are quantized to int8.

    Raises:
        ModelError: the file is missing or no ONNX file.
    """
    return read_metadata(path).get('precision') == 'int8'


def width_of(path: Path) -> float:
    """Width multiplier of an exported model's network; 1 where the file, being older, does not say.

    Raises:
        ModelError: the file is missing, damaged, or no ONNX file.
    """
    try:
        return float(read_metadata(path).get('width_mult', 1))
    except ValueError as error:
        raise ModelError(f'the metadata of {path} is damaged: {error}') from error


def check_precision(path: Path, precision: Precision | None) -> None:
    """A file is either int8 or not; an engine cannot change that.

    Raises:
        ModelError: ``precision`` asks for the other kind.
    """
    if precision is None:
        return
    if is_int8(path) and precision != 'int8':
        raise ModelError(f'{path} is an int8 model, it cannot run in {precision}; give its float file')
    if not is_int8(path) and precision == 'int8':
        raise ModelError(f'{path} is no int8 model; make one with `minisegnet export CHECKPOINT --output F --int8`')


def _varint(file: BinaryIO) -> int:
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
    """Key and value of a StringStringEntryProto: fields 1 and 2, both strings."""
    file, parts = io.BytesIO(data), {1: '', 2: ''}
    while file.tell() < len(data):
        field, _ = divmod(_varint(file), 8)
        parts[field] = file.read(_varint(file)).decode()
    return parts[1], parts[2]
