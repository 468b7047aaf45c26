"""Typed, constrained settings: frozen dataclasses whose fields carry their limits, validated by pydantic.

The same class serves Python (``TrainConfig(seed=-1)`` fails), YAML files and the command line, so a value is checked in
one place whatever its origin. A field is declared with its constraints, its default, and a docstring that becomes its
help text::

    @settings_class
    class StageConfig:
        epochs: Annotated[int, Field(ge=0)] = 30
        '''Passes over the training images.'''

Errors are :class:`SettingError` with the setting's dotted name, its value, and what it may be.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import dataclass_transform

from minisegnet_core.errors import ConfigurationError, shortened, suggestion
from minisegnet_core.files import UniqueKeys, parse_yaml, read_text

Settings = TypeVar('Settings')

MISSING_OR_TOO_MANY = ('missing', 'too_long', 'too_short')
UNKNOWN_NAME = ('unexpected_keyword_argument', 'extra_forbidden')
WRONG_TYPE = re.compile(r'.*_(type|parsing|from_float)$')
SHORT_LIST = 12
"""Number of names up to which a message lists all of them."""
CONTRADICTION = 'contradiction'
NUMBER_WORDS = {2: 'two', 3: 'three', 4: 'four'}


class SettingError(ConfigurationError):
    """A setting is unknown, out of range, or contradicts another one.

    Attributes:
        setting: dotted name, for example ``stage1.lr``.
        sentence: the message without the file that the value comes from.
    """

    def __init__(self, setting: str, sentence: str, origin: str = '') -> None:
        super().__init__(f'{origin}: {sentence}' if origin else sentence)
        self.setting, self.sentence = setting, sentence


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, Field))
def settings_class(cls: type[Settings]) -> type[Settings]:
    """Make a frozen dataclass whose values are validated on creation, by ``dataclasses.replace`` as well.

    Whole numbers are accepted for fractional ones and lists for tuples; text and booleans are not numbers, and unknown
    names are rejected.
    """
    hints = get_type_hints(cls, include_extras=True)
    for name in cls.__annotations__:
        cls.__annotations__[name] = _accepting_lists(hints[name])
        if dataclasses.is_dataclass(cls):  # decorated with dataclasses.dataclass already
            cls.__dataclass_fields__[name].type = cls.__annotations__[name]
    made = pydantic_dataclass(
        cls,
        frozen=True,
        config={'extra': 'forbid', 'strict': True, 'allow_inf_nan': False, 'use_attribute_docstrings': True},
    )
    validated_init = made.__init__

    @functools.wraps(validated_init)
    def init(self: Any, *positional: Any, **named: Any) -> None:
        try:
            validated_init(self, *positional, **named)
        except ValidationError as error:
            raise setting_error(error, made) from None

    made.__init__ = init  # type: ignore[method-assign]
    return cast(type[Settings], made)


def _accepting_lists(hint: Any) -> Any:
    """Return a type whose tuples accept lists; pydantic is strict otherwise, so that ``'3'`` is not a number."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        relaxed = _accepting_lists(arguments[0])
        for metadata in arguments[1:]:
            relaxed = Annotated[relaxed, metadata]
        return relaxed
    if origin in (Union, types.UnionType):
        return Union[tuple(_accepting_lists(member) for member in arguments)]  # noqa: UP007
    return Annotated[hint, Strict(False)] if origin is tuple else hint


def require(condition: bool, setting: str, value: object, expected: str) -> None:
    """Raise the error of a validator that compares settings, unless the condition holds.

    Args:
        setting: name of the field that the message names.
        expected: completes "it must be".
    """
    if not condition:
        context = {'setting': setting, 'value': value, 'expected': expected}
        raise PydanticCustomError(CONTRADICTION, '{expected}', context)


