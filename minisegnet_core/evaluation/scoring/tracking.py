"""What a sequence tells without any truth: how restless the labels are, and whether the ball's track holds together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.evaluation.scoring.frames import FrameScore

JUMP_RADII, JUMP_PIXELS = 6.0, 30.0
"""A step from one frame to the next is a jump beyond this many ball radii and this many pixels."""

BLINK = 3
"""Frames: a ball that is unseen for at most so many and then seen again has blinked."""


@dataclass
class Sequences:
    """Figures of one or more sequences of frames.

    changed: share of label pixels whose class differs from the frame before, per pair of neighbours (motion of the
    camera included). flicker: share whose class differs in one frame only, and is in the next what it was before, per
    three neighbours; seldom motion. steps: px from a ball to that of the next frame.
    """

    changed: list[float] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    frames: int = 0
    seen: int = 0
    jumps: list[str] = field(default_factory=list)
    blinks: int = 0
    tracks: int = 0
    longest_track: int = 0


def sequences_of(scores: Sequence[FrameScore]) -> Sequences:
    """Goes through the answered frames of each source; a frame that was not answered parts its neighbours."""
    result = Sequences()
    for _, group in groupby(scores, key=lambda score: score.source):
        for run in _runs(list(group)):
            _labels(result, run)
            _ball(result, run)
    return result


def _runs(scores: Sequence[FrameScore]) -> Iterator[list[FrameScore]]:
    run: list[FrameScore] = []
    for score in scores:
        if not score.answered or (run and score.index != run[-1].index + 1):
            if run:
                yield run
            run = []
        if score.answered:
            run.append(score)
    if run:
        yield run


def _labels(result: Sequences, run: Iterable[FrameScore]) -> None:
    before: NDArray[np.uint8] | None = None
    last: NDArray[np.uint8] | None = None
    for score in run:
        now = score.label_image()
        assert now is not None
        if last is not None and last.shape == now.shape:
            result.changed.append(float(np.mean(last != now)))
            if before is not None and before.shape == now.shape:
                result.flicker.append(float(np.mean((last != now) & (before == now))))
            before = last
        else:
            before = None
        last = now


def _ball(result: Sequences, run: Sequence[FrameScore]) -> None:
    track, gap, ever = 0, 0, False
    previous: FrameScore | None = None
    for score in run:
        result.frames += 1
        ball = score.ball
        if ball is None:
            track, gap, previous = 0, gap + 1, None
            continue
        result.seen += 1
        if track == 0:
            result.tracks += 1
            result.blinks += ever and 0 < gap <= BLINK
        track, gap, ever = track + 1, 0, True
        result.longest_track = max(result.longest_track, track)
        if previous is not None and previous.ball is not None:
            step = math.hypot(ball.x - previous.ball.x, ball.y - previous.ball.y)
            result.steps.append(step)
            if step > max(JUMP_RADII * max(ball.radius, previous.ball.radius), JUMP_PIXELS):
                result.jumps.append(score.name)
        previous = score


def class_shares(scores: Iterable[FrameScore]) -> NDArray[np.float64] | None:
    """(C,) mean share of predicted label pixels per class, None without an answered frame."""
    shares = [score.shares for score in scores if score.shares is not None]
    return np.mean(shares, axis=0) if shares else None
