"""Rendering: labels agree with the geometry, settings have their effect, and equal seeds give equal bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given

from minisegnet_core.classes import IGNORE
from minisegnet_core.scenes import SceneConfig, render_scene
from minisegnet_core.scenes.config.scene import PRESETS
from minisegnet_core.scenes.layout import sample_scene
from minisegnet_core.scenes.objects.foreground import sample_foreground
from minisegnet_core.scenes.renderer import BACKGROUND, FIELD, LINE, render
from support.scenes import BARE, QUICK, SEEDS, exact_distance, on_ground, small


def exact_labels(ground, x, y):
    """Return the labels at ground positions (NaN: sky), computed from the field's sizes."""
    left, right, bottom, top = ground.extent
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    labels = np.where(inside, FIELD, BACKGROUND)
    distance = exact_distance(ground.field, np.nan_to_num(x, nan=1e9), np.nan_to_num(y, nan=1e9))
    labels[(distance <= ground.line_width / 2) & inside] = LINE
    return labels


def bare_scene(seed):
    rng = np.random.default_rng(seed)
    scene, stance = sample_scene(BARE, rng)
    camera = stance.camera(320, 240)
    camera = dataclasses.replace(camera, fx=camera.fx / 2, fy=camera.fy / 2, cx=camera.cx / 2, cy=camera.cy / 2)
    return scene, camera, render(BARE, scene, camera, (), rng)


@given(SEEDS)
@QUICK
def test_labels_are_the_geometry_at_pixel_centres(seed):
    scene, camera, rendered = bare_scene(seed)
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    differing = rendered.labels != exact_labels(scene.ground, *on_ground(camera, u, v))
    u, v, labels = u[differing], v[differing], rendered.labels[differing]
    x, y = on_ground(camera, u, v)
    away = exact_distance(scene.ground.field, np.nan_to_num(x, nan=1e9), np.nan_to_num(y, nan=1e9))
    near = np.abs(away - scene.ground.line_width / 2) < 0.003  # metres: inner corners, see fields.MAP_RESOLUTION
    for step in (0.02, 0.04, 0.06, 0.09, 0.12, 0.15):  # many, since far lines are thinner than 0.15 px
        for shift_u, shift_v in ((step, 0), (-step, 0), (0, step), (0, -step)):
            near |= labels == exact_labels(scene.ground, *on_ground(camera, u + shift_u, v + shift_v))
    assert near.all(), 'a label that occurs nowhere within 0.15 px of its pixel centre'


@given(SEEDS)
@QUICK
def test_line_centres_are_accurate_to_half_a_pixel(seed):
    scene, camera, rendered = bare_scene(seed)
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rendered.labels == LINE)
    for pick in rng.integers(0, max(rows.size, 1), 10 if rows.size else 0):
        row, column = int(rows[pick]), int(columns[pick])
        across = run_around(rendered.labels[row] == LINE, column)
        along = run_around(rendered.labels[:, column] == LINE, row)
        if min(across[1] - across[0], along[1] - along[0]) > 30:
            continue
        in_row = across[1] - across[0] <= along[1] - along[0]  # measured along the shorter of both cuts
        start, end = across if in_row else along
        if start == 0 or end == (camera.width if in_row else camera.height) - 1:
            continue  # cut by the image's border
        cut = np.arange(start - 1, end + 1.001, 0.02)
        rest = np.full_like(cut, row if in_row else column)
        x, y = on_ground(camera, *((cut, rest) if in_row else (rest, cut)))
        on_line = cut[exact_labels(scene.ground, x, y) == LINE]
        assert abs(on_line.mean() - (start + end) / 2) <= 0.52  # half a pixel, and the error of steps of 0.02 px


def run_around(line, at):
    """Return the first and last index of the run of True around an index."""
    before, after = np.flatnonzero(~line[:at]), np.flatnonzero(~line[at:])
    return (int(before[-1]) + 1 if before.size else 0), (at + int(after[0]) - 1 if after.size else line.size - 1)


@pytest.mark.parametrize('preset', PRESETS)
def test_presets_render(preset):
    rendered = render_scene(small(preset=preset), 1, 2)
    assert rendered.image.shape == (120, 160, 3) and rendered.image.dtype == np.uint8
    assert rendered.labels.shape == (120, 160) and set(np.unique(rendered.labels)) <= {0, 1, 2, 3}
    assert (rendered.camera.width, rendered.camera.height) == (160, 120)


def test_equal_seeds_give_equal_bytes_and_different_seeds_different_bytes():
    first, again, other = (render_scene(small(), seed, 5) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.labels, again.labels)
    assert first.balls == again.balls
    assert not np.array_equal(first.image, other.image)


def test_odd_sizes_render():
    rendered = render_scene(SceneConfig.from_mapping({'image': {'width': 161, 'height': 99}}), 0, 0)
    assert rendered.image.shape == (99, 161, 3) and rendered.labels.shape == (99, 161)


def test_objects_are_labelled_as_the_settings_ask():
    crowd = {'robots': [5, 5], 'people': [3, 3], 'near_net': 1.0}
    stacks = {}
    for things in ('background', 'field', 'ignore'):
        config = small(things=crowd, labels={'things': things})
        labels = np.stack([render_scene(config, 7, index).labels for index in range(6)])
        stacks[things] = labels
    plain, field, ignore = (stacks[k] for k in ('background', 'field', 'ignore'))
    covered = ignore == IGNORE
    assert covered.any() and (plain[covered] == 0).all() and (field[covered] == 3).all()
    assert np.array_equal(plain[~covered], field[~covered]) and np.array_equal(plain[~covered], ignore[~covered])


def test_held_objects_are_background_in_front_of_everything():
    bare = {'camera': {'pitch': [60, 60], 'tumble': 0, 'level': 0}, 'things': {'own_robot': 0, 'close_actor': 0}}
    held = {**bare, 'things': {**bare['things'], 'held': 1.0}}
    without, with_it = ([render_scene(small(**c), 4, i).labels for i in range(8)] for c in (bare, held))
    covered = sum(int(((a != 0) & (b == 0)).sum()) for a, b in zip(without, with_it, strict=True))
    uncovered = sum(int(((a == 0) & (b != 0)).sum()) for a, b in zip(without, with_it, strict=True))
    assert covered > 2000 and uncovered == 0


def test_held_objects_and_glare_of_probability_0_draw_no_random_numbers():
    # Series without them, such as config/validation.yaml, must not depend on these settings.
    plain = small(things={'held': 0}, sensor={'glare': 0})
    for index in range(4):
        rng = np.random.default_rng([9, index])
        before = sample_scene(plain, rng)[0].sensor
        assert before.glare == (0.0, 1.0)
        state = rng.bit_generator.state
        camera = render_scene(plain, 9, index).camera
        sample_foreground(dataclasses.replace(plain.things, own_robot=0), camera, 0, rng)
        after = np.random.default_rng()
        after.bit_generator.state = state
        after.random()  # only whether the own robot is in view
        assert rng.bit_generator.state == after.bit_generator.state
