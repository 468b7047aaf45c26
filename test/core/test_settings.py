"""Settings classes: strict values, cross-field checks, suggestions, and messages that name the setting."""

import dataclasses
import pickle
from itertools import pairwise
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.settings import (
    SettingError,
    describe,
    load_settings,
    parse_yaml_value,
    plain_values,
    read_settings_file,
    require,
    settings_class,
    settings_of,
)


@settings_class
class Stage:
    """One stage."""

    epochs: Annotated[int, Field(ge=0)] = 30
    """Passes over
    the images."""
    lr: Annotated[float, Field(gt=0)] | Literal['auto'] = 1.0
    base_lr: float = 0.5

    @model_validator(mode='after')
    def _check(self):
        require(self.lr == 'auto' or self.base_lr <= self.lr, 'base_lr', self.base_lr, f'at most lr ({self.lr})')
        return self


@settings_class
class Config:
    """All settings."""

    stage: Stage = Stage(epochs=4)
    scale: tuple[float, float] = (1.0, 2.0)
    crop: tuple[Annotated[int, Field(ge=64)], Annotated[int, Field(ge=64)]] | tuple[()] = ()
    repeat: dict[str, Annotated[int, Field(ge=1)]] = dataclasses.field(default_factory=dict)
    policy: Literal['triangular', 'fixed'] = 'fixed'
    enabled: bool = False
    name: Annotated[str, Field(min_length=1)] = 'x'
    init_from: str | None = None
    compile: bool | Literal['auto'] = 'auto'
    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    weights: tuple[Annotated[float, Field(ge=0)], ...] | Literal['auto'] = 'auto'


@settings_class
@dataclasses.dataclass(frozen=True)
class Decorated:
    """Decorated as a dataclass too."""

    ends: tuple[float, float] = (0.0, 1.0)


WRONG = [
    ({'stage': {'epochs': -1}}, 'stage.epochs is -1; it must be at least 0'),
    ({'stage': {'epochs': '3'}}, "stage.epochs is '3'; it must be a whole number, at least 0"),
    ({'stage': {'epochs': True}}, 'stage.epochs is True; it must be a whole number, at least 0'),
    ({'stage': {'epochs': 2.5}}, 'stage.epochs is 2.5; it must be a whole number, at least 0'),
    ({'stage': {'lr': -1}}, "stage.lr is -1; it must be above 0, or 'auto'"),
    ({'stage': {'lr': True}}, "stage.lr is True; it must be above 0, or 'auto'"),
    ({'stage': {'lr': 'aut'}}, "stage.lr is 'aut'; it must be above 0, or 'auto'; did you mean auto?"),
    ({'stage': {'lr': 0.1}}, 'stage.base_lr is 0.5; it must be at most lr (0.1)'),
    ({'stage': {'epoch': 1}}, "there is no setting 'stage.epoch'; did you mean epochs?"),
    ({'stage': 3}, 'stage is 3; it must be a mapping of settings (Stage in Python)'),
    ({'policy': 'Fixed'}, "policy is 'Fixed'; it must be triangular or fixed; did you mean fixed?"),
    ({'polcy': 'fixed'}, "there is no setting 'polcy'; did you mean policy?"),
    ({'scale': [1]}, 'scale is [1]; it must be two numbers'),
    ({'scale': [1, 2, 3]}, 'scale is [1, 2, 3]; it must be two numbers'),
    ({'scale': [1, '2']}, "scale[1] is '2'; it must be a number"),
    ({'scale': 5}, 'scale is 5; it must be two numbers'),
    ({'crop': [64]}, 'crop is [64]; it must be two whole numbers, each at least 64, or empty'),
    ({'crop': [64, 8]}, 'crop[1] is 8; it must be at least 64'),
    ({'repeat': {'photo_': 0}}, 'repeat.photo_ is 0; it must be at least 1'),
    ({'repeat': 3}, 'repeat is 3; it must be a mapping of names to values'),
    ({'enabled': 1}, 'enabled is 1; it must be true or false'),
    ({'name': ''}, "name is ''; it must be text, not empty"),
    ({'init_from': 3}, 'init_from is 3; it must be text, or null'),
    ({'compile': 1}, "compile is 1; it must be true or false, or 'auto'"),
    ({'fraction': 1}, 'fraction is 1; it must be at least 0 and below 1'),
    ({'hue': 0.7}, 'hue is 0.7; it must be 0 to 0.5'),
    ({'hue': float('nan')}, 'hue is nan; it must be a finite number, 0 to 0.5'),
    ({'weights': [1, -2]}, 'weights[1] is -2; it must be at least 0'),
    ({'weights': 'x'}, "weights is 'x'; it must be a list of numbers, each at least 0, or 'auto'"),
]


