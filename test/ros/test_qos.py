"""Quality of service on the wire: what the node offers and asks for, overrides of it, and what does not fit."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from minisegnet_core.errors import ConfigurationError
from minisegnet_ros.qos import mismatch
from minisegnet_ros.segment_node import SegmentNode
from support.peers import BEST_EFFORT, OUTPUTS, RELIABLE, Peer, picture, stamps


def overrides(**values) -> list[Parameter]:
    return [Parameter(name.replace('__', '.'), value=value) for name, value in values.items()]


def qos(topic: str, entity: str, **policies) -> list[Parameter]:
    return [Parameter(f'qos_overrides.{topic}.{entity}.{name}', value=value) for name, value in policies.items()]


def test_types_and_qos_of_every_topic(start, wait):
    node, peer, _ = start(tuple(OUTPUTS))
    for name, kind in OUTPUTS.items():
        (endpoint,) = wait(lambda name=name: peer.get_publishers_info_by_topic(f'/segment/{name}'), what=name)
        package, _, word = kind.__module__.split('.')[0], None, kind.__name__
        assert endpoint.topic_type == f'{package}/msg/{word}', name
        assert endpoint.qos_profile.reliability == ReliabilityPolicy.RELIABLE, name
        assert endpoint.qos_profile.durability == DurabilityPolicy.VOLATILE, name
    assert node._outputs._labels.qos_profile.depth == 5
    (endpoint,) = wait(lambda: peer.get_subscriptions_info_by_topic('/camera_info'))
    assert endpoint.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT, 'serves publishers of either kind'
    assert node._input.profile.depth == 5 and node._input.profile.history == HistoryPolicy.KEEP_LAST


def test_overrides_of_outputs(spin, wait, fake):
    node = spin(
        SegmentNode(
            fake,
            parameter_overrides=[
                *qos('/segment/label_image', 'publisher', reliability='best_effort', depth=1),
                *qos('/segment/ball', 'publisher', durability='transient_local'),
            ],
        )
    )
    wait(lambda: node._outputs)
    labels, ball = node._outputs._labels.qos_profile, node._outputs._ball.qos_profile
    assert (labels.reliability, labels.depth) == (ReliabilityPolicy.BEST_EFFORT, 1)
    assert (ball.reliability, ball.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
    assert node.get_parameter('qos_overrides./segment/label_image.publisher.reliability').value == 'best_effort'
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    assert node._outputs._labels.qos_profile.depth == 1, 'also when it is configured again'


@pytest.mark.parametrize('camera', [RELIABLE, BEST_EFFORT])
def test_an_override_of_the_image_wins_over_reliability_auto(spin, wait, fake, camera):
    """A best-effort subscription serves both cameras, and does not follow them any more."""
    node = spin(
        SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', reliability='best_effort', depth=2))
    )
    peer = spin(Peer(qos=camera), 1)
    wait(lambda: node._input and node._input.publishers, what='the node to see the camera')
    wait(lambda: peer.images.get_subscription_count() and node._outputs.heard)
    wait(lambda: (peer.send(picture(1), 1), peer.received['label_image'])[1])
    profile = node._input.profile
    assert (profile.reliability, profile.depth) == (ReliabilityPolicy.BEST_EFFORT, 2)
    assert node._input.reliability == ReliabilityPolicy.BEST_EFFORT


def test_depth_may_be_overridden_and_reliability_still_follow(spin, wait, fake):
    node = spin(SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', depth=3)))
    peer = spin(Peer(qos=RELIABLE), 1)
    wait(lambda: node._input and node._input.reliability == ReliabilityPolicy.RELIABLE)
    assert node._input.profile.depth == 3
    wait(lambda: peer.images.get_subscription_count() == 1 and node._outputs.heard)
    peer.send(picture(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])


@pytest.mark.parametrize(
    ('policies', 'text'),
    [
        ({'reliability': 'sometimes'}, 'reliability must be one of .*reliable, best_effort, not .sometimes'),
        ({'depth': 0}, 'depth must be a number from 1, not 0'),
        ({'depth': 'ten'}, 'depth must be a number from 1'),
        ({'colour': 'red'}, 'there is no policy colour; there are history, depth, reliability, durability'),
    ],
)
def test_wrong_overrides_are_told_at_the_start(fake, policies, text):
    with pytest.raises(ConfigurationError, match=text):
        SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', **policies))


def test_overrides_of_topics_that_are_none_are_told(spin, wait, fake, capfd):
    node = spin(
        SegmentNode(
            fake,
            parameter_overrides=[
                *qos('/image', 'subscription', depth=2),
                *qos('/segment/label_image', 'publisher', reliability='best_effort'),
                *qos('/nowhere/label_image', 'publisher', reliability='best_effort'),
            ],
        )
    )
    wait(lambda: node._state_machine.current_state[1] == 'active')  # it is told on the way there
    said = [line for line in capfd.readouterr().err.splitlines() if 'has no effect' in line]
    assert len(said) == 1
    assert 'this node has no such topic (/nowhere/label_image.publisher)' in said[0]


def test_mismatch_says_what_both_sides_say():
    assert mismatch(RELIABLE, BEST_EFFORT) == '' and mismatch(RELIABLE, RELIABLE) == ''
    assert mismatch(BEST_EFFORT, RELIABLE) == 'reliability best_effort against reliable'
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    assert mismatch(RELIABLE, latched) == 'durability volatile against transient_local'


@pytest.mark.parametrize(
    ('kind', 'camera_qos', 'parameters', 'words'),
    [
        (Image, BEST_EFFORT, {'reliability': 'reliable'}, ('camera', 'segment', 'best_effort against reliable')),
        (
            CompressedImage,
            RELIABLE,
            {},
            ('camera publishes sensor_msgs/msg/CompressedImage on /image', 'set image_transport'),
        ),
    ],
)
def test_what_cannot_arrive_is_told_with_both_sides(spin, wait, fake, capfd, kind, camera_qos, parameters, words):
    node = spin(SegmentNode(fake, parameter_overrides=overrides(**parameters)))
    context = rclpy.Context()  # as in another process: Fast DDS has one type for a topic in each participant
    rclpy.init(context=context)
    camera = Node('camera', context=context)
    publisher = camera.create_publisher(kind, 'image', camera_qos)
    said = ''

    def told():
        nonlocal said
        said += capfd.readouterr().err
        return all(word in said for word in words)

    wait(told, what=f'a warning with {words}')
    camera.destroy_publisher(publisher)
    wait(lambda: not node._input.publishers, what='the camera to be gone')
    camera.destroy_node()
    context.try_shutdown()
    assert said.count('[WARN] [') - said.count('already registered') <= 2, 'said once, not at every look at the graph'


def test_images_lost_though_both_sides_are_reliable(spin, wait, fake, capfd):
    """Nothing is lost on the way then, a queue was full: no hint at shared memory."""
    node = spin(SegmentNode(fake))
    spin(Peer(qos=RELIABLE), 1)
    wait(lambda: node._input and node._input.publishers)
    wait(lambda: node._input.profile.reliability == ReliabilityPolicy.RELIABLE, what='the subscription to follow')
    node._input._count_lost(2)
    said = capfd.readouterr().err
    assert 'from peer (reliable) to segment (reliable): they came faster than this process took them' in said
    assert 'fastdds' not in said


def test_lost_images_are_counted_and_told(spin, wait, fake, capfd):
    node = spin(SegmentNode(fake))
    spin(Peer(qos=BEST_EFFORT), 1)
    wait(lambda: node._input and node._input.publishers)
    node._input._count_lost(3)
    node._input._count_lost(4)
    assert (node._statistics.lost, node._statistics.dropped) == (7, 7)
    said = capfd.readouterr().err
    assert '3 images of /image were lost on their way from peer (best effort) to segment (best effort)' in said
    assert 'config/fastdds.xml' in said
    assert said.count('were lost on their way') == 1, 'not at every loss'
    node._statistics.take()
    assert node._statistics.status('name', {}).message == '7 images were lost by the middleware in the last 10 s'
