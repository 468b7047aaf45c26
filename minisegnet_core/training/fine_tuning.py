"""The report of a fine-tuning: what the model that it began with reached on the validation images, and what it made.

Figures are given for each venue, that is each group of the data set, and for all together; ``finetune.json`` has them:
``{"init_from", "resolution", "groups": {name: {"images", "before", "after"}}, "all": {...}}``, where before and after
are ``{"mean_iou", "iou": {class: ...}, "ball": {"found", "missed", "false", "error_px_p50"}}``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from minisegnet_core.checkpoint import load_checkpoint
from minisegnet_core.classes import BALL, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.files import write_atomically
from minisegnet_core.training.context import Setup
from minisegnet_core.training.hardware import gather
from minisegnet_core.training.validation import Score

REPORT = 'finetune.json'
NO_GROUP = 'no group'


class FineTuning:
    """Begun before the first epoch, when the starting model is scored, and ended after the last.

    Args:
        setup: with the starting model, or with the state of a resumed run.
        output: folder of the run.
        begin: score the starting model; False in a resumed run, which has done so.
    """

    def __init__(self, setup: Setup, output: Path, *, begin: bool) -> None:
        self.setup, self.output, self.path = setup, output, output / REPORT
        stages = list(setup.stages.values())
        self.stage = next((stage for stage in reversed(stages) if stage.resolution == 'full'), stages[-1])
        if begin:
            self.before = self._score()
            self._write({})
        else:
            self.before = gather(setup.fabric, _read_before(self.path))[0]

    def end(self, best: Path) -> dict[str, Any]:
        """Scores the best checkpoint and writes the report; empty where what was before is not known any more."""
        if not self.before:
            self.setup.message(f'{self.path} is gone, so there is no report of before and after')
            return {}
        here = self.setup.fabric.is_global_zero  # the file need not exist on other machines
        state = load_checkpoint(best)[0].state_dict() if here else None
        self.setup.model.load_state_dict(gather(self.setup.fabric, state)[0] or {})
        return self._write(self._score())

    def _score(self) -> dict[str, dict[str, Any]]:
        _, data = self.setup.stage_data(self.stage, self.output)
        validation = self.setup.validate(self.stage, data, _venue)
        scores = {**validation.groups, '': validation.total}
        return {name: {'images': s.images, **_figures(s, self.setup.classes)} for name, s in scores.items()}

    def _write(self, after: dict[str, dict[str, Any]]) -> dict[str, Any]:
        def entry(name: str) -> dict[str, Any]:
            sides = {'before': self.before[name]} | ({'after': after[name]} if after else {})
            parts = {side: {k: v for k, v in values.items() if k != 'images'} for side, values in sides.items()}
            return {'images': self.before[name]['images'], **parts}

        report = {
            'init_from': self.setup.config.init_from,
            'resolution': self.stage.resolution,
            'groups': {name: entry(name) for name in self.before if name},
            'all': entry(''),
        }
        if self.setup.fabric.is_global_zero:
            write_atomically(self.path, json.dumps(report, indent=2).encode(), durable=True)
        return report


def _venue(sample: Sample) -> str:
    return sample.group or NO_GROUP


def _figures(score: Score, classes: ClassSet) -> dict[str, Any]:
    balls, error = score.balls, score.balls.error_percentile(50)
    return {
        'mean_iou': _defined(score.confusion.mean_iou()),
        'iou': dict(zip(classes.names, map(_defined, score.confusion.iou().tolist()), strict=True)),
        'ball': {'found': balls.found, 'missed': balls.missed, 'false': balls.false, 'error_px_p50': _defined(error)},
    }


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _read_before(path: Path) -> dict[str, dict[str, Any]]:
    """The figures before, from the report that an interrupted training has begun; empty where there is none."""
    if not path.is_file():
        return {}
    report = json.loads(path.read_text())
    entries = {**report['groups'], '': report['all']}
    return {name: {'images': entry['images'], **entry['before']} for name, entry in entries.items()}


def table(report: dict[str, Any]) -> str:
    """The report as lines of text: one for each group, one for all together."""
    rows = [('', 'images', 'mean IoU', 'ball IoU', 'balls found/missed/false')]
    for name, entry in (*report['groups'].items(), ('all', report['all'])):
        before, after = entry['before'], entry['after']
        rows.append(
            (
                name,
                str(entry['images']),
                f'{_number(before["mean_iou"])} -> {_number(after["mean_iou"])}',
                f'{_number(before["iou"].get(BALL))} -> {_number(after["iou"].get(BALL))}',
                ' -> '.join('{found}/{missed}/{false}'.format(**side['ball']) for side in (before, after)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return '\n'.join('  '.join(line).rstrip() for line in lines)


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
