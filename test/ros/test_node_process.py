"""The node in a process of its own, as the demo and live evaluation start it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from minisegnet_ros.environment import free_domain
from minisegnet_ros.node_process import NodeError, NodeProcess

ROOT = Path(__file__).resolve().parents[2]


def test_the_end_of_the_node_is_reported_with_the_end_of_its_log(monkeypatch):
    monkeypatch.chdir(ROOT)
    with NodeProcess(free_domain(), {}, {'max_rate': -1.0}) as node:
        deadline = time.monotonic() + 120
        with pytest.raises(NodeError, match=r'exit code 2; the end of its log:\n.*max_rate must be 0 to 1000'):
            while time.monotonic() < deadline:
                node.check()
                time.sleep(0.05)
