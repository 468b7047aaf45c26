"""Scenes: settings that decide what is drawn and how it is labelled; same seed, same bytes."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest

from minisegnet_core.classes import IGNORE
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.scenes import SceneConfig, SceneSequence, render_scene, render_sequence
from minisegnet_core.scenes.config import settings as scene_settings
from minisegnet_core.scenes.config.scene import PRESETS
from minisegnet_core.scenes.geometry.solids import Canvas
from minisegnet_core.scenes.geometry.viewport import FAR_AWAY, Viewport
from minisegnet_core.scenes.layout import sample_own_body, sample_scene
from minisegnet_core.scenes.objects.nets import Net

SMALL = {'image': {'width': 160, 'height': 120}}


def small(**changes):
    return SceneConfig.from_mapping({**SMALL, **changes})


@pytest.mark.parametrize('preset', PRESETS)
def test_presets_render(preset):
    rendered = render_scene(small(preset=preset), 1, 2)
    assert rendered.image.shape == (120, 160, 3) and rendered.image.dtype == np.uint8
    assert rendered.labels.shape == (120, 160) and set(np.unique(rendered.labels)) <= {0, 1, 2, 3}
    assert (rendered.camera.width, rendered.camera.height) == (160, 120)


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    first, again, other = (render_scene(small(), seed, 5) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.labels, again.labels)
    assert first.balls == again.balls
    assert not np.array_equal(first.image, other.image)


def test_odd_sizes_render():
    rendered = render_scene(SceneConfig.from_mapping({'image': {'width': 161, 'height': 99}}), 0, 0)
    assert rendered.image.shape == (99, 161, 3) and rendered.labels.shape == (99, 161)


def test_things_are_labelled_as_asked():
    crowd = {'robots': [5, 5], 'people': [3, 3], 'near_net': 1.0}
    shares = {}
    for things in ('background', 'field', 'ignore'):
        config = small(things=crowd, labels={'things': things})
        labels = np.stack([render_scene(config, 7, index).labels for index in range(6)])
        shares[things] = labels
    plain, field, ignore = (shares[k] for k in ('background', 'field', 'ignore'))
    covered = ignore == IGNORE
    assert covered.any() and (plain[covered] == 0).all() and (field[covered] == 3).all()
    assert np.array_equal(plain[~covered], field[~covered]) and np.array_equal(plain[~covered], ignore[~covered])


def test_a_net_hides_the_share_that_its_threads_cover():
    config = SceneConfig.from_mapping({'camera': {'fisheye': 0, 'barrel': [0, 0], 'roll': [0, 0], 'off_center': 0}})
    camera = render_scene(config, 0, 0).camera
    camera = dataclasses.replace(camera, rotation=np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]]))
    view = Viewport(camera)
    canvas = Canvas(np.zeros((480, 640, 3), np.float32), np.full((480, 640), FAR_AWAY, np.float32))
    hidden = np.zeros((480, 640), np.float32)
    corner = camera.position + np.array([2.0, -9.0, -9.0])
    net = Net(corner, np.array([0, 18.0, 0]), np.array([0, 0, 18.0]), 0.1, 0.01, False, 0.0, np.ones(3, np.float32))
    net.draw(canvas, view, np.ones(3, np.float32), hidden)
    assert hidden.mean() == pytest.approx(1 - 0.9**2, abs=0.01)


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
    ],
)
def test_wrong_settings_are_named(content, name):
    with pytest.raises(ConfigurationError, match=name.replace('.', r'\.')):
        SceneConfig.from_mapping(content)


@pytest.mark.parametrize('preset', PRESETS)
def test_settings_survive_their_mapping_and_are_documented(preset):
    config = SceneConfig.from_preset(preset)
    assert scene_settings.load(SceneConfig, config.to_mapping()) == config
    for name, _, unit, meaning in scene_settings.describe(config):
        assert unit and meaning, name


def test_a_free_field_from_yaml(tmp_path):
    path = tmp_path / 'lab.yaml'
    path.write_text('field: {kinds: [free], free: {length: 5, width: 4, half: 1, circle_diameter: 1, goal_width: 1}}')
    config = scene_settings.load(SceneConfig, SMALL, SceneConfig.from_yaml(path))
    assert config.field.free.length == 5
    assert (render_scene(config, 0, 0).labels > 0).any()


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r'nowhere\.yaml'):
        SceneConfig.from_yaml(tmp_path / 'nowhere.yaml')
    (tmp_path / 'broken.yaml').write_text('a: [1')
    with pytest.raises(ConfigurationError, match=r'broken\.yaml'):
        SceneConfig.from_yaml(tmp_path / 'broken.yaml')
    with pytest.raises(ConfigurationError, match='no folder'):
        render_scene(small(hall={'backgrounds': str(tmp_path / 'none'), 'photo': 1.0}), 0, 0)


def test_sequences_move_smoothly_and_repeat():
    config = small(camera={'tumble': 0.0}, balls={'none': 0.0}, motion={'ball_speed': [1, 1], 'speed': [0.3, 0.3]})
    sequence = SceneSequence(config, 5, 20.0)
    stances = [sequence.stance_at(t / 20) for t in range(40)]
    for before, after in pairwise(stances):
        assert math.hypot(after.x - before.x, after.y - before.y) <= 0.3 / 20 + 1e-6
        assert abs(after.yaw - before.yaw) < 0.1 and abs(after.roll - before.roll) < 0.06
    assert len({round(s.height, 6) for s in stances}) > 10
    places = np.array([next(sequence.balls_at(t / 20)).center for t in range(40)])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps.max() <= 1 / 20 + 1e-6 and steps[:5].min() > 0.02
    third = list(render_sequence(config, 5, 3, 20.0))[2]
    assert np.array_equal(third.image, sequence.frame(2).image)
    with pytest.raises(ConfigurationError, match='rate'):
        SceneSequence(config, 5, 0)


def test_held_things_are_background_and_before_all_else():
    bare = {'camera': {'pitch': [60, 60], 'tumble': 0, 'level': 0}, 'things': {'own_robot': 0, 'close_actor': 0}}
    held = {**bare, 'things': {**bare['things'], 'held': 1.0}}
    without, with_it = ([render_scene(small(**c), 4, i).labels for i in range(8)] for c in (bare, held))
    covered = sum(int(((a != 0) & (b == 0)).sum()) for a, b in zip(without, with_it, strict=True))
    uncovered = sum(int(((a == 0) & (b != 0)).sum()) for a, b in zip(without, with_it, strict=True))
    assert covered > 2000 and uncovered == 0


def test_no_chance_of_held_things_or_glare_leaves_series_as_they_were():
    # The random numbers of everything else must not depend on what is never drawn: see config/validation.yaml.
    plain = small(things={'held': 0}, sensor={'glare': 0})
    for index in range(4):
        rng = np.random.default_rng([9, index])
        before = sample_scene(plain, rng)[0].sensor
        assert before.glare == (0.0, 1.0)
        state = rng.bit_generator.state
        camera = render_scene(plain, 9, index).camera
        sample_own_body(
            dataclasses.replace(plain, things=dataclasses.replace(plain.things, own_robot=0)), camera, 0, rng
        )
        after = np.random.default_rng()
        after.bit_generator.state = state
        after.random()  # whether the own robot is seen, and nothing more
        assert rng.bit_generator.state == after.bit_generator.state


def test_halos_spread_what_is_beyond_white_and_leave_the_rest():
    light = np.zeros((64, 64, 3), np.float32)
    light[28:36, 28:36] = 5.0
    sensor = dataclasses.replace(
        sample_scene(small(), np.random.default_rng(0))[0].sensor,
        gains=np.ones(3, np.float32),
        saturation=1.0,
        gamma=2.0,
        lift=0.0,
        vignetting=0.0,
        sigma=0.0,
        motion=(0.0, 0.0),
        noise=(0.0, 0.0),
        quality=0,
        veil=0.0,
        bleach=0.0,
    )
    plain, glaring = (
        dataclasses.replace(sensor, glare=(share, 16.0)).expose(light, 1.0, np.random.default_rng(0)).astype(int)
        for share in (0.0, 0.5)
    )
    assert plain[32, 48].max() == 0 and glaring[32, 48].min() > 20  # beside the lamp
    assert glaring[32, 48, 0] > glaring[32, 60, 0]  # it fades
    dim = np.minimum(light, 0.9)  # nothing is beyond white
    assert np.array_equal(
        *(
            dataclasses.replace(sensor, glare=g).expose(dim, 1.0, np.random.default_rng(0))
            for g in ((0.0, 1.0), (0.5, 16.0))
        )
    )
