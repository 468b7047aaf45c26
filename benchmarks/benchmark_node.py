"""The node under load, over DDS: frames answered and counted, latency, age, memory; a plain queueing node beside it.

python benchmarks/benchmark_node.py --seconds 60 --network-size half
python benchmarks/benchmark_node.py --seconds 600 --work-ms 20     # a stub instead of the engine, where CPU is short

This process is the camera and the listener; each node runs in a process of its own, one after the other. Three parts:
`steady` at --rate, `flood` at --flood-rate, and `plain`, flooded likewise: a single-threaded node that queues ten
images, as most do. All latencies are milliseconds from publication of an image to the arrival of its labels; `age` is
that until their publication, by the node's own clock, which is this host's.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from minisegnet_core.classes import SOCCER
from minisegnet_core.inference.segmenter import Segmentation, Segmenter
from minisegnet_ros.conversions import image_message, pixels_of, stamp_nanoseconds
from minisegnet_ros.environment import free_domain, large_images_environment, private_environment, spin_until
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.segment_node import SWITCH_INTERVAL, RCLError, SegmentNode
from minisegnet_ros.slot import NewestSlot

WIDTH, HEIGHT = 640, 480
PLAIN_QUEUE = 10
SETTLE = 5.0
"""Seconds at the end for the last answers."""

SAMPLE = 5.0
"""Seconds between two looks at the node's memory."""


class StubSegmenter:
    """Stands for an engine: takes its time and nothing of the CPU."""

    classes, engine, precision, device, notes = SOCCER, 'stub', 'float32', 'CPU', ()
    model_path, model_hash, ball_threshold = Path('stub'), '0' * 12, 0.5

    def __init__(self, work: float) -> None:
        self._work = work
        self._labels = np.zeros((HEIGHT // 4, WIDTH // 4), np.uint8)

    def run(self, image: np.ndarray, order: str = 'rgb') -> Segmentation:
        started = time.perf_counter()
        time.sleep(self._work)
        milliseconds = (time.perf_counter() - started) * 1e3
        return Segmentation(self._labels.copy(), (), (image.shape[1], image.shape[0]), milliseconds)


def factory_of(options: argparse.Namespace) -> Any:
    return (lambda *_, **__: StubSegmenter(options.work_ms / 1e3)) if options.work_ms else Segmenter


def run_node(options: argparse.Namespace) -> int:
    """Role `node`: the real node, with notes taken of what it takes and publishes; they are printed at the end."""
    ages: list[float] = []
    stale = 0
    newest = 0
    put, take, publish = NewestSlot.put, NewestSlot.take, Outputs.publish

    def noted_put(slot: Any, item: Any) -> bool:
        nonlocal newest
        replaced = bool(put(slot, item))
        newest = stamp_nanoseconds(item[0].header)
        return replaced

    def noted_take(slot: Any) -> Any:
        nonlocal stale
        item = take(slot)
        # A newer one that is not waiting either was there before and went by: only this thread takes any.
        stale += item is not None and stamp_nanoseconds(item[0].header) < newest and slot._item is None
        return item

    def noted_publish(outputs: Any, header: Any, result: Any) -> None:
        publish(outputs, header, result)
        ages.append((time.monotonic_ns() - stamp_nanoseconds(header)) / 1e6)

    NewestSlot.put, NewestSlot.take, Outputs.publish = noted_put, noted_take, noted_publish
    sys.setswitchinterval(SWITCH_INTERVAL)
    rclpy.init(args=[])
    parameters = [
        Parameter('network_size', value=options.network_size),
        Parameter('threads', value=options.threads),
        Parameter('expected_size', value=f'{WIDTH}x{HEIGHT}'),
    ]
    node = SegmentNode(factory_of(options), parameter_overrides=parameters)
    executor = rclpy.executors.MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt):
        spin_until(executor, lambda: not rclpy.ok())
    counts = node._statistics
    per_frame = np.array([times for _, *times in counts._answers]).reshape(-1, 3) * 1e3
    node.stop()
    print(
        json.dumps(
            {
                'taken': counts.taken, 'answered': counts.answered, 'dropped': counts.dropped, 'lost': counts.lost,
                'unheard': counts.unheard, 'stale_answers': stale, 'ages': ages,
                'engine_ms_p50': percentiles(per_frame[:, 1], (50,)).get('p50'),
                'overhead_ms': percentiles(per_frame[:, 2]),
            }
        )
    )  # fmt: skip
    return 0


def run_plain(options: argparse.Namespace) -> int:
    """Role `plain`: one thread, a queue of ten images, every one worked on in turn."""
    rclpy.init(args=[])
    node = Node('segment')
    parameters = {'network_size': options.network_size, 'threads': options.threads}
    segmenter = factory_of(options)('', **parameters)
    segmenter.run(np.zeros((HEIGHT, WIDTH, 3), np.uint8), order='bgr')
    publisher = node.create_publisher(Image, '~/label_image', 5)
    ages: list[float] = []

    def answer(message: Image) -> None:
        pixels = pixels_of(message)
        result = segmenter.run(pixels.image, order=pixels.order)
        publisher.publish(image_message(result.label_image, 'mono8', message.header))
        ages.append((time.monotonic_ns() - stamp_nanoseconds(message.header)) / 1e6)

    node.create_subscription(Image, 'image', answer, PLAIN_QUEUE)
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(node)
    print(json.dumps({'taken': len(ages), 'answered': len(ages), 'ages': ages}))
    return 0


class Camera(Node):
    """Publishes one image again and again, its stamp the time of publication, and notes when labels come back."""

    def __init__(self, topic_qos: QoSProfile) -> None:
        super().__init__('camera')
        self.images = self.create_publisher(Image, 'image', topic_qos)
        deep = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, 'segment/label_image', self._note, deep)
        self.latencies: list[float] = []
        self.refused = 0
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self._message = image_message(noise, 'bgr8', Image().header)
        self._message.header.frame_id = 'camera'
        self._data = array.array('B', noise.tobytes())
        self._message.data = self._data

    def _note(self, message: Image) -> None:
        self.latencies.append((time.monotonic_ns() - stamp_nanoseconds(message.header)) / 1e6)

    def send(self, index: int) -> None:
        self._data[index % len(self._data)] ^= 255  # no two images in a row are the same
        stamp = time.monotonic_ns()
        self._message.header.stamp.sec, self._message.header.stamp.nanosec = divmod(stamp, 10**9)
        try:
            self.images.publish(self._message)
        except RCLError:  # the middleware has no room: whom we publish to has had no CPU time for a while
            self.refused += 1


