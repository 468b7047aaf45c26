"""What a training reports while it runs: messages, progress, and a row of figures after each epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from minisegnet_core.classes import BALL
from minisegnet_core.data.dataset import Sample
from minisegnet_core.files import defined

OnStep = Callable[[float, float], None]
"""Called with (loss, learning rate) after each optimizer step."""


@dataclass
class EpochRow:
    """Figures of one epoch; one line of ``metrics.csv``. Undefined figures are NaN.

    Attributes:
        epoch: counted from 0 over all stages.
        stage: name of the stage.
        resolution: ``half`` or ``full``.
        lr: learning rate of the epoch's last step.
        train_loss, val_loss: mean loss over the training batches, loss over all validation images.
        mean_iou: mean over the classes that occur, on the label grid.
        ball_found, ball_missed, ball_false: counts over the validation images.
        ball_error_px: median distance of found balls, pixels of the full-resolution image.
        train_seconds, val_seconds: wall time.
        iou: class names to IoU.
    """

    epoch: int
    stage: str
    resolution: str
    lr: float
    train_loss: float
    val_loss: float
    mean_iou: float
    ball_found: int
    ball_missed: int
    ball_false: int
    ball_error_px: float
    train_seconds: float
    val_seconds: float
    iou: dict[str, float] = field(default_factory=dict)

    @property
    def has_ball(self) -> bool:
        """Whether the network has a class ``ball``; the figures of balls mean nothing without it."""
        return BALL in self.iou

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values; undefined figures are null."""
        values: dict[str, Any] = defined(self._figures())
        return values

    def _figures(self) -> dict[str, Any]:
        """Return all figures, without those of balls if there is no class ``ball``."""
        return {key: value for key, value in asdict(self).items() if self.has_ball or not key.startswith('ball_')}

    def to_csv(self) -> dict[str, Any]:
        """Return the row with one column ``iou_<class>`` per class."""
        values = self._figures()
        del values['iou']
        return {**values, **{f'iou_{name}': value for name, value in self.iou.items()}}


class Reporter(Protocol):
    """Receives the progress of a training. The command line displays it; Python users may ignore it."""

    def message(self, text: str) -> None:
        """Report a fact, for example that a setting could not be followed."""

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        """Wrap images that are read before the training can start."""

    def epoch(self, name: str, steps: int) -> AbstractContextManager[OnStep]:
        """Open an epoch of ``steps`` optimizer steps; the result is called after each of them."""

    def epoch_done(self, row: EpochRow) -> None:
        """Report a finished epoch. Its checkpoint is on disk."""


class Silence:
    """A :class:`Reporter` that reports nothing."""

    def message(self, text: str) -> None:
        """Ignore a message."""

    def reading(self, samples: Sequence[Sample]) -> Iterable[Sample]:
        """Return the samples."""
        return samples

    @contextlib.contextmanager
    def epoch(self, name: str, steps: int) -> Iterator[OnStep]:
        """Ignore the steps of an epoch."""
        yield lambda loss, rate: None

    def epoch_done(self, row: EpochRow) -> None:
        """Ignore a finished epoch."""
