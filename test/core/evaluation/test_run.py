"""The commands and the public function, and what they write: page, tables, images, video and bag."""

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

import minisegnet_core
from minisegnet_core.commands.evaluate import main as evaluate
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.job import segmenter_for
from minisegnet_core.evaluation.report.values import lookup
from minisegnet_core.evaluation.run import EvaluationOptions, Threshold, check_thresholds
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames_file import read_frames
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.statistics.comparison import compare
from minisegnet_core.inference.selection import find_model
from minisegnet_core.resources import models_directory
from minisegnet_ros.commands.evaluate_bag import main as evaluate_bag
from support.bag_files import BASE
from support.recordings import CONFIG, ENGINE, HEIGHT, STEP, WIDTH, write_bag

pytestmark = pytest.mark.skipif(
    not (models_directory() / 'minisegnet.onnx').is_file(), reason='the shipped model is missing'
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


def test_the_report_of_a_bag_holds_its_figures(evaluated_bag):
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


def test_the_table_holds_every_number(evaluated_bag):
    with (evaluated_bag / 'out' / 'report.csv').open() as stream:
        rows = {row['key']: row for row in csv.DictReader(stream)}
    report = report_of(evaluated_bag / 'out')
    assert float(rows['mean_iou']['value']) == report['mean_iou']
    assert float(rows['mean_iou']['low']) == report['confidence']['intervals']['mean_iou'][0]
    assert float(rows['full_size.iou.field']['value']) == report['full_size']['iou']['field']


class Page(HTMLParser):
    """Check that tags close in order, and collect references to external files."""

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


def test_the_page_is_well_formed_and_needs_no_other_file(evaluated_bag):
    text = (evaluated_bag / 'out' / 'report.html').read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.fetched == []
    assert 'http' not in re.sub(r'base64,[\w+/=]+', '', text)
    assert page.images % 4 == 0 and page.images > 0, 'image, ground truth, prediction, difference'
    report = report_of(evaluated_bag / 'out')
    assert f'<b>{report["mean_iou"]:.3f}</b>' in text
    for svg in re.findall(r'<svg.*?</svg>', text):
        ElementTree.fromstring(svg)


def test_the_bag_of_results_keeps_stamps_and_reception_times(evaluated_bag):
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
    image = cv2.imdecode(color.data, cv2.IMREAD_COLOR)
    palette = np.array([(0, 0, 0), (255, 64, 0), (255, 255, 255), (0, 160, 0)])[:, ::-1]
    np.testing.assert_array_equal(image[::4, ::4], palette[messages[0][1].data.reshape(24, 32)])


def test_the_overlay_video_has_every_frame(evaluated_bag):
    video = cv2.VideoCapture(str(evaluated_bag / 'out' / 'overlay.mp4'))
    count = 0
    while video.grab():
        count += 1
    assert count == 8
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0, abs=0.01), 'as fast as the bag'


def test_thresholds_are_checked(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    common = [str(bag), *engine, '--output', str(tmp_path)]
    assert evaluate_bag([*common, '--fail-under', 'mean_iou=0.99', '--fail-over', 'dropped=0'], 'x') == 1
    assert 'FAILED: mean_iou is' in capsys.readouterr().out
    assert 'Threshold failed' in (tmp_path / 'report.html').read_text()
    with pytest.raises(SystemExit, match='2'):
        evaluate_bag([*common, '--fail-under', 'mean_iou'], 'x')
    assert "--fail-under is 'mean_iou'; it must be KEY=VALUE" in capsys.readouterr().err
    values = {'a': {'b': 2.0}, 'c': None, 'd': True}
    met = [Threshold('a.b', 2.0, maximum=True), Threshold('a.b', 2.0)]
    assert check_thresholds(values, met) == ([], [])
    unmet = [Threshold('a.b', 1.5, maximum=True), Threshold('a.b', 2.5)]
    assert check_thresholds(values, unmet) == (['a.b is 2.0000, above 1.5', 'a.b is 2.0000, below 2.5'], [])
    failed, undefined = check_thresholds(values, [Threshold('c', 1.0), Threshold('a.x', 1.0)])
    assert not failed and undefined[0].startswith('c is undefined')
    assert "no number 'a.x'" in undefined[1]
    for key in ('a', 'd', 'a.b.c', 'nothing'):
        with pytest.raises(ConfigurationError, match=f"no number '{key}'"):
            lookup(values, key)


def test_a_threshold_for_an_unknown_figure_is_an_error_after_the_report(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), *engine, '--output', str(tmp_path), '--fail-under', 'nonsense=0.5']
    assert evaluate_bag(arguments, 'x') == 2
    assert "the report has no number 'nonsense'" in capsys.readouterr().err
    assert report_of(tmp_path)['frames'] > 0


