"""The table of parameters against YAML and documentation; values set live, or rejected with the reason."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter

from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.inference.engines.base import file_hash
from minisegnet_core.resources import find_config
from minisegnet_ros.parameters import PARAMETERS, Change
from minisegnet_ros.segment_node import SegmentNode
from support.peers import Peer, camera_image, stamps

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def test_the_yaml_file_holds_the_whole_table():
    values = yaml.safe_load(find_config('segment.yaml').read_text())['/**']['ros__parameters']
    assert values == {p.name: p.default for p in PARAMETERS}
    assert {name: type(value) for name, value in values.items()} == {p.name: p.kind for p in PARAMETERS}


def test_the_documentation_names_every_parameter():
    page = next(path for path in (DOCS / 'reference' / 'node.md', DOCS / 'node.md') if path.is_file())
    text = page.read_text()
    for parameter in PARAMETERS:
        assert f'`{parameter.name}`' in text, parameter.name


def test_descriptions_are_sentences():
    for parameter in PARAMETERS:
        assert parameter.description[0].isupper() and parameter.description.endswith('.'), parameter.name


def test_defaults_are_allowed():
    for parameter in PARAMETERS:
        assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('ball_threshold', 1.5, 'ball_threshold out of range'),
        ('ball_threshold', float('nan'), 'ball_threshold'),
        ('ball_threshold', 'high', 'ball_threshold must be a number'),
        ('ball_confidence', -0.1, 'ball_confidence out of range'),
        ('max_rate', -1, 'max_rate must be 0 to 1000 Hz'),
        ('engine', 'tensorflow', 'engine must be one of auto, openvino, onnxruntime, torch'),
        ('network_size', '10x10', 'network size'),
        ('threads', -1, 'threads'),
        ('expected_size', 'native', 'expected_size must be WIDTHxHEIGHT'),
        ('expected_size', '640x10', 'both 64 to 16384'),
        ('rotate', 45, 'rotate must be one of 0, 90, 180, 270, not 45'),
        (
            'roi',
            [0, 0, 10, 10],
            'roi must be 0 (up to the border) or at least 64 pixels, not 10x10',
        ),
        ('roi', [1, 2, 3], 'roi must be four numbers'),
        ('roi', '0 0 0 0', 'Wrong parameter type'),
        ('precision', 'float8', 'precision must be one of auto, float32'),
        ('device', 'tpu', 'device must be one of auto, cpu, gpu, npu'),
        ('model', 'missing', 'there is no model file missing'),
        ('engine', 'torch', 'the engine torch does not read it'),
    ],
)
def test_a_wrong_value_is_rejected_with_the_reason(spin, wait, fake, name, value, reason):
    node = spin(SegmentNode(fake))
    wait(lambda: node.state == 'active')
    before = node.get_parameter(name).value
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before
    assert node.settings[name] == before


@pytest.mark.parametrize(
    ('name', 'value'), [('autostart', False), ('nice', 5), ('cpu_affinity', '0')]
)  # fmt: skip
def test_read_only_parameters_cannot_be_set_later(spin, wait, fake, name, value):
    node = spin(SegmentNode(fake))
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful and 'read-only' in result.reason


def test_each_model_parameter_loads_a_new_segmenter(spin, wait, fake):
    """It is warmed up in the size and orientation that the network will see."""
    node = spin(SegmentNode(fake, parameter_overrides=[Parameter('cpu_affinity', value='')]))
    wait(lambda: node.state == 'active')
    changes = {'network_size': 'half', 'threads': 3, 'precision': 'int8', 'device': 'gpu'}
    for count, (name, value) in enumerate(changes.items(), 2):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert result.successful, result.reason
        assert len(fake.created) == count
    assert {name: getattr(fake.created[-1].config, name) for name in changes} == changes
    assert fake.created[-1].seen == [((480, 640, 3), 'rgb'), ((480, 640, 3), 'bgr')]
    for name, value in (('rotate', 90), ('roi', [0, 100, 320, 0]), ('expected_size', '800x600')):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert result.successful, result.reason
    assert [s.seen[0][0] for s in fake.created[-3:]] == [(640, 480, 3), (320, 380, 3), (320, 500, 3)]
    (result,) = node.set_parameters([Parameter('roi', value=[700, 0, 0, 0])])
    assert result.successful
    (result,) = node.set_parameters([Parameter('expected_size', value='640x480')])
    assert not result.successful and 'does not fit into an image of 640x480' in result.reason


def test_all_listed_cpus_are_used(fake, monkeypatch):
    """A user who lists CPUs has left out those of other programs."""
    monkeypatch.setattr('minisegnet_ros.scheduling.os.sched_setaffinity', lambda *_: None)
    monkeypatch.setattr('minisegnet_ros.scheduling.os.sched_getaffinity', lambda _: {0, 1, 2, 3})
    overrides = [Parameter('cpu_affinity', value='1-3'), Parameter('autostart', value=False)]
    node = SegmentNode(fake, parameter_overrides=overrides)
    node.trigger_configure()
    assert fake.created[-1].config.threads == 3
    node.destroy_node()


@pytest.mark.parametrize('name', ['image_transport', 'reliability', 'diagnostics_period'])
def test_some_parameters_cannot_change_while_active(spin, wait, fake, name):
    node = spin(SegmentNode(fake))
    wait(lambda: node.state == 'active')
    value = {'image_transport': 'compressed', 'reliability': 'reliable', 'diagnostics_period': 2.0}
    (result,) = node.set_parameters([Parameter(name, value=value[name])])
    assert not result.successful
    node.trigger_deactivate()
    (result,) = node.set_parameters([Parameter(name, value=value[name])])
    assert result.successful
    node.trigger_activate()
    if name == 'image_transport':
        wait(lambda: node.count_subscribers('/image/compressed'))


def test_a_wrong_initial_value_is_rejected():
    with pytest.raises(ConfigurationError, match='max_rate must be 0 to 1000 Hz'):
        SegmentNode(parameter_overrides=[Parameter('max_rate', value=-3.0)])


def test_integers_are_accepted_for_floating_point_parameters(spin, fake, wait):
    node = spin(SegmentNode(fake, parameter_overrides=[Parameter('max_image_age', value=2)]))
    wait(lambda: node.state == 'active')
    assert node.settings['max_image_age'] == 2.0
    (result,) = node.set_parameters([Parameter('ball_threshold', value=1)])
    assert result.successful
    assert fake.created[-1].ball_threshold == 1.0
    (result,) = node.set_parameters([Parameter('ball_confidence', value=0)])
    assert result.successful
    assert fake.created[-1].ball_confidence == 0.0


def test_the_model_changes_between_two_images(spin, wait, fake):
    node = spin(SegmentNode(fake))
    peer = spin(Peer(), 1)
    wait(lambda: node.worker and peer.images.get_subscription_count() and node.outputs.have_subscribers)
    wait(lambda: node.images.reliability == peer.images.qos_profile.reliability)
    wait(peer.images.get_subscription_count)
    answered = 0
    for index in range(6):
        stamp = 10 + index
        peer.send(camera_image(1), stamp)
        if index == 2:
            results = node.set_parameters([Parameter('model', value='other'), Parameter('ball_threshold', value=0.7)])
            assert all(result.successful for result in results)
            assert node.vision.segmenter.model_path == Path('other')
            assert node.vision.segmenter.ball_threshold == 0.7
        if index == 4:
            (result,) = node.set_parameters([Parameter('model', value='missing')])
            assert not result.successful
            assert node.vision.segmenter.model_path == Path('other'), 'a failed load keeps the running model'
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']))
        answered += 1
    assert answered == node.statistics.answered
    assert np.all([m.width == 32 for m in peer.received['label_image']])


GOALS = ClassSet((*SOCCER, SegmentationClass('goal', (255, 255, 0))))


def with_goals(fake):
    """Return a factory of segmenters; the model `goals` has an additional class."""

    def create(config):
        segmenter = fake(config)
        segmenter.classes = GOALS if config.model == 'goals' else SOCCER
        return segmenter

    return create


def test_a_new_topic_may_have_a_qos_override(spin, wait, fake):
    """rclpy declares the override as a parameter while the publisher is created, during a change of parameters."""
    name = 'qos_overrides./segment/goal_mask.publisher.reliability'
    node = spin(SegmentNode(with_goals(fake), parameter_overrides=[Parameter(name, value='best_effort')]))
    results = []
    setting = threading.Thread(
        target=lambda: results.extend(node.set_parameters([Parameter('model', value='goals')])), daemon=True
    )
    setting.start()
    setting.join(30)
    assert results and results[0].successful, results
    assert node.outputs.classes == GOALS and node.get_parameter(name).value == 'best_effort'
    wait(lambda: node.count_publishers('/segment/goal_mask') == 1 == node.count_publishers('/segment/label_image'))
    (result,) = node.set_parameters([Parameter('model', value='')])
    assert result.successful
    wait(lambda: not node.count_publishers('/segment/goal_mask') and node.count_publishers('/segment/label_image') == 1)


def test_a_model_whose_outputs_cannot_be_created_is_rejected(spin, fake, monkeypatch):
    node = spin(SegmentNode(with_goals(fake)))
    monkeypatch.setattr('minisegnet_ros.segment_node.Outputs', lambda *_: 1 / 0)
    (result,) = node.set_parameters([Parameter('model', value='goals')])
    assert not result.successful and result.reason == 'ZeroDivisionError: division by zero'
    assert node.vision.segmenter.classes == node.outputs.classes == SOCCER
    (result,) = node.set_parameters([Parameter('ball_threshold', value=0.6)])
    assert result.successful and node.vision.segmenter.ball_threshold == 0.6


def test_a_model_is_loaded_only_if_something_changes(spin, fake, tmp_path):
    """`ros2 param load` sets every parameter of a file, one after the other, most of them to the value they have."""
    path = tmp_path / 'model'
    path.write_text('first')

    def create(config):
        segmenter = fake(config)
        segmenter.model_hash = file_hash(path)
        return segmenter

    node = spin(SegmentNode(create, parameter_overrides=[Parameter('model', value=str(path))]))
    same = [Parameter(p.name, value=node.get_parameter(p.name).value) for p in PARAMETERS if p.change is Change.MODEL]
    assert len(same) == 9
    assert all(result.successful for result in node.set_parameters(same))
    assert len(fake.created) == 1
    path.write_text('second')
    assert node.set_parameters(same)[0].successful
    assert len(fake.created) == 2, 'another file under the same name'


def test_unknown_names_are_warned_about(spin, fake, capfd):
    overrides = {'ball_treshold': 0.9, 'vignette': 30, 'use_sim_time': False, 'ball_confidence': 0.4}
    spin(SegmentNode(fake, parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()]))
    lines = [line for line in capfd.readouterr().err.splitlines() if 'there is no parameter' in line]
    assert len(lines) == 2
    assert 'there is no parameter ball_treshold; did you mean ball_threshold?' in lines[0]
    assert 'there is no parameter vignette (correct if the file serves other nodes too)' in lines[1]


def test_a_region_outside_the_expected_images_is_rejected_with_the_parameter_to_set(spin, fake):
    node = spin(SegmentNode(fake))
    (result,) = node.set_parameters([Parameter('roi', value=[0, 200, 1280, 520])])
    assert not result.successful
    assert result.reason.endswith('set expected_size to the size of the images')
