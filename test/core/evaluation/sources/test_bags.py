"""Bags with every defect that recordings and ground truth can have: each is counted and named."""

from __future__ import annotations

import numpy as np
import pytest

from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.sources.bags import BagSelection, choose_topics
from minisegnet_core.evaluation.sources.source import Problems
from support.bag_files import BASE, FORMATS, BagMaker
from support.recordings import IMAGES, LABELS, STEP, add_ball, evaluated, image_of, labels_of, make_bag


@pytest.mark.parametrize('kind', FORMATS)
def test_ground_truth_is_read_from_topics(tmp_path, kind):
    result = evaluated(make_bag(tmp_path, kind).path)
    assert len(result.scores) == 6 and not result.problems.counts()
    for score in result.scores:
        assert score.mean_iou() == 1.0
        assert score.match.hit.radius == 4.5 and score.match.distance < 1e-9
        assert 0.9 < score.match.hit.visible <= 1.0, '64 pixels of a circle of radius 4.5'
    assert result.consecutive and result.scores[0].group.endswith(' 0')


def test_labels_may_be_recorded_late_and_in_another_order(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(6):
            stamp = BASE + index * STEP
            bag.image(image_of(labels_of(index)), stamp, stamp, topic=IMAGES)
        for index in (1, 0, 2, 5, 4, 3):
            bag.image(labels_of(index), BASE + index * STEP, BASE + 6 * STEP, 'mono8', LABELS)
    result = evaluated(bag.path)
    assert [score.mean_iou() for score in result.scores] == [1.0] * 6


def test_labels_without_image_and_images_without_labels_are_counted(tmp_path):
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


def test_zero_repeated_and_disordered_stamps_are_counted(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for received, stamp in enumerate((BASE + 5, BASE + 9, BASE + 7, BASE + 7, 0, 0)):
            bag.image(image_of(labels_of(received % 4)), stamp, BASE + received, topic=IMAGES)
            bag.image(labels_of(received % 4), stamp, BASE + received, 'mono8', LABELS)
    result = evaluated(bag.path)
    assert result.problems.counts() == {'disordered_stamp': 1, 'repeated_stamp': 1, 'zero_stamp': 2}
    assert [s.mean_iou() for s in result.scores] == [1.0] * 6, 'equal stamps are matched in order'
    assert result.scores[3].name == f'{BASE + 7}_1'


@pytest.mark.parametrize('stamp', [0, BASE])
@pytest.mark.parametrize('balls', [4, 3])
def test_balls_of_equal_stamps_go_to_their_images_in_order(tmp_path, stamp, balls):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(4):
            bag.image(image_of(labels_of(index)), stamp, BASE + index, topic=IMAGES)
            if index < balls:
                add_ball(bag, stamp, 4 * index + 3.5, 27.5, 4.5)
    result = evaluated(bag.path)
    assert [None if s.match is None else s.match.hit.x for s in result.scores] == [3.5, 7.5, 11.5, 15.5][:balls] + [
        None
    ] * (4 - balls)
    assert result.problems.counts().get('no_ball_truth', 0) == 4 - balls, 'it is unknown which image has no ball'


def test_a_missing_topic_is_reported_with_the_topics_of_the_bag(tmp_path):
    path = make_bag(tmp_path).path
    with pytest.raises(SourceError, match=r'no image topic /nowhere; there are: /camera/image'):
        evaluated(path, topic='/nowhere')
    with pytest.raises(SourceError, match=r'no topic /ball; its topics are .*/ground_truth/ball \(PointStamped\)'):
        evaluated(path, BagSelection(ball_topic='/ball'))
    with pytest.raises(SourceError, match='is sensor_msgs/msg/Image; balls can be read from'):
        evaluated(path, BagSelection(ball_topic=LABELS))


def test_topics_without_colour_or_grey_images_are_left_out_and_named(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(np.zeros((8, 16), np.uint8), BASE, BASE, '16UC1', '/depth')
        bag.image(image_of(labels_of(0)), BASE, BASE, topic=IMAGES)
        bag.image(labels_of(0), BASE, BASE, 'mono8', LABELS)
    problems = Problems()
    assert choose_topics(bag.path, BagSelection(), problems) == [IMAGES]
    assert (
        "left out: cannot segment encoding '16UC1'" in problems.sentences()[0] and '/depth' in problems.sentences()[0]
    )
    assert choose_topics(bag.path, BagSelection(topics=('nothing', 'depth')), Problems()) == ['/depth']
    with pytest.raises(SourceError, match=r"no colour or grey images: .*'16UC1'"):
        with BagMaker(tmp_path / 'b', 'mcap') as other:
            other.image(np.zeros((8, 16), np.uint8), BASE, BASE, '16UC1', '/depth')
        choose_topics(other.path, BagSelection(), Problems())


def test_several_image_topics_need_a_selection(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for topic in ('/left', '/right'):
            bag.image(image_of(labels_of(0)), BASE, BASE, topic=topic)
    with pytest.raises(SourceError, match='several image topics: /left, /right; choose with --topic'):
        choose_topics(bag.path, BagSelection(), Problems())
    assert choose_topics(bag.path, BagSelection(topics=('all',)), Problems()) == ['/left', '/right']


def test_images_that_cannot_be_decoded_are_skipped_and_counted(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        for index in range(3):
            bag.image(image_of(labels_of(index)), BASE + index, BASE + index, topic=IMAGES, cut=index == 1)
    result = evaluated(bag.path)
    assert [score.index for score in result.scores] == [0, 2]
    assert result.problems.counts() == {'undecodable': 1}


def test_problems_are_counted_and_the_first_ones_named():
    problems, other = Problems(), Problems()
    for name in 'abcde':
        problems.add('kind', 'image is dark', name)
    other.add('kind', 'image is dark', 'f')
    problems.merge(other)
    assert problems.sentences() == ['6 x image is dark (first: a, b, c)']
