"""Options generated from a settings class: names, values as YAML, mappings, files below options, and errors."""

import dataclasses
from typing import Annotated, Literal

import pytest
from pydantic import Field

from minisegnet_core.commands.setting_options import SettingsParser, option_name
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.settings import settings_class


@settings_class
class Stage:
    """One stage."""

    batch_size: Annotated[int, Field(ge=2)] = 16
    """Images per step, 100 % of them."""
    lr: Annotated[float, Field(gt=0)] | Literal['auto'] = 0.1
    """Learning rate."""


@settings_class
class Config:
    """All settings."""

    name: str = 'x'
    """A name."""
    path: str | None = None
    """A path."""
    fast: bool = True
    """Work fast."""
    mode: Literal['none', 'some', 'all'] = 'some'
    """How much."""
    weights: tuple[float, ...] | dict[str, Annotated[float, Field(ge=0)]] | Literal['auto'] = (1.0, 2.0)
    """Weights."""
    crop: tuple[int, int] | tuple[()] = ()
    """Crop."""
    repeat: dict[str, Annotated[int, Field(ge=1)]] = dataclasses.field(default_factory=dict)
    """Uses of each image."""
    stage: Stage = Stage(batch_size=8)
    """A stage."""


def config_of(*arguments: str) -> Config:
    parser = SettingsParser('program')
    parser.add_settings(Config)
    return parser.settings(Config, parser.parse_args(arguments))


def test_no_option_gives_the_defaults():
    assert config_of() == Config()


def test_names_have_hyphens():
    assert option_name('stage.batch_size') == '--stage.batch-size'
    assert config_of('--stage.batch-size', '4').stage == Stage(batch_size=4)


@pytest.mark.parametrize(
    ('arguments', 'name', 'value'),
    [
        (['--name', '12'], 'name', '12'),
        (['--path', 'null'], 'path', None),
        (['--path', 'null.txt'], 'path', 'null.txt'),
        (['--no-fast'], 'fast', False),
        (['--no-fast', '--fast'], 'fast', True),
        (['--mode', 'none'], 'mode', 'none'),
        (['--weights', '1,3e-1,2'], 'weights', (1.0, 0.3, 2.0)),
        (['--weights', 'ball=3,line=2e0'], 'weights', {'ball': 3.0, 'line': 2.0}),
        (['--weights', '{ball: 3, line: 2}'], 'weights', {'ball': 3.0, 'line': 2.0}),
        (['--weights', '[1, 2]'], 'weights', (1.0, 2.0)),
        (['--weights', '4'], 'weights', (4.0,)),
        (['--weights', 'auto'], 'weights', 'auto'),
        (['--weights', '[]'], 'weights', ()),
        (['--crop=64,64'], 'crop', (64, 64)),
        (['--stage.lr', '1e-4'], 'stage', Stage(batch_size=8, lr=1e-4)),
        (['--stage.lr', '1', '--stage.lr', 'auto'], 'stage', Stage(batch_size=8, lr='auto')),
        (['--repeat.my-photo', '6', '--repeat.a_b=2'], 'repeat', {'my-photo': 6, 'a_b': 2}),
    ],
)
def test_values_are_yaml_and_the_last_one_counts(arguments, name, value):
    assert getattr(config_of(*arguments), name) == value


def test_files_come_first_and_later_files_override_earlier_ones(tmp_path):
    (tmp_path / 'a.yaml').write_text('name: a\nstage: {lr: 1e-3}\nrepeat: {x: 2}\n')
    (tmp_path / 'b.yaml').write_text('name: b\n')
    files = ['--config', str(tmp_path / 'a.yaml'), '--config', str(tmp_path / 'b.yaml')]
    config = config_of('--stage.batch-size', '2', '--repeat.y', '3', *files)
    assert config == Config(name='b', stage=Stage(batch_size=2, lr=1e-3), repeat={'x': 2, 'y': 3})


@pytest.mark.parametrize(
    ('content', 'arguments', 'message'),
    [
        ('', ['--stage.batch-size', '1'], '--stage.batch-size is 1; it must be at least 2'),
        ('', ['--stage.lr', 'fast'], "--stage.lr is 'fast'; it must be above 0, or 'auto'"),
        ('', ['--weights', '1,x'], "--weights[1] is 'x'; it must be a number"),
        ('', ['--mode', 'al'], "--mode is 'al'; it must be none, some or all; did you mean all?"),
        ('', ['--repeat.x', '0'], '--repeat.x is 0; it must be at least 1'),
        ('stage: {batch_size: 1}', [], 'c.yaml: stage.batch_size is 1; it must be at least 2'),
        ('stage: {batch_sise: 1}', [], "c.yaml: there is no setting 'stage.batch_sise'; did you mean batch_size?"),
        ('stage: {batch_size: 1}', ['--stage.batch-size', '0'], '--stage.batch-size is 0; it must be at least 2'),
        ('stage: [', [], 'c.yaml is not valid YAML'),
        ('- stage', [], 'c.yaml holds list, expected a mapping of names to values'),
    ],
)
def test_errors_name_the_option_or_the_file(tmp_path, content, arguments, message):
    file = tmp_path / 'c.yaml'
    file.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        config_of('--config', str(file), *arguments)
    assert str(error.value).removeprefix(f'{tmp_path}/').startswith(message)


@pytest.mark.parametrize(
    ('argument', 'suggested'),
    [('--stage.batch-sise', '--stage.batch-size'), ('--stage.batch_size', '--stage.batch-size'), ('--fas', '--fast')],
)
def test_unknown_options_get_a_suggestion_and_nothing_is_abbreviated(argument, suggested, capsys):
    with pytest.raises(SystemExit) as stop:
        config_of(argument, '3')
    assert stop.value.code == 2
    assert f'there is no option {argument}; did you mean {suggested}?' in capsys.readouterr().err


def test_help_shows_meaning_and_default_in_one_shape():
    parser = SettingsParser('program')
    parser.add_settings(Config)
    text = ' '.join(parser.format_help().split())
    assert '--mode {none,some,all} how much (default: some)' in text
    assert '--fast, --no-fast work fast (default: true)' in text
    assert '--weights {X,X,...,NAME=X,...,auto} weights (default: 1,2)' in text
    assert '--repeat.PREFIX N uses of each image --stage' not in text
    assert 'stage: --stage.batch-size N images per step, 100 % of them (default: 8)' in text
