"""The configuration of scenes: all sections, the presets, and reading from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from minisegnet_core.errors import ConfigurationError, shortened, suggestion
from minisegnet_core.scenes.config.settings import (
    BallSettings,
    CameraSettings,
    FieldSettings,
    HallSettings,
    ImageSettings,
    LabelSettings,
    LightSettings,
    Limits,
    LineSettings,
    MotionSettings,
    SensorSettings,
    ThingSettings,
    TurfSettings,
)
from minisegnet_core.settings import (
    describe,
    load_settings,
    plain_values,
    read_settings_file,
    settings_class,
    settings_of,
)

PRESETS: dict[str, dict[str, Any]] = {
    'humanoid': {'field': {'kinds': ['kid', 'adult', 'humanoid2018']}},
    'spl': {
        'field': {'kinds': ['spl']},
        'camera': {'height': [0.4, 0.6], 'field_of_view': [55, 70], 'fisheye': 0.0, 'barrel': [-0.1, 0.05]},
        'balls': {'patterns': ['classic']},
        'things': {'colored_posts': 0.0},
    },
    'msl': {
        'field': {'kinds': ['msl'], 'border': [1.0, 2.0]},
        'camera': {
            'height': [0.4, 0.9],
            'pitch': [-5, 30],
            'roll': [-3, 3],
            'tumble': 0.0,
            'fisheye': 0.8,
            'fisheye_field_of_view': [90, 150],
        },
        'turf': {'hue': [110, 172], 'blades': [0.02, 0.2]},
        'balls': {'patterns': ['plain', 'plain', 'paneled']},
        'things': {'own_robot': 0.1},
    },
    'mixed': {'field': {'kinds': ['kid', 'kid', 'adult', 'adult', 'humanoid2018', 'humanoid2018', 'spl', 'msl']}},
}
"""The settings of each preset that differ from the defaults."""


@settings_class
class SceneConfig:
    """All ranges from which scenes are drawn. Values are validated: see :mod:`minisegnet_core.settings`."""

    image: ImageSettings = dataclasses.field(default_factory=ImageSettings)
    field: FieldSettings = dataclasses.field(default_factory=FieldSettings)
    camera: CameraSettings = dataclasses.field(default_factory=CameraSettings)
    turf: TurfSettings = dataclasses.field(default_factory=TurfSettings)
    lines: LineSettings = dataclasses.field(default_factory=LineSettings)
    light: LightSettings = dataclasses.field(default_factory=LightSettings)
    balls: BallSettings = dataclasses.field(default_factory=BallSettings)
    things: ThingSettings = dataclasses.field(default_factory=ThingSettings)
    hall: HallSettings = dataclasses.field(default_factory=HallSettings)
    sensor: SensorSettings = dataclasses.field(default_factory=SensorSettings)
    motion: MotionSettings = dataclasses.field(default_factory=MotionSettings)
    labels: LabelSettings = dataclasses.field(default_factory=LabelSettings)

    @classmethod
    def from_preset(cls, name: str) -> SceneConfig:
        """Return the preset ``humanoid``, ``spl``, ``msl`` or ``mixed``.

        Raises:
            ConfigurationError: there is no such preset.
        """
        if name not in PRESETS:
            hint = suggestion(name, PRESETS) or f'; choose from {", ".join(PRESETS)}'
            raise ConfigurationError(f'there is no preset {shortened(repr(name))}{hint}')
        return cls().updated(PRESETS[name])

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], origin: str = '') -> SceneConfig:
        """Return a configuration from a mapping: ``preset`` (default ``mixed``), and the settings that differ from it.

        Args:
            content: section names to mappings of settings, for example ``{'camera': {'height': [0.5, 0.7]}}``.
            origin: file that the values come from, for messages.

        Raises:
            ConfigurationError: a setting is unknown or outside its limits; the message names it.
        """
        settings = dict(content)
        return cls.from_preset(str(settings.pop('preset', 'mixed'))).updated(settings, origin)

    @classmethod
    def from_yaml(cls, path: Path | str) -> SceneConfig:
        """Return a configuration from a YAML file; see :meth:`from_mapping`.

        Raises:
            ConfigurationError: the file is missing, is not YAML, or holds a wrong setting.
        """
        return cls.from_mapping(read_settings_file(Path(path)), str(path))

    def updated(self, changes: Mapping[str, Any], origin: str = '') -> SceneConfig:
        """Return this configuration with the given settings replaced. Raises as :meth:`from_mapping`."""
        return load_settings(SceneConfig, merged(self.to_mapping(), changes), origin)

    def to_mapping(self) -> dict[str, Any]:
        """Return nested mappings and lists, as JSON and YAML hold them; :meth:`from_mapping` reads them back."""
        return plain_values(self)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings in which ``changes`` override ``base``, section by section."""
    result = dict(base)
    for name, value in changes.items():
        present = result.get(name)
        if isinstance(present, Mapping) and isinstance(value, Mapping):
            result[name] = merged(present, value)
        else:
            result[name] = value
    return result


def describe_settings(config: SceneConfig) -> Iterator[tuple[str, Any, str, str]]:
    """Yield (dotted name, value, allowed values with unit, meaning) of every setting, in order."""
    for setting in settings_of(SceneConfig, defaults=config):
        limits = next((entry for entry in get_args(setting.hint)[1:] if isinstance(entry, Limits)), None)
        if limits is None:
            yield setting.name, setting.default, describe(setting.hint), setting.description
        else:
            yield setting.name, setting.default, limits.allowed, limits.meaning
