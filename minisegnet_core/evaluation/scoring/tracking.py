"""Figures of sequences that need no ground truth: flicker of the labels, and continuity of the ball's track."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.evaluation.scoring.frames import FrameScore

JUMP_RADII, JUMP_PIXELS = 6.0, 30.0
"""A step from one frame to the next is a jump if it exceeds both this many ball radii and this many pixels."""

MAX_BLINK = 3
"""Maximum number of frames for which a ball that blinks is not predicted."""


@dataclass
class Sequences:
    """Figures of one or more sequences of frames.

    Attributes:
        changed: for each pair of neighbours, the fraction of label pixels whose class differs, motion of the camera
            included.
        flicker: for each three neighbours, the fraction of label pixels whose class differs in the middle frame only.
            Motion rarely causes this.
        steps: distances between the balls of neighbouring frames in pixels.
        frames: number of answered frames.
        seen: number of frames with a ball.
        jumps: names of the frames to which the ball jumped.
        blinks: number of gaps of at most :data:`MAX_BLINK` frames in the ball's track.
        tracks: number of runs of frames with a ball.
        longest_track: frames in the longest run.
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
    """Return the figures of the answered frames of each source. A frame without an answer ends a sequence."""
    result = Sequences()
    for _, group in groupby(scores, key=lambda score: score.source):
        for run in _runs(list(group)):
            _add_labels(result, run)
            _add_balls(result, run)
    return result


def _runs(scores: Sequence[FrameScore]) -> Iterator[list[FrameScore]]:
    """Yield runs of answered frames whose indices follow each other."""
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


def _add_labels(result: Sequences, run: Iterable[FrameScore]) -> None:
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


def _add_balls(result: Sequences, run: Sequence[FrameScore]) -> None:
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
            result.blinks += ever and 0 < gap <= MAX_BLINK
        track, gap, ever = track + 1, 0, True
        result.longest_track = max(result.longest_track, track)
        if previous is not None and previous.ball is not None:
            step = math.hypot(ball.x - previous.ball.x, ball.y - previous.ball.y)
            result.steps.append(step)
            if step > max(JUMP_RADII * max(ball.radius, previous.ball.radius), JUMP_PIXELS):
                result.jumps.append(score.name)
        previous = score


def class_fractions(scores: Iterable[FrameScore]) -> NDArray[np.float64] | None:
    """Return the (C,) mean fraction of predicted label pixels by class; None without an answered frame."""
    fractions = [score.fractions for score in scores if score.fractions is not None]
    return np.mean(fractions, axis=0) if fractions else None
