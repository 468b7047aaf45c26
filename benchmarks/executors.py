"""Compare ways to receive images in rclpy: latency and CPU time of the node path under each executor.

python benchmarks/executors.py                              # 20 s each, 640x480 bgr8 at 30 Hz
python benchmarks/executors.py --only listener events --seconds 60

The real node runs in a process of its own, with a stub that sleeps instead of the network. Each variant receives images
in another way:

listener      the node as it is: a thread with its own wait set (minisegnet_ros/rclpy_compat.py)
single        subscription callbacks in a SingleThreadedExecutor
multi         subscription callbacks in a MultiThreadedExecutor of three threads, each in its own callback group
events        subscription callbacks in an EventsExecutor (rclpy.experimental, from Kilted on)
single-node   as `single`, on a second node in the same process; the other callbacks in a MultiThreadedExecutor
events-node   as `events`, on a second node in the same process; the other callbacks in a MultiThreadedExecutor

Latency is the time from publication of an image to arrival of its labels. CPU time is that of the node's process,
divided by the number of images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from node_bounds import percentiles
from node_peers import HEIGHT, WIDTH, Camera, StubSegmenter
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from minisegnet_ros import segment_node
from minisegnet_ros.commands.segment import SWITCH_INTERVAL
from minisegnet_ros.environment import free_domain, large_images_environment, private_environment
from minisegnet_ros.qos import input_profile
from minisegnet_ros.rclpy_compat import spin_until

VARIANTS = ('listener', 'single', 'multi', 'events', 'single-node', 'events-node')
SETTLE = 2.0
"""Seconds for discovery, and for the last answers."""


def events_executor() -> Executor:
    """Return an EventsExecutor, which Jazzy has not.

    Its ``spin`` delivers no message with the wheels of rclpy 9.1.2; ``spin_once`` in a loop does.
    """
    from rclpy.experimental import EventsExecutor

    return EventsExecutor()


class CallbackInput:
    """Receives images by subscription callbacks; has the attributes of ImageInput that the node uses.

    Args:
        node: the node of the other callbacks.
        owner: the node of the subscriptions; None for ``node``.
        on_image: called with the message, its time of arrival (s, monotonic), and 0.
        _: the other arguments of ImageInput, which make no difference here.
    """

    def __init__(
        self, node: Node, *, owner: Node | None, on_image: Callable[[Image, float, int], None], **_: Any
    ) -> None:
        self.publishers: list[Any] = []
        self._owner = owner or node
        self.topic = node.resolve_topic_name('image')
        self.profile = input_profile(ReliabilityPolicy.RELIABLE)
        kinds = ((Image, 'image', lambda message: on_image(message, time.monotonic(), 0)),
                 (CameraInfo, 'camera_info', lambda message: None))  # fmt: skip
        self._subscriptions = [
            self._owner.create_subscription(
                kind, topic, callback, self.profile, callback_group=MutuallyExclusiveCallbackGroup()
            )
            for kind, topic, callback in kinds
        ]

    def camera_info(self, stamp: int) -> None:
        """Return None: no camera info is published here."""

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._owner.destroy_subscription(subscription)


def run_node(variant: str, work: float) -> None:
    """Run the node of a variant until the process is killed.

    Args:
        variant: one of VARIANTS.
        work: seconds that the stub sleeps for each image.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    rclpy.init(args=[])
    second: Node | None = None
    if variant.endswith('-node'):
        second = Node('segment_input', start_parameter_services=False, enable_rosout=False)
        executor = events_executor() if variant == 'events-node' else SingleThreadedExecutor()
        executor.add_node(second)
        threading.Thread(target=spin_until, args=(executor, lambda: not rclpy.ok(), 0.1), daemon=True).start()
    if variant != 'listener':
        segment_node.ImageInput = lambda node, **options: CallbackInput(node, owner=second, **options)
    parameters = [Parameter('expected_size', value=f'{WIDTH}x{HEIGHT}')]
    node = segment_node.SegmentNode(lambda _: StubSegmenter(work), parameter_overrides=parameters)
    if variant == 'events':
        executor = events_executor()
    else:
        executor = SingleThreadedExecutor() if variant == 'single' else MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    spin_until(executor, lambda: not rclpy.ok(), 0.1)


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has used, of all its threads."""
    fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(variant: str, options: argparse.Namespace, domain: int) -> dict[str, Any]:
    """Play a camera to the node of a variant and return its figures."""
    process = subprocess.Popen(
        [sys.executable, __file__, '--role', variant, '--work-ms', str(options.work_ms)],
        env=private_environment(domain), stderr=None if options.verbose else subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    camera = Camera(QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE))
    executor = SingleThreadedExecutor()
    executor.add_node(camera)
    stopped = threading.Event()
    receiver = threading.Thread(target=spin_until, args=(executor, stopped.is_set, 0.1), daemon=True)
    receiver.start()
    try:
        deadline = time.monotonic() + 60
        while not camera.images.get_subscription_count() or not camera.count_publishers('segment/label_image'):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f'executors: the node of variant {variant} did not start')
            time.sleep(0.05)
        time.sleep(SETTLE)
        begun, before, sent = time.monotonic(), cpu_seconds(process.pid), 0
        while time.monotonic() - begun < options.seconds:
            camera.send(sent)
            sent += 1
            time.sleep(max(0.0, begun + sent / options.fps - time.monotonic()))
        used = cpu_seconds(process.pid) - before
        time.sleep(SETTLE)
    finally:
        process.kill()
        process.wait()
        stopped.set()
        receiver.join()
        executor.shutdown()
        camera.destroy_node()
    return {
        'variant': variant, 'sent': sent, 'answered': len(camera.latencies),
        'latency_ms': percentiles(camera.latencies, (50, 95)),
        'cpu_ms_per_image': round(used / sent * 1e3, 2),
    }  # fmt: skip


def main() -> int:
    """Measure the variants one after the other and print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=20.0, help='duration of each measurement (default: 20)')
    parser.add_argument('--fps', type=float, default=30.0, help='images per second (default: 30)')
    parser.add_argument('--work-ms', type=float, default=10.0, help='duration of the stub (default: 10)')
    parser.add_argument('--rounds', type=int, default=1, help='measurements of each variant (default: 1)')
    parser.add_argument('--only', nargs='+', choices=VARIANTS, default=VARIANTS, help='variants (default: all)')
    parser.add_argument('--output', type=Path, help='JSON file to write')
    parser.add_argument('--verbose', action='store_true', help='show the log of the nodes')
    parser.add_argument('--role', choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        run_node(options.role, options.work_ms / 1e3)
        return 0
    domain = free_domain()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(large_images_environment())
    rclpy.init(args=[], domain_id=domain)
    results = []
    print(f'{"variant":12} {"sent":>5} {"answered":>8} {"p50 [ms]":>9} {"p95 [ms]":>9} {"CPU per image [ms]":>18}')
    for variant in options.only * options.rounds:
        result = measure(variant, options, domain)
        results.append(result)
        latency = result['latency_ms']
        print(
            f'{variant:12} {result["sent"]:5} {result["answered"]:8} {latency["p50"]:9.2f} {latency["p95"]:9.2f} '
            f'{result["cpu_ms_per_image"]:18.2f}',
            flush=True,
        )
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + '\n')
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
