"""The result of a benchmark for readers: a table for the terminal and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisegnet_core.errors import ConfigurationError
from minisegnet_core.files import replaced_atomically

COLUMNS = (
    *('engine', 'precision', 'size', 'p50', 'p95', 'p99', 'CPU', 'over', 'fps'),
    *('GFLOP/s', 'peak', 'start', 'RSS', 'agree', 'IoU', 'drop'),
)


COLORS = {'openvino': '#0068b5', 'onnxruntime': '#7a7a7a', 'torch': '#ee4c2c'}
OTHER_COLOR = '#444444'
"""Colours of the bars of the plot, by engine."""


def table(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return the result as a text table with a legend.

    Args:
        machine, rows: ``machine`` and ``results`` of :func:`~minisegnet_core.benchmark.runner.run_benchmark`.
    """
    lines = [_machine_line(machine), '']
    cells = [COLUMNS, *(_cells(row, machine['peak_gflops']) for row in rows if 'error' not in row)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    for line in cells:
        texts = [t.ljust(w) if i < 3 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True))]
        lines.append('  '.join(texts).rstrip())
    failed = [f'not measured: {r["engine"]} {r["precision"]} {r["size"]}: {r["error"]}' for r in rows if 'error' in r]
    lines += ['', *failed, *([''] if failed else [])]
    references = sorted({str(row['reference']) for row in rows if row.get('reference')})
    lines += [
        'p50 p95 p99: ms of Segmenter.run; CPU: ms of all cores; over: median ms outside the engine; fps: frames per',
        'second of several streams with one thread each; peak: fraction of the peak of that precision; start: ms from',
        'the start of Python to the first result, RSS: MB at that time; agree: fraction of labels equal to those of',
        f'{" / ".join(references) or "no reference"}; drop: mean IoU lost against that reference',
    ]
    if any(row.get('emulated') for row in rows):
        lines.append('*: emulated, because this CPU does not compute in that precision')
    return '\n'.join(lines)


def _machine_line(machine: dict[str, Any]) -> str:
    peaks = ', '.join(f'{name} {value:.0f}' for name, value in machine['peak_gflops'].items())
    limit = f', limited to {machine["isa_limit"]}' if machine['isa_limit'] else ''
    return (
        f'{machine["cpu"]}, {machine["cores"]} cores, {machine["threads"]} threads, {machine["instructions"]}{limit}; '
        f'measured peak in GFLOP/s: {peaks}; {machine["date"]}'
    )


def _cells(row: dict[str, Any], peaks: dict[str, float]) -> tuple[str, ...]:
    peak = peaks.get(row['precision'])
    return (
        row['engine'] if row['device'] == 'CPU' else f'{row["engine"]} {row["device"]}',
        row['precision'] + ('*' if row['emulated'] else ''),
        row['size'],
        *(f'{row[f"latency_ms_{name}"]:.1f}' for name in ('p50', 'p95', 'p99')),
        f'{row["cpu_ms"]:.1f}',
        f'{row["overhead_ms"]:.2f}',
        f'{row["throughput_fps"]:.1f}' if 'throughput_fps' in row else '-',
        f'{row["gflops"]:.0f}',
        f'{row["gflops"] / peak:.0%}' if peak and row['device'] == 'CPU' else '-',
        f'{row["start_ms"]:.0f}',
        f'{row["rss_mb"]:.0f}',
        _or_dash(row['label_agreement'], '.2%'),
        _or_dash(row['mean_iou'], '.4f'),
        _or_dash(row['iou_drop'], '+.4f'),
    )


def _or_dash(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)


def jitter_lines(jitter: dict[str, dict[str, float]]) -> str:
    """Return the lateness of the 500 Hz loop as text.

    Args:
        jitter: result of :func:`~minisegnet_core.benchmark.jitter.measure_jitter`.
    """
    lines = ['lateness of a 500 Hz loop in microseconds:']
    for name, values in jitter.items():
        lines.append(
            f'  {name:7} p50 {values["p50_us"]:.0f}  p99 {values["p99_us"]:.0f}  p99.9 {values["p99.9_us"]:.0f}  '
            f'max {values["max_us"]:.0f}  ({values["periods"]:.0f} periods)'
        )
    return '\n'.join(lines)


def plot(machine: dict[str, Any], rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the latencies: bars to p50 with whiskers to p99, one panel for each size.

    Args:
        machine, rows: as for :func:`table`.
        path: image file to write.

    Raises:
        ConfigurationError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError('--plot needs matplotlib: pip install matplotlib') from error
    good = [row for row in rows if 'error' not in row]
    sizes = list(dict.fromkeys(row['size'] for row in good))
    figure = Figure(figsize=(9, 1 + 0.45 * len(good) + 0.6 * len(sizes)), layout='constrained')
    panels = figure.subplots(
        len(sizes), 1, squeeze=False, height_ratios=[sum(r['size'] == size for r in good) + 1 for size in sizes]
    )
    for axes, size in zip(panels[:, 0], sizes, strict=True):
        own = sorted((row for row in good if row['size'] == size), key=lambda row: -row['latency_ms_p50'])
        names = [f'{row["engine"]} {row["precision"]}' + ('*' if row['emulated'] else '') for row in own]
        times = [row['latency_ms_p50'] for row in own]
        tails = [row['latency_ms_p99'] - row['latency_ms_p50'] for row in own]
        axes.barh(names, times, color=[COLORS.get(row['engine'], OTHER_COLOR) for row in own], height=0.6)
        axes.errorbar(times, names, xerr=[[0] * len(own), tails], fmt='none', ecolor='black', capsize=3, linewidth=1)
        for name, row, tail in zip(names, own, tails, strict=True):
            text = f' {row["latency_ms_p50"]:.1f} ms'
            axes.text(row['latency_ms_p50'] + tail, name, text, va='center', fontsize=9)
        axes.set_title(f'{size}: latency, p50 with whiskers to p99', fontsize=10, loc='left')
        axes.set_xlabel('ms')
        axes.set_xlim(0, max(t + d for t, d in zip(times, tails, strict=True)) * 1.15)
        axes.spines[['top', 'right']].set_visible(False)
    figure.suptitle(f'{machine["cpu"]}, {machine["threads"]} threads, {machine["instructions"]}, {machine["date"]}')
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)
