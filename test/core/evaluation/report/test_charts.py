"""Line charts: ticks, gaps, and peaks among many points."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from minisegnet_core.evaluation.report.charts import Line, line_chart, ticks


def test_ticks_are_round_numbers_within_the_limits():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 117) == [0, 50, 100]
    assert ticks(-0.3, 0.3) == [-0.2, 0, 0.2]


def test_a_gap_interrupts_the_line():
    chart = line_chart([Line('a', [(0, 1), (1, math.nan), (2, 3), (3, 4)])], 'x', 'y <&')
    lines = [e for e in ElementTree.fromstring(chart).iter() if e.tag == 'polyline']
    assert [len(e.get('points').split()) for e in lines] == [1, 2]


def test_a_single_peak_among_many_points_is_drawn():
    many = line_chart([Line('a', [(x, 100.0 if x == 777 else 1.0) for x in range(5000)])], 'x', 'y')
    ys = [float(p.split(',')[1]) for p in ElementTree.fromstring(many).find('polyline').get('points').split()]
    assert min(ys) == 10.0 and len(ys) == 600


def test_a_chart_without_points_is_empty():
    assert line_chart([Line('a', [(0, math.nan)])], 'x', 'y') == ''