@pytest.mark.parametrize('option', ['--labels', '--balls'])
def test_missing_ground_truth_is_reported_before_the_model_loads(evaluated_bag, tmp_path, capsys, option):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), '--model', 'nothing.onnx', '--output', str(tmp_path / 'o'), option, str(tmp_path / 'no')]
    assert evaluate_bag(arguments, 'x') == 2
    assert f'x: {option[2:]} {tmp_path / "no"}: there is no such file or folder' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_a_bag_that_cannot_be_read_does_not_stop_the_others(engine, tmp_path, capsys):
    bags = [write_bag(tmp_path / 'a_', 3), write_bag(tmp_path / 'b_', 2, 'ros1', shift=100)]
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'nothing')
    arguments = [*map(str, bags), str(broken), *engine, '--output', str(tmp_path / 'o')]
    assert evaluate_bag(arguments, 'x') == 1, 'one bag was not evaluated'
    report = report_of(tmp_path / 'o')
    assert report['frames'] == 5 and [s['frames'] for s in report['sources']] == [3, 2]
    assert report['warnings'][0].startswith('not evaluated: nothing can be read of bag')
    assert 'FAILED: nothing can be read' in capsys.readouterr().out
    assert evaluate_bag([str(broken), '--output', str(tmp_path / 'p')], 'x') == 2


def test_a_comparison_with_an_equal_earlier_evaluation_shows_no_difference(evaluated_bag, engine, tmp_path):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    common = [str(bag), *engine, '--resample', 'image', '--output']
    assert evaluate_bag([*common, str(tmp_path / 'o'), '--compare', str(evaluated_bag / 'out')], 'x') == 0
    comparison = report_of(tmp_path / 'o')['comparison']
    assert comparison['frames'] == 8 and comparison['figures']['mean_iou']['difference'] == 0
    assert comparison['sentence'].startswith('no clear difference: B - A is +0.0000 +- 0.0000 (mean_iou)')
    with pytest.raises(SourceError, match='no frame in common'):
        compare(Evaluation(segmenter_for(CONFIG).classes, []), Evaluation(None, []), 'other')
    with pytest.raises(SourceError, match=r'holds no frames\.jsonl'):
        read_frames(tmp_path)
    scores = read_frames(evaluated_bag / 'out')
    evaluation = Evaluation(segmenter_for(CONFIG).classes, scores)
    assert evaluation.confusion().counts.tolist() == report_of(evaluated_bag / 'out')['confusion']


def test_a_comparison_that_is_impossible_is_reported_before_evaluation(evaluated_bag, engine, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    arguments = [str(bag), *engine, '--output', str(tmp_path / 'o')]
    other = tmp_path / 'other'
    shutil.copytree(evaluated_bag / 'out', other)
    report = report_of(other)
    for classes, message in (
        (report['classes'][::-1], 'has the classes field, line, ball, background, the evaluated model has background'),
        (report['classes'][:2], 'has the classes background, ball, the evaluated model has background'),
        (None, 'does not name the classes'),
    ):
        (other / 'report.json').write_text(json.dumps({**report, 'classes': classes}))
        assert evaluate_bag([*arguments, '--compare', str(other)], 'x') == 2
        assert message in capsys.readouterr().err
    assert evaluate_bag([*arguments, '--compare', 'nosuch.onnx'], 'x') == 2
    assert 'nosuch.onnx' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        evaluate_bag([*arguments, '--worst', '-3'], 'x')
    assert '--worst is -3; it must be at least 0' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()
    assert evaluate_bag([*arguments, '--worst', '0'], 'x') == 0
    assert not (tmp_path / 'o' / 'worst.png').exists()


def test_options_of_a_live_replay_require_it(evaluated_bag, tmp_path, capsys):
    (bag,) = (evaluated_bag / 'bag_').iterdir()
    for option in (['--rate', '2'], ['--check-live']):
        assert evaluate_bag([str(bag), '--output', str(tmp_path / 'o'), *option], 'x') == 2
        assert 'belong to a live replay; add --live' in capsys.readouterr().err


def test_the_other_model_of_a_comparison_runs_on_the_same_frames(shapes_dataset, engine, tmp_path):
    out = tmp_path / 'o'
    arguments = [str(shapes_dataset), *engine, '--output', str(out)]
    assert evaluate([*arguments, '--compare', str(find_model('minisegnet.onnx'))], 'x') == 0
    comparison = report_of(out)['comparison']
    assert (comparison['frames'], comparison['figures']['mean_iou']['difference']) == (4, 0)
    assert report_of(out / 'compared')['mean_iou'] == report_of(out)['mean_iou']
    assert 'A, this model' in (out / 'report.html').read_text()
    assert report_of(out)['sequence']['changed'] is None, 'images of a data set do not follow each other in time'


def test_the_public_function_returns_what_it_writes(shapes_dataset, tmp_path):
    pytest.importorskip('openvino')
    options = EvaluationOptions(thresholds=(Threshold('mean_iou', 1.1),), worst=0)
    seen = []
    report = minisegnet_core.evaluate(shapes_dataset, tmp_path, CONFIG, options=options, progress=seen.append)
    assert report.values == report_of(tmp_path) and report.folder == tmp_path
    assert sum(seen) == report.values['frames'] == len(report.evaluation.scores)
    assert not report.passed and report.failed[0].startswith('mean_iou is') and not report.failures
    photos = GroundTruthFiles(labels=shapes_dataset / 'labels')
    again = minisegnet_core.evaluate(shapes_dataset / 'images', tmp_path / 'p', CONFIG, ground_truth=photos)
    assert again.passed and again.values['frames_with_labels'] == 12
