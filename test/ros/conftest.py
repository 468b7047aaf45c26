"""Fixtures with real nodes over the real middleware, on this host only, in a ROS domain of their own.

Without rclpy no test module is collected: a module-level ``pytest.skip`` would make pytest collect nothing at all where
the plugin of launch_testing is active.
"""

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
    collect_ignore_glob = ['test_*.py', 'commands/test_*.py']


def pytest_terminal_summary(terminalreporter) -> None:
    if REASON:
        terminalreporter.write_line(f'SKIPPED test/ros: {REASON}')


if not REASON:
    from minisegnet_core.ball import Ball
    from minisegnet_core.classes import SOCCER
    from minisegnet_core.errors import ConfigurationError, ModelError
    from minisegnet_core.inference.segmenter import Segmentation, SegmenterConfig
    from minisegnet_ros.environment import free_domain

    # Robots and other developers may use the same network.
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())


class FakeSegmenter:
    """Answers at once and predictably: a label pixel is the red value of its block's first pixel, modulo 4."""

    created: ClassVar[list[FakeSegmenter]] = []

    def __init__(self, config: SegmenterConfig) -> None:
        if config.model == 'missing':
            raise ModelError('there is no model file missing')
        if config.engine == 'torch':
            raise ConfigurationError('the engine torch does not read it')
        self.config = config
        self.classes, self.engine, self.model_hash = SOCCER, 'fake', '0123456789ab'
        self.model_path = Path(config.model or 'f')
        self.precision, self.device, self.notes = 'float32', 'cpu', ()
        self.ball_threshold, self.ball_confidence = config.ball_threshold, config.ball_confidence
        self.gate = threading.Event()  # run() blocks while it is cleared
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


@pytest.fixture
def without_context() -> Iterator[None]:
    """Shut rclpy down during the test, for code that initialises it in a domain of its own."""
    rclpy.try_shutdown()
    yield
    rclpy.init()


def wait_for(condition: Callable[[], object], timeout: float = 60.0, what: str = '') -> object:
    """Return the value of a condition as soon as it is true; fail the test after ``timeout`` seconds."""
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
    """spin(node) spins a node in a thread until the test ends, then destroys it."""
    from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor

    from minisegnet_ros.rclpy_compat import spin_until
    from minisegnet_ros.segment_node import SegmentNode

    running = []

    def start(node, threads: int = 3):
        executor = MultiThreadedExecutor(num_threads=threads) if threads > 1 else SingleThreadedExecutor()
        executor.add_node(node)
        stopped = threading.Event()
        thread = threading.Thread(target=spin_until, args=(executor, stopped.is_set, 0.05), daemon=True)
        thread.start()
        running.append((node, executor, thread, stopped))
        if isinstance(node, SegmentNode) and node.settings['autostart']:
            # Publishers and subscriptions that are created at the same time in two threads of one process do not
            # always discover each other (Fast DDS 2.14). A real camera is another process.
            wait_for(lambda: node.images is not None, what='the node to be active')
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
    """start(outputs, parameters) returns a running node, its peer and its segmenter, connected in both directions."""

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
        wait(lambda: node.images and peer.images.get_subscription_count() == 1, what='the node to subscribe')
        if parameters.get('reliability', 'auto') == 'auto':
            wait(lambda: node.images.reliability == qos.reliability, what='the reliability to follow the camera')
        wait(lambda: peer.images.get_subscription_count() == 1, what='the node to subscribe again')
        for name in outputs:
            topic = f'{namespace}/segment/{name}'
            wait(lambda topic=topic: node.count_publishers(topic) and node.count_subscribers(topic), what=topic)
        wait(lambda: node.outputs.have_subscribers, what='the outputs to have subscribers')
        return node, peer, fake.created[0]

    return begin
