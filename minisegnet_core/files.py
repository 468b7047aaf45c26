"""Text, JSON and YAML files: the one reader of each, and the one writer.

Readers accept UTF-8 with or without a byte-order mark. They turn every failure into the error type that the caller asks
for. The writer replaces a file as a whole: a reader sees the old content or the new content, never a part of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from minisegnet_core.errors import ConfigurationError, MinisegnetError, OutputError

TEMPORARY_SUFFIX = '.part'
"""Suffix of a file that is still being written."""

ErrorType = type[MinisegnetError]


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sorting key under which ``frame2`` comes before ``frame10``."""
    parts = re.split(r'(\d+)', name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def fingerprint(path: Path) -> list[int]:
    """Return [size in bytes, modification time in ns], which change with a file's content; [0, 0] without a file."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def read_text(path: Path, raises: ErrorType = ConfigurationError, *, lenient: bool = False) -> str:
    """Return the text of a UTF-8 file, without a byte-order mark.

    Args:
        raises: type of the error that a failure becomes.
        lenient: replace bytes that are not UTF-8, for formats whose comments may have another encoding.

    Raises:
        raises: the file is missing, unreadable, or not UTF-8; the message gives the position of the first wrong byte.
    """
    try:
        return path.read_bytes().decode('utf-8-sig', errors='replace' if lenient else 'strict')
    except OSError as error:
        raise raises(f'cannot read {path}: {error.strerror or error}') from error
    except UnicodeDecodeError as error:
        raise raises(
            f'{path} is not UTF-8 text: wrong byte at position {error.start}; save the file as UTF-8'
        ) from error


def parse_json(text: str, where: object, raises: ErrorType = ConfigurationError) -> Any:
    """Return the value of a JSON text.

    Args:
        where: origin of the text, for the message.
        raises: type of the error that a failure becomes.

    Raises:
        raises: the text is not valid JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise raises(f'{where} is not valid JSON: {error}') from error


def read_json(path: Path, raises: ErrorType = ConfigurationError) -> Any:
    """Return the value that a JSON file holds.

    Raises:
        raises: as :func:`read_text` and :func:`parse_json`.
    """
    return parse_json(read_text(path, raises), path, raises)


def read_json_lines(path: Path, raises: ErrorType = ConfigurationError) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) for each line of a JSON Lines file; the place (``FILE, line 3``) is for messages.

    Blank lines are skipped.

    Raises:
        raises: as :func:`read_json`, or a line holds something other than an object.
    """
    for number, line in enumerate(read_text(path, raises).splitlines(), 1):
        if not line.strip():
            continue
        where = f'{path}, line {number}'
        entry = parse_json(line, where, raises)
        if not isinstance(entry, dict):
            raise raises(f'{where} holds {type(entry).__name__}, expected an object')
        yield where, entry


def read_yaml(path: Path, raises: ErrorType = ConfigurationError) -> Any:
    """Return the value that a YAML file holds; None for an empty file.

    Raises:
        raises: as :func:`read_text`, or the file is not valid YAML.
    """
    text = read_text(path, raises)
    try:
        # PyYAML's libyaml loader is optional; it is ten times faster on annotation files of several megabytes.
        return yaml.load(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise raises(f'{path} is not valid YAML: {" ".join(str(error).split())}') from error


def read_yaml_mapping(path: Path, raises: ErrorType = ConfigurationError) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file gives an empty mapping.

    Raises:
        raises: as :func:`read_yaml`, or the file holds something else.
    """
    content = read_yaml(path, raises)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise raises(f'{path} holds {type(content).__name__}, expected a mapping of names to values')
    return content


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], object], *, durable: bool = False) -> None:
    """Write a file as a whole: after an interruption the path holds the old file or the new one, never a part.

    Args:
        content: the bytes, or a function that writes them into the open file.
        durable: flush to the disk before the file takes its name, so that the guarantee survives a power cut.

    Raises:
        OutputError: the file cannot be written, for example because the disk is full. The old file is unchanged.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with temporary.open('wb') as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)):  # PyTorch reports a full disk as a RuntimeError
            raise _output_error(path, error) from error
        raise


def _output_error(path: Path, error: Exception) -> OutputError:
    cause = error if isinstance(error, OSError) else error.__context__ or error
    reason = getattr(cause, 'strerror', None) or cause
    kept = f'; the existing {path.name} is unchanged' if path.is_file() else ''
    return OutputError(f'cannot write {path}: {reason}{kept}')


def write_text_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text as UTF-8; see :func:`write_atomically`."""
    write_atomically(path, text.encode(), durable=durable)


@contextlib.contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a library that writes files itself; on success, that file replaces ``path``.

    The temporary file lies beside ``path`` and has its suffix, by which libraries choose a format. It is removed on
    failure.

    Raises:
        OutputError: the body or the replacement raised OSError. The old file is unchanged.
    """
    temporary = path.with_name(f'{path.stem}{TEMPORARY_SUFFIX}{path.suffix}')
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _output_error(path, error) from error
        raise


def defined(value: Any) -> Any:
    """Replace NaN by None, which JSON can express, in a number and in the items of mappings and sequences."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: defined(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [defined(item) for item in value]
    return value
