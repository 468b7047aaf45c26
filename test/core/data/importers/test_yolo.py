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
