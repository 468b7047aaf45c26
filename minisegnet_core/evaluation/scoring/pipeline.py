"""Decoding, inference and scoring at the same time, so that inference never waits for the other two."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ImageError
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, score_frame
from minisegnet_core.evaluation.sources.source import Problems, Source, SourceFrame
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.parallel import DEPTH, prefetch

Predict = Callable[[SourceFrame], 'Prediction | None']
"""Return the prediction of a frame, or None if it was dropped."""

Progress = Callable[[int], object]
"""Called with the number of frames that are done since the last call."""

SCORING_THREADS = 2


class Listener(Protocol):
    """Receive every frame with its prediction and score, in order: to write a video or a bag, or keep the worst."""

    def add(self, frame: SourceFrame, prediction: Prediction | None, score: FrameScore) -> None: ...


@dataclass
class SourceResult:
    """The scores of one source.

    Attributes:
        name, absent, consecutive, problems: as in :class:`~minisegnet_core.evaluation.sources.source.Source`.
        scores: in the order of the source.
        seconds: time from the first frame's prediction to the last one's, while all stages run.
        busy_seconds: part of ``seconds`` that was spent inside the prediction.
        interrupted: whether Ctrl-C ended the evaluation; ``scores`` holds the frames before.
    """

    name: str
    scores: list[FrameScore] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    absent: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    busy_seconds: float = 0.0
    interrupted: bool = False
    consecutive: bool = False


def predict_with(segmenter: Segmenter) -> Predict:
    """Return a function that predicts frames offline and measures the engine's time.

    The first image of each size runs twice, because the engine compiles for it.
    """
    warm: set[tuple[int, ...]] = set()

    def predict(frame: SourceFrame) -> Prediction:
        if frame.image.shape not in warm:
            segmenter.run(frame.image)
            warm.add(frame.image.shape)
        result = segmenter.run(frame.image)
        return Prediction(result.label_image, result.ball, result.engine_ms, result.balls)

    return predict


def without_balls(frame: SourceFrame, problems: Problems) -> SourceFrame:
    """Return a frame for a model without a class ``ball``; annotated balls are counted as a problem."""
    if frame.balls:
        problems.add('balls_unused', 'annotation of balls is not used: the model has no class ball', frame.name)
    return replace(frame, balls=None)


def evaluate_source(
    source: Source,
    predict: Predict,
    classes: ClassSet,
    *,
    listeners: Iterable[Listener] = (),
    progress: Progress = lambda _: None,
) -> SourceResult:
    """Predict and score all frames of a source.

    Args:
        predict: an ImageError that it raises is counted as a problem of the source, and the frame is skipped.
        listeners: receive the frames in order.
        progress: called after each frame.

    Raises:
        SourceError, DatasetError: the source cannot be read.
    """
    result = SourceResult(source.name, problems=source.problems, absent=source.absent, consecutive=source.consecutive)
    listeners = list(listeners)
    pending: deque[Future[FrameScore]] = deque()

    def notify(frame: SourceFrame, prediction: Prediction | None, scored: Future[FrameScore]) -> FrameScore:
        score = scored.result()
        for listener in listeners:
            listener.add(frame, prediction, score)
        return score

    def collect(max_pending: int) -> None:
        while len(pending) > max_pending:
            result.scores.append(pending[0].result())
            pending.popleft()

    started = None
    frames = prefetch(source)
    # Scores may be ready in any order. A single thread notifies the listeners, so that they get the frames in order.
    with ThreadPoolExecutor(SCORING_THREADS, 'score') as scorers, ThreadPoolExecutor(1, 'listen') as notifier:
        try:
            for received in frames:
                frame = received if classes.has_ball else without_balls(received, source.problems)
                before = time.perf_counter()
                try:
                    prediction = predict(frame)
                except ImageError as error:
                    source.problems.add('not_segmentable', f'image cannot be segmented: {error}', frame.name)
                    progress(1)
                    continue
                after = time.perf_counter()
                if started is None:
                    started = after  # the first frame includes compilation, and waits for the decoder
                else:
                    result.busy_seconds += after - before
                    result.seconds = after - started
                scored = scorers.submit(score_frame, source.name, frame, prediction, classes, source.absent)
                pending.append(notifier.submit(notify, frame, prediction, scored))
                collect(DEPTH)
                progress(1)
        except KeyboardInterrupt:
            result.interrupted = True
            source.problems.add('interrupted', 'stopped by Ctrl-C; the report covers the frames before')
        finally:
            frames.close()
        collect(0)
    return result
