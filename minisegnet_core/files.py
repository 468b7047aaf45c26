"""Text, JSON and YAML files: the one reader of each, and the one writer.

Readers accept UTF-8 with or without a byte-order mark. They turn every failure into the error type that the caller asks
for: another encoding, damaged syntax, repeated keys, nesting beyond :data:`~minisegnet_core.limits.MAX_NESTING`, and
aliases that expand a short YAML file to gigabytes. The writer replaces a file as a whole: a reader sees the old content
or the new content, never a part of it.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml

from minisegnet_core.errors import ConfigurationError, MinisegnetError, OutputError, shortened
from minisegnet_core.limits import MAX_ALIASED_VALUES, MAX_NESTING

TEMPORARY_SUFFIX = '.part'
"""Suffix of a file that is still being written."""

ErrorType = type[MinisegnetError]

ZIP_MARK = b'PK\x03\x04'

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, 'UTF-32'),
    (codecs.BOM_UTF32_BE, 'UTF-32'),
    (codecs.BOM_UTF16_LE, 'UTF-16'),
    (codecs.BOM_UTF16_BE, 'UTF-16'),
)

REASON = 100
"""Maximum number of characters of another library's error text inside a message."""

OPENING = np.frombuffer(b'[{', np.uint8)
NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}'))

SUSPICIOUS_LINE = re.compile(r'^(?:[ \t]|[-?:](?=\s)){200}', re.MULTILINE)
"""A line indented so far that its file may nest deeply."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sorting key under which ``frame2`` comes before ``frame10``."""
    parts = re.split(r'(\d+)', name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def finite_number(value: object) -> float:
    """Return a number of a text file as a float.

    Raises:
        ValueError: it is not a number, is a boolean, or is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{shortened(repr(value))} is not a number')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f'{shortened(_digits(value))} is not a finite number')
    return number


def whole_number(value: object) -> int:
    """Return a number of a text file as an integer.

    Raises:
        ValueError: it is not a finite number, or has a fraction.
    """
    number = finite_number(value)
    if not number.is_integer():
        raise ValueError(f'{number:g} is not a whole number')
    return int(number)


def _digits(value: float) -> str:
    """Return a number as text. Python refuses to print integers of more than 4,300 digits."""
    try:
        return str(value)
    except ValueError:
        return 'an integer of thousands of digits'


def same_name(name: str) -> str:
    """Return the composed form (NFC) of a name, by which files are matched with each other and with text.

    Names that look alike may differ: macOS unpacks archives with ``o`` and a combining mark, where others write ``ö``.
    """
    return unicodedata.normalize('NFC', name)


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
        data = path.read_bytes()
    except OSError as error:
        raise raises(f'cannot read {path}: {error.strerror or error}') from error
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            raise raises(f'{path} is {encoding} text, as the mark at position 0 states; save it as UTF-8')
    if data.startswith(ZIP_MARK):  # label tools export archives, which downloads name as the file inside
        raise raises(f'{path} is a ZIP archive; unpack it and name the file inside')
    try:
        return data.decode('utf-8-sig', errors='replace' if lenient else 'strict')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise raises(
            f'{path} is not UTF-8 text: wrong byte at position {error.start}, in line {line}; save the file as UTF-8'
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
        value = json.loads(text, object_pairs_hook=_without_repeated_keys)
        if _may_nest_deeply(text):
            _reject_nesting(value)
        return value
    except (ValueError, RecursionError) as error:
        reason = 'it nests too deeply' if isinstance(error, RecursionError) else shortened(str(error), REASON)
        raise raises(f'{where} is not valid JSON: {reason}') from error


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of JSON's pairs. Python's reader would keep the last of repeated keys without a warning."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError(f'the key {_repeated([key for key, _ in pairs])} is there twice in one object')
    return content


def _repeated(keys: Sequence[Any]) -> str:
    """Return the first repeated key, for a message."""
    return shortened(repr(next(key for key, count in Counter(keys).items() if count > 1)))


def _may_nest_deeply(text: str) -> bool:
    """Return whether brackets may nest deeper than MAX_NESTING: a cheap test that counts those inside strings too."""
    brackets = np.frombuffer(text.encode('utf-8', 'surrogatepass').translate(None, NOT_BRACKETS), np.uint8)
    steps = np.where(np.isin(brackets, OPENING), np.int8(1), np.int8(-1))
    return bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > MAX_NESTING)


def _reject_nesting(value: object) -> None:
    """Raise RecursionError if lists and mappings nest deeper than MAX_NESTING."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        below: list[object] = []
        for item in level:
            below.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        if not below:
            return
        level = below
    raise RecursionError


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


def parse_yaml(text: str, where: object, raises: ErrorType = ConfigurationError, loader: Any = None) -> Any:
    """Return the value of a YAML text; None for an empty text.

    Args:
        where: origin of the text, for the message.
        raises: type of the error that a failure becomes.
        loader: a loader of PyYAML with further rules.

    Raises:
        raises: the text is not valid YAML, repeats a key, nests too deeply, or expands to too many values.
    """
    try:
        if '&' in text or SUSPICIOUS_LINE.search(text) or _may_nest_deeply(text):
            _reject_expansion(text)
        return yaml.load(text, Loader=loader or _Loader)
    # PyYAML's constructors raise errors of many types for values such as `!!int ""`.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise raises(f'{where} is not valid YAML: {shortened(_yaml_problem(error), REASON)}') from error
    except RecursionError as error:
        raise raises(f'{where} is not valid YAML: it nests too deeply') from error


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f'{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}'
    return ' '.join(str(error).split()) or type(error).__name__


class UniqueKeys:
    """Mixin of a PyYAML loader: repeated keys of a mapping are an error, as the YAML standard asks.

    PyYAML itself keeps the last one without a warning.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Return the mapping of a node."""
        if isinstance(node, yaml.MappingNode):
            keys = [
                (key.tag, key.value)
                for key, _ in node.value
                if isinstance(key, yaml.ScalarNode) and key.tag != 'tag:yaml.org,2002:merge'
            ]
            if len(set(keys)) < len(keys):
                name = _repeated([value for _, value in keys])
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f'the key {name} is there twice in the mapping that begins in line {line}')
        return super().construct_mapping(node, deep=deep)  # type: ignore[misc]


