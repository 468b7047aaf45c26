"""The configuration of scenes: presets, limits, messages, and reading and writing of settings."""

from __future__ import annotations

import dataclasses
import json

import pytest

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.scenes import SceneConfig, Series, render_scene
from minisegnet_core.scenes.config.scene import PRESETS, describe_settings
from support.scenes import small


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        ({'camera': {'hight': 1}}, 'camera.hight'),
        ({'camera': {'height': [2, 1]}}, 'camera.height'),
        ({'camera': {'height': [-1, 1]}}, 'camera.height'),
        ({'camera': {'fisheye': 1.5}}, 'camera.fisheye'),
        ({'camera': {'fisheye': 'yes'}}, 'camera.fisheye'),
        ({'camera': 3}, 'camera'),
        ({'field': {'kinds': ['moon']}}, 'field.kinds'),
        ({'field': {'free': {'lenght': 3}}}, 'field.free.lenght'),
        ({'labels': {'things': 'ball'}}, 'labels.things'),
        ({'image': {'width': 3.5}}, 'image.width'),
        ({'preset': 'league'}, 'league'),
        ({'camera': {'height': True}}, 'camera.height'),
        ({'camera': {'height': float('nan')}}, 'camera.height'),
        ({'field': {'kinds': []}}, 'field.kinds'),
        ({'turf': {'textures': 3}}, 'turf.textures'),
    ],
)
def test_wrong_settings_are_named(content, name):
    with pytest.raises(ConfigurationError, match=name.replace('.', r'\.')):
        SceneConfig.from_mapping(content)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'camera': {'hight': 1}}, "there is no setting 'camera.hight'; did you mean height?"),
        (
            {'camera': {'height': [0.5, 11]}},
            'camera.height is [0.5, 11]; it must be a number, or two numbers in rising order',
        ),
        ({'camera': {'height': [0.5, 11]}}, 'from 0.05 to 10 m'),
        ({'labels': {'things': 'backround'}}, 'did you mean background?'),
        ({'field': {'kinds': ['adul']}}, 'did you mean adult?'),
        ({'preset': 'humanoids'}, 'did you mean humanoid?'),
        ({'cont': 3}, 'did you mean count?'),
        ({'val_fraction': 2}, 'val_fraction is 2; it must be 0 to 1'),
    ],
)
def test_a_wrong_setting_is_reported_with_its_file_value_and_limits(content, message):
    with pytest.raises(ConfigurationError) as error:
        Series.from_mapping(content, 'lab.yaml')
    assert message in str(error.value) and len(str(error.value)) <= 300
    assert 'preset' in content or str(error.value).startswith('lab.yaml: ')


def test_settings_are_validated_in_python_too():
    camera = SceneConfig().camera
    with pytest.raises(ConfigurationError, match=r'height is \(2, 1\)'):
        dataclasses.replace(camera, height=(2, 1))
    assert dataclasses.replace(camera, height=1).height == (1, 1)


@pytest.mark.parametrize('preset', PRESETS)
def test_settings_survive_their_mapping_and_are_documented(preset):
    config = SceneConfig.from_preset(preset)
    assert SceneConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config
    for name, _, allowed, meaning in describe_settings(config):
        assert allowed and meaning, name


def test_a_free_field_from_yaml(tmp_path):
    path = tmp_path / 'lab.yaml'
    path.write_text('field: {kinds: [free], free: {length: 5, width: 4, half: 1, circle_diameter: 1, goal_width: 1}}')
    config = SceneConfig.from_yaml(path).updated({'image': {'width': 160, 'height': 120}})
    assert config.field.free.length == 5 and config.field.free.goal_depth == 0.4  # the rest is as in the default
    assert (render_scene(config, 0, 0).labels > 0).any()


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r'nowhere\.yaml'):
        SceneConfig.from_yaml(tmp_path / 'nowhere.yaml')
    (tmp_path / 'broken.yaml').write_text('a: [1')
    with pytest.raises(ConfigurationError, match=r'broken\.yaml'):
        SceneConfig.from_yaml(tmp_path / 'broken.yaml')
    with pytest.raises(ConfigurationError, match='no folder'):
        render_scene(small(hall={'backgrounds': str(tmp_path / 'none'), 'photo': 1.0}), 0, 0)
