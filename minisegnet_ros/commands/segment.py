"""Run the ROS 2 node that segments camera images.

    minisegnet segment
    ros2 run minisegnet_ros segment --ros-args -r image:=/camera/image_raw -p engine:=openvino

Topics and parameters are ROS arguments, which follow --ros-args with either program. The node runs until Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

from minisegnet_core.cli import without_ros_arguments
from minisegnet_core.commands.parser import EXIT_USAGE, CommandParser
from minisegnet_core.errors import ConfigurationError

SWITCH_INTERVAL = 2e-4
"""Seconds after which a Python thread must let another one run.

Python's default of 5 ms adds to the latency of an image several times, when one thread is busy receiving while another
has something to publish.
"""

SIGNAL_PERIOD = 0.1
"""Maximum seconds until Ctrl-C takes effect, and between two wake-ups of an idle node."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def make_parser(prog: str) -> CommandParser:
    """Return the parser of the command, which has no options of its own."""
    return CommandParser.of(prog, __doc__)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the node until a signal arrives; return the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser(prog or os.path.basename(sys.argv[0]))
    parser.parse_args(without_ros_arguments(arguments))
    # After parsing: --help needs no ROS. The ROS wheels restart Python on their first import.
    import rclpy
    from rclpy.executors import MultiThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from minisegnet_ros.rclpy_compat import spin_until
    from minisegnet_ros.segment_node import SegmentNode

    stopped = record_signals()
    node = executor = None
    try:
        rclpy.init(args=[parser.prog, *arguments], signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # each distribution has its own types for wrong ROS arguments
        print(f'{parser.prog}: {str(error).splitlines()[0]}', file=sys.stderr)
        return EXIT_USAGE
    try:
        sys.setswitchinterval(SWITCH_INTERVAL)
        node = SegmentNode()
        # One thread for parameters and transitions, one for diagnostics, one for the rest. Images have their own.
        executor = MultiThreadedExecutor(num_threads=3)
        executor.add_node(node)
        spin_until(executor, stopped, SIGNAL_PERIOD)
    except ConfigurationError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return EXIT_USAGE
    finally:
        if executor is not None:
            executor.shutdown()  # waits for a model that is being loaded
        if node is not None:
            node.stop()
            node.destroy_node()
        rclpy.get_default_context().try_shutdown()  # rclpy.try_shutdown would reinstall the signal handlers
        ignore_signals()
    return 0


def record_signals() -> Callable[[], bool]:
    """Record SIGINT and SIGTERM from now on, and return a function that reports whether one has arrived.

    Neither interrupts anything. Both arrive twice if launch forwards what the terminal, or a service manager, has sent
    to all processes. A KeyboardInterrupt during the shutdown would print a traceback and return a failure.

    Call it in the main thread before ``rclpy.init``.
    """
    received: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: received.append(number))
    return lambda: bool(received)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM until the process ends: Python removes other handlers before it exits."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == '__main__':
    sys.exit(main())
