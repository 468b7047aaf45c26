"""Fine-tuning: averaging with the starting weights, and a report of the validation scores before and after.

Trained weights averaged with those from before, tensor by tensor, keep much of what was learned and most of what would
have been forgotten on other data: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (arXiv
2109.01903, section 3, WiSE-FT).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minisegnet_core.checkpoint import load_checkpoint
from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.files import defined, read_json, write_text_atomically
from minisegnet_core.model import MiniSegNet
from minisegnet_core.training.context import TrainingContext
from minisegnet_core.training.hardware import gather
from minisegnet_core.training.reporting import Reporter
from minisegnet_core.training.stage import open_stage_data
from minisegnet_core.training.validation import Score, validate

REPORT = 'finetune.json'
NO_GROUP = 'no group'
ALL = ''
"""Key of the figures of all images, among those of the groups."""

State = dict[str, Tensor]
Figures = dict[str, dict[str, Any]]


class WeightAveraging:
    """The weights of a network at its start, and their fraction in the weights that are validated and saved.

    Args:
        model: as the training starts from it, unless ``start`` is given.
        keep: fraction of the starting weights, 0 (the trained weights as they are) to below 1.
        start: the starting weights of a resumed training.

    Attributes:
        start: for the training's state; empty where ``keep`` is 0.
    """

    def __init__(self, model: MiniSegNet, keep: float, start: State | None = None) -> None:
        self.model, self.keep = model, keep
        weights = start if start is not None else model.state_dict()
        self.start: State = {name: value.detach().cpu().clone() for name, value in weights.items()} if keep else {}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model averaged weights and batch-norm statistics; restore the trained ones exactly on exit."""
        if not self.keep:
            yield
            return
        trained = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict({name: self._average(name, value) for name, value in trained.items()})
        try:
            yield
        finally:
            self.model.load_state_dict(trained)

    def _average(self, name: str, trained: Tensor) -> Tensor:
        if not trained.is_floating_point():  # numbers of batches seen
            return trained
        return torch.lerp(trained, self.start[name].to(trained.device, trained.dtype), self.keep)


class BeforeAndAfter:
    """Scores the starting model before the first epoch and the best checkpoint after the last one.

    Both are scored on the validation images at the highest resolution of the training, for each group of the data set
    (a venue, for example) and for all images. ``finetune.json`` holds ``{"init_from", "resolution", "groups": {name:
    {"images", "before", "after"}}, "all": {...}}``, where before and after are ``{"mean_iou", "iou": {class: ...},
    "ball": {"found", "missed", "false", "error_px_p50"}}``, without ``ball`` if there is no such class.

    Args:
        context: with the starting model, or with the state of a resumed run.
        output: folder of the run.
        resumed: read the scores from before from the report that the interrupted run wrote.
    """

    def __init__(self, context: TrainingContext, output: Path, reporter: Reporter, *, resumed: bool) -> None:
        self.context, self.output, self.reporter = context, output, reporter
        self.path = output / REPORT
        stages = list(context.stages.values())
        self.settings = next((stage for stage in reversed(stages) if stage.resolution == 'full'), stages[-1])
        if resumed:
            self.before = gather(context.fabric, _read_before(self.path))[0]
        else:
            self.before = self._score(torch.channels_last)
            self._write({})

    def finish(self, best: Path, layout: torch.memory_format) -> dict[str, Any]:
        """Score the best checkpoint and write the report.

        Args:
            best: checkpoint file; read by the main process only.
            layout: memory format of the images.

        Returns:
            The report; empty if the scores from before are lost.
        """
        if not self.before:
            self.reporter.message(f'{self.path} is missing, so there is no report of before and after')
            return {}
        fabric = self.context.fabric
        state = load_checkpoint(best)[0].state_dict() if fabric.is_global_zero else None
        self.context.model.load_state_dict(gather(fabric, state)[0] or {})
        return self._write(self._score(layout))

    def _score(self, layout: torch.memory_format) -> Figures:
        _, data = open_stage_data(self.context, self.settings, self.output, self.reporter)
        validation = validate(self.context, self.settings, data, layout, _venue)
        scores = {**validation.groups, ALL: validation.total}
        return {name: {'images': s.images, **_figures(s, self.context.classes)} for name, s in scores.items()}

    def _write(self, after: Figures) -> dict[str, Any]:
        def entry(name: str) -> dict[str, Any]:
            sides = {'before': self.before[name]} | ({'after': after[name]} if after else {})
            parts = {side: {k: v for k, v in values.items() if k != 'images'} for side, values in sides.items()}
            return {'images': self.before[name]['images'], **parts}

        report = {
            'init_from': self.context.config.init_from,
            'resolution': self.settings.resolution,
            'groups': {name: entry(name) for name in self.before if name != ALL},
            'all': entry(ALL),
        }
        if self.context.fabric.is_global_zero:
            write_text_atomically(self.path, json.dumps(report, indent=2), durable=True)
        return report


def _venue(sample: Sample) -> str:
    return sample.group or NO_GROUP


def _figures(score: Score, classes: ClassSet) -> dict[str, Any]:
    balls = score.balls
    figures: dict[str, Any] = {
        'mean_iou': score.confusion.mean_iou(),
        'iou': dict(zip(classes.names, score.confusion.iou().tolist(), strict=True)),
    }
    if classes.has_ball:
        figures['ball'] = {
            'found': balls.found,
            'missed': balls.missed,
            'false': balls.false,
            'error_px_p50': balls.error_percentile(50),
        }
    return {key: defined(value) for key, value in figures.items()}


def _read_before(path: Path) -> Figures:
    """Return the figures before training from the report of an interrupted training; empty without a report."""
    if not path.is_file():
        return {}
    report = read_json(path)
    entries = {**report['groups'], ALL: report['all']}
    return {name: {'images': entry['images'], **entry['before']} for name, entry in entries.items()}


def format_report(report: dict[str, Any]) -> str:
    """Return the report as a table: one line for each group, one for all images."""
    has_ball = 'ball' in report['all']['before']
    rows = [('', 'images', 'mean IoU', *(('ball IoU', 'balls found/missed/false') if has_ball else ()))]
    for name, entry in (*report['groups'].items(), ('all', report['all'])):
        before, after = entry['before'], entry['after']
        cells = [name, str(entry['images']), f'{_number(before["mean_iou"])} -> {_number(after["mean_iou"])}']
        if has_ball:
            cells += [
                f'{_number(before["iou"].get(BALL))} -> {_number(after["iou"].get(BALL))}',
                ' -> '.join('{found}/{missed}/{false}'.format(**side['ball']) for side in (before, after)),
            ]
        rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return '\n'.join('  '.join(line).rstrip() for line in lines)


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