@pytest.mark.parametrize(('content', 'message'), WRONG)
def test_a_wrong_value_is_reported_with_the_name_of_the_setting_and_its_limits(content, message):
    with pytest.raises(ConfigurationError) as error:
        load_settings(Config, content, 'c.yaml')
    assert str(error.value) == f'c.yaml: {message}'


@pytest.mark.parametrize(
    ('content', 'message'), [case for case in WRONG if not isinstance(case[0].get('stage', 3), dict)]
)
def test_python_gets_the_same_message_as_a_file(content, message):
    with pytest.raises(ConfigurationError) as error:
        Config(**content)
    assert str(error.value) == message


def test_the_error_of_a_nested_setting_has_its_dotted_name():
    with pytest.raises(SettingError) as error:
        load_settings(Config, {'stage': {'lr': 0}})
    assert error.value.setting == 'stage.lr'


def test_whole_numbers_and_lists_are_accepted_for_numbers_and_tuples():
    config = load_settings(Config, {'stage': {'lr': 2}, 'scale': [1, 3], 'crop': [64, 96], 'weights': [1, 2]})
    assert (config.stage.lr, config.scale, config.crop, config.weights) == (2.0, (1.0, 3.0), (64, 96), (1.0, 2.0))
    assert isinstance(config.stage.lr, float)
    assert config.stage.epochs == 30  # of the class: a nested mapping does not start from another default
    assert Config(scale=[1, 3]).scale == (1.0, 3.0)
    assert Decorated(ends=[0, 2]) == Decorated((0.0, 2.0))


def test_settings_are_frozen_and_validated_again_when_replaced():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.enabled = True
    assert dataclasses.replace(config, enabled=True).enabled
    with pytest.raises(ConfigurationError, match='hue is 2'):
        dataclasses.replace(config, hue=2)


def test_settings_survive_pickling_and_plain_values():
    config = Config(stage=Stage(lr='auto'), crop=(64, 64), repeat={'a': 2})
    assert pickle.loads(pickle.dumps(config)) == config
    assert load_settings(Config, plain_values(config)) == config
    assert plain_values(config)['crop'] == [64, 64]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 10**6), st.lists(st.floats(0, 1e9)))
def test_valid_values_are_kept_exactly(fraction, epochs, weights):
    config = load_settings(Config, {'fraction': fraction, 'stage': {'epochs': epochs}, 'weights': weights})
    assert (config.fraction, config.stage.epochs, config.weights) == (fraction, epochs, tuple(weights))


def test_every_setting_has_a_dotted_name_a_default_and_a_description():
    settings = {setting.name: setting for setting in settings_of(Config)}
    assert list(settings)[:4] == ['stage.epochs', 'stage.lr', 'stage.base_lr', 'scale']
    assert settings['stage.epochs'].default == 4
    assert settings['stage.epochs'].description == 'Passes over the images.'
    assert describe(settings['stage.lr'].hint) == "above 0, or 'auto'"


def test_yaml_numbers_need_no_point_before_the_exponent(tmp_path):
    assert parse_yaml_value('[1e-4, 2E+5, 1.5e-3, e5]') == [1e-4, 2e5, 1.5e-3, 'e5']
    (tmp_path / 'c.yaml').write_text('stage: {lr: 1e-4}\n')
    assert read_settings_file(tmp_path / 'c.yaml') == {'stage': {'lr': 1e-4}}


def test_an_empty_file_has_no_settings_and_a_list_is_refused(tmp_path):
    file = tmp_path / 'c.yaml'
    file.write_text('')
    assert read_settings_file(file) == {}
    file.write_text('- a')
    with pytest.raises(ConfigurationError, match='holds list, expected a mapping'):
        read_settings_file(file)


ENDLESS = 'a: &a [*a]'
LAUGHS = '\n'.join(['a: &a [x, x]', *(f'{b}: &{b} [{", ".join([f"*{a}"] * 9)}]' for a, b in pairwise('abcdefghi'))])


@pytest.mark.parametrize(
    'text',
    [
        *('a: !!int ""', 'a: !!float x', 'a: !!timestamp x', 'a: !!bool maybe', 'a: !!binary \u00e9'),
        *('[' * 100_000, ENDLESS, LAUGHS),
    ],
    ids=['int', 'float', 'timestamp', 'bool', 'binary', 'deep', 'endless', 'laughs'],
)
def test_yaml_that_cannot_be_built_is_refused_in_one_sentence(tmp_path, text):
    (tmp_path / 'c.yaml').write_text(text)
    with pytest.raises(ConfigurationError, match=r'c\.yaml is not valid YAML') as caught:
        read_settings_file(tmp_path / 'c.yaml')
    assert len(str(caught.value).replace(str(tmp_path), '')) < 280


def test_aliases_are_written_out(tmp_path):
    (tmp_path / 'c.yaml').write_text('a: &a {lr: 1e-4}\nb: *a\nc: *a\n')
    assert read_settings_file(tmp_path / 'c.yaml') == {name: {'lr': 1e-4} for name in 'abc'}
