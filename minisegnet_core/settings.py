"""Typed, constrained settings: dataclasses whose fields carry their limits, validated by pydantic.

The same class serves Python (``TrainConfig(seed=-1)`` fails), YAML files and the command line, so a value is checked in
one place whatever its origin. A field is declared with pydantic's constraints and a description::

    epochs: Annotated[int, Field(ge=0)] = 30

Errors are :class:`~minisegnet_core.errors.ConfigurationError` with the setting's dotted name, its value and its limits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import dataclass_transform

from minisegnet_core.errors import ConfigurationError, shortened, suggestion

Settings = TypeVar('Settings')


@dataclass_transform()
def settings_class(cls: type[Settings]) -> type[Settings]:
    """Make a dataclass whose values are validated whenever an instance is created, ``dataclasses.replace`` included.

    Numbers are not converted from text, and unknown names are refused.
    """
    made = pydantic_dataclass(cls, config={'extra': 'forbid', 'strict': False})
    validated_init = made.__init__

    @functools.wraps(validated_init)
    def init(self: Any, *positional: Any, **named: Any) -> None:
        try:
            validated_init(self, *positional, **named)
        except ValidationError as error:
            raise configuration_error(error, made) from None

    made.__init__ = init  # type: ignore[method-assign]
    return made


def load_settings(kind: type[Settings], content: Mapping[str, Any], origin: str = '') -> Settings:
    """Return an instance of a settings class from plain values, such as the content of a YAML file.

    Args:
        origin: file that the values come from, for messages.

    Raises:
        ConfigurationError: a name is unknown (the message suggests the nearest one), or a value is out of range.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(content))
    except ValidationError as error:
        raise configuration_error(error, kind, origin) from None
    except ConfigurationError as error:
        raise ConfigurationError(f'{origin}: {error}' if origin else str(error)) from None


def configuration_error(error: ValidationError, kind: type[Any], origin: str = '') -> ConfigurationError:
    """Return the first fault that pydantic found as a message of this project."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first['loc']]
    name = '.'.join(location)
    if first['type'] in ('unexpected_keyword_argument', 'extra_forbidden', 'dataclass_exact_type'):
        text = f'there is no setting {name!r}{suggestion(location[-1], _names_at(kind, location[:-1]))}'
    else:
        reason = (
            first['msg']
            .removeprefix('Input should be ')
            .removeprefix('Value error, ')
            .removeprefix('Assertion failed, ')
        )
        shown = shortened(repr(first['input']))
        text = f'{name} is {shown}; it must be {reason}' if name else reason
    return ConfigurationError(f'{origin}: {text}' if origin else text)


def _names_at(kind: type[Any], path: Iterable[str]) -> list[str]:
    for part in path:
        if not is_dataclass(kind):
            return []
        kind = get_type_hints(kind).get(part, object)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []
