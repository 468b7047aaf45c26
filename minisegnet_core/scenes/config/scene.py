"""The scenes' configuration: all sections in one tree, with presets and the reading of YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.scenes.config import settings
from minisegnet_core.scenes.config.sections import (
    BallSettings,
    CameraSettings,
    FieldSettings,
    HallSettings,
    ImageSettings,
    LabelSettings,
    LightSettings,
    LineSettings,
    MotionSettings,
    SensorSettings,
    ThingSettings,
    TurfSettings,
)


@dataclass(frozen=True)
class SceneConfig:
    """All ranges from which scenes are drawn."""

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
        """The preset ``humanoid``, ``spl``, ``msl`` or ``mixed``.

        Raises:
            ConfigurationError: there is no preset of this name.
        """
        if name not in PRESETS:
            raise ConfigurationError(f'there is no preset {name!r}; there are: {", ".join(PRESETS)}')
        return settings.load(cls, PRESETS[name])

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> SceneConfig:
        """From a mapping: ``preset`` (default mixed), and settings that differ from it.

        Raises:
            ConfigurationError: names the key that is unknown or out of its limits.
        """
        if not isinstance(content, Mapping):
            raise ConfigurationError(f'the configuration must be a mapping of settings, not {content!r:.80}')
        rest = dict(content)
        return settings.load(cls, rest, cls.from_preset(str(rest.pop('preset', 'mixed'))))

    @classmethod
    def from_yaml(cls, path: Path | str) -> SceneConfig:
        """From a YAML file, as :meth:`from_mapping`.

        Raises:
            ConfigurationError: the file is missing, no YAML, or holds a wrong setting.
        """
        return cls.from_mapping(read_yaml(path))

    def to_mapping(self) -> dict[str, Any]:
        """As :meth:`from_mapping` reads it back."""
        return settings.to_mapping(self)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigurationError: the file is missing, is no YAML, or holds no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigurationError(f'{path} could not be read: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f'{path} is not YAML: {error}') from error
    if content is not None and not isinstance(content, dict):
        raise ConfigurationError(f'{path} must hold a mapping of settings')
    return content or {}


_MSL: dict[str, Any] = {
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
}

PRESETS: dict[str, dict[str, Any]] = {
    'humanoid': {'field': {'kinds': ['kid', 'adult', 'humanoid2018']}},
    'spl': {
        'field': {'kinds': ['spl']},
        'camera': {'height': [0.4, 0.6], 'field_of_view': [55, 70], 'fisheye': 0.0, 'barrel': [-0.1, 0.05]},
        'balls': {'patterns': ['classic']},
        'things': {'colored_posts': 0.0},
    },
    'msl': _MSL,
    'mixed': {'field': {'kinds': ['kid', 'kid', 'adult', 'adult', 'humanoid2018', 'humanoid2018', 'spl', 'msl']}},
}
"""What each preset changes."""
