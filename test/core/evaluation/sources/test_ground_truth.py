"""Ground truth from topics and files: what it means, and what cannot be used."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.evaluation.sources.bags import BagPart, BagSelection, BagSource, ReadableBag
from minisegnet_core.evaluation.sources.ground_truth import clean_labels
from minisegnet_core.evaluation.sources.ground_truth_files import BallLines, GroundTruthFiles, LabelFolder, YoloBoxes
from minisegnet_core.evaluation.sources.ground_truth_topics import BallTopic
from support.bag_files import BASE, BagMaker
from support.recordings import IMAGES, LABELS, STEP, add_ball, evaluated, image_of, labels_of, make_bag


def test_stray_ids_become_ignore_and_are_counted():
    labels = np.array([[0, 7, 255], [4, 4, 3]], np.uint8)
    usable, stray = clean_labels(labels, (3, 2), 4)
    assert stray == {4: 2, 7: 1}
    assert usable.tolist() == [[0, 255, 255], [255, 255, 3]]
    assert clean_labels(labels, (12, 8), 4)[0] is not None, 'truth may stand on the label grid'
    assert clean_labels(labels, (6, 4), 4) == (None, {})


def test_labels_with_stray_ids_wrong_sizes_and_encodings_are_counted(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(5):
            stamp = BASE + index
            bag.image(image_of(labels_of(index)), stamp, stamp, topic=IMAGES)
            truth = labels_of(index)
            if index == 0:
                truth[:2] = 127
            if index == 1:
                truth = truth[:20]
            if index == 2:
                truth = truth[::4, ::4]
            encoding = 'mono16' if index == 3 else 'mono8'
            bag.image(np.repeat(truth, 2, axis=1) if index == 3 else truth, stamp, stamp, encoding, LABELS)
    result = evaluated(bag.path)
    assert result.problems.counts() == {'stray_id_127': 1, 'truth_size': 1, 'unusable_truth': 1}
    text = ' '.join(result.problems.sentences())
    assert f'{BASE}: 128 px' in text and 'mono16' in text and '64x20' in text
    assert result.scores[0].confusion_full.sum() == 46 * 64, 'stray ids are ignored'
    assert result.scores[2].confusion is not None and result.scores[2].confusion_full is None


def test_labels_that_match_no_image_are_an_error(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(image_of(labels_of(0)), BASE, BASE, topic=IMAGES)
        bag.image(labels_of(0), BASE + 1, BASE, 'mono8', LABELS)
    with pytest.raises(SourceError, match=f'no image has labels in topic {LABELS}.*it begins with {BASE + 1}'):
        evaluated(bag.path)


def test_a_ball_that_the_ball_topic_does_not_name_is_not_scored(tmp_path):
    """The ball topic names one ball, and the labels show two."""
    truth = labels_of(0)
    truth[40:48, 40:48] = 1
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(image_of(truth), BASE, BASE, topic=IMAGES)
        bag.image(truth, BASE, BASE, 'mono8', LABELS)
        add_ball(bag, BASE, 3.5, 27.5, 4.5)
    with ReadableBag(bag.path) as readable:
        (frame,) = BagSource(readable, BagPart(bag.path, IMAGES), BagSelection(), SOCCER)
    named, other = frame.balls
    assert (named.x, named.visible > 0.9) == (3.5, True)
    assert (other.x, other.y, other.visible) == (43.5, 43.5, 0.25)


def test_a_bag_is_scored_by_labels_and_boxes_in_files(tmp_path):
    path = make_bag(tmp_path, labels=False).path
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'boxes').mkdir()
    for index in range(5):
        name = f'{BASE + index * STEP}'
        cv2.imwrite(str(tmp_path / 'labels' / f'{name}.png'), labels_of(index))
        box = f'0 {(4 * index + 4) / 64} {28 / 48} {9 / 64} {9 / 48}\n1 .5 .5 .1 .1\n'
        (tmp_path / 'boxes' / f'{name}.txt').write_text(box)
    (tmp_path / 'boxes' / 'other.txt').write_text('')
    selection = BagSelection(files=GroundTruthFiles(tmp_path / 'labels', tmp_path / 'boxes'))
    result = evaluated(path, selection)
    assert result.problems.counts() == {'no_truth': 1, 'no_ball_truth': 1, 'balls_without_image': 1}
    assert [score.mean_iou() for score in result.scores[:5]] == [1.0] * 5
    assert result.scores[2].match.hit.radius == pytest.approx(4.5)
    assert result.scores[2].match.distance == pytest.approx(0, abs=1e-9), 'the ball is at the centre of its box'


def test_balls_are_read_from_json_lines(tmp_path):
    path = tmp_path / 'balls.jsonl'
    path.write_text(
        '{"stamp": 5, "balls": [{"x": 1, "y": 2, "radius": 3}]}\n{"name": "a", "balls": []}\n{"name": "b"}\n'
    )
    truth = BallLines(path)
    (ball,) = truth.take('5', 5, (64, 48), None, 1)
    assert (ball.visible, ball.visible_x) == (1.0, 1.0)
    assert truth.take('a', None, (64, 48), None, 1) == ()
    assert truth.take('b', None, (64, 48), None, 1) is None
    path.write_text('{"name": "a", "balls": [{"x": 1}]}\n')
    with pytest.raises(SourceError, match=r'line 1 must hold .*has no y, radius'):
        BallLines(path)
    path.write_text(2 * '{"name": "a", "balls": []}\n')
    with pytest.raises(SourceError, match=r'line 2 annotates a again'):
        BallLines(path)
    path.write_text(''.join(f'{{"stamp": 0, "balls": [{{"x": {x}, "y": 1, "radius": 2}}]}}\n' for x in (5, 7)))
    truth = BallLines(path)  # named like the frames of a bag whose clock stands still
    assert [truth.take(name, 0, (64, 48), None, 1)[0].x for name in ('0', '0_1')] == [5, 7]
    with pytest.raises(SourceError, match='holds no boxes'):
        YoloBoxes(tmp_path)
    with pytest.raises(SourceError, match='holds no label image'):
        LabelFolder(tmp_path)


def test_balls_are_read_from_detections_of_their_class(tmp_path):
    definitions = {
        'vision_msgs/msg/Point2D': 'float64 x\nfloat64 y',
        'vision_msgs/msg/Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
        'vision_msgs/msg/BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
        'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score',
        'vision_msgs/msg/ObjectHypothesisWithPose': 'vision_msgs/ObjectHypothesis hypothesis',
        'vision_msgs/msg/Detection2D': 'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nstring id',
        'vision_msgs/msg/Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    }
    with BagMaker(tmp_path, 'mcap') as bag:
        for name, text in definitions.items():
            bag.store.register(get_types_from_msg(text, name))
        types = {name.rsplit('/', 1)[1]: bag.store.types[name] for name in definitions}

        def detection(x, y, size, kind):
            center = types['Pose2D'](types['Point2D'](x, y), 0.0)
            result = types['ObjectHypothesisWithPose'](types['ObjectHypothesis'](kind, 0.9))
            return types['Detection2D'](bag.header(BASE), [result], types['BoundingBox2D'](center, size, size), '')

        message = types['Detection2DArray'](
            bag.header(BASE), [detection(5.0, 6.0, 8.0, 'ball'), detection(1.0, 1.0, 9.0, 'robot')]
        )
        bag.write('/balls', 'vision_msgs/msg/Detection2DArray', message, BASE)
    (ball,) = BallTopic(bag.path, '/balls').take(str(BASE), BASE, (64, 48), None, 1)
    assert (ball.x, ball.y, ball.radius, ball.visible) == (5.0, 6.0, 4.0, 1.0)


def test_a_yolo_outline_is_a_ball_of_its_extent(tmp_path):
    file = tmp_path / 'a.txt'
    file.write_text('\ufeff0 0.25 0.5 0.5 0.75 0.75 0.5 0.5 0.25\n0 0.5 0.5 0.5 0.25 0.9\n', encoding='utf-8')
    balls = YoloBoxes(tmp_path).take('a', None, (64, 32), None, 1)
    assert [(ball.x, ball.y, ball.radius) for ball in balls] == [(31.5, 15.5, 12.0), (31.5, 15.5, 10.0)]


def test_a_yolo_outline_with_a_missing_coordinate_is_an_error(tmp_path):
    (tmp_path / 'a.txt').write_text('0 0.1 0.1 0.2 0.1 0.2 0.2 0.3\n')
    with pytest.raises(DatasetError, match=r'a\.txt, line 1: .* must be a class number'):
        YoloBoxes(tmp_path).take('a', None, (64, 32), None, 1)
