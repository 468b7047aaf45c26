"""Read and check an ONNX file without the onnx package, which a robot does not need.

An ONNX file is a Protocol Buffers message of fields, each with a number. Only the fields that show the record, the
shape of the output and the weights are decoded; the others are skipped by their lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ModelError, shortened
from minisegnet_core.inference.engines.base import Precision
from minisegnet_core.model_files import (
    GET_AGAIN,
    ModelRecord,
    check_network,
    record_from_metadata,
    require_model_file,
)

# Field numbers of ONNX's messages.
MODEL_GRAPH, MODEL_METADATA = 7, 14
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE = 1, 5, 11, 12, 13
NODE_TEXTS = (1, 2, 3, 4, 7)
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIM, DIM_VALUE = 1, 2, 1, 2, 1, 1

EXPONENTS = {1: ('<u4', 0x7F800000), 10: ('<u2', 0x7C00), 11: ('<u8', 0x7FF0 << 48), 16: ('<u2', 0x7F80)}
"""ONNX's floating-point types: storage, and the bits of the exponent, which are all set in NaN and infinity."""

# Wire types of Protocol Buffers.
VARINT = 0
LENGTH_DELIMITED = 2
FIXED_SIZES = {1: 8, 5: 4}
"""Bytes of a value, by wire type."""

PROBABILITIES = 'probabilities'
STEM_SHAPE = (3, 7, 7)
"""Shape of a kernel of the first convolution."""


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file says about its network.

    Attributes:
        metadata: keys and values of its metadata.
        channels: first dimension of the output ``probabilities``; None if there is none or it is not constant.
        stem: output channels of the first convolution; None if there is none that looks like the network's.
        not_finite: names of weights that hold NaN or infinity.
    """

    metadata: dict[str, str]
    channels: int | None
    stem: int | None
    not_finite: tuple[str, ...]


def read_onnx(path: Path) -> OnnxFile:
    """Return the facts of an ONNX file; they are read once for each state of the file.

    Raises:
        ModelError: the file is missing or not an ONNX file.
    """
    require_model_file(path)
    try:
        status = path.stat()
        return _read_onnx(path.resolve(), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ModelError(f'cannot read {path}: {error.strerror or error}') from error
    except (ValueError, OverflowError) as error:
        reason = 'a text in it is not UTF-8' if isinstance(error, UnicodeDecodeError) else shortened(str(error))
        raise ModelError(f'{path} is damaged or not an ONNX file ({reason}); {GET_AGAIN}') from error


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file. Raises as :func:`read_onnx`."""
    return dict(read_onnx(path).metadata)


def record_of(path: Path) -> ModelRecord:
    """Return the record of an exported model.

    Raises:
        ModelError: the file is missing, damaged, was not made by ``minisegnet export``, or contradicts itself.
    """
    file = read_onnx(path)
    if 'format' not in file.metadata:
        raise ModelError(
            f'{path} was not made by `minisegnet export`: its metadata has no format; export its checkpoint'
        )
    record = record_from_metadata(file.metadata, path)
    check_network(path, record, outputs=file.channels, stem=file.stem, not_finite=file.not_finite)
    return record


def classes_of(path: Path) -> ClassSet:
    """Return the classes of an exported model. Raises as :func:`record_of`."""
    return record_of(path).classes


def is_int8(path: Path) -> bool:
    """Return whether the file's convolutions are quantized to int8.

    Raises:
        ModelError: the file is missing or not an ONNX file.
    """
    return read_onnx(path).metadata.get('precision') == 'int8'


def width_of(path: Path) -> float:
    """Return the width multiplier of an exported network; 1 if the file, made by an early version, has none.

    Raises:
        ModelError: as :func:`record_of`.
    """
    return record_of(path).width_mult


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


@lru_cache(maxsize=8)
def _read_onnx(path: Path, size: int, modified_ns: int) -> OnnxFile:
    metadata: dict[str, str] = {}
    graph = memoryview(b'')
    for field, value in _fields(memoryview(path.read_bytes())):
        if field == MODEL_METADATA:
            pair = {number: str(_bytes(part), 'utf-8') for number, part in _fields(_bytes(value))}
            metadata[pair.get(1, '')] = pair.get(2, '')
        elif field == MODEL_GRAPH:
            graph = _bytes(value)
    return OnnxFile(metadata, *_read_graph(graph))


def _read_graph(graph: memoryview) -> tuple[int | None, int | None, tuple[str, ...]]:
    """Return output channels, stem channels and the names of weights that are not finite."""
    channels = stem = None
    not_finite = []
    for field, value in _fields(graph):
        if field == GRAPH_INITIALIZER:
            name, dims, finite = _read_tensor(_bytes(value))
            if not finite:
                not_finite.append(name)
            if stem is None and len(dims) == 4 and dims[1:] == STEM_SHAPE:
                stem = dims[0]
        elif field in (GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE):
            name = _text(_bytes(value), VALUE_NAME)
            if field == GRAPH_OUTPUT and name == PROBABILITIES:
                channels = _first_dimension(_bytes(value))
        elif field == GRAPH_NODE:  # the engines decode names late, some only when they run
            for number, text in _fields(_bytes(value)):
                if number in NODE_TEXTS:
                    str(_bytes(text), 'utf-8')
    return channels, stem, tuple(not_finite)


def _read_tensor(tensor: memoryview) -> tuple[str, tuple[int, ...], bool]:
    """Return name and dimensions of a tensor, and whether its values are finite."""
    name, kind, dims = '', 0, []
    parts: list[tuple[int, memoryview]] = []
    for field, value in _fields(tensor):
        if field == TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif field == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif field == TENSOR_NAME:
            name = str(_bytes(value), 'utf-8')
        elif field in (TENSOR_RAW, TENSOR_FLOATS) and isinstance(value, memoryview):
            parts.append((field, value))
    finite = True
    for field, data in parts:
        storage, exponent = EXPONENTS.get(1 if field == TENSOR_FLOATS else kind, ('', 0))
        if storage:
            bits = np.frombuffer(data, storage)
            finite = finite and not bool(((bits & bits.dtype.type(exponent)) == exponent).any())
    return name, tuple(dims), finite


def _first_dimension(output: memoryview) -> int | None:
    """Return the first dimension of a graph's output, a ValueInfoProto, if it is constant."""
    message = output
    for number in (VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIM):
        found = next((value for field, value in _fields(message) if field == number), None)
        if not isinstance(found, memoryview):
            return None
        message = found
    return next((value for field, value in _fields(message) if field == DIM_VALUE and isinstance(value, int)), None)


def _text(message: memoryview, number: int) -> str:
    return next((str(_bytes(value), 'utf-8') for field, value in _fields(message) if field == number), '')


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError('a number stands where a text is expected')
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message; values of fixed size are left out.

    Raises:
        ValueError: the bytes are not a message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        field, wire_type = divmod(key, 8)
        if wire_type == LENGTH_DELIMITED:
            length, position = _varint(message, position)
            if position + length > end:
                raise ValueError('a field reaches past the end of the file')
            yield field, message[position : position + length]
            position += length
        elif wire_type == VARINT:
            value, position = _varint(message, position)
            yield field, value
        elif wire_type in FIXED_SIZES:
            position += FIXED_SIZES[wire_type]
        else:
            raise ValueError(f'unknown wire type {wire_type}')


def _varints(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a variable-length integer, seven bits a byte, the lowest first, and the position behind it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError('it ends within a number')
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError('a number is too long')
