"""The replay of a bag: pauses between images, and the assignment of answers to images."""

from __future__ import annotations

import itertools

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import Image

from minisegnet_core.frames.bag import BagImage, BagImages
from minisegnet_ros.conversions import image_message
from minisegnet_ros.replay import ASSUMED_PERIOD, MAXIMUM_PAUSE, Replay, pause
from support.bags import BagWriter


def test_long_pauses_are_shortened_and_missing_times_assumed(tmp_path):
    """Six images at 10 Hz, then a pause of a minute, then two images of the same stamp."""
    with BagWriter(tmp_path / 'bag') as writer:
        for stamp in [index * 10**8 for index in range(6)] + [60 * 10**9, 60 * 10**9]:
            writer.add(np.zeros((64, 64, 3), np.uint8), stamp)
    messages = list(BagImages(tmp_path / 'bag').messages())
    pauses = [pause(*pair) for pair in itertools.pairwise(messages)]
    np.testing.assert_allclose(pauses[:5], 0.1)
    assert pauses[5:] == [MAXIMUM_PAUSE, ASSUMED_PERIOD]


def test_answers_go_to_the_images_of_their_stamp():
    """Repeated and zero stamps, balls before and after their labels, and answers to no image."""

    def image(stamp: int) -> BagImage:
        return BagImage(0, stamp, 'camera', False, 'mono8', 4, 4, 4, 0, np.zeros(16, np.uint8))

    def labels(stamp: int, value: int) -> Image:
        message = image_message(np.full((1, 1), value, np.uint8), 'mono8', Image().header)
        message.header.stamp.nanosec = stamp
        return message

    replay = Replay(compressed=False)
    for index, stamp in enumerate((0, 5, 5, 7)):
        replay.play(index, image(stamp))
    ball = PointStamped()
    ball.header.stamp.nanosec = 5
    ball.point.x = 3.0
    replay.record_ball(ball)
    for stamp, value in ((5, 1), (0, 2), (99, 3), (5, 4), (5, 5)):
        replay.record_labels(labels(stamp, value))
    frames = replay.recording.frames
    assert [None if f.labels is None else int(f.labels[0, 0]) for f in frames] == [2, 1, 4, None]
    assert [f.ball for f in frames] == [None, (3.0, 0.0, 0.0), None, None]
    assert not replay.complete and len(replay.recording.answered) == 3
    replay.destroy_node()


def test_a_failed_configuration_is_recognised_by_the_level_of_the_status():
    def diagnostics(level: bytes, message: str, name: str = 'segment: segmentation') -> DiagnosticArray:
        values = [KeyValue(key='engine', value='openvino')]
        return DiagnosticArray(status=[DiagnosticStatus(level=level, name=name, message=message, values=values)])

    replay = Replay(compressed=False)
    replay.record_diagnostics(diagnostics(DiagnosticStatus.WARN, 'not configured'))
    replay.record_diagnostics(diagnostics(DiagnosticStatus.ERROR, 'out of paper', 'printer: paper'))
    assert replay.configuration_error == '' and replay.recording.facts == {'engine': 'openvino'}
    replay.record_diagnostics(diagnostics(DiagnosticStatus.ERROR, 'there is no model'))
    assert replay.configuration_error == 'there is no model'
    replay.destroy_node()
