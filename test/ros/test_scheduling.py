"""CPU affinity and niceness of all threads of a process; in child processes, because neither can be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minisegnet_core.errors import ConfigurationError
from minisegnet_ros.scheduling import parse_cpu_list, set_scheduling

CHILD = """
import os, sys, threading
from minisegnet_ros.scheduling import set_scheduling
waiting = threading.Event()
threading.Thread(target=waiting.wait, daemon=True).start()
before = os.getpriority(os.PRIO_PROCESS, 0)
set_scheduling(sys.argv[1], int(sys.argv[2]))
threading.Thread(target=waiting.wait, daemon=True).start()
threads = sorted(map(int, os.listdir('/proc/self/task')))
assert len(threads) >= 3
for thread in threads:
    print(os.getpriority(os.PRIO_PROCESS, thread) - before, sorted(os.sched_getaffinity(thread)))
waiting.set()
"""


@pytest.mark.parametrize(
    ('text', 'cpus'),
    [('', ()), ('0', (0,)), ('3,1', (1, 3)), ('0,2-4', (0, 2, 3, 4)), (' 1 - 2 , 1', (1, 2))],
)
def test_a_cpu_list_is_parsed(text, cpus):
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize('text', ['a', '1-', '-1', '3-1', '1,,2', '0-99999', '1.5'])
def test_a_malformed_cpu_list_is_rejected(text):
    with pytest.raises(ConfigurationError, match='cpu_affinity must be a list of CPU numbers'):
        parse_cpu_list(text)


def test_all_present_and_future_threads_are_scheduled():
    cpu = max(os.sched_getaffinity(0))
    result = subprocess.run(
        [sys.executable, '-c', CHILD, str(cpu), '5'], capture_output=True, text=True, check=True, timeout=60
    )
    lines = result.stdout.splitlines()
    assert len(lines) >= 3
    assert set(lines) == {f'5 [{cpu}]'}


def test_a_cpu_that_does_not_exist_is_rejected():
    with pytest.raises(ConfigurationError, match='cpu_affinity names CPU 4000, which this process may not use'):
        set_scheduling('4000', 0)


def test_a_priority_without_permission_is_rejected(monkeypatch):
    def deny(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'setpriority', deny)
    with pytest.raises(ConfigurationError, match='nice: -5 would raise the priority'):
        set_scheduling('', -5)
