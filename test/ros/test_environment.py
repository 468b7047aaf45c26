"""The environment of processes that minisegnet starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from minisegnet_ros.environment import large_images_environment, private_environment


def test_the_library_path_of_the_wheels_does_not_reach_a_child(monkeypatch):
    monkeypatch.setenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', '1')
    monkeypatch.setenv('LD_LIBRARY_PATH', os.pathsep.join([f'{sys.prefix}/lib/wheel.libs', '/elsewhere']))
    environment = private_environment(42)
    assert '_ROS_WHEELS_BOOTSTRAP_COMPLETE' not in environment
    assert environment['LD_LIBRARY_PATH'] == '/elsewhere', 'the libraries of a workspace stay'
    monkeypatch.setenv('LD_LIBRARY_PATH', f'{sys.prefix}/lib/wheel.libs')
    assert 'LD_LIBRARY_PATH' not in private_environment(42)
    assert (environment['ROS_DOMAIN_ID'], environment['ROS_AUTOMATIC_DISCOVERY_RANGE']) == ('42', 'LOCALHOST')


def test_the_library_path_of_a_sourced_ros_stays(monkeypatch):
    monkeypatch.setenv('LD_LIBRARY_PATH', '/elsewhere')
    monkeypatch.delenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', raising=False)
    assert private_environment(42)['LD_LIBRARY_PATH'] == '/elsewhere'


def test_a_profile_of_the_user_is_not_replaced(monkeypatch):
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    ((name, path),) = large_images_environment().items()
    assert name.startswith('FAST') and Path(path).is_file()
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert large_images_environment() == {}
