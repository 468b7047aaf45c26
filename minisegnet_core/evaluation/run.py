"""Evaluate a model: the public function :func:`evaluate`, its options, its report, and the files that it writes."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError, SourceError, listed
from minisegnet_core.evaluation.job import Job, JobResult, Outputs, Runner, open_executor, run_jobs, segmenter_for
from minisegnet_core.evaluation.plan import Plan, plan_source, processes
from minisegnet_core.evaluation.report.panels import panels
from minisegnet_core.evaluation.report.values import Values, csv_text, lookup, report_values
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames_file import (
    FRAMES_FILE,
    REPORT_FILE,
    read_classes,
    read_frames,
    write_frames,
)
from minisegnet_core.evaluation.scoring.pipeline import Progress
from minisegnet_core.evaluation.sources.ground_truth_files import GroundTruthFiles
from minisegnet_core.evaluation.sources.source import Problems
from minisegnet_core.evaluation.statistics.comparison import compare
from minisegnet_core.files import write_text_atomically
from minisegnet_core.imaging import write_image
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_core.inference.selection import classes_of_model
from minisegnet_core.visualization import contact_sheet

RESAMPLE = ('auto', 'image', 'group')
"""Units of the bootstrap. ``auto``: groups if every frame belongs to one, else images."""

SHEET_FRAMES, SHEET_WIDTH = 6, 426
"""Maximum number of frames in worst.png, and width of an image in pixels."""


@dataclass(frozen=True)
class Threshold:
    """A limit for one figure of the report.

    Attributes:
        key: dotted key of report.json, such as ``ball.f1``.
        limit: the figure may equal it.
        maximum: whether the figure must not be higher; otherwise it must not be lower.

    Raises:
        ConfigurationError: the limit is not finite; every figure would meet NaN.
    """

    key: str
    limit: float
    maximum: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.limit):
            raise ConfigurationError(f'the limit of {self.key} is {self.limit}; it must be a finite number')


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate and what to write.

    Attributes:
        compare: another model (file or name) to run on the same frames, or the folder of an earlier evaluation of them.
        thresholds: limits for figures of the report.
        resample: unit of the bootstrap, one of :data:`RESAMPLE`.
        worst: number of worst frames to show.
        overlay: write a video with labels and ball drawn over the images.
        write_bag: write the predictions as an MCAP bag.
        workers: number of processes on this machine.
        cluster: address of a Dask scheduler whose workers see the same files; excludes ``workers``.

    Raises:
        ConfigurationError: a value is out of range, or two values exclude each other.
    """

    compare: str = ''
    thresholds: tuple[Threshold, ...] = ()
    resample: str = 'auto'
    worst: int = 6
    overlay: bool = False
    write_bag: bool = False
    workers: int = 1
    cluster: str = ''

    @property
    def compares_model(self) -> bool:
        """Whether ``compare`` names a model, which runs on the frames too, and not an earlier evaluation."""
        return bool(self.compare) and not _is_evaluation(self.compare)

    def __post_init__(self) -> None:
        if self.resample not in RESAMPLE:
            raise ConfigurationError(f'resample is {self.resample!r}; choose from {", ".join(RESAMPLE)}')
        if self.worst < 0:
            raise ConfigurationError(f'worst is {self.worst}; it must be at least 0')
        if self.workers < 1:
            raise ConfigurationError(f'workers is {self.workers}; it must be at least 1')
        if self.cluster and self.workers > 1:
            raise ConfigurationError('workers and cluster exclude each other; give one of them')


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        values: content of report.json.
        evaluation: the scores from which it was computed.
        folder: where the report was written.
        failed: one sentence for each threshold that was not met.
        undefined: one sentence for each threshold whose figure is undefined or unknown.
        failures: one sentence for each source that could not be evaluated.
        interrupted: whether Ctrl-C ended the evaluation early.
    """

    values: Values
    evaluation: Evaluation
    folder: Path
    failed: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        """Whether every source was evaluated completely and every threshold was met."""
        return not (self.failed or self.undefined or self.failures or self.interrupted)


def evaluate(
    source: str | Path | Plan,
    output: str | Path,
    model: str | Path | SegmenterConfig = '',
    *,
    split: str = 'val',
    ground_truth: GroundTruthFiles | None = None,
    options: EvaluationOptions | None = None,
    runner: Runner | None = None,
    progress: Progress = lambda _: None,
) -> EvaluationReport:
    """Evaluate a model and write a report.

    Writes report.html, report.json, report.csv, frames.jsonl and worst.png into ``output``; with ``options.compare`` a
    model, also its report into ``output/compared``.

    Args:
        source: folder of a data set, folder of images, video or bag; or a plan for several bags or topics.
        output: folder to write into; created if it does not exist.
        model: path of a model file, name of a shipped model, or a configuration; empty for the shipped model that is
            fastest here.
        split: split of a data set.
        ground_truth: ground truth of images, a video or a bag.
        options: what to compute and to write, and where to run.
        runner: runs the jobs in place of the executor that ``options`` selects; a live replay is one.
        progress: called with the number of frames that are done since the last call.

    Returns:
        The values of the report, and whether all thresholds were met.

    Raises:
        SourceError, DatasetError: no frame could be evaluated.
        ModelError: the model is missing or cannot run here.
        ConfigurationError: two settings exclude each other.
        OutputError: the report cannot be written.
    """
    folder, options = Path(output), options or EvaluationOptions()
    config = model if isinstance(model, SegmenterConfig) else SegmenterConfig(str(model))
    _check_comparison(config, options)
    if isinstance(source, Plan):
        plan = source
    else:
        plan = plan_source(Path(source), split, ground_truth, processes(options.workers, options.cluster))
    jobs = _with_outputs(plan, options, folder)
    config = _share_cores(config, options.workers)
    run = runner or _offline(options)
    folder.mkdir(parents=True, exist_ok=True)
    results = run(jobs, config, progress)
    failures = (*plan.failures, *(result.failure for result in results if result.failure))
    evaluation = _gather(segmenter_for(config).classes, results, options.worst, plan.problems)
    if not evaluation.scores:
        reasons = [*failures, *evaluation.problems.sentences()]
        raise SourceError(listed(reasons, 3, '; ') or f'{plan.source} holds no frame')
    values = report_values(evaluation, _facts(results), plan.source, options.resample)
    values['warnings'] = [
        *(f'not evaluated: {failure}' for failure in failures),
        *values.pop('notes'),
        *values['warnings'],
    ]
    interrupted = any(result.result.interrupted for result in results)
    failed, undefined = check_thresholds(values, options.thresholds)
    write_report(values, evaluation, folder, failed)
    if options.compare and not interrupted:  # the report above remains if the comparison fails
        values['comparison'] = _compare(evaluation, jobs, config, options, folder, progress)
        failed, undefined = check_thresholds(values, options.thresholds)
        write_report(values, evaluation, folder, failed)
    return EvaluationReport(values, evaluation, folder, tuple(failed), tuple(undefined), failures, interrupted)


def _check_comparison(config: SegmenterConfig, options: EvaluationOptions) -> None:
    """Check before anything is evaluated that the other model or evaluation has the same classes.

    Raises:
        ConfigurationError: the classes differ.
        SourceError, ModelError: the other evaluation or model cannot be read.
    """
    other = options.compare
    if not other:
        return
    theirs = classes_of_model(other).names if options.compares_model else read_classes(Path(other))
    own = classes_of_model(config.model).names
    if theirs != own:
        raise ConfigurationError(
            f'{other} has the classes {", ".join(theirs)}, the evaluated model has {", ".join(own)}; compare models '
            'with equal classes'
        )


def _is_evaluation(path: str) -> bool:
    return (Path(path) / FRAMES_FILE).is_file()


def _with_outputs(plan: Plan, options: EvaluationOptions, folder: Path) -> list[Job]:
    """Return the plan's jobs with the files that each of them writes."""
    if (options.overlay or options.write_bag) and len(set(plan.names)) < len(plan.jobs):
        raise ConfigurationError(
            'an overlay or bag of a data set is written by one process; use 1 worker and no cluster'
        )
    jobs = []
    for job, name in zip(plan.jobs, plan.names, strict=True):
        overlay = folder / 'overlays' / f'{name}.mp4' if name else folder / 'overlay.mp4'
        results = folder / 'results' / name if name else folder / 'results'
        if options.write_bag:
            shutil.rmtree(results, ignore_errors=True)  # rosbags does not overwrite a bag
        outputs = Outputs(options.worst, overlay if options.overlay else None, results if options.write_bag else None)
        jobs.append(replace(job, outputs=outputs))
    return jobs


