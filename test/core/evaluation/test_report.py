"""The commands as people type them, and what they leave: page, tables, pictures, a bag; one process or many."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from minisegnet_core.commands.evaluate import main as evaluate
from minisegnet_core.commands.evaluation_options import unreached
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.job import segmenter_for
from minisegnet_core.evaluation.report.charts import Line, line_chart, ticks
from minisegnet_core.evaluation.report.values import lookup
from minisegnet_core.evaluation.scoring.evaluator import Evaluation
from minisegnet_core.evaluation.statistics.comparison import compare, read_frames
from minisegnet_core.inference.selection import find_model
from minisegnet_core.resources import models_directory
from minisegnet_ros.commands.evaluate_bag import main as evaluate_bag
from support.bag_files import BASE
from support.recordings import ENGINE, HEIGHT, STEP, WIDTH, segmenter_settings, write_bag

pytestmark = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='the shipped model is not in this tree'
)


@pytest.fixture(scope='module')
def engine():
    pytest.importorskip('openvino')
    return ENGINE


def report_of(folder: Path) -> dict:
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def evaluated_bag(engine, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('evaluated')
    bag = write_bag(folder / 'bag_')
    arguments = [str(bag), *engine, '--output', str(folder / 'out'), '--write-bag', '--overlay', '--resample', 'image']
    assert evaluate_bag(arguments, 'evaluate-bag') == 0
    return folder


def test_report_of_a_bag(evaluated_bag):
    report = report_of(evaluated_bag / 'out')
    assert (report['frames'], report['dropped'], report['frames_with_labels'], report['replay']) == (8, 0, 8, 'offline')
    counts = np.array(report['confusion'])
    assert counts.sum() == 8 * 24 * 32 and np.array(report['full_size']['confusion']).sum() == 8 * WIDTH * HEIGHT
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = np.where(union > 0, counts.diagonal() / np.maximum(union, 1), np.nan)
    known = {k: v for k, v in report['iou'].items() if v is not None}
    assert known == {n: round(v, 6) for n, v in zip(report['iou'], iou.tolist(), strict=True) if math.isfinite(v)}
    assert report['mean_iou'] == pytest.approx(np.nanmean(iou), abs=1e-6)
    assert report['latency_ms']['p50'] <= report['latency_ms']['p95'] <= report['latency_ms']['p99']
    assert report['sequence']['changed'] is not None and report['confidence']['units'] == 8
    low, high = report['confidence']['intervals']['mean_iou']
    assert low <= report['mean_iou'] <= high


def test_table_holds_every_number(evaluated_bag):
    with (evaluated_bag / 'out' / 'report.csv').open() as stream:
        rows = {row['key']: row for row in csv.DictReader(stream)}
    report = report_of(evaluated_bag / 'out')
    assert float(rows['mean_iou']['value']) == report['mean_iou']
    assert float(rows['mean_iou']['low']) == report['confidence']['intervals']['mean_iou'][0]
    assert float(rows['full_size.iou.field']['value']) == report['full_size']['iou']['field']


class Page(HTMLParser):
    """Tags must close in order; what would be fetched is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.images = 0

    def handle_starttag(self, tag, attributes):
        if tag not in ('meta', 'img', 'line', 'polyline', 'circle'):
            self.open.append(tag)
        for name, value in attributes:
            if name in ('src', 'href') and not value.startswith('data:'):
                self.fetched.append(value)
        self.images += tag == 'img'

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_page_is_whole_and_needs_nothing_else(evaluated_bag):
    text = (evaluated_bag / 'out' / 'report.html').read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.fetched == []
    assert 'http' not in re.sub(r'base64,[\w+/=]+', '', text)
    assert page.images % 4 == 0 and page.images > 0, 'image, truth, prediction, difference'
    report = report_of(evaluated_bag / 'out')
    assert f'<b>{report["mean_iou"]:.3f}</b>' in text
    for svg in re.findall(r'<svg.*?</svg>', text):
        ElementTree.fromstring(svg)