def load_settings(kind: type[Settings], content: Mapping[str, Any], origin: str = '') -> Settings:
    """Return an instance of a settings class from plain values, such as the content of a YAML file.

    Args:
        origin: file that the values come from, for messages.

    Raises:
        SettingError: a name is unknown (the message suggests the nearest one), or a value is out of range.
    """
    # In pydantic's JSON mode mappings are accepted for settings classes, while numbers stay strict.
    try:
        text = json.dumps(content, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f'the settings are not plain values: {shortened(str(error))}'
        raise ConfigurationError(f'{origin}: {problem}' if origin else problem) from None
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise setting_error(error, kind, origin) from None
    except ConfigurationError as error:
        raise ConfigurationError(f'{origin}: {error}' if origin else str(error)) from None


def plain_values(settings: Any) -> dict[str, Any]:
    """Return a settings object as nested mappings and lists, as YAML and JSON hold them."""
    values: dict[str, Any] = TypeAdapter(type(settings)).dump_python(settings, mode='json')
    return values


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a settings class, nested ones included.

    Attributes:
        name: dotted, for example ``stage1.lr``.
        hint: its type, with constraints.
        default: its default value.
        description: one or more sentences.
    """

    name: str
    hint: Any
    default: Any
    description: str


def settings_of(kind: type[Any], prefix: str = '', defaults: Any = None) -> Iterator[Setting]:
    """Yield every setting of a settings class in order, those of nested classes under dotted names.

    Args:
        prefix: begins each name.
        defaults: instance whose values are the defaults; None: that of ``kind()``.
    """
    instance = kind() if defaults is None else defaults
    hints = get_type_hints(kind, include_extras=True)
    for name, field in kind.__pydantic_fields__.items():
        value = getattr(instance, name)
        if dataclasses.is_dataclass(value):
            yield from settings_of(type(value), f'{prefix}{name}.', value)
        else:
            yield Setting(prefix + name, hints[name], value, ' '.join((field.description or '').split()))


class SettingsLoader(UniqueKeys, yaml.SafeLoader):  # type: ignore[misc]
    """Read ``1e-4`` as a number, as YAML 1.2 does; YAML 1.1, which PyYAML follows, requires a point before the e."""


SettingsLoader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$'), list('-+0123456789')
)


def parse_yaml_value(text: str) -> Any:
    """Return the value of a YAML text, with ``1e-4`` as a number.

    Raises:
        ConfigurationError: the text is not valid YAML.
    """
    return parse_yaml(text, shortened(repr(text)), loader=SettingsLoader)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file of settings holds; an empty file gives an empty mapping.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or holds something else.
    """
    content = parse_yaml(read_text(path), path, loader=SettingsLoader)
    if content is not None and not isinstance(content, dict):
        raise ConfigurationError(f'{path} holds {type(content).__name__}, expected a mapping of names to values')
    return content or {}


def setting_error(error: ValidationError, kind: type[Any], origin: str = '') -> SettingError:
    """Return pydantic's most specific fault as an error of this project."""
    faults = error.errors(include_url=False)
    first = next((fault for fault in faults if fault['type'] in UNKNOWN_NAME), None)
    if first is None:  # of a union's faults, that of the alternative which fits best
        same = [fault for fault in faults if fault['loc'][:1] == faults[0]['loc'][:1]]
        first = max(same, key=lambda fault: len(fault['loc']) - (fault['type'] in MISSING_OR_TOO_MANY))
    if first['type'] in UNKNOWN_NAME:
        *parents, name = (str(part) for part in first['loc'])
        known = _names_at(kind, parents)
        hint = suggestion(name, known) or (f'; choose from {", ".join(known)}' if len(known) <= SHORT_LIST else '')
        full_name = '.'.join([*parents, name])
        return SettingError(full_name, f'there is no setting {shortened(full_name)!r}{hint}', origin)
    name, problem = _located(first, kind)
    return SettingError(name, f'{name} {problem}', origin)


def _names_at(kind: Any, parents: list[str]) -> list[str]:
    for name in parents:
        kind = _bare(get_type_hints(kind, include_extras=True)[name])
    return [field.name for field in dataclasses.fields(kind)]


def _located(fault: ErrorDetails, kind: type[Any]) -> tuple[str, str]:
    """Return the dotted name of the setting that a fault concerns, and the rest of the message."""
    name, hint = '', kind
    location = list(fault['loc'])
    if fault['type'] in MISSING_OR_TOO_MANY and location and isinstance(location[-1], int):
        location.pop()  # the sequence itself is wrong, not a missing item
    outer = hint
    for index, part in enumerate(location):
        bare = _bare(hint)
        if _is_union(bare):  # pydantic names the alternative that it tried
            kind = dict if str(part).startswith('dict') else tuple
            fitting = [member for member in _members(bare) if get_origin(_bare(member)) is kind]
            if index == len(location) - 1 or not fitting:
                break
            hint = fitting[0]
        elif dataclasses.is_dataclass(bare):
            name = f'{name}.{part}' if name else str(part)
            hint = outer = get_type_hints(bare, include_extras=True)[str(part)]
        elif get_origin(bare) is tuple and isinstance(part, int):
            name += f'[{part}]'
            items = [item for item in get_args(bare) if item is not Ellipsis]
            hint = outer = items[min(part, len(items) - 1)]
        elif get_origin(bare) is dict and part != '[key]':
            name += f'.{part}'
            hint = outer = get_args(bare)[1]
        else:
            break
    context = fault.get('ctx') or {}
    if fault['type'] == CONTRADICTION:
        setting = f'{name}.{context["setting"]}' if name else context['setting']
        return setting, f'is {shortened(repr(context["value"]))}; it must be {context["expected"]}'
    return name, f'is {shortened(repr(fault["input"]))}; it must be {_expected(fault, outer)}'


def _expected(fault: ErrorDetails, hint: Any) -> str:
    if fault['type'] == 'value_error':  # of a validator, whose text completes "it must be"
        return fault['msg'].removeprefix('Value error, ')
    text = describe(hint, with_type=bool(WRONG_TYPE.match(fault['type'])) or fault['type'] in MISSING_OR_TOO_MANY)
    if fault['type'] == 'finite_number':
        return f'a finite number, {text}' if _limits(hint) else 'a finite number'
    words = [word for member in _members(_bare(hint)) for word in _words(member)]
    return text + (suggestion(fault['input'], words) if isinstance(fault['input'], str) else '')


def describe(hint: Any, *, with_type: bool = True) -> str:
    """Return what values a type accepts, in words: ``a whole number, at least 0``, ``above 0, or 'auto'``.

    Args:
        with_type: say that a number is required, not only its limits.
    """
    bare = _bare(hint)
    if _is_union(bare):
        members = [describe(member, with_type=with_type and not _is_number(member)) for member in _members(bare)]
        return ', or '.join(members)
    if get_origin(bare) is Literal:
        *others, last = [str(word) for word in get_args(bare)]
        return f'{", ".join(others)} or {last}' if others else repr(last)
    if get_origin(bare) is tuple:
        return _describe_tuple(get_args(bare))
    limits = _limits(hint)
    name = _type_name(bare)
    named = with_type or bare is str or not limits
    return ', '.join(filter(None, [name if named else '', limits]))


def _type_name(bare: Any) -> str:
    names = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'text', type(None): 'null'}
    if get_origin(bare) is dict:
        return 'a mapping of names to values'
    return names.get(bare, f'a mapping of settings ({getattr(bare, "__name__", bare)} in Python)')


