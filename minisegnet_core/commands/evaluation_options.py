"""What `evaluate` and `evaluate-bag` have in common: options, thresholds, and the files they leave."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minisegnet_core.classes import ClassSet
from minisegnet_core.cli import EXIT_INTERRUPTED
from minisegnet_core.commands.model_options import add_model_arguments
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.job import Done, Settings, Wanted, Work, do_all, open_executor, segmenter_for
from minisegnet_core.evaluation.report.html import html_page
from minisegnet_core.evaluation.report.pictures import encode_png, panels
from minisegnet_core.evaluation.report.values import Values, csv_text, lookup, report_values, summary
from minisegnet_core.evaluation.scoring.evaluator import Evaluation
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.evaluation.statistics.bootstrap import RESAMPLES
from minisegnet_core.evaluation.statistics.comparison import (
    FRAMES_FILE,
    REPORT_FILE,
    compare,
    read_classes,
    read_frames,
    write_frames,
)
from minisegnet_core.inference.selection import classes_of_model
from minisegnet_core.visualization import contact_sheet

WORST_SHEET = 6

Bound = tuple[str, float, bool]
"""Dotted key, bound, and whether the figure must not be above it (else not below)."""

DoAll = Callable[[Sequence[Work], Settings], list[Done]]


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what both commands offer, the model's options included."""
    parser.add_argument('--output', type=str, required=True, help='folder to write into')
    truth = parser.add_argument_group('truth beside the images, by frame name')
    truth.add_argument('--labels', type=str, default='', help='folder of label images <name>.png (uint8 ids)')
    truth.add_argument(
        '--balls', type=str, default='', help='folder of YOLO boxes <name>.txt, or a .jsonl file of balls'
    )
    truth.add_argument('--ball-class', type=int, default=0, help="the ball's class in YOLO boxes (default: 0)")
    report = parser.add_argument_group('report')
    for name, word in (('--fail-under', 'lower'), ('--fail-over', 'higher')):
        report.add_argument(
            name,
            action='append',
            default=[],
            metavar='KEY=VALUE',
            help=f'exit with 1 where the figure at this dotted key of report.json is {word}; may be repeated',
        )
    report.add_argument(
        '--compare',
        type=str,
        default='',
        metavar='OTHER',
        help='another model to run on the same frames, or the folder of an earlier evaluation of them',
    )
    report.add_argument(
        '--resample',
        choices=('auto', 'image', 'group'),
        default='auto',
        help=f'unit of the {RESAMPLES} bootstrap draws (default: auto, groups where every frame has one)',
    )
    report.add_argument('--worst', type=int, default=6, help='frames shown in the report (default: 6)')
    report.add_argument('--overlay', action='store_true', help='write a video with labels and ball laid over it')
    report.add_argument('--write-bag', action='store_true', help='write the results as an MCAP bag, stamps kept')
    run = parser.add_argument_group('where it runs')
    run.add_argument('--workers', type=int, default=1, help='processes of this machine (default: 1)')
    run.add_argument(
        '--cluster', type=str, default='', help='address of a Dask scheduler; its workers must see the same files'
    )
    add_model_arguments(parser)


def bounds_of(arguments: Any) -> list[Bound]:
    """The thresholds of a command line.

    Raises:
        ConfigurationError: one is not KEY=VALUE.
    """
    result = []
    for option, texts, above in (
        ('--fail-under', arguments.fail_under, False),
        ('--fail-over', arguments.fail_over, True),
    ):
        for text in texts:
            key, _, value = text.partition('=')
            try:
                result.append((key, float(value), above))
            except ValueError:
                raise ConfigurationError(f'{option} {text!r} must be KEY=VALUE, such as mean_iou=0.8') from None
    return result


def wanted_of(arguments: Any, name: str = '', apart: int = 0) -> Wanted:
    """What to write of one source; ``name`` parts the files of several sources."""
    output = Path(arguments.output)
    overlay = output / 'overlays' / f'{name}.mp4' if name else output / 'overlay.mp4'
    results = output / 'results' / name if name else output / 'results'
    return Wanted(
        arguments.worst, apart, overlay if arguments.overlay else None, results if arguments.write_bag else None
    )


def offline(workers: int, cluster: str, total: int | None) -> DoAll:
    """Runs parts offline with a progress bar, in this process, in others, or on a cluster."""

    def run(works: Sequence[Work], settings: Settings) -> list[Done]:
        with open_executor(workers, cluster) as executor, tqdm(total=total, desc='evaluate', unit='frame') as bar:
            return do_all(works, settings, executor, bar.update)

    return run


