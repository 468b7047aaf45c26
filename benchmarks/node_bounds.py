"""What `benchmark_node.py` holds its measurements against, and how it says so. Without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

OVERHEAD = 2.0
"""Milliseconds from the callback to the publication of the labels, beside the engine's own time."""

AGE_MARGIN = 5.0
"""Milliseconds. At its publication a result is at most one frame's work, one camera period and this old, at p95."""

GROWTH = 0.05
"""Of the resident memory since the first minute."""


class Bound(NamedTuple):
    """A value, what it may be at most, and whether it is so."""

    name: str
    value: float
    most: float
    unit: str

    @property
    def met(self) -> bool:
        """False too where there is nothing to judge: no answer at all."""
        return bool(self.value <= self.most)

    def __str__(self) -> str:
        return (
            f'{"met   " if self.met else "MISSED"}  {self.name}: {self.value:.2f} of at most {self.most:g} {self.unit}'
        )


def percentiles(values: Any, which: tuple[int, ...] = (50, 95, 99)) -> dict[str, float]:
    """Percentiles by their names, rounded; NaN where there are no values."""
    return {f'p{q}': round(float(np.percentile(values, q)), 2) if len(values) else np.nan for q in which}


def growth(minutes: list[float]) -> float | None:
    """By how much the most of all later minutes exceeds the first one, as a fraction; None: there is no second minute.

    Args:
        minutes: memory at the beginning and at the end of each minute.
    """
    return max(minutes[2:]) / minutes[1] - 1 if len(minutes) > 2 else None


def bounds(result: Mapping[str, Any]) -> list[Bound]:
    """All that one part of the measurement must hold.

    Args:
        result: as `benchmark_node.measure` gives it. `over_work_ms`: percentiles of each answer's age at its
            publication, less what the work on this very image took.
    """
    period = 1e3 / result['rate_hz']
    found = [
        Bound('images neither answered nor counted as dropped or lost', abs(result['uncounted']), 0, 'images'),
        Bound('answers to an image that was not the newest taken', result['stale_answers'], 0, 'answers'),
        Bound(
            'p95 of age at publication less work on that image',
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
    """One part's figures as text."""
    latency, age = (
        ', '.join(f'{name} {value:.1f}' for name, value in result[key].items()) for key in ('latency_ms', 'age_ms')
    )
    lines = [
        f'{result["part"]}: {result["rate_hz"]:g} Hz asked, {result["sent_hz"]:g} Hz sent, {result["seconds"]:g} s',
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
    change = 'shorter than two minutes, growth not judged' if grown is None else f'{grown:+.1%} since minute 1 at most'
    lines.append(f'  memory at each minute: {", ".join(f"{mb:.1f}" for mb in minutes)} MB ({change})')
    shared = ', '.join(f'{mb:.1f}' for mb in result['shared_mb_each_minute'])
    lines.append(f"  of it the middleware's shared memory: {shared} MB")
    return '\n'.join(lines)
