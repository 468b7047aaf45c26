"""Measure engines, precisions and sizes side by side on this machine: times, memory, start, agreement.

    minisegnet benchmark --threads 2 --sizes 640x480,320x240 --json table.json --plot table.png

Every row runs in a fresh process. Without --images it runs on rendered scenes, whose truth gives the IoU too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minisegnet_core.cli import command
from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.geometry import parse_network_size
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS, ImageSize
from minisegnet_core.inference.selection import ENGINE_MODULES, SHIPPED, default_threads, find_model
from minisegnet_core.resources import models_directory

if TYPE_CHECKING:
    from minisegnet_core.benchmark import runner as benchmark

SCENES = 8
"""Scenes rendered where no images are given, and images taken of --images at most."""

STANDARD_OUTPUT = '-'


@command
def main(argv: Sequence[str], prog: str) -> int:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--model', type=str, action='append', default=[], help='model file or name; may be repeated (default: shipped)'
    )
    parser.add_argument('--engines', type=str, default='all', help=f'of {",".join(ENGINE_MODULES)} (default: all)')
    parser.add_argument('--precisions', type=str, default='all', help=f'of {",".join(PRECISIONS)} (default: all)')
    parser.add_argument('--sizes', type=str, default='640x480', help='such as 640x480,320x240 (default: 640x480)')
    parser.add_argument('--threads', type=int, default=0, help='CPU threads (default: 0, all cores but one)')
    parser.add_argument('--device', type=str, default='auto', choices=DEVICES, help='of every engine (default: auto)')
    parser.add_argument('--duration', type=float, default=5.0, help='seconds of each measurement (default: 5)')
    parser.add_argument(
        '--streams', type=int, default=-1, help='engines at once for the throughput; 0: none (default: one a thread)'
    )
    parser.add_argument('--images', type=str, default=None, help='folder of images or of a data set to run on')
    parser.add_argument(
        '--count', type=int, default=SCENES, help=f'scenes to render, or images to take (default: {SCENES})'
    )
    parser.add_argument('--jitter', action='store_true', help='a 500 Hz loop, alone and beside the fastest row')
    parser.add_argument(
        '--json', type=str, nargs='?', const=STANDARD_OUTPUT, default=None, metavar='FILE',
        help='write JSON to FILE; without FILE to standard output, in place of the table',
    )  # fmt: skip
    parser.add_argument('--plot', type=str, default=None, metavar='FILE.png', help='draw the latencies (matplotlib)')
    arguments = parser.parse_args(list(argv))
    sizes = [_size(text) for text in arguments.sizes.split(',')]
    engines = _words('--engines', arguments.engines, tuple(ENGINE_MODULES))
    precisions = _words('--precisions', arguments.precisions, PRECISIONS)
    if arguments.threads < 0 or arguments.duration <= 0 or arguments.count < 1:
        raise ConfigurationError('--threads must be 0 or more, --duration above 0, --count at least 1')
    threads = arguments.threads or default_threads()
    _make_folders(arguments.json, arguments.plot)

    from minisegnet_core.benchmark import machine
    from minisegnet_core.benchmark import report as benchmark_report
    from minisegnet_core.benchmark import runner as benchmark
    from minisegnet_core.inference.sample_images import labelled_images
    from minisegnet_core.inference.segmenter import Segmenter

    models = [find_model(name) for name in arguments.model] or _shipped()
    plan = benchmark.Plan(
        benchmark.configurations(models, engines, precisions, sizes),  # type: ignore[arg-type]
        threads,
        arguments.duration,
        threads if arguments.streams < 0 else arguments.streams,
        arguments.device,
        arguments.precisions != 'all',
    )
    first = plan.configurations[0]
    classes = Segmenter(first.model, engine=first.engine).classes
    pairs = labelled_images(arguments.images, arguments.count, classes)

    def progress(rows: Sequence[benchmark.Configuration]) -> Iterator[benchmark.Configuration]:
        bar = tqdm(rows, desc='benchmark', unit='row')
        for row in bar:
            bar.set_postfix_str(f'{row.engine} {row.precision} {row.size[0]}x{row.size[1]}')
            yield row

    description = {**machine.describe_machine(threads), 'peak_gflops': machine.peak_gflops(threads)}
    rows = benchmark.run_benchmark(plan, pairs, classes, progress)
    report = {'machine': description, 'results': rows}
    if arguments.jitter:
        report['jitter'] = _jitter(rows, plan, pairs[0][0])
    if arguments.json == STANDARD_OUTPUT:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        print(benchmark_report.table(description, rows))
        if 'jitter' in report:
            print(benchmark_report.jitter_lines(report['jitter']))  # type: ignore[arg-type]
    if arguments.json not in (None, STANDARD_OUTPUT):
        Path(arguments.json).write_text(json.dumps(report, indent=2) + '\n')
    if arguments.plot:
        benchmark_report.plot(description, rows, Path(arguments.plot))
    return 0 if any('error' not in row for row in rows) else 1


def _make_folders(*files: str | None) -> None:
    """Makes the folders of what is to be written: now, and not after minutes of measuring."""
    for file in files:
        if file not in (None, STANDARD_OUTPUT):
            Path(file).parent.mkdir(parents=True, exist_ok=True)


def _shipped() -> list[Path]:
    models = [models_directory() / name for name in SHIPPED if (models_directory() / name).is_file()]
    if not models:
        raise ModelError(f'{models_directory()} holds no model; give one with --model')
    return models


def _jitter(
    rows: Sequence[benchmark.Row], plan: benchmark.Plan, image: NDArray[np.uint8]
) -> dict[str, dict[str, float]]:
    """Beside the fastest row, which runs here in this process."""
    from minisegnet_core.benchmark.jitter import measure_jitter
    from minisegnet_core.inference.segmenter import Segmenter

    measured = [(row['latency_ms_p50'], i) for i, row in enumerate(rows) if 'error' not in row]
    if not measured:
        return {}
    fastest = plan.configurations[min(measured)[1]]
    size = f'{fastest.size[0]}x{fastest.size[1]}'
    segmenter = Segmenter(fastest.model, network_size=size, **plan.settings(fastest))
    return measure_jitter(segmenter, image, plan.duration)


def _words(option: str, text: str, known: Sequence[str]) -> list[str]:
    if text == 'all':
        return list(known)
    words = [word.strip() for word in text.split(',')]
    for word in words:
        if word not in known:
            raise ConfigurationError(f'{option} {word!r}: there is no such one; there are all, {", ".join(known)}')
    return words


def _size(text: str) -> ImageSize:
    if text in ('native', 'half'):
        raise ConfigurationError(f'--sizes {text!r} must be WIDTHxHEIGHT, such as 320x240')
    return parse_network_size(text, 0, 0)
