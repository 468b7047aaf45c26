"""CPUs and niceness of the whole process, engine's threads included; in child processes, as neither can be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minisegnet_core.errors import ConfigurationError
from minisegnet_ros.scheduling import cpus_of, set_scheduling

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
def test_lists_of_cpus(text, cpus):
    assert cpus_of(text) == cpus


@pytest.mark.parametrize('text', ['a', '1-', '-1', '3-1', '1,,2', '0-99999', '1.5'])
def test_wrong_lists_of_cpus(text):
    with pytest.raises(ConfigurationError, match='cpu_affinity must be a list of CPU numbers'):
        cpus_of(text)


def test_all_threads_of_the_process_present_and_future():
    cpu = max(os.sched_getaffinity(0))
    result = subprocess.run(
        [sys.executable, '-c', CHILD, str(cpu), '5'], capture_output=True, text=True, check=True, timeout=60
    )
    lines = result.stdout.splitlines()
    assert len(lines) >= 3
    assert set(lines) == {f'5 [{cpu}]'}


def test_a_cpu_that_is_not_here():
    with pytest.raises(ConfigurationError, match='cpu_affinity names CPU 4000, which this process cannot have'):
        set_scheduling('4000', 0)


def test_priority_that_this_user_may_not_have(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'setpriority', refuse)
    with pytest.raises(ConfigurationError, match='nice: -5 would raise the priority'):
        set_scheduling('', -5)
