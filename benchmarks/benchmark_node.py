"""Measure the node under load over DDS: images answered and counted, latency, age, memory; compared with a plain node.

python benchmarks/benchmark_node.py --seconds 600 --work-ms 20     # a stub instead of the engine
python benchmarks/benchmark_node.py --model models/minisegnet.onnx --network-size half

This process is the camera and the subscriber. Each node runs in a process of its own, one after the other, in three
parts: `steady` at --fps, `flood` at --flood-fps, and `plain`, the same flood for a single-threaded node that queues ten
images, as common nodes do. Latency is the time from publication of an image to arrival of its labels. Age is the time
from publication of an image to publication of its labels. Exit code 1: a bound of node_bounds.py is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from node_bounds import bounds, percentiles, report
from node_peers import HEIGHT, WIDTH, Camera, StubSegmenter
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig
from minisegnet_ros.commands.segment import SWITCH_INTERVAL
from minisegnet_ros.conversions import image_message, pixels_of, stamp_nanoseconds
from minisegnet_ros.diagnostics import Statistics
from minisegnet_ros.environment import free_domain, large_images_environment, private_environment
from minisegnet_ros.publishers import Outputs
from minisegnet_ros.rclpy_compat import spin_until
from minisegnet_ros.segment_node import SegmentNode
from minisegnet_ros.worker import NewestSlot

PLAIN_QUEUE = 10
SETTLE = 5.0
"""Seconds to wait for the last answers."""

SAMPLE = 5.0
"""Seconds between two readings of the node's memory."""


def open_segmenter(options: argparse.Namespace, config: SegmenterConfig) -> Any:
    """Return the segmenter, or a stub if its duration is given."""
    return StubSegmenter(options.work_ms / 1e3) if options.work_ms else Segmenter.from_config(config)


def run_node(options: argparse.Namespace) -> int:
    """Run the real node (role `node`), record what it receives and publishes, and print the records at the end."""
    # Arrays, because ten minutes of Python floats take megabytes, which would count as the node's memory.
    ages, engines, works = array('d'), array('d'), array('d')  # ms; seconds inside the engine; seconds of processing
    stale = 0
    newest = 0
    put, take, publish, answer = NewestSlot.put, NewestSlot.take, Outputs.publish, Statistics.answer

    def recorded_put(slot: Any, item: Any) -> bool:
        nonlocal newest
        replaced = bool(put(slot, item))
        newest = stamp_nanoseconds(item[0].header)
        return replaced

    def recorded_take(slot: Any) -> Any:
        nonlocal stale
        item = take(slot)
        # Only this thread takes images: a newer one that is not in the slot has been passed over.
        stale += item is not None and stamp_nanoseconds(item[0].header) < newest and not slot.occupied
        return item

    def recorded_publish(outputs: Any, header: Any, result: Any) -> None:
        publish(outputs, header, result)
        ages.append((time.monotonic_ns() - stamp_nanoseconds(header)) / 1e6)

    def recorded_answer(counts: Any, latency: float, engine: float, busy: float) -> None:
        answer(counts, latency, engine, busy)
        engines.append(engine)
        works.append(busy)

    NewestSlot.put, NewestSlot.take, Outputs.publish, Statistics.answer = (
        recorded_put, recorded_take, recorded_publish, recorded_answer,
    )  # fmt: skip
    sys.setswitchinterval(SWITCH_INTERVAL)
    rclpy.init(args=[])
    parameters = [
        Parameter('model', value=options.model),
        Parameter('network_size', value=options.network_size),
        Parameter('threads', value=options.threads),
        Parameter('expected_size', value=f'{WIDTH}x{HEIGHT}'),
    ]
    node = SegmentNode(functools.partial(open_segmenter, options), parameter_overrides=parameters)
    executor = rclpy.executors.MultiThreadedExecutor(num_threads=3)
    executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt):
        spin_until(executor, lambda: not rclpy.ok())
    counts = node.statistics
    node.stop()
    engine, work = np.array(engines) * 1e3, np.array(works) * 1e3
    print(
        json.dumps(
            {
                'received': counts.received, 'answered': counts.answered, 'dropped': counts.dropped,
                'lost': counts.lost, 'unsubscribed': counts.unsubscribed, 'stale_answers': stale, 'ages': list(ages),
                'engine_ms_p50': percentiles(engine, (50,))['p50'], 'overhead_ms': percentiles(work - engine),
                'over_work_ms': percentiles(np.array(ages[: len(work)]) - work),
            }
        )
    )  # fmt: skip
    return 0


def run_plain(options: argparse.Namespace) -> int:
    """Run a plain node (role `plain`): one thread processes every image of a queue of ten."""
    rclpy.init(args=[])
    node = Node('segment')
    config = SegmenterConfig(options.model, network_size=options.network_size, threads=options.threads)
    segmenter = open_segmenter(options, config)
    segmenter.run(np.zeros((HEIGHT, WIDTH, 3), np.uint8), order='bgr')
    publisher = node.create_publisher(Image, '~/label_image', 5)
    ages = array('d')

    def answer(message: Image) -> None:
        pixels = pixels_of(message)
        result = segmenter.run(pixels.image, order=pixels.order)
        publisher.publish(image_message(result.label_image, 'mono8', message.header))
        ages.append((time.monotonic_ns() - stamp_nanoseconds(message.header)) / 1e6)

    node.create_subscription(Image, 'image', answer, PLAIN_QUEUE)
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(node)
    print(json.dumps({'received': len(ages), 'answered': len(ages), 'ages': list(ages)}))
    return 0


