"""Decoding, the network and scoring at the same time, so that the network need not wait for the other two."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ImageError
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, TruthFrame, score_frame
from minisegnet_core.evaluation.sources.files import Source
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.parallel import DEPTH, prefetch

Predict = Callable[[TruthFrame], 'Prediction | None']

SCORERS = 2


class Listener(Protocol):
    """Gets every frame with its prediction and score, in order: writes a video, a bag, keeps the worst."""

    def add(self, frame: TruthFrame, prediction: Prediction | None, score: FrameScore) -> None: ...


@dataclass
class SourceResult:
    """One source, evaluated.

    scores: in the order of the source. seconds: from the second frame's prediction to the last one's, while all three
    stages run; busy_seconds: of that, inside the prediction. absent, in_time: as the source's. interrupted: Ctrl-C
    ended it, and the frames so far are here.
    """

    name: str
    scores: list[FrameScore]
    problems: Problems
    absent: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    busy_seconds: float = 0.0
    interrupted: bool = False
    in_time: bool = False


def predict_with(segmenter: Segmenter) -> Predict:
    """Predicts offline: every frame, with the engine's own time. The first image of a size runs twice: it compiles."""
    warm: set[tuple[int, ...]] = set()

    def predict(frame: TruthFrame) -> Prediction:
        if frame.image.shape not in warm:
            segmenter.run(frame.image)
            warm.add(frame.image.shape)
        result = segmenter.run(frame.image)
        return Prediction(result.label_image, result.ball, result.engine_ms, result.balls)

    return predict


def evaluate_source(
    source: Source,
    predict: Predict,
    classes: ClassSet,
    *,
    listeners: Iterable[Listener] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> SourceResult:
    """Predicts and scores all frames of a source.

    Args:
        predict: None from it: the frame was not answered. An ImageError from it leaves the frame out, counted.
        listeners: get the frames in order.
        progress: called with 1 after each frame.

    Raises:
        SourceError, DatasetError: of the source.
    """
    result = SourceResult(source.name, [], source.problems, source.absent, in_time=source.in_time)
    listening = list(listeners)
    pending: deque[Future[FrameScore]] = deque()

    def hear(frame: TruthFrame, prediction: Prediction | None, scored: Future[FrameScore]) -> FrameScore:
        score = scored.result()
        for listener in listening:
            listener.add(frame, prediction, score)
        return score

    def collect(most: int) -> None:
        while len(pending) > most:
            result.scores.append(pending[0].result())
            pending.popleft()

    started = None
    frames = prefetch(source)
    # One listener thread, so that listeners get the frames in order; scorers may overtake each other.
    with ThreadPoolExecutor(SCORERS, 'score') as scorers, ThreadPoolExecutor(1, 'listen') as listeners_thread:
        try:
            for frame in frames:
                before = time.perf_counter()
                try:
                    prediction = predict(frame)
                except ImageError as error:
                    source.problems.add('not_segmentable', f'image cannot be segmented: {error}', frame.name)
                    progress(1)
                    continue
                after = time.perf_counter()
                if started is None:
                    started = after  # the first frame compiles, and waits for the decoder
                else:
                    result.busy_seconds += after - before
                    result.seconds = after - started
                scored = scorers.submit(score_frame, source.name, frame, prediction, classes, source.absent)
                pending.append(listeners_thread.submit(hear, frame, prediction, scored))
                collect(DEPTH)
                progress(1)
        except KeyboardInterrupt:
            result.interrupted = True
            source.problems.add('interrupted', 'stopped by Ctrl-C: the frames before are in this report')
        finally:
            frames.close()
        collect(0)
    return result
