"""Images that are not processed: paused, too old, too many, or without subscribers."""

from __future__ import annotations

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from minisegnet_ros.diagnostics import OLD_IN_A_ROW
from minisegnet_ros.segment_node import SegmentNode
from minisegnet_ros.worker import NewestSlot
from support.peers import Peer, camera_image, stamps


def test_the_service_enable_pauses_and_resumes(start, spin, wait):
    SetBool = pytest.importorskip('std_srvs.srv', reason='std_srvs is not installed').SetBool  # noqa: N806
    node, peer, segmenter = start(('label_image',))
    client = peer.create_client(SetBool, 'segment/enable')
    assert client.wait_for_service(60)

    def enable(value):
        future = client.call_async(SetBool.Request(data=value))
        wait(future.done, what='the service')
        return future.result()

    before = len(segmenter.seen)
    answer = enable(False)
    assert answer.success and answer.message.startswith('paused')
    for stamp in (1, 2):
        peer.send(camera_image(1), stamp)
        wait(lambda stamp=stamp: node.statistics.paused == stamp)
    assert len(segmenter.seen) == before, 'nothing is processed'
    assert node.state == 'active', 'no transition takes place'
    assert enable(True).message == 'enabled'
    peer.send(camera_image(1), 3)
    wait(lambda: stamps(peer.received['label_image']) == [3])
    assert node.statistics.received == 3 and node.statistics.answered == 1 and node.statistics.dropped == 0
    node.trigger_deactivate()
    assert enable(False).message.endswith('once the node is active')
    node.trigger_activate()
    wait(lambda: peer.images.get_subscription_count() == 1)
    wait(lambda: (peer.send(camera_image(1), 4), node.statistics.paused)[1], what='the pause to outlive a deactivation')


def test_a_series_of_old_images_is_reported_with_the_clocks_as_the_cause(start, wait, capfd):
    node, peer, _ = start(max_image_age=1.0)
    for count in range(1, OLD_IN_A_ROW + 1):
        peer.send(camera_image(1), 10**9)
        wait(lambda count=count: node.statistics.old == count)
    wait(lambda: 'use_sim_time' in capfd.readouterr().err, what='the warning')
    status = node.statistics.status('name', {})
    assert status.level == DiagnosticStatus.WARN and 'use_sim_time' in status.message
    peer.send(camera_image(1), 0)
    wait(lambda: peer.received['label_image'])
    assert node.statistics.status('name', {}).message == 'segmenting'


def test_old_images_are_dropped(start, wait):
    node, peer, _ = start(max_image_age=5.0)
    now = node.get_clock().now().nanoseconds
    for count, stamp in enumerate((now - 60 * 10**9, 1, 10**9), 1):
        peer.send(camera_image(1), stamp)
        wait(lambda count=count: node.statistics.old == count, what=f'image {count} to be dropped')
    future = now + 3600 * 10**9
    for stamp in (0, future, now):
        peer.send(camera_image(1), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']), what=f'stamp {stamp}')


def test_max_rate_limits_the_images_per_second(start, wait, monkeypatch):
    taken, take = [], NewestSlot.take

    def timed_take(slot):
        arrival = take(slot)
        taken.append(time.monotonic())
        return arrival

    monkeypatch.setattr(NewestSlot, 'take', timed_take)
    node, peer, _ = start(max_rate=10)
    sent = 0

    def answered() -> bool:
        nonlocal sent
        sent += 1
        peer.send(camera_image(1), sent)
        return node.statistics.answered >= 6

    wait(answered, what='six answers')
    # The limit applies to the moments at which images are taken; the start of their processing may jitter below it.
    assert len(taken) >= 5 and np.diff(taken).min() > 0.0999, 'at least 0.1 s between two images'
    counts = node.statistics
    wait(lambda: counts.answered + counts.dropped == sent == counts.received + counts.lost, what='all to be counted')
    assert counts.dropped > counts.lost


def test_removing_the_rate_limit_takes_effect_at_once(start, wait):
    node, peer, _ = start(max_rate=0.001)
    peer.send(camera_image(1), 1)
    wait(lambda: node.statistics.answered == 1)
    peer.send(camera_image(1), 2)
    wait(lambda: node.statistics.received == 2)
    (result,) = node.set_parameters([Parameter('max_rate', value=0.0)])
    assert result.successful
    wait(lambda: node.statistics.answered == 2, what='the next image, which the old limit would have delayed by 1000 s')


def test_without_subscribers_no_image_is_processed(spin, wait, fake):
    node = spin(SegmentNode(fake))
    peer = spin(Peer(()), 1)
    wait(lambda: node.images and node.images.reliability == ReliabilityPolicy.RELIABLE)
    wait(lambda: (peer.send(camera_image(1), 1), node.statistics.unsubscribed)[1])
    assert fake.created[0].seen == [((480, 640, 3), 'rgb'), ((480, 640, 3), 'bgr')], 'only the warm-up'
