"""The diagnostic status, from counts and times set by hand."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from minisegnet_ros import diagnostics
from minisegnet_ros.diagnostics import FROZEN, OLD_IN_A_ROW, Statistics


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(diagnostics, 'time', clock)
    return clock


def values(statistics: Statistics) -> dict[str, str]:
    return {pair.key: pair.value for pair in statistics.status('name', {'engine': 'e'}).values}


def test_the_status_holds_counts_rates_and_percentiles(clock):
    statistics = Statistics()
    for index in range(20):
        clock.now += 0.1
        statistics.receive()
        statistics.answer(latency=0.02 + 0.001 * index, engine=0.015, busy=0.017)
    statistics.receive(3)
    statistics.drop(2)
    statistics.drop(fault='broken')
    statistics.lose(4)
    got = values(statistics)
    assert got['rate [Hz]'] == '10.00', '20 in the first two seconds'
    assert (got['latency p50 [ms]'], got['latency p95 [ms]']) == ('29.50', '38.05')
    assert (got['engine p50 [ms]'], got['overhead p50 [ms]']) == ('15.00', '2.00')
    assert (got['images taken'], got['images answered'], got['dropped']) == ('23', '20', '7')
    assert (got['bad images'], got['lost by the middleware'], got['engine']) == ('1', '4', 'e')
    clock.now += 11
    assert values(statistics)['rate [Hz]'] == '0.00', 'the window has passed'
    assert values(statistics)['images answered'] == '20'


@pytest.mark.parametrize(
    ('publishers', 'text'),
    [
        ((), 'no image for 3 s, the topic has no publisher'),
        (('left', 'right'), 'no image for 3 s, although left, right publishes'),
    ],
)
def test_an_absent_camera_is_reported_with_its_publishers(clock, publishers, text):
    statistics = Statistics()
    assert statistics.status('name', {}, publishers).level == DiagnosticStatus.OK
    clock.now += 3
    status = statistics.status('name', {}, publishers)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, text)


def test_problems_are_reported_until_they_end(clock):
    statistics = Statistics()
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)

    def message() -> str:
        return statistics.status('name', {}).message

    statistics.drop(fault='no such encoding')
    assert message() == 'no such encoding'
    statistics.answer(0.01, 0.01, 0.01)
    assert message() == 'segmenting'
    for _ in range(OLD_IN_A_ROW):
        assert 'older than' not in message()
        statistics.drop(old=True)
    assert f'the last {OLD_IN_A_ROW} images were older than max_image_age' in message()
    statistics.answer(0.01, 0.01, 0.01)
    for count in range(FROZEN + 1):
        assert 'frozen' not in message(), count
        statistics.camera.observe(noise)
    assert f'the camera is frozen: the last {FROZEN + 1} images are the same' in message()
    statistics.camera.observe(noise // 100)
    assert 'dark' in message()
    statistics.camera.observe(noise ^ 1)
    statistics.lose(2)
    assert message() == 'the middleware lost 2 images in the last 10 s'
    clock.now += 1.9
    assert 'lost' in message()
    clock.now += 9
    statistics.receive()
    assert message() == 'segmenting'
    assert statistics.status('name', {}, paused=True).message == 'paused'


def test_a_node_without_subscribers_is_idle():
    statistics = Statistics()

    def message() -> str:
        status = statistics.status('name', {})
        assert status.level == DiagnosticStatus.OK
        return status.message

    statistics.skip()
    assert message() == 'idle: no output has a subscriber'
    statistics.answer(0.01, 0.01, 0.01)
    assert message() == 'segmenting'
    statistics.skip()
    statistics.skip(paused=True)
    assert message() == 'segmenting', '"paused" follows `~/enable`, not the last image'