# PyYAML's libyaml loader is optional; it is ten times faster on annotation files of several megabytes.
class _Loader(UniqueKeys, getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
    """The loader of data files."""


def _reject_expansion(text: str) -> None:
    """Raise an error if a YAML text nests too deeply, or its aliases repeat more than MAX_ALIASED_VALUES values.

    PyYAML shares the objects of aliases, but every comparison and every message would expand them.
    """
    sizes: dict[str, int | None] = {}  # anchor: number of its values; None until its end
    stack: list[tuple[str | None, int]] = [(None, 0)]  # anchor and number of values of the open lists and mappings
    repeated = 0
    for event in yaml.parse(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
        anchor, size = getattr(event, 'anchor', None), 1
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            stack.append((anchor, 1))
            if anchor:
                sizes[anchor] = None
            if len(stack) > MAX_NESTING + 1:
                raise RecursionError
            continue
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, size = stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            known = sizes.get(event.anchor, 1)
            if known is None:
                raise yaml.YAMLError(f'the alias {shortened(event.anchor)} contains itself')
            anchor, size = None, known
            repeated += size
            if repeated > MAX_ALIASED_VALUES:
                raise yaml.YAMLError(f'its aliases repeat more than {MAX_ALIASED_VALUES} values')
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor:
            sizes[anchor] = size
        stack[-1] = stack[-1][0], stack[-1][1] + size


def read_yaml(path: Path, raises: ErrorType = ConfigurationError) -> Any:
    """Return the value that a YAML file holds; None for an empty file.

    Raises:
        raises: as :func:`read_text` and :func:`parse_yaml`.
    """
    return parse_yaml(read_text(path, raises), path, raises)


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
