"""The environment of ROS processes that minisegnet starts: domain, discovery range, shared memory for whole images.

Launch files use this module too. It imports no rclpy.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from importlib.metadata import version

from minisegnet_core.resources import share_directory

# RTPS: discovery of domain d listens on port 7400 + 250 d; the ports of its first participants follow.
DISCOVERY_PORT = 7400
PORTS_PER_DOMAIN = 250
# Above domain 100, Linux assigns the same ports to outgoing connections.
DOMAINS = range(1, 101)

# Fast DDS 3 (Kilted) reads the first variable and warns about the second; Fast DDS 2 (Jazzy) reads only the second.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
RCLPY_OF_KILTED = 9

TRUE = ('true', 'True', '1', 'yes', 'on')
FALSE = ('false', 'False', '0', 'no', 'off')
SWITCH = (*TRUE, *FALSE)
"""Values of a boolean launch argument; a launch file rejects any other word instead of reading it as false."""


def free_domain() -> int:
    """Return a random ROS domain in which no process of this host takes part.

    ``ROS_DOMAIN_ID`` is not used: it names the robot's domain, and processes started here must not disturb the robot.
    """
    candidates = random.sample(DOMAINS, len(DOMAINS))
    return next((domain for domain in candidates if _is_free(domain)), candidates[0])


def _is_free(domain: int) -> bool:
    """Return whether the first ports of a domain can be bound: multicast discovery and participants 0 to 2."""
    first = DISCOVERY_PORT + PORTS_PER_DOMAIN * domain
    for port in (first, *(first + 10 + 2 * participant for participant in range(3))):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', port))
            except OSError:
                return False
    return True


def large_images_environment() -> dict[str, str]:
    """Return the variable that gives Fast DDS shared memory for whole images in the process that publishes them.

    Empty if the user has set a profile, which may hold what the robot's network needs.
    """
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    kilted = int(version('rclpy').partition('.')[0]) >= RCLPY_OF_KILTED
    return {PROFILE_VARIABLES[0 if kilted else 1]: str(share_directory() / 'config' / 'fastdds.xml')}


def private_environment(domain: int) -> dict[str, str]:
    """Return the environment for a child process in a ROS domain that is visible on this host only.

    Python with ROS's wheels re-executes itself once with the wheels' library path and marks that in the environment.
    Neither the mark nor that path may reach another Python. Other entries of the path, such as those of a sourced
    workspace, stay.
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
