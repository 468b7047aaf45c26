"""Command-line options generated from the fields of a settings class.

A field ``stage1.batch_size`` becomes ``--stage1.batch-size``, a boolean becomes the flags ``--curves`` and
``--no-curves``, and an entry of a mapping becomes ``--repeat.PREFIX``. Values are YAML; the settings class validates
them. ``--config`` reads a YAML file, whatever its position; single options override it.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from minisegnet_core.commands.parser import CommandParser
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.resources import find_config
from minisegnet_core.settings import (
    Setting,
    SettingError,
    load_settings,
    parse_yaml_value,
    plain_values,
    read_settings_file,
    settings_of,
)

Settings = TypeVar('Settings')

ENTRY = 'PREFIX'
"""Stands for the key of a mapping's entry in the name of its option."""

METAVARS = {'data': 'DIR', 'output': 'DIR', 'init_from': 'FILE', 'augment.crop': 'W,H'}
"""What the help calls the values of settings whose type does not say enough."""


class SettingsParser(CommandParser):
    """A command's parser with an option for every setting of a class; see :meth:`add_settings`."""

    def __init__(self, prog: str, description: str = '') -> None:
        super().__init__(prog, description)
        self.usage = f'{prog} [options]'
        self._settings: dict[str, Setting] = {}
        self._mappings: list[str] = []

    def add_settings(self, kind: type[Any]) -> None:
        """Add ``--config`` and an option for every setting of a class, those of nested classes in groups."""
        self.add_argument(
            '--config',
            action='append',
            default=[],
            metavar='FILE',
            help='YAML file of settings, or the name of one that is installed with minisegnet, such as finetune.yaml',
        )
        groups: dict[str, Any] = {'': self}
        for setting in settings_of(kind):
            self._settings[setting.name] = setting
            section = setting.name.rpartition('.')[0]
            if section not in groups:
                groups[section] = self.add_argument_group(section)
            self._add_option(groups[section], setting)

    def _add_option(self, group: Any, setting: Setting) -> None:
        option, members = option_name(setting.name), _members(setting.hint)
        common = {'dest': setting.name, 'default': argparse.SUPPRESS, 'help': _help(setting)}
        if members == [bool]:
            group.add_argument(option, action=argparse.BooleanOptionalAction, **common)
        elif _is_mapping(setting.hint):
            self._mappings.append(f'{option}.')
            group.add_argument(f'{option}.{ENTRY}', action='append', type=_entry, metavar='N', **common)
        else:
            group.add_argument(
                option,
                type=lambda text: parse_value(text, setting.hint),
                metavar=METAVARS.get(setting.name) or _metavar(setting.hint),
                **common,
            )

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse arguments; ``--repeat.NAME N`` is an entry of the mapping ``repeat``."""
        given = iter(sys.argv[1:] if args is None else args)
        arguments: list[str] = []
        for argument in given:
            option = next((name for name in self._mappings if argument.startswith(name)), None)
            if option is None:
                arguments.append(argument)
                continue
            key, equals, value = argument.removeprefix(option).partition('=')
            arguments.append(option + ENTRY)
            if equals or (value := next(given, '')):
                arguments.append(f'{key}={value}')
        return super().parse_known_args(arguments, namespace)

    def settings(self, kind: type[Settings], parsed: argparse.Namespace) -> Settings:
        """Return the settings that parsed arguments describe: defaults, then files, then options.

        Raises:
            ConfigurationError: a file cannot be read, or a value is wrong; the message names the file or option.
        """
        values = plain_values(kind())  # type: ignore[call-arg]
        origins: dict[str, str] = {}
        for name in parsed.config:
            path = _config_file(name)
            content = read_settings_file(path)
            values = _merged(values, content)
            origins.update(dict.fromkeys(_dotted(content), str(path)))
        for name, value in vars(parsed).items():
            if name in self._settings:
                *sections, key = name.split('.')
                mapping = _is_mapping(self._settings[name].hint)
                content = {key: dict(value) if mapping else value}
                for section in reversed(sections):
                    content = {section: content}
                values = _merged(values, content)
                origins.update(dict.fromkeys(_dotted(content), ''))
        try:
            return load_settings(kind, values)
        except SettingError as error:
            raise _with_origin(error, origins) from None


def option_name(setting: str) -> str:
    """Return the option of a setting: ``--stage1.batch-size`` for ``stage1.batch_size``."""
    return '--' + setting.replace('_', '-')


def _with_origin(error: SettingError, origins: Mapping[str, str]) -> SettingError:
    """Return an error that names the file, or the option, which the wrong value comes from."""
    name = error.setting.partition('[')[0]
    if name not in origins:
        return error
    if origins[name]:
        return SettingError(error.setting, error.sentence, origins[name])
    return SettingError(error.setting, option_name(name) + error.sentence.removeprefix(name))


def _config_file(name: str) -> Path:
    path = Path(name).expanduser()
    return find_config(name) if name == path.name and not path.exists() else path


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in changes.items():
        both = isinstance(result.get(name), Mapping) and isinstance(value, Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result


def _dotted(content: Mapping[str, Any], prefix: str = '') -> list[str]:
    """Return the dotted names of all values of nested mappings, and of the mappings themselves."""
    names = []
    for name, value in content.items():
        names.append(f'{prefix}{name}')
        if isinstance(value, Mapping):
            names += _dotted(value, f'{prefix}{name}.')
    return names


def parse_value(text: str, hint: Any) -> Any:
    """Return the value of an option's text for a setting's type, not yet validated.

    Text stays text for settings that are texts. Everything else is YAML, where a list needs no brackets: ``1,3,2,1``.
    """
    members = _members(hint)
    if str in members:
        return None if type(None) in members and text in ('null', '~') else text
    try:
        value = parse_yaml_value(text)
        if any(get_origin(member) is dict for member in members) and isinstance(value, str) and '=' in value:
            return {key.strip(): parse_yaml_value(item) for key, _, item in (e.partition('=') for e in text.split(','))}
        words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
        single = not isinstance(value, (list, dict)) and text not in words
        if single and any(get_origin(member) is tuple for member in members):
            return parse_yaml_value(f'[{text}]')
        return value
    except ConfigurationError:  # the settings class reports the text
        return text


def _entry(text: str) -> tuple[str, Any]:
    key, _, value = text.partition('=')
    try:
        return key, parse_yaml_value(value)
    except ConfigurationError:
        return key, value


def _help(setting: Setting) -> str:
    text = setting.description.replace('%', '%%').rstrip('.')
    text = text[:1].lower() + text[1:]
    default = _shown(setting.default)
    return f'{text} (default: {default})' if default else text


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ','.join(map(_shown, value))
    if isinstance(value, float):
        return f'{value:g}'
    return '' if value in (None, {}) else str(value)


def _metavar(hint: Any) -> str:
    words: list[str] = []
    for member in _members(hint):
        items = get_args(member)
        if get_origin(member) is Literal:
            words += map(str, items)
        elif get_origin(member) is dict:
            words.append('NAME=X,...')
        elif get_origin(member) is tuple:
            words += ['X,X'] if items and Ellipsis not in items else ['X,X,...'] if items else []
        elif member is not type(None):
            words.append({int: 'N', float: 'X', bool: 'true,false'}.get(member, 'TEXT'))
    return words[0] if len(words) == 1 else '{' + ','.join(words) + '}'


def _is_mapping(hint: Any) -> bool:
    """Return whether a setting is a mapping whose entries are options of their own."""
    return [get_origin(member) for member in _members(hint)] == [dict]


def _members(hint: Any) -> list[Any]:
    """Return the alternatives of a type, without their constraints."""
    if get_origin(hint) is Annotated:
        return _members(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [bare for member in get_args(hint) for bare in _members(member)]
    return [hint]
