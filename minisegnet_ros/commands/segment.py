"""The program `segment`: the node in a process of its own, with its arguments, signals and exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from minisegnet_core.cli import EXIT_USAGE, without_ros_arguments
from minisegnet_core.errors import ConfigurationError
from minisegnet_ros.environment import ignore_signals, note_signals, spin_until
from minisegnet_ros.segment_node import SegmentNode

SWITCH_INTERVAL = 2e-4
"""Seconds after which a thread must let another one run. Python's own 5 ms come on top of a frame's latency more than
once, where one thread is busy receiving while another has something to publish.
"""

SIGNAL_PERIOD = 0.1
"""Seconds after which Ctrl-C is seen at the latest, and between wakes of a node without anything to do."""


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Runs the ROS 2 node that segments camera images."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog=prog,
        description='Runs the ROS 2 node that segments camera images.',
        epilog='Parameters and topics are ROS arguments: --ros-args -p engine:=openvino -r image:=/camera/image_raw',
    )
    parser.parse_args(without_ros_arguments(arguments))
    ended = note_signals()
    node = executor = None
    try:
        rclpy.init(args=[parser.prog, *arguments], signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # each distribution has its own types for ROS arguments that are wrong
        print(f'{parser.prog}: {str(error).splitlines()[0]}', file=sys.stderr)
        return EXIT_USAGE
    try:
        sys.setswitchinterval(SWITCH_INTERVAL)
        node = SegmentNode()
        # For parameters and transitions, for diagnostics, and for the rest; images have threads of their own.
        executor = MultiThreadedExecutor(num_threads=3)
        executor.add_node(node)
        spin_until(executor, ended, SIGNAL_PERIOD)
    except ConfigurationError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return EXIT_USAGE
    finally:
        if executor is not None:
            executor.shutdown()  # waits for a model that is being loaded
        if node is not None:
            node.stop()
            node.destroy_node()
        rclpy.get_default_context().try_shutdown()  # rclpy's own function would put the signals' handlers back
        ignore_signals()
    return 0


if __name__ == '__main__':
    sys.exit(main())