def evaluate_and_report(
    arguments: Any,
    works: Sequence[Work],
    settings: Settings,
    run: DoAll,
    source: str,
    problems: Problems | None = None,
    failures: Sequence[str] = (),
) -> int:
    """Runs all parts, writes the report, says what came out; the exit code.

    Args:
        run: does the parts. source: what is evaluated, in words. problems, failures: met before the parts were begun.

    Raises:
        SourceError: nothing could be evaluated.
        ConfigurationError: a threshold is of no number of the report; it is written before.
    """
    bounds = bounds_of(arguments)
    _check(arguments)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    for work in works:
        if work.wanted.results is not None:
            shutil.rmtree(work.wanted.results, ignore_errors=True)  # rosbags refuses to write over a bag
    done = run(works, settings)
    failed = [*failures, *(d.failure for d in done if d.failure)]
    evaluation = gather(segmenter_for(settings).classes, done, arguments.worst, problems)
    if not evaluation.scores:
        raise SourceError('; '.join([*failed, *evaluation.problems.sentences()]) or f'{source} gave no frame')
    facts = next(dict(d.facts) for d in done if not d.failure)
    if 'live_check' in facts:
        checks = [d.facts['live_check'] for d in done if 'live_check' in d.facts]
        facts['live_check'] = {key: sum(check[key] for check in checks) for key in ('frames', 'equal')}
    values = report_values(evaluation, facts, source, arguments.resample)
    values['warnings'] = [
        *(f'not evaluated: {text}' for text in failed),
        *values.pop('notes'),
        *values['warnings'],
    ]
    interrupted = any(d.result.interrupted for d in done)
    missed, unknown = unreached(values, bounds)
    write_report(values, evaluation, output, missed)
    if arguments.compare and not interrupted:
        values['comparison'] = _compare(arguments, works, settings, evaluation)
        missed, unknown = unreached(values, bounds)
        write_report(values, evaluation, output, missed)
    print(summary(values))
    if 'comparison' in values:
        print(f'compared with {values["comparison"]["other"]}: {values["comparison"]["sentence"]}')
    print(output / 'report.html')
    for text in missed:
        print(f'FAILED: {text}')
    for text in failed:
        print(f'FAILED: {text}')
    if interrupted:
        return EXIT_INTERRUPTED
    if unknown:
        raise ConfigurationError('; '.join(unknown))
    return 1 if missed or failed else 0


def gather(classes: ClassSet, done: Sequence[Done], worst: int, problems: Problems | None = None) -> Evaluation:
    """All parts together."""
    evaluation = Evaluation.of(classes, [d.result for d in done if not d.failure])
    if problems is not None:
        evaluation.problems.merge(problems)
    for part in done:
        evaluation.keep_worst(part.worst, worst)
    return evaluation


def _check(arguments: Any) -> None:
    """Tells what would fail only after all frames were worked on.

    Raises:
        ConfigurationError, SourceError: truth or what to compare with is missing, or the latter has other classes.
    """
    if arguments.worst < 0:
        raise ConfigurationError(f'--worst is {arguments.worst}; it must be at least 0')
    for option in ('labels', 'balls'):
        if (path := getattr(arguments, option)) and not Path(path).exists():
            raise SourceError(f'--{option} {path}: there is no such file or folder')
    other = arguments.compare
    if not other:
        return
    earlier = (Path(other) / FRAMES_FILE).is_file()
    theirs = read_classes(Path(other)) if earlier else classes_of_model(other).names
    ours = classes_of_model(arguments.model).names
    if theirs != ours:
        raise ConfigurationError(
            f'--compare {other}: that model knows the classes {", ".join(theirs)}, this one {", ".join(ours)}; they '
            'must be the same'
        )


def _compare(arguments: Any, works: Sequence[Work], settings: Settings, evaluation: Evaluation) -> Values:
    other = Path(arguments.compare)
    if (other / FRAMES_FILE).is_file():
        second = Evaluation(evaluation.classes, read_frames(other), absent=evaluation.absent)
        return compare(evaluation, second, str(other), arguments.resample)
    theirs = tuple((name, arguments.compare if name == 'model' else value) for name, value in settings)
    segmenter = segmenter_for(theirs)
    plain = [replace(work, wanted=Wanted(arguments.worst, work.wanted.apart)) for work in works]
    done = offline(arguments.workers, arguments.cluster, len(evaluation.scores))(plain, theirs)
    second = gather(segmenter.classes, done, arguments.worst)
    facts = next((d.facts for d in done if not d.failure), None)
    if facts is None:
        raise SourceError(f'--compare {arguments.compare}: ' + '; '.join(d.failure for d in done))
    facts = {key: value for key, value in facts.items() if key != 'notes'}
    values = report_values(second, facts, f'compared with {evaluation.scores[0].source}', arguments.resample)
    write_report(values, second, Path(arguments.output) / 'compared', [])
    return compare(evaluation, second, f'{segmenter.model_path.name} ({segmenter.model_hash})', arguments.resample)


def unreached(values: Values, bounds: Sequence[Bound]) -> tuple[list[str], list[str]]:
    """Thresholds that a report does not reach, and those of which it has no number, in words."""
    missed, unknown = [], []
    for key, bound, above in bounds:
        try:
            value = lookup(values, key)
        except ConfigurationError as error:
            unknown.append(str(error))
            continue
        if value is None:
            unknown.append(f'{key} is undefined here: there was nothing to judge it by')
        elif value > bound if above else value < bound:
            missed.append(f'{key} is {value:.4f}, {"above" if above else "below"} {bound:g}')
    return missed, unknown


def write_report(values: Values, evaluation: Evaluation, output: Path, missed: Sequence[str]) -> None:
    """Writes report.html, report.json, report.csv, frames.jsonl and worst.png into ``output``."""
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT_FILE).write_text(json.dumps(values, indent=2, allow_nan=False) + '\n')
    (output / 'report.csv').write_text(csv_text(values))
    (output / 'report.html').write_text(html_page(values, evaluation, missed), encoding='utf-8')
    write_frames(evaluation.scores, output / FRAMES_FILE)
    cells, captions, columns = [], [], 1
    for kept in evaluation.worst[:WORST_SHEET]:
        pictures = panels(kept, evaluation.classes, 426)
        columns = len(pictures)
        cells += list(pictures.values())
        captions += [f'{kept.score.name} {kept.reason}' if name == 'image' else name for name in pictures]
    if cells:
        (output / 'worst.png').write_bytes(encode_png(contact_sheet(cells, columns, 426, captions)))
