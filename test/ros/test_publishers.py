"""The outputs: optional message packages, roles by class name, and no work without subscribers."""

from __future__ import annotations

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_ros.conversions import BallArray, Detection2DArray, LabelInfo
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.segment_node import SegmentNode
from support.peers import RELIABLE, Peer, camera_image, stamps

needs_vision_msgs = pytest.mark.skipif(Detection2DArray is None, reason='vision_msgs is not installed')
needs_soccer_msgs = pytest.mark.skipif(BallArray is None, reason='soccer_vision_2d_msgs is not installed')


@needs_vision_msgs
@needs_soccer_msgs
def test_detections_balls_and_label_info_are_published(start, spin, wait):
    """Arrays are published also when empty, with the header of the image; late subscribers get the label info."""
    node, camera, _ = start()
    listener = spin(Node('listener'), 1)
    got: dict[str, list] = {'detections': [], 'balls': [], 'info': []}
    listener.create_subscription(Detection2DArray, 'segment/detections', got['detections'].append, RELIABLE)
    listener.create_subscription(BallArray, 'balls_in_image', got['balls'].append, RELIABLE)
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.create_subscription(LabelInfo, 'segment/label_info', got['info'].append, latched)
    (info,) = wait(lambda: got['info'], what='the label info, which was published before')
    assert info.class_map[1].class_name == 'ball' and info.threshold == 0.5
    (result,) = node.set_parameters([Parameter('ball_threshold', value=0.75)])
    assert result.successful
    wait(lambda: got['info'][-1].threshold == 0.75, what='the new label info')
    publishers = [node.outputs.publishers[topic] for topic in ('/segment/detections', '/balls_in_image')]
    wait(lambda: all(publisher.get_subscription_count() for publisher in publishers))
    for stamp, red in ((1, 1), (2, 2)):
        camera.send(camera_image(red), stamp)
        wait(lambda stamp=stamp: all(stamp in stamps(got[name]) for name in ('detections', 'balls')))
    for name in ('detections', 'balls'):
        assert stamps(got[name]) == [1, 2]
        assert all(message.header.frame_id == 'camera_optical' for message in got[name])
        assert [len(getattr(message, name)) for message in got[name]] == [1, 0]
    assert got['detections'][0].detections[0].bbox.center.position.x == 10.5
    assert got['balls'][0].balls[0].center.y == 20.25


def topics_of(outputs: Outputs) -> set[str]:
    return set(outputs.publishers)


def test_topics_depend_on_installed_packages_and_on_the_class_ball(spin, wait, fake, monkeypatch):
    for name in ('Detection2DArray', 'BallArray', 'LabelInfo'):
        monkeypatch.setattr(f'minisegnet_ros.publishers.{name}', None)
    node = spin(SegmentNode(fake))
    wait(lambda: node.outputs)
    always = {f'/segment/{name}' for name in ('label_image', 'camera_info', 'overlay/image', 'line_mask', 'field_mask')}
    assert topics_of(node.outputs) == always | {'/segment/ball', '/segment/ball_mask'}
    no_ball = ClassSet(tuple(SegmentationClass(name, (0, 0, 0)) for name in ('background', 'line', 'field')))
    outputs = Outputs(node, no_ball)
    assert topics_of(outputs) == always
    outputs.close()
    monkeypatch.undo()
    outputs = Outputs(node, no_ball)
    assert not {'/balls_in_image', '/segment/detections'} & topics_of(outputs), (
        'without the class ball there are no ball topics'
    )
    outputs.close()


def test_a_message_package_that_does_not_work_costs_its_topic(spin, wait, fake, monkeypatch, capfd):
    """Its Python part imports, but its compiled part is for another distribution."""

    class Detection2DArray:
        __module__ = 'vision_msgs.msg._detection2_d_array'

    monkeypatch.setattr('minisegnet_ros.publishers.Detection2DArray', Detection2DArray)
    node = spin(SegmentNode(fake))
    wait(lambda: node.state == 'active')
    assert '/segment/detections' not in topics_of(node.outputs)
    log = capfd.readouterr().err
    assert log.count('no topic ~/detections: vision_msgs is installed but cannot be used') == 1


def test_only_requested_topics_have_subscribers(start):
    node, camera, _ = start()
    assert isinstance(camera, Peer)
    for publisher in node.outputs.per_image:
        expected = publisher.topic_name == '/segment/label_image'
        assert bool(publisher.get_subscription_count()) == expected, publisher.topic_name
