"""All frames of an evaluation together: the sums from which every figure of the report comes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, ClassSet
from minisegnet_core.evaluation.report.pictures import KeptFrame, worst_of
from minisegnet_core.evaluation.scoring.boundary import COUNTS, boundary_f
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.scoring.pipeline import SourceResult
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.metrics import BallScore, ConfusionMatrix, percentile

SIZES = ((4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, math.inf))
"""Pixels of radius, from and below: apparent sizes of balls."""


@dataclass
class Evaluation:
    """What an evaluation measured, over one source or many.

    scores: of all frames, source by source in order. absent: ids that the truth never draws, left out of the means.
    seconds, busy_seconds: as in :class:`SourceResult`, summed. worst: the frames to show. in_time: names of
    the sources whose neighbours follow each other in time.
    """

    classes: ClassSet
    scores: list[FrameScore]
    problems: Problems = field(default_factory=Problems)
    absent: tuple[int, ...] = ()
    seconds: float = 0.0
    busy_seconds: float = 0.0
    worst: list[KeptFrame] = field(default_factory=list)
    in_time: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, classes: ClassSet, results: Sequence[SourceResult]) -> Evaluation:
        """Puts sources together, in the order given."""
        evaluation = cls(classes, [])
        for result in results:
            evaluation.scores += result.scores
            evaluation.problems.merge(result.problems)
            evaluation.absent = tuple(sorted({*evaluation.absent, *result.absent}))
            evaluation.seconds += result.seconds
            evaluation.busy_seconds += result.busy_seconds
            evaluation.in_time |= {result.name} if result.in_time else set()
        return evaluation

    def keep_worst(self, kept: Sequence[KeptFrame], count: int) -> None:
        """Takes the worst frames of the sources' own."""
        self.worst = worst_of([*self.worst, *kept], count)

    @property
    def answered(self) -> list[FrameScore]:
        return [score for score in self.scores if score.answered]

    @property
    def dropped(self) -> int:
        """Frames that were sent and not answered."""
        return len(self.scores) - len(self.answered)

    def confusion(self, full_size: bool = False) -> ConfusionMatrix:
        """Over all pixels of all frames with label truth, on the label grid or at the images' size."""
        matrix = ConfusionMatrix(len(self.classes))
        for score in self.scores:
            counts = score.confusion_full if full_size else score.confusion
            if counts is not None:
                matrix.counts += counts
        return matrix

    def frames_with_labels(self, full_size: bool = False) -> int:
        """Frames whose labels count."""
        return sum((s.confusion_full if full_size else s.confusion) is not None for s in self.scores)

    def lines(self, full_size: bool = False) -> float:
        """Boundary F-score of lines; NaN without truth or lines."""
        counts: NDArray[np.int64] = np.zeros(COUNTS, np.int64)
        for score in self.scores:
            own = score.lines_full if full_size else score.lines
            if own is not None:
                counts += own
        return float(boundary_f(counts))

    def without_background(self) -> tuple[int, ...]:
        """Ids to leave out of the mean without background: :attr:`absent` and background."""
        background = self.classes.id_of(BACKGROUND)
        return self.absent if background is None else tuple(sorted({*self.absent, background}))

    @property
    def frames_with_ball_truth(self) -> int:
        return sum(score.match is not None for score in self.scores)

    @property
    def frames_with_a_ball(self) -> int:
        """Frames with a ball that counts: the most that can be found, since one prediction of a frame is judged."""
        matches = [score.match for score in self.scores if score.match is not None]
        return sum(match.hit is not None or bool(match.missed) for match in matches)

    def balls(self, least_confidence: float = 0.0) -> BallScore:
        """The ball's score; predictions below ``least_confidence`` (0..1) are taken as none."""
        result = BallScore()
        for score in self.scores:
            match, ball = score.match, score.ball
            if match is None:
                continue
            said = ball is not None and ball.confidence >= least_confidence
            missed = [*match.missed, *([match.hit] if match.hit is not None and not said else [])]
            result.missed += len(missed)
            result.missed_radii += [truth.radius for truth in missed]
            if not said or ball is None:
                continue
            if match.hit is not None:
                result.found += 1
                result.errors.append(match.distance)
                result.found_radii.append(match.hit.radius)
            elif match.false:
                result.false += 1
                result.false_radii.append(ball.radius)
        return result

    def every_ball(self) -> BallScore | None:
        """The score of all predicted balls, not of the best of each frame alone; None where they are not known."""
        told = [score.every for score in self.scores if score.every is not None]
        if not told:
            return None
        result = BallScore()
        for own in told:
            result.merge(own)
        return result

    def ball_curve(self, points: int = 40) -> list[tuple[float, float, float]]:
        """(least confidence, precision, recall), from the lowest confidence that occurs to the highest.

        Of the best ball of each frame: the threshold by which pixels become ball stays that of the run. Empty where the
        confidences are not known, as live: the node's message has no room for them.
        """
        balls = [score.ball for score in self.scores if score.match is not None]
        told = sorted({ball.confidence for ball in balls if ball is not None and ball.confidence > 0})
        if len(told) > points:
            told = [told[round(i)] for i in np.linspace(0, len(told) - 1, points)]
        curve = []
        for confidence in told:
            score = self.balls(confidence)
            if math.isfinite(score.precision) and math.isfinite(score.recall):
                curve.append((confidence, score.precision, score.recall))
        return curve

    def latencies(self) -> list[float]:
        """Milliseconds of all frames that have one."""
        return [score.latency_ms for score in self.scores if score.latency_ms is not None]

    def latency_ms(self, percent: float) -> float:
        """Percentile (0..100) of the time per frame, milliseconds; NaN where none was measured."""
        return percentile(self.latencies(), percent)