def _describe_tuple(items: tuple[Any, ...]) -> str:
    if not items:
        return 'empty'
    if get_origin(_bare(items[0])) is Literal:
        return f'a list of {describe(items[0])}'
    noun = 'whole numbers' if _bare(items[0]) is int else 'numbers'
    limits = _limits(items[0])
    text = f'a list of {noun}' if Ellipsis in items else f'{NUMBER_WORDS.get(len(items), len(items))} {noun}'
    return f'{text}, each {limits}' if limits else text


def _limits(hint: Any) -> str:
    bounds: dict[str, Any] = {}
    for entry in getattr(hint, '__metadata__', ()):
        for constraint in entry.metadata if isinstance(entry, FieldInfo) else [entry]:
            for name in ('ge', 'gt', 'le', 'lt', 'multiple_of', 'min_length'):
                if hasattr(constraint, name):
                    bounds[name] = getattr(constraint, name)
    texts = []
    if 'ge' in bounds and 'le' in bounds:
        texts.append(f'{_number(bounds.pop("ge"))} to {_number(bounds.pop("le"))}')
    phrases = {'ge': 'at least', 'gt': 'above', 'le': 'at most', 'lt': 'below', 'multiple_of': 'a multiple of'}
    texts += [f'{phrase} {_number(bounds[name])}' for name, phrase in phrases.items() if name in bounds]
    texts += ['not empty'] if 'min_length' in bounds else []
    return ' and '.join(texts)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f'{value:g}'


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _is_union(bare: Any) -> bool:
    return get_origin(bare) in (Union, types.UnionType)


def _members(bare: Any) -> tuple[Any, ...]:
    return get_args(bare) if _is_union(bare) else (bare,)


def _words(hint: Any) -> list[str]:
    bare = _bare(hint)
    return [str(word) for word in get_args(bare)] if get_origin(bare) is Literal else []


def _is_number(hint: Any) -> bool:
    return _bare(hint) in (int, float) and bool(_limits(hint))
