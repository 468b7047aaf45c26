"""The surroundings in which ROS processes of ours run: a free domain, this host only, memory for whole images."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from importlib.metadata import version

from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor

from minisegnet_core.resources import share_directory

# RTPS: discovery of domain d listens at 7400 + 250 d, its first participant's ports follow.
DISCOVERY_PORT = 7400
PORTS_PER_DOMAIN = 250
# Above this, Linux hands the same ports out to outgoing connections.
DOMAINS = range(1, 101)

# Fast DDS 3, which comes with Kilted, reads the first and grumbles at the second; Fast DDS 2 knows the second only.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
RCLPY_OF_KILTED = 9


def free_domain() -> int:
    """A ROS domain in which no process of this host takes part, chosen at random.

    ``ROS_DOMAIN_ID`` is no guide here: it names the robot's domain, and what we start must not disturb the robot.
    """
    candidates = random.sample(DOMAINS, len(DOMAINS))
    return next((domain for domain in candidates if _is_free(domain)), candidates[0])


def _is_free(domain: int) -> bool:
    """Whether the first ports of the domain can be bound: multicast discovery, and participants 0 to 2."""
    first = DISCOVERY_PORT + PORTS_PER_DOMAIN * domain
    for port in (first, *(first + 10 + 2 * participant for participant in range(3))):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', port))
            except OSError:
                return False
    return True


def large_images_environment() -> dict[str, str]:
    """Environment that gives Fast DDS shared memory for whole images; it helps in the process of the camera.

    Empty where the user has chosen a profile: it may hold what the robot's network needs.
    """
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    kilted = int(version('rclpy').partition('.')[0]) >= RCLPY_OF_KILTED
    return {PROFILE_VARIABLES[0 if kilted else 1]: str(share_directory() / 'config' / 'fastdds.xml')}


def private_environment(domain: int) -> dict[str, str]:
    """Environment for a ROS process of ours: the domain, this host only, and a start from scratch of ROS's wheels.

    The wheels' Python restarts itself once, with their library path, and mark that in the environment; the mark and
    the path must not reach another Python. What else lies in that path, such as a workspace's libraries, stays.
    """
    environment = {k: v for k, v in os.environ.items() if k != '_ROS_WHEELS_BOOTSTRAP_COMPLETE'}
    if '_ROS_WHEELS_BOOTSTRAP_COMPLETE' in os.environ:
        paths = environment.pop('LD_LIBRARY_PATH', '').split(os.pathsep)
        others = [path for path in paths if path and not path.startswith(sys.prefix)]
        if others:
            environment['LD_LIBRARY_PATH'] = os.pathsep.join(others)
        environment.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    environment['ROS_DOMAIN_ID'] = str(domain)
    environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    environment['PYTHONUNBUFFERED'] = '1'
    return environment


def spin_until(executor: Executor, stopped: Callable[[], bool], period: float = 0.5) -> None:
    """Spins until ``stopped`` says so, which it is asked after each callback, and each ``period`` seconds.

    Unlike ``Executor.spin`` it outlives a subscription that is destroyed while an event of its waits to be handled:
    rclpy raises InvalidHandle for that from the executor itself.
    """
    while not stopped():
        try:
            executor.spin_once(timeout_sec=period)
        except InvalidHandle:
            continue


ENDING = (signal.SIGINT, signal.SIGTERM)


def note_signals() -> Callable[[], bool]:
    """From here on Ctrl-C and SIGTERM are noted and do nothing else; call it in the main thread, before rclpy's init.

    So neither breaks into anything. They come twice where launch passes on what the terminal, or a service manager, has
    sent to all processes, and a KeyboardInterrupt amid the closing is a traceback and an exit code that says failure.

    Returns:
        Whether one has come.
    """
    came: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda number, _: came.append(number))
    return lambda: bool(came)


def ignore_signals() -> None:
    """The same for the rest of the process's life: Python takes noting handlers away before it ends."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
