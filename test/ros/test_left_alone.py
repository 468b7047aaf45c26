"""Images that are left alone: paused, too old, too many, or wanted by nobody."""

from __future__ import annotations

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from minisegnet_ros.diagnostics import OLD_IN_A_ROW
from minisegnet_ros.segment_node import SegmentNode
from support.peers import Peer, picture, stamps


def test_enable_pauses_work(start, spin, wait):
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
        peer.send(picture(1), stamp)
        wait(lambda stamp=stamp: node._statistics.paused == stamp)
    assert len(segmenter.seen) == before, 'no work'
    assert node._state_machine.current_state[1] == 'active', 'and no transition'
    assert enable(True).message == 'enabled'
    peer.send(picture(1), 3)
    wait(lambda: stamps(peer.received['label_image']) == [3])
    assert node._statistics.taken == 3 and node._statistics.answered == 1 and node._statistics.dropped == 0
    node.trigger_deactivate()
    assert enable(False).message.endswith('once the node is active')
    node.trigger_activate()
    wait(lambda: peer.images.get_subscription_count() == 1)
    wait(lambda: (peer.send(picture(1), 4), node._statistics.paused)[1], what='the pause to outlive a deactivation')


def test_a_series_of_old_images_names_the_clock(start, wait, capfd):
    node, peer, _ = start(max_image_age=1.0)
    for count in range(1, OLD_IN_A_ROW + 1):
        peer.send(picture(1), 10**9)
        wait(lambda count=count: node._statistics.old == count)
    wait(lambda: 'use_sim_time' in capfd.readouterr().err, what='the warning')
    status = node._statistics.status('name', {})
    assert status.level == DiagnosticStatus.WARN and 'use_sim_time' in status.message
    peer.send(picture(1), 0)
    wait(lambda: peer.received['label_image'])
    assert node._statistics.status('name', {}).message == 'segmenting'


def test_old_images_are_dropped(start, wait):
    node, peer, _ = start(max_image_age=5.0)
    now = node.get_clock().now().nanoseconds
    for count, stamp in enumerate((now - 60 * 10**9, 1, 10**9), 1):
        peer.send(picture(1), stamp)
        wait(lambda count=count: node._statistics.old == count, what=f'image {count} to be dropped')
    future = now + 3600 * 10**9
    for stamp in (0, future, now):
        peer.send(picture(1), stamp)
        wait(lambda stamp=stamp: stamp in stamps(peer.received['label_image']), what=f'stamp {stamp}')


def test_rate_limit(start, wait, monkeypatch):
    node, peer, _ = start(max_rate=10)
    slot, taken = node._worker._slot, []
    take = slot.take

    def noting_when():
        arrival = take()
        taken.append(time.monotonic())
        return arrival

    monkeypatch.setattr(slot, 'take', noting_when)
    sent = 0

    def answered() -> bool:
        nonlocal sent
        sent += 1
        peer.send(picture(1), sent)
        return node._statistics.answered >= 6

    wait(answered, what='six answers')
    # When an image is taken is what the limit is about: unlike the moment its work begins, it does not jitter below it.
    assert len(taken) >= 5 and np.diff(taken).min() > 0.0999, 'a tenth of a second between two, however many come'
    counts = node._statistics
    wait(lambda: counts.answered + counts.dropped == sent == counts.taken + counts.lost, what='all to be counted')
    assert counts.dropped > counts.lost


def test_a_rate_limit_that_is_lifted_holds_nothing_up(start, wait):
    node, peer, _ = start(max_rate=0.001)
    peer.send(picture(1), 1)
    wait(lambda: node._statistics.answered == 1)
    peer.send(picture(1), 2)
    wait(lambda: node._statistics.taken == 2)
    (result,) = node.set_parameters([Parameter('max_rate', value=0.0)])
    assert result.successful
    wait(lambda: node._statistics.answered == 2, what='the next image, a thousand seconds early')


def test_no_work_while_nobody_listens(spin, wait, fake):
    node = spin(SegmentNode(fake))
    peer = spin(Peer(()), 1)
    wait(lambda: node._input and node._input.reliability == ReliabilityPolicy.RELIABLE)
    wait(lambda: (peer.send(picture(1), 1), node._statistics.unheard)[1])
    assert fake.created[0].seen == [((480, 640, 3), 'rgb'), ((480, 640, 3), 'bgr')], 'only the warm-up'
