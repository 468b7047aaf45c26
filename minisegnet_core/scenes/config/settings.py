"""Settings trees: dataclasses whose fields carry unit, limits and meaning, read from mappings with every mistake named.

A field made with :func:`span` is a range ``(least, most)``, one with :func:`number` or :func:`chance` a single number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from minisegnet_core.errors import ConfigurationError

Range = tuple[float, float]
T = TypeVar('T')


def span(least: float, most: float, limits: Range, unit: str, meaning: str) -> Any:
    """A field that holds a range; both ends must lie within ``limits`` (in ``unit``), the first at most the second."""
    return dataclasses.field(
        default=(least, most), metadata={'kind': 'range', 'limits': limits, 'unit': unit, 'meaning': meaning}
    )


def number(value: float, limits: Range, unit: str, meaning: str) -> Any:
    """A field that holds one number within ``limits``; whole if the default is an int."""
    kind = 'whole' if isinstance(value, int) else 'number'
    return dataclasses.field(default=value, metadata={'kind': kind, 'limits': limits, 'unit': unit, 'meaning': meaning})


def chance(value: float, meaning: str) -> Any:
    """A field that holds a probability, 0..1."""
    return number(float(value), (0.0, 1.0), 'share', meaning)


def choices(values: tuple[str, ...], allowed: tuple[str, ...], meaning: str) -> Any:
    """A field that holds one or more of ``allowed``, each drawn equally often; a name may stand more than once."""
    metadata = {'kind': 'choices', 'allowed': allowed, 'unit': 'names', 'meaning': meaning}
    return dataclasses.field(default=values, metadata=metadata)


def choice(value: str, allowed: tuple[str, ...], meaning: str) -> Any:
    """A field that holds one of ``allowed``."""
    metadata = {'kind': 'choice', 'allowed': allowed, 'unit': 'name', 'meaning': meaning}
    return dataclasses.field(default=value, metadata=metadata)


def text(value: str, meaning: str) -> Any:
    """A field that holds free text, such as a folder."""
    return dataclasses.field(default=value, metadata={'kind': 'text', 'unit': 'text', 'meaning': meaning})


def load(kind: type[T], content: Mapping[str, Any], base: T | None = None, path: str = '') -> T:
    """A settings tree from a mapping; what the mapping leaves out is as in ``base`` (default: the defaults).

    Raises:
        ConfigurationError: an unknown key or a value out of its limits; the text names the key by its full path.
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(f'{path or "the configuration"} must be a mapping of settings, not {content!r:.80}')
    start = kind() if base is None else base
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in content.items():
        name = f'{path}.{key}' if path else str(key)
        if key not in fields:
            raise ConfigurationError(f'unknown setting {name}; known here: {", ".join(fields)}')
        present = getattr(start, key)
        if dataclasses.is_dataclass(present):
            changes[key] = load(type(present), value, present, name)
        else:
            changes[key] = checked(value, fields[key].metadata, name)
    return dataclasses.replace(start, **changes)  # type: ignore[type-var]


def checked(value: Any, metadata: Mapping[str, Any], name: str) -> Any:
    """``value`` as the field with this metadata wants it, or a ConfigurationError that names it."""
    kind = metadata['kind']
    if kind == 'range':
        ends = (value, value) if isinstance(value, (int, float)) else value
        if not isinstance(ends, (list, tuple)) or len(ends) != 2:
            raise ConfigurationError(f'{name} is {value!r}; it must be two numbers [least, most] in {metadata["unit"]}')
        low, high = (_number(end, metadata, name) for end in ends)
        if low > high:
            raise ConfigurationError(f'{name} is {value!r}; the first number must not be above the second')
        return low, high
    if kind == 'number':
        return _number(value, metadata, name)
    if kind == 'whole':
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f'{name} is {value!r}; it must be a whole number')
        return int(_number(value, metadata, name))
    if kind in ('choice', 'choices'):
        given = (value,) if isinstance(value, str) else value
        allowed = metadata['allowed']
        if not isinstance(given, (list, tuple)) or not given or any(v not in allowed for v in given):
            raise ConfigurationError(f'{name} is {value!r}; it must be of {", ".join(allowed)}')
        if kind == 'choice' and len(given) != 1:
            raise ConfigurationError(f'{name} is {value!r}; it must be one of {", ".join(allowed)}')
        return str(given[0]) if kind == 'choice' else tuple(given)
    if not isinstance(value, str):
        raise ConfigurationError(f'{name} is {value!r}; it must be text')
    return value


def _number(value: Any, metadata: Mapping[str, Any], name: str) -> float:
    low, high = metadata['limits']
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f'{name} is {value!r}; it must be a number in {metadata["unit"]}')
    if not low <= value <= high:
        raise ConfigurationError(f'{name} is {value!r}; it must lie in {low:g}..{high:g} {metadata["unit"]}')
    return float(value)


def to_mapping(settings: Any) -> dict[str, Any]:
    """The tree as nested plain mappings and lists, as YAML and JSON hold it; :func:`load` reads it back."""
    result: dict[str, Any] = {}
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            result[entry.name] = to_mapping(value)
        else:
            result[entry.name] = list(value) if isinstance(value, tuple) else value
    return result


def describe(settings: Any, path: str = '') -> Iterator[tuple[str, Any, str, str]]:
    """(full name, value, unit, meaning) of every setting of the tree, in order."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        name = f'{path}.{entry.name}' if path else entry.name
        if dataclasses.is_dataclass(value):
            yield from describe(value, name)
        else:
            yield name, value, entry.metadata['unit'], entry.metadata['meaning']
