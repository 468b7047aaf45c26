"""Sources with all that recordings and truth can have wrong: each fault named and counted, none silent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.sources.bags import BagPart, BagQuestion, BagSource, ReadableBag, choose_topics
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.evaluation.sources.truth import BallLines, LabelFolder, YoloBoxes
from support.bag_files import BASE, FORMATS, BagMaker
from support.recordings import IMAGES, LABELS, STEP, add_ball, evaluated, image_of, labels_of, make_bag


@pytest.mark.parametrize('kind', FORMATS)
def test_truth_of_topics(tmp_path, kind):
    result = evaluated(make_bag(tmp_path, kind).path)
    assert len(result.scores) == 6 and not result.problems.counts()
    for score in result.scores:
        assert score.mean_iou() == 1.0
        assert score.match.hit.radius == 4.5 and score.match.distance < 1e-9
        assert 0.9 < score.match.hit.visible <= 1.0, '64 pixels of a circle of radius 4.5'
    assert result.in_time and result.scores[0].group.endswith(' 0')


def test_labels_recorded_late_and_in_another_order(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(6):
            stamp = BASE + index * STEP
            bag.image(image_of(labels_of(index)), stamp, stamp, topic=IMAGES)
        for index in (1, 0, 2, 5, 4, 3):
            bag.image(labels_of(index), BASE + index * STEP, BASE + 6 * STEP, 'mono8', LABELS)
    result = evaluated(bag.path)
    assert [score.mean_iou() for score in result.scores] == [1.0] * 6


def test_truth_without_image_and_image_without_truth(tmp_path):
    with BagMaker(tmp_path, 'sqlite3') as bag:
        for index in range(6):
            stamp = BASE + index * STEP
            if index != 4:
                bag.image(image_of(labels_of(index)), stamp, stamp, topic=IMAGES)
            if index not in (1, 2):
                bag.image(labels_of(index), stamp, stamp, 'mono8', LABELS)
    result = evaluated(bag.path)
    assert result.problems.counts() == {'no_truth': 2, 'labels_without_image': 1}
    assert str(BASE + 4 * STEP) in result.problems.sentences()[1]
    assert [s.confusion is not None for s in result.scores] == [True, False, False, True, True]


def test_stamps_zero_repeated_and_disordered(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for received, stamp in enumerate((BASE + 5, BASE + 9, BASE + 7, BASE + 7, 0, 0)):
            bag.image(image_of(labels_of(received % 4)), stamp, BASE + received, topic=IMAGES)
            bag.image(labels_of(received % 4), stamp, BASE + received, 'mono8', LABELS)
    result = evaluated(bag.path)
    assert result.problems.counts() == {'disordered_stamp': 1, 'repeated_stamp': 1, 'zero_stamp': 2}
    assert [s.mean_iou() for s in result.scores] == [1.0] * 6, 'equal stamps are matched in their order'
    assert result.scores[3].name == f'{BASE + 7}_1'


@pytest.mark.parametrize('stamp', [0, BASE])
@pytest.mark.parametrize('balls', [4, 3])
def test_balls_of_equal_stamps_go_to_their_images_in_order(tmp_path, stamp, balls):
    """The first image took them all, and the others had none in truth."""
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(4):
            bag.image(image_of(labels_of(index)), stamp, BASE + index, topic=IMAGES)
            if index < balls:
                add_ball(bag, stamp, 4 * index + 3.5, 27.5, 4.5)
    result = evaluated(bag.path)
    assert [None if s.match is None else s.match.hit.x for s in result.scores] == [3.5, 7.5, 11.5, 15.5][:balls] + [
        None
    ] * (4 - balls)
    assert result.problems.counts().get('no_ball_truth', 0) == 4 - balls, 'which image has no ball is not known'


def test_strange_ids_sizes_and_encodings_of_truth(tmp_path):
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
    assert result.scores[0].confusion_full.sum() == 46 * 64, 'strange ids are ignored'
    assert result.scores[2].confusion is not None and result.scores[2].confusion_full is None


def test_truth_that_fits_nothing_is_an_error_not_a_zero(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(image_of(labels_of(0)), BASE, BASE, topic=IMAGES)
        bag.image(labels_of(0), BASE + 1, BASE, 'mono8', LABELS)
    with pytest.raises(SourceError, match=f'no image has labels in topic {LABELS}.*its first is {BASE + 1}'):
        evaluated(bag.path)


def test_missing_topics_are_named_with_those_there_are(tmp_path):
    path = make_bag(tmp_path).path
    with pytest.raises(SourceError, match=r'no image topic /nowhere; there are: /camera/image'):
        evaluated(path, topic='/nowhere')
    with pytest.raises(SourceError, match=r'no topic /ball; there are: .*/ground_truth/ball \(PointStamped\)'):
        evaluated(path, BagQuestion(ball_topic='/ball'))
    with pytest.raises(SourceError, match='is sensor_msgs/msg/Image; ball truth can be read from'):
        evaluated(path, BagQuestion(ball_topic=LABELS))


def test_topics_without_pictures_are_set_aside_by_name(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(np.zeros((8, 16), np.uint8), BASE, BASE, '16UC1', '/depth')
        bag.image(image_of(labels_of(0)), BASE, BASE, topic=IMAGES)
        bag.image(labels_of(0), BASE, BASE, 'mono8', LABELS)
    problems = Problems()
    assert choose_topics(bag.path, BagQuestion(), problems) == [IMAGES]
    assert (
        "set aside: cannot segment encoding '16UC1'" in problems.sentences()[0] and '/depth' in problems.sentences()[0]
    )
    assert choose_topics(bag.path, BagQuestion(topics=('nothing', 'depth')), Problems()) == ['/depth']
    with pytest.raises(SourceError, match=r"no pictures: .*'16UC1'"):
        with BagMaker(tmp_path / 'b', 'mcap') as other:
            other.image(np.zeros((8, 16), np.uint8), BASE, BASE, '16UC1', '/depth')
        choose_topics(other.path, BagQuestion(), Problems())


def test_several_image_topics_must_be_chosen_or_all_taken(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for topic in ('/left', '/right'):
            bag.image(image_of(labels_of(0)), BASE, BASE, topic=topic)
    with pytest.raises(SourceError, match='several image topics: /left, /right; choose with --topic'):
        choose_topics(bag.path, BagQuestion(), Problems())
    assert choose_topics(bag.path, BagQuestion(topics=('all',)), Problems()) == ['/left', '/right']


def test_images_that_cannot_be_decoded_are_left_out_and_counted(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(3):
            bag.image(image_of(labels_of(index)), BASE + index, BASE + index, topic=IMAGES, cut=index == 1)
    result = evaluated(bag.path)
    assert [score.index for score in result.scores] == [0, 2]
    assert result.problems.counts() == {'undecodable': 1}


def test_a_ball_beside_the_named_one_counts_neither_way(tmp_path):
    """The ball topic names one ball; the labels show two, and the other one is found."""
    truth = labels_of(0)
    truth[40:48, 40:48] = 1
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(image_of(truth), BASE, BASE, topic=IMAGES)
        bag.image(truth, BASE, BASE, 'mono8', LABELS)
        add_ball(bag, BASE, 3.5, 27.5, 4.5)
    with ReadableBag(bag.path) as readable:
        (frame,) = BagSource(readable, BagPart(bag.path, IMAGES), BagQuestion(), SOCCER)
    named, other = frame.balls
    assert (named.x, named.visible > 0.9) == (3.5, True)
    assert (other.x, other.y, other.visible) == (43.5, 43.5, 0.25)


def test_labels_and_balls_beside_a_bag(tmp_path):
    path = make_bag(tmp_path, labels=False).path
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'boxes').mkdir()
    for index in range(5):
        name = f'{BASE + index * STEP}'
        cv2.imwrite(str(tmp_path / 'labels' / f'{name}.png'), labels_of(index))
        box = f'0 {(4 * index + 4) / 64} {28 / 48} {9 / 64} {9 / 48}\n1 .5 .5 .1 .1\n'
        (tmp_path / 'boxes' / f'{name}.txt').write_text(box)
    (tmp_path / 'boxes' / 'stranger.txt').write_text('')
    question = BagQuestion(labels=tmp_path / 'labels', balls=tmp_path / 'boxes')
    result = evaluated(path, question)
    assert result.problems.counts() == {'no_truth': 1, 'no_ball_truth': 1, 'balls_without_image': 1}
    assert [score.mean_iou() for score in result.scores[:5]] == [1.0] * 5
    assert result.scores[2].match.hit.radius == pytest.approx(4.5)
    assert result.scores[2].match.distance == pytest.approx(0, abs=1e-9), "a box's centre in pixel coordinates"


def test_balls_from_lines(tmp_path):
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
    with pytest.raises(SourceError, match=r'line 1: .*has no y, radius'):
        BallLines(path)
    path.write_text(2 * '{"name": "a", "balls": []}\n')
    with pytest.raises(SourceError, match=r'line 2: .*a has its balls already'):
        BallLines(path)
    path.write_text(''.join(f'{{"stamp": 0, "balls": [{{"x": {x}, "y": 1, "radius": 2}}]}}\n' for x in (5, 7)))
    truth = BallLines(path)  # as the frames of a bag are named whose clock stands still
    assert [truth.take(name, 0, (64, 48), None, 1)[0].x for name in ('0', '0_1')] == [5, 7]
    with pytest.raises(SourceError, match='holds no boxes'):
        YoloBoxes(tmp_path)
    with pytest.raises(SourceError, match='holds no label image'):
        LabelFolder(tmp_path)


def test_problems_count_and_name_the_first_few():
    problems, other = Problems(), Problems()
    for name in 'abcde':
        problems.add('kind', 'it is so', name)
    other.add('kind', 'it is so', 'f')
    problems.merge(other)
    assert problems.sentences() == ['6 x it is so (first: a, b, c)']


def test_balls_of_detections(tmp_path):
    from minisegnet_core.evaluation.sources.topic_truth import BallTopic

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