def percentiles(values: Any, which: tuple[int, ...] = (50, 95, 99)) -> dict[str, float]:
    """Percentiles by their names, rounded; empty where there are no values."""
    return {f'p{q}': round(float(np.percentile(values, q)), 2) for q in which} if len(values) else {}


def resident_mb(process: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    text = Path(f'/proc/{process}/status').read_text()
    return int(text.partition('VmRSS:')[2].split()[0]) * 1.024e-3


@contextlib.contextmanager
def started(role: str, arguments: list[str], domain: int) -> Iterator[subprocess.Popen[str]]:
    """One of this file's node roles as a process."""
    environment = private_environment(domain)
    process = subprocess.Popen(
        [sys.executable, __file__, '--role', role, *arguments],
        env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def measure(role: str, rate: float, seconds: float, arguments: list[str], domain: int) -> dict[str, Any]:
    """Floods one node with images and reports what came of them."""
    with started(role, arguments, domain) as process:
        camera = Camera(QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE))
        executor = SingleThreadedExecutor()
        executor.add_node(camera)
        stopped = threading.Event()
        listener = threading.Thread(target=spin_until, args=(executor, stopped.is_set, 0.1), daemon=True)
        listener.start()
        while not camera.images.get_subscription_count() or not camera.count_publishers('segment/label_image'):
            if process.poll() is not None:
                raise SystemExit(f'benchmark_node: the node `{role}` ended with exit code {process.returncode}')
            time.sleep(0.05)
        time.sleep(2.0)  # until the reliability has followed the camera
        memory: list[float] = []
        begun = time.monotonic()
        sent, looked = 0, 0.0
        cpu = time.process_time()
        while (now := time.monotonic() - begun) < seconds:
            camera.send(sent)
            sent += 1
            if now >= looked:
                memory.append(round(resident_mb(process.pid), 1))
                looked += SAMPLE
                if len(memory) % round(60 / SAMPLE) == 1:
                    print(f'{now:6.0f} s: {sent} sent, {memory[-1]} MB', file=sys.stderr, flush=True)
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
        cpu = (time.process_time() - cpu) / seconds
        time.sleep(SETTLE)
        memory.append(round(resident_mb(process.pid), 1))
        stopped.set()
        listener.join()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        executor.shutdown()
        camera.destroy_node()
    node = json.loads(said.splitlines()[-1])
    ages = node.pop('ages')
    counted = node['taken'] + node.get('lost', 0)
    minutes = memory[:: max(1, round(60 / SAMPLE))]
    return {
        'part': role, 'rate_hz': rate, 'seconds': seconds, 'sent': sent, 'sent_hz': round(sent / seconds, 1),
        **node,
        'refused': camera.refused, 'uncounted': sent - camera.refused - counted,
        'latency_ms': percentiles(camera.latencies), 'age_ms': percentiles(ages),
        'rss_mb_each_minute': minutes, 'rss_mb_first_last_most': [memory[0], memory[-1], max(memory)],
        'camera_cpu': round(cpu, 2),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=60.0, help='length of the part `steady` (default: 60)')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second in it (default: 30)')
    parser.add_argument('--flood-seconds', type=float, default=15.0, help='length of each flooded part (default: 15)')
    parser.add_argument('--flood-rate', type=float, default=200.0, help='images per second in them (default: 200)')
    parser.add_argument('--network-size', default='half', help='native, half or WIDTHxHEIGHT (default: half)')
    parser.add_argument('--threads', type=int, default=0, help='of the engine (default: 0, all cores but one)')
    parser.add_argument('--work-ms', type=float, default=0.0, help='a stub that sleeps so long instead of the engine')
    parser.add_argument('--output', type=Path, help='JSON file to write too')
    parser.add_argument('--role', choices=('node', 'plain'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        return run_node(options) if options.role == 'node' else run_plain(options)
    arguments = [
        '--network-size', options.network_size, '--threads', str(options.threads), '--work-ms', str(options.work_ms),
    ]  # fmt: skip
    domain = free_domain()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(large_images_environment())
    rclpy.init(args=[], domain_id=domain)
    results = []
    flood = options.flood_rate, options.flood_seconds
    for part, role, rate, seconds in (
        ('steady', 'node', options.rate, options.seconds),
        ('flood', 'node', *flood),
        ('plain', 'plain', *flood),
    ):
        if not seconds:
            continue
        result = measure(role, rate, seconds, arguments, domain) | {'part': part}
        results.append(result)
        print(json.dumps(result), flush=True)
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + '\n')
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