def test_results_bag_keeps_stamps_and_times(evaluated_bag):
    with AnyReader([evaluated_bag / 'out' / 'results']) as reader:
        topics = {c.topic: c.msgcount for c in reader.connections}
        assert topics['/minisegnet/label_image'] == topics['/minisegnet/overlay/compressed'] == 8
        labels = [c for c in reader.connections if c.topic == '/minisegnet/label_image']
        messages = [(t, reader.deserialize(raw, c.msgtype)) for c, t, raw in reader.messages(labels)]
        colors = [c for c in reader.connections if 'color' in c.topic]
        color = reader.deserialize(next(reader.messages(colors))[2], colors[0].msgtype)
    for index, (received, message) in enumerate(messages):
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert (stamp, received, message.header.frame_id) == (BASE + index * STEP,) * 2 + ('camera',)
        assert (message.width, message.height, message.encoding) == (32, 24, 'mono8')
    picture = cv2.imdecode(color.data, cv2.IMREAD_COLOR)
    palette = np.array([(0, 0, 0), (255, 64, 0), (255, 255, 255), (0, 160, 0)])[:, ::-1]
    np.testing.assert_array_equal(picture[::4, ::4], palette[messages[0][1].data.reshape(24, 32)])


def test_overlay_video_has_every_frame(evaluated_bag):
    video = cv2.VideoCapture(str(evaluated_bag / 'out' / 'overlay.mp4'))
    count = 0
    while video.grab():
        count += 1
    assert count == 8
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0, abs=0.01), "the bag's own rate"


def test_thresholds(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    common = [str(bag), *engine, '--output', str(tmp_path)]
    assert evaluate_bag([*common, '--fail-under', 'mean_iou=0.99', '--fail-over', 'dropped=0'], 'x') == 1
    assert 'FAILED: mean_iou is' in capsys.readouterr().out
    assert 'Not reached' in (tmp_path / 'report.html').read_text()
    assert evaluate_bag([*common, '--fail-under', 'mean_iou'], 'x') == 2
    values = {'a': {'b': 2.0}, 'c': None, 'd': True}
    assert unreached(values, [('a.b', 2.0, True), ('a.b', 2.0, False)]) == ([], [])
    assert unreached(values, [('a.b', 1.5, True), ('a.b', 2.5, False)]) == (
        ['a.b is 2.0000, above 1.5', 'a.b is 2.0000, below 2.5'],
        [],
    )
    missed, unknown = unreached(values, [('c', 1.0, True), ('a.x', 1.0, True)])
    assert not missed and unknown[0] == 'c is undefined here: there was nothing to judge it by'
    assert "no number 'a.x'" in unknown[1]
    for key in ('a', 'd', 'a.b.c', 'nothing'):
        with pytest.raises(ConfigurationError, match=f"no number '{key}'"):
            lookup(values, key)


def test_a_threshold_of_no_figure_leaves_the_report(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), *engine, '--output', str(tmp_path), '--fail-under', 'nonsense=0.5']
    assert evaluate_bag(arguments, 'x') == 2
    assert "the report has no number 'nonsense'" in capsys.readouterr().err
    assert report_of(tmp_path)['frames'] > 0


@pytest.mark.parametrize('option', ['--labels', '--balls'])
def test_truth_that_is_nowhere_is_told_before_the_model_loads(evaluated_bag, tmp_path, capsys, option):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), '--model', 'nothing.onnx', '--output', str(tmp_path / 'o'), option, str(tmp_path / 'no')]
    assert evaluate_bag(arguments, 'x') == 2
    assert f'x: {option} {tmp_path / "no"}: there is no such file or folder' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_several_bags_one_of_them_bad(engine, tmp_path, capsys):
    bags = [write_bag(tmp_path / 'a_', 3), write_bag(tmp_path / 'b_', 2, 'ros1', shift=100)]
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'nothing')
    arguments = [*map(str, bags), str(broken), *engine, '--output', str(tmp_path / 'o')]
    assert evaluate_bag(arguments, 'x') == 1, 'not all that was asked for was done'
    report = report_of(tmp_path / 'o')
    assert report['frames'] == 5 and [s['frames'] for s in report['sources']] == [3, 2]
    assert report['warnings'][0].startswith('not evaluated: nothing can be read of bag')
    assert 'FAILED: nothing can be read' in capsys.readouterr().out
    assert evaluate_bag([str(broken), '--output', str(tmp_path / 'p')], 'x') == 2


