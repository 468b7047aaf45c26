"""The bounds of the node's benchmark, with measurements of which one figure at a time exceeds its bound."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / 'benchmarks' / 'node_bounds.py'
GOOD = {
    'part': 'flood', 'rate_hz': 200.0, 'sent_hz': 199.9, 'seconds': 300, 'sent': 1000, 'refused': 0, 'answered': 300,
    'dropped': 700, 'lost': 1, 'uncounted': 0, 'stale_answers': 0, 'engine_ms_p50': 20.0,
    'latency_ms': {'p50': 25.0, 'p95': 30.0, 'p99': 31.0}, 'age_ms': {'p50': 24.0, 'p95': 29.0, 'p99': 30.0},
    'over_work_ms': {'p50': 4.0, 'p95': 10.0, 'p99': 12.0}, 'overhead_ms': {'p50': 1.0, 'p95': 2.0, 'p99': 3.0},
    'rss_mb_each_minute': [90.0, 100.0, 104.0, 104.9, 101.0],
    'shared_mb_each_minute': [35.0, 35.0, 35.0, 35.0, 35.0],
}  # fmt: skip


@pytest.fixture(scope='module')
def node_bounds():
    spec = importlib.util.spec_from_file_location('node_bounds', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_good_measurement_meets_all_bounds(node_bounds):
    found = node_bounds.bounds(GOOD)
    assert len(found) == 6 and all(bound.met for bound in found)
    assert 'memory at each minute: 90.0, 100.0, 104.0, 104.9, 101.0 MB (at most +4.9% since minute 1)' in (
        node_bounds.report(GOOD)
    )


@pytest.mark.parametrize(
    'change',
    [
        {'uncounted': 1},
        {'uncounted': -1},
        {'stale_answers': 1},
        {'over_work_ms': {'p95': 10.01}},
        {'over_work_ms': {'p95': float('nan')}},
        {'overhead_ms': {'p50': 2.01, 'p95': 1.9}},
        {'overhead_ms': {'p50': 1.0, 'p95': 2.1}},
        {'rss_mb_each_minute': [90.0, 100.0, 105.1]},
    ],
)
def test_each_bound_can_be_missed(node_bounds, change):
    missed = [bound for bound in node_bounds.bounds(GOOD | change) if not bound.met]
    assert len(missed) == 1 and str(missed[0]).startswith('MISSED')


def test_the_memory_of_a_short_run_is_not_judged(node_bounds):
    short = GOOD | {'rss_mb_each_minute': [90.0, 120.0]}
    assert node_bounds.growth(short['rss_mb_each_minute']) is None
    assert len(node_bounds.bounds(short)) == 5
    assert 'growth not judged' in node_bounds.report(short)
