"""The bounds of `benchmark_node.py`, and the report of a measurement. Needs no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

OVERHEAD = 2.0
"""Maximum milliseconds from the callback to the publication of the labels, without the time inside the engine."""

AGE_MARGIN = 5.0
"""Milliseconds. At publication, the p95 of a result's age is at most its processing time, a camera period and this."""

GROWTH = 0.05
"""Maximum growth of the resident memory since the first minute, as a fraction."""


class Bound(NamedTuple):
    """A value and its maximum."""

    name: str
    value: float
    maximum: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the value is within the bound; False also for NaN, which means that nothing was answered."""
        return bool(self.value <= self.maximum)

    def __str__(self) -> str:
        verdict = 'met   ' if self.met else 'MISSED'
        return f'{verdict}  {self.name}: {self.value:.2f}, at most {self.maximum:g} {self.unit}'


def percentiles(values: Any, which: tuple[int, ...] = (50, 95, 99)) -> dict[str, float]:
    """Return percentiles by name, such as p50, rounded; NaN if there are no values."""
    return {f'p{q}': round(float(np.percentile(values, q)), 2) if len(values) else np.nan for q in which}


def growth(minutes: list[float]) -> float | None:
    """Return the growth of the memory since the end of minute 1, as a fraction; None without a second minute.

    Args:
        minutes: memory at the start and at the end of each minute.
    """
    return max(minutes[2:]) / minutes[1] - 1 if len(minutes) > 2 else None


def bounds(result: Mapping[str, Any]) -> list[Bound]:
    """Return the bounds of one part of the measurement.

    Args:
        result: from `benchmark_node.measure`. `over_work_ms` holds percentiles of each answer's age at its publication,
            minus the processing time of that image.
    """
    period = 1e3 / result['rate_hz']
    found = [
        Bound('images neither answered nor counted as dropped or lost', abs(result['uncounted']), 0, 'images'),
        Bound('answers to an image that was not the newest received', result['stale_answers'], 0, 'answers'),
        Bound(
            'p95 of age at publication minus processing time of that image',
            result['over_work_ms']['p95'],
            period + AGE_MARGIN,
            'ms',
        ),
        *(
            Bound(f'{name} of overhead over the engine', result['overhead_ms'][name], OVERHEAD, 'ms')
            for name in ('p50', 'p95')
        ),
    ]
    grown = growth(result['rss_mb_each_minute'])
    if grown is not None:
        found.append(Bound('growth of memory since minute 1', grown * 100, GROWTH * 100, '%'))
    return found


def report(result: Mapping[str, Any]) -> str:
    """Return the figures of one part as text."""
    latency, age = (
        ', '.join(f'{name} {value:.1f}' for name, value in result[key].items()) for key in ('latency_ms', 'age_ms')
    )
    lines = [
        f'{result["part"]}: {result["rate_hz"]:g} Hz requested, {result["sent_hz"]:g} Hz sent, {result["seconds"]:g} s',
        f'  sent {result["sent"]}, answered {result["answered"]}, dropped {result.get("dropped", "-")}, of these lost '
        f'{result.get("lost", "-")}, uncounted {result.get("uncounted", "-")}, refused by the middleware '
        f'{result["refused"]}',
        f'  latency, publication to arrival of the labels: {latency} ms',
        f'  age at publication of the labels: {age} ms',
    ]
    if 'overhead_ms' in result:
        overhead = ', '.join(f'{name} {value:.2f}' for name, value in result['overhead_ms'].items())
        lines.append(f'  engine p50 {result["engine_ms_p50"]:.1f} ms, overhead {overhead} ms')
    minutes = result['rss_mb_each_minute']
    grown = growth(minutes)
    change = 'less than two minutes, growth not judged' if grown is None else f'at most {grown:+.1%} since minute 1'
    lines.append(f'  memory at each minute: {", ".join(f"{mb:.1f}" for mb in minutes)} MB ({change})')
    shared = ', '.join(f'{mb:.1f}' for mb in result['shared_mb_each_minute'])
    lines.append(f"  of it the middleware's shared memory: {shared} MB")
    return '\n'.join(lines)
