"""YOLO outlines as ground truth of an evaluation; the importer of boxes reads the same extents."""

import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import DatasetError
from minisegnet_core.evaluation.sources.ground_truth_files import YoloBoxes

BALL = SOCCER.id_of('ball')


def test_outlines_are_balls_of_their_extent(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('\ufeff0 0.25 0.5 0.5 0.75 0.75 0.5 0.5 0.25\n0 0.5 0.5 0.5 0.25 0.9\n', encoding='utf-8')
    balls = YoloBoxes(tmp_path).take('a', None, (64, 32), None, BALL)
    assert [(ball.x, ball.y, ball.radius) for ball in balls] == [(31.5, 15.5, 12.0), (31.5, 15.5, 10.0)]


def test_an_outline_without_all_corners_is_named(tmp_path):
    (tmp_path / 'a.txt').write_text('0 0.1 0.1 0.2 0.1 0.2 0.2 0.3\n')
    with pytest.raises(DatasetError, match=r'a\.txt, line 1: .* must be a class number'):
        YoloBoxes(tmp_path).take('a', None, (64, 32), None, BALL)