def test_comparison_with_itself_and_with_an_earlier_folder(evaluated_bag, engine, tmp_path):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    common = [str(bag), *engine, '--resample', 'image', '--output']
    assert evaluate_bag([*common, str(tmp_path / 'o'), '--compare', str(evaluated_bag / 'out')], 'x') == 0
    told = report_of(tmp_path / 'o')['comparison']
    assert told['frames'] == 8 and told['figures']['mean_iou']['difference'] == 0
    assert told['sentence'].startswith('no clear difference: B less A is +0.0000 +- 0.0000 (mean_iou)')
    with pytest.raises(SourceError, match='no frame in common'):
        compare(Evaluation(segmenter_for(segmenter_settings(engine)).classes, []), Evaluation(None, []), 'other')
    with pytest.raises(SourceError, match=r'holds no frames\.jsonl'):
        read_frames(tmp_path)
    scores = read_frames(evaluated_bag / 'out')
    evaluation = Evaluation(segmenter_for(segmenter_settings(engine)).classes, scores)
    assert evaluation.confusion().counts.tolist() == report_of(evaluated_bag / 'out')['confusion']


def test_what_cannot_be_compared_is_told_before_anything_is_evaluated(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), *engine, '--output', str(tmp_path / 'o')]
    other = tmp_path / 'other'
    shutil.copytree(evaluated_bag / 'out', other)
    report = report_of(other)
    for classes, message in (
        (report['classes'][::-1], 'that model knows the classes field, line, ball, background, this one background'),
        (report['classes'][:2], 'that model knows the classes background, ball, this one background'),
        (None, 'does not tell the classes'),
    ):
        (other / 'report.json').write_text(json.dumps({**report, 'classes': classes}))
        assert evaluate_bag([*arguments, '--compare', str(other)], 'x') == 2
        assert message in capsys.readouterr().err
    assert evaluate_bag([*arguments, '--compare', 'nosuch.onnx'], 'x') == 2
    assert 'nosuch.onnx' in capsys.readouterr().err
    assert evaluate_bag([*arguments, '--worst', '-3'], 'x') == 2
    assert '--worst is -3; it must be at least 0' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()
    assert evaluate_bag([*arguments, '--worst', '0'], 'x') == 0
    assert not (tmp_path / 'o' / 'worst.png').exists()


def test_options_of_a_live_replay_need_one(evaluated_bag, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    for option in (['--rate', '2'], ['--check-live']):
        assert evaluate_bag([str(bag), '--output', str(tmp_path / 'o'), *option], 'x') == 2
        assert 'are of a live replay: give --live too' in capsys.readouterr().err


def test_compare_runs_the_other_model_on_the_same_frames(shapes_dataset, engine, tmp_path):
    out = tmp_path / 'o'
    arguments = [str(shapes_dataset), *engine, '--output', str(out)]
    assert evaluate([*arguments, '--compare', str(find_model('minisegnet.onnx'))], 'x') == 0
    told = report_of(out)['comparison']
    assert (told['frames'], told['figures']['mean_iou']['difference']) == (4, 0)
    assert report_of(out / 'compared')['mean_iou'] == report_of(out)['mean_iou']
    assert 'A, this model' in (out / 'report.html').read_text()
    assert report_of(out)['sequence']['changed'] is None, 'images of a data set do not follow each other'


def test_charts():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 117) == [0, 50, 100]
    assert ticks(-0.3, 0.3) == [-0.2, 0, 0.2]
    chart = line_chart([Line('a', [(0, 1), (1, math.nan), (2, 3), (3, 4)])], 'x', 'y <&')
    root = ElementTree.fromstring(chart)
    lines = [e for e in root.iter() if e.tag == 'polyline']
    assert [len(e.get('points').split()) for e in lines] == [1, 2], 'a gap parts the line'
    many = line_chart([Line('a', [(x, 100.0 if x == 777 else 1.0) for x in range(5000)])], 'x', 'y')
    ys = [float(p.split(',')[1]) for p in ElementTree.fromstring(many).find('polyline').get('points').split()]
    assert min(ys) == 10.0 and len(ys) == 600, 'a single peak is not lost'
    assert line_chart([Line('a', [(0, math.nan)])], 'x', 'y') == ''
