"""Numbers are finite wherever they enter: options of every command, settings of every file, and Python values.

NaN passes every comparison that asks for a fault, so a limit of NaN is a gate that is always open.
"""

import argparse
import math
from importlib import import_module
from importlib.metadata import entry_points
from typing import get_args

import pytest

from minisegnet_core.cli import COMMAND_GROUP
from minisegnet_core.commands.setting_options import SettingsParser, option_name
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.evaluation.run import Threshold
from minisegnet_core.export.job import Int8Job
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.series import Series
from minisegnet_core.settings import load_settings, settings_of
from minisegnet_core.training.config import TrainConfig

COMMANDS = {entry.name: entry.module for entry in entry_points(group=COMMAND_GROUP)}
NEEDS_ROS = ('minisegnet_ros.commands.segment', 'minisegnet_ros.commands.demo')
NOT_FINITE = ('nan', 'NaN', 'inf', '-inf', 'Infinity', '1e999', '.nan', '.inf')
KEY_AND_NUMBER = ('--fail-under', '--fail-over')


def parser_of(name):
    if COMMANDS[name] in NEEDS_ROS:
        pytest.importorskip('rclpy', reason='the node needs ROS 2', exc_type=ImportError)
    return import_module(COMMANDS[name]).make_parser(f'minisegnet {name}')


def numbers_of(parser):
    """Yield the options of a parser, other than settings, that take a number."""
    settings = {setting.name for setting in settings_of(TrainConfig)} if isinstance(parser, SettingsParser) else set()
    for action in parser._actions:  # argparse has no public list of its options
        if action.type is None or action.dest in settings:
            continue
        for text in ('0.5', '1'):
            try:
                value = action.type(text)
            except (argparse.ArgumentTypeError, ValueError, TypeError):
                continue
            if isinstance(value, (int, float)):
                yield action
                break


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_no_option_takes_a_number_that_is_not_finite(name):
    for action in numbers_of(parser_of(name)):
        for text in NOT_FINITE:
            with pytest.raises((argparse.ArgumentTypeError, ValueError)):
                action.type(text)


@pytest.mark.parametrize('name', ['evaluate', 'evaluate-bag'])
@pytest.mark.parametrize('option', KEY_AND_NUMBER)
@pytest.mark.parametrize('text', NOT_FINITE)
def test_no_threshold_is_not_finite(name, option, text, capsys):
    parser = parser_of(name)
    with pytest.raises(SystemExit):
        parser.parse_args(['x', '--output', 'y', option, f'mean_iou={text}'])
    assert f"{option} is '{text}'; it must be a finite number" in capsys.readouterr().err


def test_the_walk_finds_the_numbers():
    found = {
        action.option_strings[0] for name in ('import-dataset', 'export') for action in numbers_of(parser_of(name))
    }
    assert {'--max-unknown', '--min-change', '--val-fraction', '--max-drop', '--fps'} <= found


def members(hint):
    """Return the types of which a hint is made."""
    return {hint} if not get_args(hint) else set().union(*(members(part) for part in get_args(hint)))


def fractional_settings(kind):
    """Yield the settings that hold fractional numbers."""
    for setting in settings_of(kind):
        if float in members(setting.hint):
            yield setting


def spoiled(default, value):
    """Return a value of a setting in which the first number is replaced."""
    if isinstance(default, (tuple, list)) and default:
        return [spoiled(default[0], value), *default[1:]]
    return value


def nested(name, value):
    for part in reversed(name.split('.')):
        value = {part: value}
    return value


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('kind', [TrainConfig, SceneConfig])
def test_no_setting_of_a_file_is_not_finite(kind, value):
    names = []
    for setting in fractional_settings(kind):
        names.append(setting.name)
        with pytest.raises(ConfigurationError, match=setting.name):
            load_settings(kind, nested(setting.name, spoiled(setting.default, value)))
    assert len(names) > 20


@pytest.mark.parametrize('name', ['train', 'lr-range-test'])
@pytest.mark.parametrize('text', NOT_FINITE)
def test_no_setting_of_an_option_is_not_finite(name, text):
    for setting in fractional_settings(TrainConfig):
        parser = parser_of(name)
        shown = ','.join([text, *map(str, setting.default[1:])]) if isinstance(setting.default, tuple) else text
        arguments = parser.parse_args([f'{option_name(setting.name)}={shown}'])
        with pytest.raises(ConfigurationError, match=option_name(setting.name)):
            parser.settings(TrainConfig, arguments)


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize(
    'make',
    [
        lambda value: Threshold('mean_iou', value),
        lambda value: Int8Job('a.safetensors', 'b.onnx', maximum_drop=value),
        lambda value: SegmenterConfig(ball_threshold=value),
        lambda value: SegmenterConfig(ball_confidence=value),
        lambda value: Series(fps=value),
        lambda value: Series(val_fraction=value),
        lambda value: TrainConfig(weight_decay=value),
        lambda value: TrainConfig(class_weights=(1.0, value)),
        lambda value: TrainConfig(class_weights={'ball': value}),
    ],
)
def test_no_value_in_python_is_not_finite(make, value):
    with pytest.raises(ConfigurationError):
        make(value)