def _share_cores(config: SegmenterConfig, workers: int) -> SegmenterConfig:
    """Give each worker an equal number of threads, at least one, unless the configuration sets it."""
    if workers == 1 or config.threads:
        return config
    return replace(config, threads=max(((os.cpu_count() or 1) - 1) // workers, 1))


def _offline(options: EvaluationOptions) -> Runner:
    def run(jobs: Sequence[Job], config: SegmenterConfig, progress: Progress) -> list[JobResult]:
        with open_executor(options.workers, options.cluster) as executor:
            return run_jobs(jobs, config, executor, progress)

    return run


def _gather(
    classes: ClassSet, results: Sequence[JobResult], worst: int, problems: Problems | None = None
) -> Evaluation:
    evaluation = Evaluation.of(classes, (result.result for result in results if not result.failure))
    if problems is not None:
        evaluation.problems.merge(problems)
    for result in results:
        evaluation.keep_worst(result.worst, worst)
    return evaluation


def _facts(results: Sequence[JobResult]) -> dict[str, Any]:
    """Return the facts of the first source that was evaluated, with the live checks of all sources summed."""
    facts = next(dict(result.facts) for result in results if not result.failure)
    checks = [result.facts['live_check'] for result in results if 'live_check' in result.facts]
    if 'live_check' in facts:
        facts['live_check'] = {key: sum(check[key] for check in checks) for key in ('frames', 'equal')}
    return facts


def _compare(
    evaluation: Evaluation,
    jobs: Sequence[Job],
    config: SegmenterConfig,
    options: EvaluationOptions,
    folder: Path,
    progress: Progress,
) -> Values:
    """Return the comparison with an earlier evaluation, or with another model, which runs offline."""
    if not options.compares_model:
        earlier = Evaluation(evaluation.classes, read_frames(Path(options.compare)), absent=evaluation.absent)
        return compare(evaluation, earlier, options.compare, options.resample)
    other = replace(config, model=options.compare)
    segmenter = segmenter_for(other)
    results = _offline(options)([replace(job, outputs=Outputs(options.worst)) for job in jobs], other, progress)
    second = _gather(segmenter.classes, results, options.worst)
    if all(result.failure for result in results):
        raise SourceError(f'cannot compare {options.compare}: ' + listed((r.failure for r in results), 3, '; '))
    facts = {key: value for key, value in _facts(results).items() if key != 'notes'}
    values = report_values(second, facts, f'compared with {evaluation.scores[0].source}', options.resample)
    write_report(values, second, folder / 'compared')
    return compare(evaluation, second, f'{segmenter.model_path.name} ({segmenter.model_hash})', options.resample)


def check_thresholds(values: Values, thresholds: Sequence[Threshold]) -> tuple[list[str], list[str]]:
    """Return one sentence for each threshold that is not met, and for each whose figure is undefined or unknown."""
    failed, undefined = [], []
    for threshold in thresholds:
        key, limit = threshold.key, threshold.limit
        try:
            value = lookup(values, key)
        except ConfigurationError as error:
            undefined.append(str(error))
            continue
        if value is None:
            undefined.append(f'{key} is undefined: the evaluated frames hold nothing to compute it from')
        elif value > limit if threshold.maximum else value < limit:
            failed.append(f'{key} is {value:.4f}, {"above" if threshold.maximum else "below"} {limit:g}')
    return failed, undefined


def write_report(values: Values, evaluation: Evaluation, folder: Path, failed: Sequence[str] = ()) -> None:
    """Write report.html, report.json, report.csv, frames.jsonl and worst.png.

    Args:
        failed: sentences on thresholds that were not met.

    Raises:
        OutputError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / REPORT_FILE, json.dumps(values, indent=2, allow_nan=False) + '\n')
    write_text_atomically(folder / 'report.csv', csv_text(values))
    from minisegnet_core.evaluation.report.html import html_page  # needs jinja2, which --help must not

    write_text_atomically(folder / 'report.html', html_page(values, evaluation, failed))
    write_frames(evaluation.scores, folder / FRAMES_FILE)
    cells, captions, columns = [], [], 1
    for kept in evaluation.worst[:SHEET_FRAMES]:
        images = panels(kept, evaluation.classes, SHEET_WIDTH)
        columns = len(images)
        cells += list(images.values())
        captions += [f'{kept.score.name} {kept.reason}' if title == 'image' else title for title in images]
    if cells:
        write_image(folder / 'worst.png', contact_sheet(cells, columns, SHEET_WIDTH, captions))
