"""`make` in a shell with another ROS 2 sourced: its rclpy must not meet the wheels'."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
@pytest.mark.skipif(platform.machine() != 'x86_64', reason='elsewhere the sourced ROS 2 is the one to use')
@pytest.mark.skipif(
    importlib.util.find_spec('ros_wheels_bootstrapper') is None, reason="this Python has not ROS 2's wheels"
)
def test_a_sourced_ros_does_not_leak_in(tmp_path):
    fake = tmp_path / 'lib' / 'python3' / 'site-packages' / 'rclpy'
    fake.mkdir(parents=True)
    (fake / '__init__.py').write_text('print("the sourced rclpy")\n')
    sourced = {
        'PYTHONPATH': str(fake.parent),
        'LD_LIBRARY_PATH': str(tmp_path / 'lib'),
        'AMENT_PREFIX_PATH': str(tmp_path),
        'ROS_DISTRO': 'humble',
        'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp',
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
    }
    done = subprocess.run(
        ['make', '--no-print-directory', '--silent', 'rclpy-path', f'VENV={sys.prefix}'],
        cwd=ROOT,
        env={**os.environ, **sourced},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(sys.prefix)