def resident_mb(process: int, part: str = 'VmRSS') -> float:
    """Return the resident memory of a process in MB (10^6 bytes), or a part, such as RssShmem (shared memory)."""
    text = Path(f'/proc/{process}/status').read_text()
    return round(int(text.partition(f'{part}:')[2].split()[0]) * 1.024e-3, 1)


@contextlib.contextmanager
def started(role: str, arguments: list[str], domain: int) -> Iterator[subprocess.Popen[str]]:
    """Start a role of this file as a process."""
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
    """Send images to a node and return the figures of one part."""
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
        time.sleep(2.0)  # until the reliability follows the camera
        memory: list[float] = []
        shared: list[float] = []
        begun = time.monotonic()
        sent, next_sample = 0, 0.0
        cpu = time.process_time()
        while (now := time.monotonic() - begun) < seconds:
            camera.send(sent)
            sent += 1
            if now >= next_sample:
                memory.append(resident_mb(process.pid))
                shared.append(resident_mb(process.pid, 'RssShmem'))
                next_sample += SAMPLE
                if len(memory) % round(60 / SAMPLE) == 1:
                    print(f'{now:6.0f} s: {sent} sent, {memory[-1]} MB', file=sys.stderr, flush=True)
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
        cpu = (time.process_time() - cpu) / seconds
        time.sleep(SETTLE)
        memory.append(resident_mb(process.pid))
        shared.append(resident_mb(process.pid, 'RssShmem'))
        stopped.set()
        listener.join()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        executor.shutdown()
        camera.destroy_node()
    node = json.loads(output.splitlines()[-1])
    ages = node.pop('ages')
    if 'lost' in node:
        # The lost images are among the dropped ones.
        node['uncounted'] = sent - camera.refused - node['answered'] - node['dropped'] - node['unsubscribed']
    minute = max(1, round(60 / SAMPLE))
    minutes = memory[::minute]
    return {
        'part': role, 'rate_hz': rate, 'seconds': seconds, 'sent': sent, 'sent_hz': round(sent / seconds, 1),
        **node,
        'refused': camera.refused, 'latency_ms': percentiles(camera.latencies), 'age_ms': percentiles(ages),
        'rss_mb_each_minute': minutes, 'shared_mb_each_minute': shared[::minute],
        'rss_mb_first_last_maximum': [memory[0], memory[-1], max(memory)],
        'camera_cpu': round(cpu, 2),
    }  # fmt: skip


def main() -> int:
    """Run all parts; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=60.0, help='duration of the part `steady` (default: 60)')
    parser.add_argument('--fps', type=float, default=30.0, help='images per second in that part (default: 30)')
    parser.add_argument('--flood-seconds', type=float, default=15.0, help='duration of each flood (default: 15)')
    parser.add_argument('--flood-fps', type=float, default=200.0, help='images per second in a flood (default: 200)')
    parser.add_argument('--model', default='', help="model file or name of a shipped model (default: the node's)")
    parser.add_argument('--network-size', default='half', help='native, half or WIDTHxHEIGHT (default: half)')
    parser.add_argument(
        '--threads', type=int, default=0, help='CPU threads of the engine (default: 0, all cores but one)'
    )
    parser.add_argument(
        '--work-ms', type=float, default=0.0, help='duration of a stub that sleeps, instead of the engine'
    )
    parser.add_argument('--output', type=Path, help='JSON file to write')
    parser.add_argument('--role', choices=('node', 'plain'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        return run_node(options) if options.role == 'node' else run_plain(options)
    arguments = [
        '--model', options.model, '--network-size', options.network_size, '--threads', str(options.threads),
        '--work-ms', str(options.work_ms),
    ]  # fmt: skip
    domain = free_domain()
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ.update(large_images_environment())
    rclpy.init(args=[], domain_id=domain)
    results, missed = [], 0
    flood = options.flood_fps, options.flood_seconds
    for part, role, rate, seconds in (
        ('steady', 'node', options.fps, options.seconds),
        ('flood', 'node', *flood),
        ('plain', 'plain', *flood),
    ):
        if not seconds:
            continue
        result = measure(role, rate, seconds, arguments, domain) | {'part': part}
        print(report(result), flush=True)
        if role == 'node':
            judged = bounds(result)
            missed += sum(not bound.met for bound in judged)
            result['bounds'] = [{**bound._asdict(), 'met': bound.met} for bound in judged]
            print(*(f'  {bound}' for bound in judged), sep='\n', flush=True)
        results.append(result)
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + '\n')
    rclpy.try_shutdown()
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
