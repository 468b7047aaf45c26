"""Real nodes over the real middleware, on this host only, in a ROS domain of their own; skipped without rclpy."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

collect_ignore_glob: list[str] = []
REASON = ''
try:
    import rclpy
except ImportError as error:
    REASON = f'the ROS tests need rclpy ({error}): make test installs it, or source ROS 2'
    collect_ignore_glob = ['test_*.py']


def pytest_terminal_summary(terminalreporter) -> None:
    if REASON:
        terminalreporter.write_line(f'SKIPPED test/ros: {REASON}')


if not REASON:
    from minisegnet_core.ball import Ball
    from minisegnet_core.classes import SOCCER
    from minisegnet_core.errors import ConfigurationError, ModelError
    from minisegnet_core.inference.segmenter import Segmentation
    from minisegnet_ros.environment import free_domain

    # Robots and colleagues share our network; a hall is full of them.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())


class FakeSegmenter:
    """Answers at once what can be checked by hand: a label pixel is its block's first pixel's red value, modulo 4."""

    created: ClassVar[list[FakeSegmenter]] = []

    def __init__(
        self, model='', *, engine='auto', network_size='native', threads=0, ball_threshold=0.5, ball_confidence=0.5,
        precision='auto', device='auto',
    ) -> None:  # fmt: skip
        if model == 'missing':
            raise ModelError('there is no model file missing')
        if engine == 'torch':
            raise ConfigurationError('the engine torch does not read it')
        self.classes, self.engine, self.model_path, self.model_hash = SOCCER, 'fake', Path(model or 'f'), '0123456789ab'
        self.precision, self.device, self.notes = 'float32', 'cpu', ()
        self.options = {'network_size': network_size, 'threads': threads, 'precision': precision, 'device': device}
        self.ball_threshold, self.ball_confidence = ball_threshold, ball_confidence
        self.gate = threading.Event()  # work goes on while it is set
        self.gate.set()
        self.seen: list[tuple[tuple[int, ...], str]] = []
        self.times: list[float] = []
        self.working = threading.Event()
        FakeSegmenter.created.append(self)

    def run(self, image, order='rgb') -> Segmentation:
        started = time.perf_counter()
        self.times.append(started)
        self.working.set()
        self.gate.wait(60)
        self.seen.append((image.shape, order))
        labels = (image[::4, ::4, 0 if order == 'rgb' else 2] % 4).astype(np.uint8)
        balls = (Ball(10.5, 20.25, 4.0, 0.9),) if (labels == 1).any() else ()
        return Segmentation(labels, balls, (image.shape[1], image.shape[0]), (time.perf_counter() - started) * 1e3)


@pytest.fixture
def fake() -> type[FakeSegmenter]:
    FakeSegmenter.created = []
    return FakeSegmenter


@pytest.fixture(scope='session', autouse=True)
def context() -> Iterator[None]:
    if REASON:
        yield
        return
    rclpy.init()
    yield
    rclpy.try_shutdown()


def wait_for(condition: Callable[[], object], timeout: float = 60.0, what: str = '') -> object:
    """The condition's value as soon as it is true; fails the test after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f'waited {timeout} s in vain for {what or condition}')
        time.sleep(0.005)
    return value


@pytest.fixture
def wait() -> Callable[..., object]:
    return wait_for


@pytest.fixture
def spin() -> Iterator[Callable[..., object]]:
    """spin(node) spins it in a thread of its own until the test ends, then destroys it."""
    from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor

    from minisegnet_ros.environment import spin_until

    running = []

    def start(node, threads: int = 3):
        executor = MultiThreadedExecutor(num_threads=threads) if threads > 1 else SingleThreadedExecutor()
        executor.add_node(node)
        stopped = threading.Event()
        thread = threading.Thread(target=spin_until, args=(executor, stopped.is_set, 0.05), daemon=True)
        thread.start()
        running.append((node, executor, thread, stopped))
        if getattr(node, '_settings', {}).get('autostart'):
            # Publishers and subscriptions made at the same time in two threads of one process do not always find each
            # other (Fast DDS 2.14). A camera is another process; here, one after the other.
            wait_for(lambda: node._input is not None, what='the node to be active')
        return node

    yield start
    for node, executor, thread, stopped in running:
        stopped.set()
        thread.join(timeout=5)
        executor.shutdown()
        if hasattr(node, 'stop'):
            node.stop()
        node.destroy_node()


@pytest.fixture
def start(spin, wait, fake):
    """start(outputs, parameters) gives a running node, its peer and its segmenter, connected both ways."""

    from rclpy.parameter import Parameter

    from minisegnet_ros.segment_node import SegmentNode
    from support.peers import RELIABLE, Peer

    def begin(outputs=('label_image',), compressed=False, namespace='', qos=None, **parameters):
        qos = qos or RELIABLE
        if compressed:
            parameters['image_transport'] = 'compressed'
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = spin(SegmentNode(fake, parameter_overrides=overrides, namespace=namespace))
        peer = spin(Peer(outputs, compressed, namespace, qos), 1)
        wait(lambda: node._input and peer.images.get_subscription_count() == 1, what='the node to subscribe')
        if parameters.get('reliability', 'auto') == 'auto':
            wait(lambda: node._input.reliability == qos.reliability, what='the reliability to follow the camera')
        wait(lambda: peer.images.get_subscription_count() == 1, what='the node to subscribe anew')
        for name in outputs:
            topic = f'{namespace}/segment/{name}'
            wait(lambda topic=topic: node.count_publishers(topic) and node.count_subscribers(topic), what=topic)
        wait(lambda: node._outputs.heard, what='outputs to be heard')
        return node, peer, fake.created[0]

    return begin
