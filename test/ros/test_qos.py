"""Quality of service on the wire: offered and requested profiles, overrides, and mismatches."""

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
from support.peers import BEST_EFFORT, OUTPUTS, RELIABLE, Peer, camera_image, stamps


def overrides(**values) -> list[Parameter]:
    return [Parameter(name.replace('__', '.'), value=value) for name, value in values.items()]


def qos(topic: str, entity: str, **policies) -> list[Parameter]:
    return [Parameter(f'qos_overrides.{topic}.{entity}.{name}', value=value) for name, value in policies.items()]


def test_every_topic_has_its_type_and_profile(start, wait):
    node, peer, _ = start(tuple(OUTPUTS))
    for name, kind in OUTPUTS.items():
        (endpoint,) = wait(lambda name=name: peer.get_publishers_info_by_topic(f'/segment/{name}'), what=name)
        package, _, word = kind.__module__.split('.')[0], None, kind.__name__
        assert endpoint.topic_type == f'{package}/msg/{word}', name
        assert endpoint.qos_profile.reliability == ReliabilityPolicy.RELIABLE, name
        assert endpoint.qos_profile.durability == DurabilityPolicy.VOLATILE, name
    assert node.outputs.publishers['/segment/label_image'].qos_profile.depth == 5
    (endpoint,) = wait(lambda: peer.get_subscriptions_info_by_topic('/camera_info'))
    assert endpoint.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT, (
        'best effort serves publishers of either kind'
    )
    assert node.images.profile.depth == 5 and node.images.profile.history == HistoryPolicy.KEEP_LAST


def test_outputs_apply_their_overrides(spin, wait, fake):
    node = spin(
        SegmentNode(
            fake,
            parameter_overrides=[
                *qos('/segment/label_image', 'publisher', reliability='best_effort', depth=1),
                *qos('/segment/ball', 'publisher', durability='transient_local'),
            ],
        )
    )
    wait(lambda: node.outputs)
    labels, ball = (node.outputs.publishers[f'/segment/{name}'].qos_profile for name in ('label_image', 'ball'))
    assert (labels.reliability, labels.depth) == (ReliabilityPolicy.BEST_EFFORT, 1)
    assert (ball.reliability, ball.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
    assert node.get_parameter('qos_overrides./segment/label_image.publisher.reliability').value == 'best_effort'
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    assert node.outputs.publishers['/segment/label_image'].qos_profile.depth == 1, 'also after another configure'


@pytest.mark.parametrize('camera', [RELIABLE, BEST_EFFORT])
def test_an_override_of_the_image_topic_has_priority_over_reliability_auto(spin, wait, fake, camera):
    """A best-effort subscription serves both cameras and no longer follows them."""
    node = spin(
        SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', reliability='best_effort', depth=2))
    )
    peer = spin(Peer(qos=camera), 1)
    wait(lambda: node.images and node.images.publishers, what='the node to see the camera')
    wait(lambda: peer.images.get_subscription_count() and node.outputs.have_subscribers)
    wait(lambda: (peer.send(camera_image(1), 1), peer.received['label_image'])[1])
    profile = node.images.profile
    assert (profile.reliability, profile.depth) == (ReliabilityPolicy.BEST_EFFORT, 2)
    assert node.images.reliability == ReliabilityPolicy.BEST_EFFORT


def test_an_override_of_the_depth_leaves_reliability_auto(spin, wait, fake):
    node = spin(SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', depth=3)))
    peer = spin(Peer(qos=RELIABLE), 1)
    wait(lambda: node.images and node.images.reliability == ReliabilityPolicy.RELIABLE)
    assert node.images.profile.depth == 3
    wait(lambda: peer.images.get_subscription_count() == 1 and node.outputs.have_subscribers)
    peer.send(camera_image(1), 1)
    wait(lambda: stamps(peer.received['label_image']) == [1])


@pytest.mark.parametrize(
    ('policies', 'text'),
    [
        ({'reliability': 'sometimes'}, 'reliability must be one of .*reliable, best_effort, not .sometimes'),
        ({'depth': 0}, 'depth must be an integer of at least 1, not 0'),
        ({'depth': 'ten'}, 'depth must be an integer of at least 1'),
        ({'colour': 'red'}, 'there is no policy colour; use one of history, depth, reliability, durability'),
    ],
)
def test_wrong_overrides_are_rejected_at_the_start(fake, policies, text):
    with pytest.raises(ConfigurationError, match=text):
        SegmentNode(fake, parameter_overrides=qos('/image', 'subscription', **policies))


def test_overrides_of_unknown_topics_are_warned_about(spin, wait, fake, capfd):
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
    wait(lambda: node.state == 'active')  # the warning comes before
    lines = [line for line in capfd.readouterr().err.splitlines() if 'has no effect' in line]
    assert len(lines) == 1
    assert 'this node has no topic /nowhere/label_image' in lines[0]


def test_a_mismatch_names_the_values_of_both_sides():
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
def test_images_that_cannot_arrive_are_warned_about_with_both_sides(
    spin, wait, fake, capfd, kind, camera_qos, parameters, words
):
    node = spin(SegmentNode(fake, parameter_overrides=overrides(**parameters)))
    context = rclpy.Context()  # as in another process: Fast DDS has one type for a topic in each participant
    rclpy.init(context=context)
    camera = Node('camera', context=context)
    publisher = camera.create_publisher(kind, 'image', camera_qos)
    log = ''

    def warned():
        nonlocal log
        log += capfd.readouterr().err
        return all(word in log for word in words)

    wait(warned, what=f'a warning with {words}')
    camera.destroy_publisher(publisher)
    wait(lambda: not node.images.publishers, what='the camera to disappear')
    camera.destroy_node()
    context.try_shutdown()
    assert log.count('[WARN] [') - log.count('already registered') <= 2, 'once, not at every look at the graph'


def test_images_lost_between_reliable_sides_are_blamed_on_cpu_time(spin, wait, fake, capfd):
    """Reliable transport loses nothing on the way: a queue was full, and shared memory would not help."""
    node = spin(SegmentNode(fake))
    spin(Peer(qos=RELIABLE), 1)
    wait(lambda: node.images and node.images.publishers)
    wait(lambda: node.images.profile.reliability == ReliabilityPolicy.RELIABLE, what='the subscription to follow')
    node.images.count_lost(2)
    log = capfd.readouterr().err
    assert 'between peer (reliable) and segment (reliable): they arrived faster than this process received' in log
    assert 'fastdds' not in log


def test_lost_images_are_counted_and_warned_about(spin, wait, fake, capfd):
    node = spin(SegmentNode(fake))
    spin(Peer(qos=BEST_EFFORT), 1)
    wait(lambda: node.images and node.images.publishers)
    node.images.count_lost(3)
    node.images.count_lost(4)
    assert (node.statistics.lost, node.statistics.dropped) == (7, 7)
    log = capfd.readouterr().err
    assert '3 images of /image were lost between peer (best effort) and segment (best effort)' in log
    assert 'config/fastdds.xml' in log
    assert log.count('were lost between') == 1, 'not at every loss'
    node.statistics.receive()
    assert node.statistics.status('name', {}).message == 'the middleware lost 7 images in the last 10 s'
