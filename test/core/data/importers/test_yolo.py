"""YOLO's label files: boxes, outlines, and lines that are named."""

import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.importers.boxes import Box, read_boxes
from minisegnet_core.data.importers.yolo import YoloBox, read_yolo
from minisegnet_core.errors import DatasetError

BALL = SOCCER.id_of('ball')


@pytest.mark.parametrize(
    'line',
    [
        'ball 0.5 0.5 0.1 0.1',
        '0 0.5 0.5 0.1',
        '0 320 240 20 20',
        '0 0.5 0.5 0 0.1',
        '0 nan 0.5 0.1 0.1',
        '0.5 0.5 0.5 0.1 0.1',
        '0 0.5 0.5 0.1 0.1 7',  # 7 is not a confidence
        '0 0.1 0.1 0.2 0.1 0.2 0.2 0.3',  # a number of the outline is missing
        '0 0.1 0.1 0.1 0.2 0.1 0.3',  # an outline without area
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path, line):
    file = tmp_path / 'a.txt'
    file.write_text(f'0 0.5 0.5 0.1 0.2\n{line}\n')
    with pytest.raises(DatasetError, match=r'a\.txt, line 2: .* must be a class number'):
        read_yolo(file)


def test_a_box_may_have_a_confidence(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('2 0.5 0.4 0.1 0.2 0.93\n\n')
    assert read_yolo(file) == [YoloBox(2, 0.5, 0.4, 0.1, 0.2)]


def test_outlines_are_read_as_their_extent(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('\ufeff0 0.25 0.5 0.5 0.75 0.75 0.5 0.5 0.25\n0 0.5 0.5 0.5 0.25 0.9\n', encoding='utf-8')
    assert read_yolo(file) == [YoloBox(0, 0.5, 0.5, 0.5, 0.5), YoloBox(0, 0.5, 0.5, 0.5, 0.25)]
    assert read_boxes(file, {0: BALL}) == [Box(BALL, 0.5, 0.5, 0.5, 0.5), Box(BALL, 0.5, 0.5, 0.5, 0.25)]


KEYPOINTS = '0.8 0.8 0.1 0.16 0.76 0.74 0.84 0.74 0.8 0.87'
"""A box and three keypoints that span it."""
EIGHT = '0.52 0.5 0.6 0.55 0.62 0.65 0.58 0.75 0.5 0.8 0.42 0.74 0.38 0.64 0.42 0.54'
"""An outline of eight corners."""


@pytest.mark.parametrize(
    ('values', 'box'),
    [
        ('0.5 0.4 0.1 0.2 0.93 17', (0.5, 0.4, 0.1, 0.2)),  # confidence and track
        ('0.5 0.4 0.1 0.2 0.5 0.4 2', (0.5, 0.4, 0.1, 0.2)),  # one keypoint with its visibility
        ('0.5 0.4 0.1 0.2 0.5 0.4 2 0 0 0', (0.5, 0.4, 0.1, 0.2)),  # the second one is not labelled
        (KEYPOINTS, (0.8, 0.8, 0.1, 0.16)),
        (EIGHT, (0.5, 0.65, 0.24, 0.3)),
        ('0.3 0.3 0.7 0.3 0.7 0.9 0.3 0.9', (0.5, 0.6, 0.4, 0.6)),  # an oriented box
        ('0.1 0.1 0.9 0.1 0.9 0.5', (0.5, 0.3, 0.8, 0.4)),  # three corners, which no box in the image can be
    ],
)
def test_long_lines_are_decided_by_what_is_plausible(tmp_path, values, box):
    file = tmp_path / 'a.txt'
    file.write_text(f'0 {values}\n')
    (found,) = read_yolo(file)
    assert (found.x, found.y, found.width, found.height) == pytest.approx(box)


@pytest.mark.parametrize(
    'values',
    [
        '0.5 0.4 0.1 0.2 0.9 1',  # confidence and track 1, or three corners
        '0.3 0.3 0.32 0.33 0.34 0.31',  # a box with a keypoint, or three corners
    ],
)
def test_a_line_that_may_be_both_is_refused_and_the_option_decides(tmp_path, values):
    file = tmp_path / 'a.txt'
    file.write_text(f'0 {values}\n')
    with pytest.raises(DatasetError, match=r'a\.txt, line 1: .* decide by --box-layout outline or --box-layout box'):
        read_yolo(file)
    numbers = [float(word) for word in values.split()]
    (box,) = read_yolo(file, 'box')
    assert [box.x, box.y, box.width, box.height] == numbers[:4]
    (outline,) = read_yolo(file, 'outline')
    assert outline.width == pytest.approx(max(numbers[::2]) - min(numbers[::2]))


def test_lines_of_several_lengths_are_outlines(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text(f'0 0.3 0.3 0.32 0.33 0.34 0.31\n0 {EIGHT}\n')
    assert [round(box.width, 6) for box in read_yolo(file)] == [0.04, 0.24]


def test_a_box_layout_takes_any_further_values(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('0 0.5 0.4 0.1 0.2 812\n')
    with pytest.raises(DatasetError, match='line 1'):
        read_yolo(file)
    assert read_yolo(file, 'box') == [YoloBox(0, 0.5, 0.4, 0.1, 0.2)]


@pytest.mark.parametrize('number', ['nan', 'inf', '1e999', '-1', 'x'])
@pytest.mark.parametrize('layout', ['auto', 'box', 'outline'])
def test_numbers_that_are_no_fractions_are_refused(tmp_path, number, layout):
    file = tmp_path / 'a.txt'
    for line in (f'{number} 0.5 0.4 0.1 0.2', f'0 0.5 {number} 0.1 0.2', f'0 0.5 0.5 0.1 {number}'):
        file.write_text(line + '\n')
        with pytest.raises(DatasetError, match='line 1'):
            read_yolo(file, layout)
