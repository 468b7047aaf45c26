"""Images with boxes: what the boxes correct in a model's labels, what is ignored, and faults that are named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.data.importers.boxes import Box, BoxedImages, BoxOptions, read_boxes, weak_labels
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.imaging import write_image

BACKGROUND, BALL, LINE, FIELD = range(4)


def sure_of(label, width=40, height=32, probability=0.97):
    """Return the probabilities of a model that predicts one class everywhere."""
    likely = np.full((4, height // 4, width // 4), (1 - probability) / 3, np.float32)
    likely[label] = probability
    return likely


def test_pixels_of_low_probability_are_ignored():
    likely = sure_of(FIELD)
    likely[:, :, :4] = np.array([0.3, 0.0, 0.0, 0.7], np.float32)[:, None, None]
    labels = weak_labels(likely, 40, 32, [], BALL, 0.8)
    assert (labels[:, :14] == IGNORE).all()
    assert (labels[:, 20:] == FIELD).all()
    assert (weak_labels(likely, 40, 32, [], BALL, 0.6) == FIELD).all()


def test_a_ball_fills_the_ellipse_in_its_box():
    labels = weak_labels(sure_of(FIELD), 40, 32, [Box(BALL, 0.5, 0.5, 0.4, 0.5)], BALL, 0.8)  # pixels 12..27, 8..23
    y, x = np.mgrid[:32, :40]
    inside = ((x - 19.5) / 8) ** 2 + ((y - 15.5) / 8) ** 2 <= 1
    np.testing.assert_array_equal(labels == BALL, inside)
    assert (labels[~inside] == FIELD).all()


def test_a_ball_outside_all_boxes_takes_the_next_probable_class():
    likely = sure_of(FIELD)
    likely[:, 2:4, 2:4] = np.array([0.09, 0.9, 0.005, 0.005], np.float32)[:, None, None]
    assert BALL in weak_labels(likely, 40, 32, None, BALL, 0.5)  # the boxes of this image are unknown
    labels = weak_labels(likely, 40, 32, [], BALL, 0.5)
    assert BALL not in labels
    assert labels[11, 11] == BACKGROUND


def test_a_partly_hidden_ball_keeps_the_outline_of_the_model():
    likely = sure_of(FIELD)
    likely[:, 3:5, 4:6] = sure_of(BALL)[:, 3:5, 4:6]
    for box in (Box(BALL, 0.5, 0.5, 0.2, 0.5), Box(BALL, 0.5, 0.75, 0.4, 0.5)):  # too tall; at the lower border
        labels = weak_labels(likely, 40, 32, [box], BALL, 0.8)
        left, top, right, bottom = box.corners(40, 32)
        assert set(np.unique(labels[top:bottom, left:right])) <= {BALL, IGNORE}
        assert set(np.unique(np.delete(labels, np.s_[left:right], axis=1))) == {FIELD}


def test_the_middle_of_another_box_has_its_class_except_for_balls():
    robot, ball = Box(BACKGROUND, 0.5, 0.5, 0.8, 1.0), Box(BALL, 0.6, 0.5, 0.1, 0.125)
    labels = weak_labels(sure_of(FIELD), 40, 32, [ball, robot], BALL, 0.8)
    assert (labels[8:24, 12:20] == BACKGROUND).all()
    assert labels[16, 24] == BALL
    assert (labels[:8] == FIELD).all()
    assert (labels[:, :12] == FIELD).all()


def test_islands_of_field_are_ignored_but_not_areas_that_a_line_divides():
    likely = sure_of(BACKGROUND, 120, 80)  # (4, 20, 30)
    field, line = sure_of(FIELD)[:, :1, :1], sure_of(LINE)[:, :1, :1]
    likely[:, 10:] = field
    likely[:, 1:3, 20:24] = field  # a ceiling
    likely[:, 10:, 4] = line[..., 0]  # divides off an area that is as small
    likely[:, 10:, 3] = 0.25  # unsure pixels beside the line
    labels = weak_labels(likely, 120, 80, None, None, 0.8, (FIELD, LINE, BALL))
    assert (labels[7:9, 85:90] == IGNORE).all()
    assert (labels[50, 2:8] == FIELD).all()
    assert (labels[50, 17:19] == LINE).all()
    assert (labels[20, 60] == BACKGROUND).all()
    kept = weak_labels(likely, 120, 80, None, None, 0.8)
    assert (kept[7:9, 85:90] == FIELD).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Box,
            st.sampled_from([BACKGROUND, BALL]),
            st.floats(0, 1),
            st.floats(0, 1),
            st.floats(0.001, 1),
            st.floats(0.001, 1),
        ),
        max_size=4,
    ),
    st.integers(0, 2**32 - 1),
)
def test_balls_lie_inside_their_boxes_only(boxes, seed):
    likely = np.random.default_rng(seed).dirichlet(np.ones(4), (9, 11)).astype(np.float32).transpose(2, 0, 1)
    labels = weak_labels(likely, 42, 35, boxes, BALL, 0.0)
    allowed = np.zeros((35, 42), bool)
    for box in boxes:
        if box.label == BALL:
            left, top, right, bottom = box.corners(42, 35)
            allowed[top:bottom, left:right] = True
    assert labels.shape == (35, 42)
    assert not (labels == BALL)[~allowed].any()
    assert set(np.unique(labels)) <= {0, 1, 2, 3, IGNORE}


def test_boxes_of_unmapped_classes_are_left_out(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('0 0.5 0.5 0.1 0.2\n\n3 0.5 0.5 0.1 0.2\n')
    assert read_boxes(file, {0: BALL}) == [Box(BALL, 0.5, 0.5, 0.1, 0.2)]


def write_source(root):
    root.mkdir(exist_ok=True)
    for name in ('20190606_a', '20190607_b', '20190607_c'):
        write_image(root / f'{name}.png', np.full((32, 40, 3), 90, np.uint8))
    (root / '20190606_a.txt').write_text('0 0.5 0.5 0.4 0.5\n1 0.1 0.1 0.1 0.1\n')
    (root / '20190607_b.txt').write_text('')
    return root


def test_images_have_the_balls_of_their_boxes_and_a_note_without_boxes(tmp_path):
    images = BoxedImages(write_source(tmp_path), lambda image: sure_of(FIELD), SOCCER)
    entries = {entry.name: entry.read() for entry in images}
    assert len(images) == len(entries) == 3
    ball = entries['20190606_a'].balls[0]
    assert (ball.x, ball.y, ball.radius) == (19.5, 15.5, 8.0)
    assert entries['20190607_b'].balls == ()
    assert [sum(content.notes.values()) for content in entries.values()] == [0, 0, 1]


def test_large_images_are_shrunk_before_the_model_runs(tmp_path):
    write_image(tmp_path / 'a.png', np.full((300, 400, 3), 90, np.uint8))
    (tmp_path / 'a.txt').write_text('0 0.5 0.5 0.1 0.1\n')
    seen = []
    images = BoxedImages(
        tmp_path,
        lambda image: seen.append(image.shape) or sure_of(FIELD, 128, 96),
        SOCCER,
        BoxOptions(max_side=128),
    )
    assert next(iter(images)).read().labels.shape == (96, 128)
    assert seen == [(96, 128, 3)]


def test_a_source_without_boxes_or_classes_is_rejected(tmp_path):
    (tmp_path / 'bare').mkdir()
    write_image(tmp_path / 'bare/a.png', np.zeros((32, 40, 3), np.uint8))
    with pytest.raises(SourceError, match='no text file of boxes'):
        BoxedImages(tmp_path / 'bare', sure_of, SOCCER)
    folder = write_source(tmp_path / 'boxed')
    with pytest.raises(ConfigurationError, match="--map 0=cat: there is no class 'cat'"):
        BoxedImages(folder, sure_of, SOCCER, BoxOptions({0: 'cat'}))


@pytest.mark.parametrize(
    ('values', 'message'), [({'min_confidence': 1}, 'label confidence 1 '), ({'max_side': 20}, 'maximum side 20 ')]
)
def test_options_out_of_range_are_rejected(values, message):
    with pytest.raises(ConfigurationError, match=message):
        BoxOptions(**values)
