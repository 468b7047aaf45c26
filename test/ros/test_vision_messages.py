"""vision_msgs and soccer_vision_2d_msgs: published where they are installed, absent without a word where not."""

from __future__ import annotations

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.segment_node import SegmentNode
from minisegnet_ros.vision_messages import (
    BallArray,
    Detection2DArray,
    LabelInfo,
    balls_message,
    detections_message,
    label_info_message,
)
from support.peers import RELIABLE, Peer, picture, stamps

needs_vision_msgs = pytest.mark.skipif(Detection2DArray is None, reason='vision_msgs is not installed')
needs_soccer_msgs = pytest.mark.skipif(BallArray is None, reason='soccer_vision_2d_msgs is not installed')
BALLS = (Ball(10.5, 20.25, 4.0, 0.75), Ball(90.0, 3.0, 1.5, 0.5))


@pytest.fixture
def header() -> Header:
    header = Header(frame_id='camera')
    header.stamp.sec = 7
    return header


@needs_vision_msgs
def test_detections(header):
    message = detections_message(BALLS, 1, header)
    assert message.header == header and len(message.detections) == 2
    first, second = message.detections
    assert first.header == header
    assert (first.bbox.center.position.x, first.bbox.center.position.y, first.bbox.center.theta) == (10.5, 20.25, 0.0)
    assert (first.bbox.size_x, first.bbox.size_y) == (8.0, 8.0)
    (result,) = first.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ('1', 0.75)
    assert (second.bbox.size_x, second.results[0].hypothesis.score) == (3.0, 0.5)
    assert detections_message((), 1, header).detections == []


@needs_soccer_msgs
def test_balls(header):
    message = balls_message(BALLS, header)
    assert message.header == header and len(message.balls) == 2
    first = message.balls[0]
    assert (first.center.x, first.center.y, first.confidence.confidence) == (10.5, 20.25, 0.75)
    assert (first.bb.center.position.x, first.bb.size_x, first.bb.size_y) == (10.5, 8.0, 8.0)
    assert balls_message((), header).balls == []


@needs_vision_msgs
def test_label_info(header):
    message = label_info_message(SOCCER, 0.5, header)
    assert message.header == header and message.threshold == 0.5
    assert [(c.class_id, c.class_name) for c in message.class_map] == [
        (0, 'background'), (1, 'ball'), (2, 'line'), (3, 'field'),
    ]  # fmt: skip


@needs_vision_msgs
@needs_soccer_msgs
def test_over_the_middleware(start, spin, wait):
    """Also when empty; with the header of the image; the label info for listeners who come late."""
    node, camera, _ = start()
    listener = spin(Node('listener'), 1)
    got: dict[str, list] = {'detections': [], 'balls': [], 'info': []}
    listener.create_subscription(Detection2DArray, 'segment/detections', got['detections'].append, RELIABLE)
    listener.create_subscription(BallArray, 'balls_in_image', got['balls'].append, RELIABLE)
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.create_subscription(LabelInfo, 'segment/label_info', got['info'].append, latched)
    (info,) = wait(lambda: got['info'], what='the label info, published before we listened')
    assert info.class_map[1].class_name == 'ball' and info.threshold == 0.5
    (result,) = node.set_parameters([Parameter('ball_threshold', value=0.75)])
    assert result.successful
    wait(lambda: got['info'][-1].threshold == 0.75, what='the label info anew')
    outputs = node._outputs
    wait(lambda: outputs._detections.get_subscription_count() and outputs._balls.get_subscription_count())
    for stamp, red in ((1, 1), (2, 2)):
        camera.send(picture(red), stamp)
        wait(lambda stamp=stamp: all(stamp in stamps(got[name]) for name in ('detections', 'balls')))
    for name in ('detections', 'balls'):
        assert stamps(got[name]) == [1, 2]
        assert all(message.header.frame_id == 'camera_optical' for message in got[name])
        assert [len(getattr(message, name)) for message in got[name]] == [1, 0]
    assert got['detections'][0].detections[0].bbox.center.position.x == 10.5
    assert got['balls'][0].balls[0].center.y == 20.25


def topics_of(outputs: Outputs) -> set[str]:
    publishers = [*outputs.per_image, *filter(None, [outputs._label_info])]
    return {publisher.topic_name for publisher in publishers}


def test_without_the_packages_and_without_a_ball(spin, wait, fake, monkeypatch):
    for name in ('Detection2DArray', 'BallArray', 'LabelInfo'):
        monkeypatch.setattr(f'minisegnet_ros.publishers.{name}', None)
    node = spin(SegmentNode(fake))
    wait(lambda: node._outputs)
    always = {f'/segment/{name}' for name in ('label_image', 'camera_info', 'overlay/image', 'line_mask', 'field_mask')}
    assert topics_of(node._outputs) == always | {'/segment/ball', '/segment/ball_mask'}
    no_ball = ClassSet(tuple(SegmentationClass(name, (0, 0, 0)) for name in ('background', 'line', 'field')))
    outputs = Outputs(node, no_ball)
    assert topics_of(outputs) == always
    outputs.close()
    monkeypatch.undo()
    outputs = Outputs(node, no_ball)
    assert not {'/balls_in_image', '/segment/detections'} & topics_of(outputs), 'no ball, no ball topics'
    outputs.close()


def test_a_package_that_is_there_but_does_not_work(spin, wait, fake, monkeypatch, capfd):
    """Its Python part imports, its compiled part is for another distribution: said once, and the node goes on."""

    class Detection2DArray:
        __module__ = 'vision_msgs.msg._detection2_d_array'

    monkeypatch.setattr('minisegnet_ros.publishers.Detection2DArray', Detection2DArray)
    node = spin(SegmentNode(fake))
    wait(lambda: node._state_machine.current_state[1] == 'active')
    assert '/segment/detections' not in topics_of(node._outputs)
    said = capfd.readouterr().err
    assert said.count('no topic ~/detections: vision_msgs is installed but cannot be used') == 1


def test_what_is_not_asked_for(start):
    """Detections and balls are lazy: nobody listens, nothing is made."""
    node, camera, _ = start()
    assert isinstance(camera, Peer)
    for publisher in node._outputs.per_image:
        expected = publisher.topic_name == '/segment/label_image'
        assert bool(publisher.get_subscription_count()) == expected, publisher.topic_name
