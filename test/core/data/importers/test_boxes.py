"""YOLO boxes with a model's sure predictions: what the boxes overrule, what is ignored, faults named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.importers.boxes import Box, BoxedImages, read_boxes, weak_labels
from minisegnet_core.data.importers.yolo import YoloBox, read_yolo
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.evaluation.sources.ground_truth_files import YoloBoxes
from minisegnet_core.imaging import read_labels, write_image

BACKGROUND, BALL, LINE, FIELD = range(4)


def sure_of(label, width=40, height=32, share=0.97):
    """Probabilities of a model that sees one class everywhere."""
    likely = np.full((4, height // 4, width // 4), (1 - share) / 3, np.float32)
    likely[label] = share
    return likely


def test_an_unsure_pixel_is_ignored():
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


def test_a_ball_that_no_box_holds_takes_the_next_likely_class():
    likely = sure_of(FIELD)
    likely[:, 2:4, 2:4] = np.array([0.09, 0.9, 0.005, 0.005], np.float32)[:, None, None]
    assert BALL in weak_labels(likely, 40, 32, None, BALL, 0.5)  # nothing is known of this image's boxes
    labels = weak_labels(likely, 40, 32, [], BALL, 0.5)
    assert BALL not in labels
    assert labels[11, 11] == BACKGROUND


def test_a_ball_that_is_cut_off_or_half_hidden_keeps_the_outline_that_the_model_sees():
    likely = sure_of(FIELD)
    likely[:, 3:5, 4:6] = sure_of(BALL)[:, 3:5, 4:6]
    for box in (Box(BALL, 0.5, 0.5, 0.2, 0.5), Box(BALL, 0.5, 0.75, 0.4, 0.5)):  # too tall; at the lower edge
        labels = weak_labels(likely, 40, 32, [box], BALL, 0.8)
        left, top, right, bottom = box.corners(40, 32)
        assert set(np.unique(labels[top:bottom, left:right])) <= {BALL, IGNORE}
        assert set(np.unique(np.delete(labels, np.s_[left:right], axis=1))) == {FIELD}


def test_the_middle_of_another_box_is_its_class_and_a_ball_before_it_stays():
    robot, ball = Box(BACKGROUND, 0.5, 0.5, 0.8, 1.0), Box(BALL, 0.6, 0.5, 0.1, 0.125)
    labels = weak_labels(sure_of(FIELD), 40, 32, [ball, robot], BALL, 0.8)
    assert (labels[8:24, 12:20] == BACKGROUND).all()
    assert labels[16, 24] == BALL
    assert (labels[:8] == FIELD).all()
    assert (labels[:, :12] == FIELD).all()


def test_islands_of_field_are_doubted_and_what_a_line_divides_is_none():
    likely = sure_of(BACKGROUND, 120, 80)  # (4, 20, 30)
    field, line = sure_of(FIELD)[:, :1, :1], sure_of(LINE)[:, :1, :1]
    likely[:, 10:] = field
    likely[:, 1:3, 20:24] = field  # a ceiling
    likely[:, 10:, 4] = line[..., 0]  # cuts off a piece that is as small
    likely[:, 10:, 3] = 0.25  # and beside it nobody is sure
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
def test_balls_lie_in_their_boxes_alone(boxes, seed):
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


def test_what_is_wrong_in_a_file_of_boxes_is_told_with_its_line(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('0 0.5 0.5 0.1 0.2\n\n3 0.5 0.5 0.1 0.2\n')
    assert read_boxes(file, {0: BALL}) == [Box(BALL, 0.5, 0.5, 0.1, 0.2)]
    for line in (
        'ball 0.5 0.5 0.1 0.1',
        '0 0.5 0.5 0.1',
        '0 320 240 20 20',
        '0 0.5 0.5 0 0.1',
        '0 nan 0.5 0.1 0.1',
        '0.5 0.5 0.5 0.1 0.1',
        '0 0.5 0.5 0.1 0.1 7',  # no confidence
        '0 0.1 0.1 0.2 0.1 0.2 0.2 0.3',  # an outline lacks a number
        '0 0.1 0.1 0.1 0.2 0.1 0.3',  # an outline without area
    ):
        file.write_text(f'0 0.5 0.5 0.1 0.2\n{line}\n')
        with pytest.raises(DatasetError, match=r'a\.txt, line 2: .* must be a class number'):
            read_boxes(file, {0: BALL})


def test_outlines_are_read_as_the_boxes_around_them_by_importer_and_evaluation(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('\ufeff0 0.25 0.5 0.5 0.75 0.75 0.5 0.5 0.25\n0 0.5 0.5 0.5 0.25 0.9\n', encoding='utf-8')
    assert read_yolo(file) == [YoloBox(0, 0.5, 0.5, 0.5, 0.5), YoloBox(0, 0.5, 0.5, 0.5, 0.25)]
    assert read_boxes(file, {0: BALL}) == [Box(BALL, 0.5, 0.5, 0.5, 0.5), Box(BALL, 0.5, 0.5, 0.5, 0.25)]
    balls = YoloBoxes(tmp_path).take('a', None, (64, 32), None, BALL)
    assert [(ball.x, ball.y, ball.radius) for ball in balls] == [(31.5, 15.5, 12.0), (31.5, 15.5, 10.0)]
    file.write_text('0 0.1 0.1 0.2 0.1 0.2 0.2 0.3\n')
    with pytest.raises(DatasetError, match=r'a\.txt, line 1: .* must be a class number'):
        YoloBoxes(tmp_path).take('a', None, (64, 32), None, BALL)


def source(root):
    root.mkdir(exist_ok=True)
    for name in ('20190606_a', '20190607_b', '20190607_c'):
        write_image(root / f'{name}.png', np.full((32, 40, 3), 90, np.uint8))
    (root / '20190606_a.txt').write_text('0 0.5 0.5 0.4 0.5\n1 0.1 0.1 0.1 0.1\n')
    (root / '20190607_b.txt').write_text('')
    return root


def test_the_images_are_listed_with_balls_groups_and_what_is_not_known(tmp_path):
    images = BoxedImages(source(tmp_path), lambda image: sure_of(FIELD), SOCCER, {0: 'ball'})
    entries = {entry.name: entry.read() for entry in images}
    assert len(images) == len(entries) == 3
    ball = entries['20190606_a'].balls[0]
    assert (ball.x, ball.y, ball.radius) == (19.5, 15.5, 8.0)
    assert entries['20190607_b'].balls == ()
    assert [sum(content.notes.values()) for content in entries.values()] == [0, 0, 1]


def test_large_images_are_shrunk(tmp_path):
    write_image(tmp_path / 'a.png', np.full((300, 400, 3), 90, np.uint8))
    (tmp_path / 'a.txt').write_text('0 0.5 0.5 0.1 0.1\n')
    seen = []
    images = BoxedImages(
        tmp_path,
        lambda image: seen.append(image.shape) or sure_of(FIELD, 128, 96),
        SOCCER,
        {0: 'ball'},
        longest_side=128,
    )
    assert next(iter(images)).read().labels.shape == (96, 128)
    assert seen == [(96, 128, 3)]


def test_bad_settings_are_named(tmp_path):
    (tmp_path / 'bare').mkdir()
    with pytest.raises(SourceError, match='no text file of boxes'):
        write_image(tmp_path / 'bare/a.png', np.zeros((32, 40, 3), np.uint8))
        BoxedImages(tmp_path / 'bare', sure_of, SOCCER, {0: 'ball'})
    folder = source(tmp_path / 'boxed')
    with pytest.raises(ConfigurationError, match="no class 'cat'"):
        BoxedImages(folder, sure_of, SOCCER, {0: 'cat'})
    with pytest.raises(ConfigurationError, match='confidence 1'):
        BoxedImages(folder, sure_of, SOCCER, {0: 'ball'}, confidence=1)
    with pytest.raises(ConfigurationError, match='longest side 20'):
        BoxedImages(folder, sure_of, SOCCER, {0: 'ball'}, longest_side=20)


def test_the_command_makes_a_data_set_with_the_shipped_model(tmp_path, capsys):
    root = tmp_path / 'yolo'
    (root / 'images').mkdir(parents=True)
    write_image(root / 'images/m1_a.png', np.full((96, 128, 3), (60, 130, 60), np.uint8))
    (root / 'labels').mkdir()
    (root / 'labels/m1_a.txt').write_text('0 0.5 0.5 0.25 0.3333\n')
    arguments = [
        str(root),
        '--format',
        'boxes',
        '--output',
        str(tmp_path / 'out'),
        '--group-pattern',
        '(m.)_',
        '--val',
        '0',
    ]
    assert main(arguments, 'import-dataset') == 0
    dataset = open_dataset(tmp_path / 'out')
    sample = dataset.splits['train'][0]
    assert sample.group == 'm1'
    labels = read_labels(sample.label_path, (96, 128))
    assert labels[48, 64] == BALL
    assert (labels == BALL).sum() == pytest.approx(np.pi * 16 * 16, rel=0.02)
    assert main([*arguments, '--map', 'ball=ball', '--append'], 'import-dataset') == 2
    assert '--map ball=...' in capsys.readouterr().err
