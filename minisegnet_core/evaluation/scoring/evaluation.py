"""All frames of an evaluation together: the sums from which every figure of the report is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import BACKGROUND, ClassSet
from minisegnet_core.evaluation.scoring.boundary import COUNTS, boundary_f
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.scoring.pipeline import SourceResult
from minisegnet_core.evaluation.scoring.worst import KeptFrame, worst_of
from minisegnet_core.evaluation.sources.source import Problems
from minisegnet_core.metrics import BallScore, ConfusionMatrix, percentile

RADIUS_RANGES = ((4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, math.inf))
"""Ranges of the ball's radius in pixels, lower limit included."""


@dataclass
class Evaluation:
    """Scores of one or more sources.

    Attributes:
        scores: of all frames, source by source, in order.
        absent: class ids that the ground truth never contains; they are left out of the means.
        seconds, busy_seconds: sums over the sources, see :class:`SourceResult`.
        worst: frames to show, worst first.
        consecutive: names of the sources whose neighbouring frames follow each other in time.
    """

    classes: ClassSet
    scores: list[FrameScore]
    problems: Problems = field(default_factory=Problems)
    absent: tuple[int, ...] = ()
    seconds: float = 0.0
    busy_seconds: float = 0.0
    worst: list[KeptFrame] = field(default_factory=list)
    consecutive: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, classes: ClassSet, results: Iterable[SourceResult]) -> Evaluation:
        """Return the evaluation of all sources, in the given order."""
        evaluation = cls(classes, [])
        for result in results:
            evaluation.scores += result.scores
            evaluation.problems.merge(result.problems)
            evaluation.absent = tuple(sorted({*evaluation.absent, *result.absent}))
            evaluation.seconds += result.seconds
            evaluation.busy_seconds += result.busy_seconds
            evaluation.consecutive |= {result.name} if result.consecutive else set()
        return evaluation

    def keep_worst(self, kept: Sequence[KeptFrame], count: int) -> None:
        """Add the worst frames of a source and keep the ``count`` worst of all."""
        self.worst = worst_of([*self.worst, *kept], count)

    @property
    def answered(self) -> list[FrameScore]:
        """Scores of the frames that have a prediction."""
        return [score for score in self.scores if score.answered]

    @property
    def dropped(self) -> int:
        """Number of frames without a prediction."""
        return len(self.scores) - len(self.answered)

    def confusion(self, full_size: bool = False) -> ConfusionMatrix:
        """Return the counts over all pixels of all frames with labels, on the label grid or at the images' size."""
        matrix = ConfusionMatrix(len(self.classes))
        for score in self.scores:
            counts = score.confusion_full if full_size else score.confusion
            if counts is not None:
                matrix.counts += counts
        return matrix

    def frames_with_labels(self, full_size: bool = False) -> int:
        """Return the number of frames in :meth:`confusion`."""
        return sum((s.confusion_full if full_size else s.confusion) is not None for s in self.scores)

    def line_boundary_f(self, full_size: bool = False) -> float:
        """Return the boundary F-score of lines; NaN without ground truth or lines."""
        counts: NDArray[np.int64] = np.zeros(COUNTS, np.int64)
        for score in self.scores:
            own = score.lines_full if full_size else score.lines
            if own is not None:
                counts += own
        return float(boundary_f(counts))

    def without_background(self) -> tuple[int, ...]:
        """Return the ids to leave out of the mean without background: :attr:`absent` and background."""
        background = self.classes.id_of(BACKGROUND)
        return self.absent if background is None else tuple(sorted({*self.absent, background}))

    @property
    def frames_with_ball_truth(self) -> int:
        """Number of answered frames with a ball annotation."""
        return sum(score.match is not None for score in self.scores)

    @property
    def frames_with_a_ball(self) -> int:
        """Number of frames with a ball that counts.

        One prediction per frame is scored, so this is the maximum number of balls that can be found.
        """
        matches = [score.match for score in self.scores if score.match is not None]
        return sum(match.hit is not None or bool(match.missed) for match in matches)

    def balls(self, min_confidence: float = 0.0) -> BallScore:
        """Return the score of the best ball of each frame; balls below ``min_confidence`` (0 to 1) are ignored."""
        result = BallScore()
        for score in self.scores:
            match, ball = score.match, score.ball
            if match is None:
                continue
            predicted = ball is not None and ball.confidence >= min_confidence
            missed = [*match.missed, *([match.hit] if match.hit is not None and not predicted else [])]
            result.missed += len(missed)
            result.missed_radii += [truth.radius for truth in missed]
            if not predicted or ball is None:
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
        """Return the score of all predicted balls, not only the best of each frame; None if they are unknown."""
        scores = [score.every for score in self.scores if score.every is not None]
        if not scores:
            return None
        result = BallScore()
        for score in scores:
            result.merge(score)
        return result

    def ball_curve(self, max_points: int = 40) -> list[tuple[float, float, float]]:
        """Return (minimum confidence, precision, recall) for rising confidences, of the best ball of each frame.

        The probability threshold by which pixels belong to a ball stays that of the run. The list is empty if the
        confidences are unknown, as in a live evaluation: the node's ball message has no field for them.
        """
        balls = [score.ball for score in self.scores if score.match is not None]
        confidences = sorted({ball.confidence for ball in balls if ball is not None and ball.confidence > 0})
        if len(confidences) > max_points:
            confidences = [confidences[round(i)] for i in np.linspace(0, len(confidences) - 1, max_points)]
        curve = []
        for confidence in confidences:
            score = self.balls(confidence)
            if math.isfinite(score.precision) and math.isfinite(score.recall):
                curve.append((confidence, score.precision, score.recall))
        return curve

    def latencies(self) -> list[float]:
        """Return the latencies of all frames that have one, in milliseconds."""
        return [score.latency_ms for score in self.scores if score.latency_ms is not None]

    def latency_ms(self, percent: float) -> float:
        """Return a percentile (0 to 100) of the latencies in milliseconds; NaN if there are none."""
        return percentile(self.latencies(), percent)
