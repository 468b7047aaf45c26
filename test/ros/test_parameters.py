"""The table of parameters against YAML, launch file and documentation; values set live, or rejected with the reason."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter
from test_node import picture, stamps

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.resources import find_config, share_directory
from minisegnet_ros.parameters import PARAMETERS, TABLE
from minisegnet_ros.segment_node import SegmentNode

DOCUMENTATION = Path(__file__).resolve().parents[2] / 'docs' / 'node.md'


def test_yaml_holds_the_whole_table():
    values = yaml.safe_load(find_config('segment.yaml').read_text())['/**']['ros__parameters']
    assert values == {p.name: p.default for p in PARAMETERS}
    assert {name: type(value) for name, value in values.items()} == {p.name: p.kind for p in PARAMETERS}


def test_launch_file_names_only_declared_parameters():
    path = share_directory() / 'launch' / 'segment.launch.py'
    tree = ast.parse(path.read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'PARAMETERS'
    )
    assert set(names) <= set(TABLE)


def test_documentation_names_every_parameter():
    text = DOCUMENTATION.read_text()
    for parameter in PARAMETERS:
        assert f'`{parameter.name}`' in text, parameter.name


def test_defaults_are_allowed():
    for parameter in PARAMETERS:
        assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('ball_threshold', 1.5, 'ball_threshold out of range'),
        ('ball_threshold', float('nan'), 'ball_threshold'),
        ('ball_threshold', 'high', 'ball_threshold must be a number'),
        ('max_rate', -1, 'max_rate must be 0 to 1000 Hz'),
        ('engine', 'tensorflow', 'engine must be one of auto, openvino, onnxruntime, torch'),
        ('network_size', '10x10', 'network size'),
        ('threads', -1, 'threads'),
        ('expected_size', 'native', 'expected_size must be WIDTHxHEIGHT'),
        ('expected_size', '640x10', 'both at least 64'),
        ('model', 'missing', 'there is no model file missing'),
        ('engine', 'torch', 'the engine torch does not read it'),
    ],
)
def test_rejected_with_the_reason(spin, wait, fake, name, value, reason):
    node = spin(SegmentNode(fake))
    wait(lambda: node._state_machine.current_state[1] == 'active')
    before = node.get_parameter(name).value
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before
    assert node._settings[name] == before


@pytest.mark.parametrize('name', ['image_transport', 'reliability', 'diagnostics_period', 'autostart'])
def test_what_cannot_change_while_active(spin, wait, fake, name):
    node = spin(SegmentNode(fake))
    wait(lambda: node._state_machine.current_state[1] == 'active')
    value = {'image_transport': 'compressed', 'reliability': 'reliable', 'diagnostics_period': 2.0, 'autostart': False}
    (result,) = node.set_parameters([Parameter(name, value=value[name])])
    assert not result.successful
    if name == 'autostart':
        return
    node.trigger_deactivate()
    (result,) = node.set_parameters([Parameter(name, value=value[name])])
    assert result.successful
    node.trigger_activate()
    if name == 'image_transport':
        wait(lambda: node.count_subscribers('/image/compressed'))


def test_wrong_first_value_is_told():
    with pytest.raises(ConfigurationError, match='max_rate must be 0 to 1000 Hz'):
        SegmentNode(parameter_overrides=[Parameter('max_rate', value=-3.0)])


def test_whole_numbers_serve_as_fractions(spin, fake, wait):
    node = spin(SegmentNode(fake, parameter_overrides=[Parameter('max_image_age', value=2)]))
    wait(lambda: node._state_machine.current_state[1] == 'active')
    assert node._settings['max_image_age'] == 2.0
    (result,) = node.set_parameters([Parameter('ball_threshold', value=1)])
    assert result.successful
    assert fake.created[-1].ball_threshold == 1.0


def test_model_changes_between_two_frames(spin, wait, fake):
    from test_node import Peer

    node = spin(SegmentNode(fake))
    peer = spin(Peer(), 1)
    wait(lambda: node._worker and peer.images.get_subscription_count() and node._outputs.heard)
    wait(lambda: node._input.reliability == peer.images.qos_profile.reliability)
    wait(peer.images.get_subscription_count)
    answered = 0
    for index in range(6):
        stamp = 10 + index
        peer.send(picture(1), stamp)
        if index == 2:
            results = node.set_parameters([Parameter('model', value='other'), Parameter('ball_threshold', value=0.7)])
            assert all(result.successful for result in results)
            assert node._segmenter.model_path == Path('other')
            assert node._segmenter.ball_threshold == 0.7
        if index == 4:
            (result,) = node.set_parameters([Parameter('model', value='missing')])
            assert not result.successful
            assert node._segmenter.model_path == Path('other'), 'a failed load keeps the running model'
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']))
        answered += 1
    assert answered == node._statistics.answered
    assert np.all([m.width == 32 for m in peer.received['label_image']])
