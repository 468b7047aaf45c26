"""Live evaluation for `evaluate-bag`: play a bag to the node over DDS and score its answers as offline predictions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np

from minisegnet_core.ball import Ball
from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.evaluation.job import (
    BagJob,
    Job,
    JobResult,
    Runner,
    evaluate_job,
    model_facts,
    run_job,
    segmenter_for,
)
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction
from minisegnet_core.evaluation.scoring.pipeline import Predict, Progress, SourceResult
from minisegnet_core.evaluation.sources.bags import BagSource, ReadableBag
from minisegnet_core.evaluation.sources.source import SourceFrame
from minisegnet_core.inference.segmenter import SegmenterConfig
from minisegnet_ros.parameters import PARAMETERS
from minisegnet_ros.replay import Recording, ReplayInterrupted, replay, started_node

UNKNOWN_CONFIDENCE = 0.0
"""Confidence of the node's balls; its ball message has no field for it."""

BALL_TOLERANCE = 1e-6
"""Pixels by which a ball may differ between live and offline; the message holds all digits."""


def live_runner(rate: float, check: bool) -> Runner:
    """Return a function that plays bags one after the other, each to a node of its own.

    Args:
        rate: playback speed; 1 is as recorded.
        check: also evaluate offline, and count the frames where the two differ.
    """

    def run(jobs: Sequence[Job], config: SegmenterConfig, progress: Progress) -> list[JobResult]:
        results: list[JobResult] = []
        for job in jobs:
            assert isinstance(job, BagJob), 'only bags are played'
            results.append(_play(job, config, rate, progress))
            if results[-1].result.interrupted:
                return results
        if check:
            for job, live in zip(jobs, results, strict=True):
                if not live.failure:
                    without_files = replace(job, outputs=replace(job.outputs, overlay=None, results=None))
                    _check(live, run_job(without_files, config))
        return results

    return run


def node_parameters(config: SegmenterConfig, compressed: bool, frame: SourceFrame | None) -> dict[str, object]:
    """Return the node's parameters that mean the same as a configuration.

    Args:
        compressed: whether the images are compressed.
        frame: first frame, whose size the node should expect; None without frames.
    """
    values = asdict(config)
    size = '' if frame is None else f'{frame.image.shape[1]}x{frame.image.shape[0]}'
    return {
        **{p.name: values[p.name] for p in PARAMETERS if p.name in values},
        'expected_size': size,
        'image_transport': 'compressed' if compressed else 'raw',
        'reliability': 'reliable',
        'diagnostics_period': 0.5,
    }


def _play(job: BagJob, config: SegmenterConfig, rate: float, progress: Progress) -> JobResult:
    segmenter = segmenter_for(config)  # for its classes and facts, and so that the node loads the same file and engine
    chosen = replace(config, model=str(segmenter.model_path.resolve()), engine=segmenter.engine)
    try:
        with ReadableBag(job.part.path) as bag:
            with closing(iter(BagSource(bag, job.part, job.selection, segmenter.classes))) as frames:
                first = next(frames, None)
            source = BagSource(bag, job.part, job.selection, segmenter.classes)
            with started_node(node_parameters(chosen, source.images.compressed, first)) as node:
                try:
                    recording = replay(source.images, node, rate=rate, progress=progress)
                except ReplayInterrupted as interrupted:
                    recording = interrupted.recording
            played = evaluate_job(job, source, segmenter.classes, answers_of(recording))
    except ConfigurationError:
        raise
    except MinisegnetError as error:
        return JobResult(SourceResult(job.name), failure=str(error))
    played.facts = model_facts(segmenter) | {'replay': f'live, x{rate:g}', 'node': dict(recording.facts)}
    answered = any(score.answered for score in played.result.scores)
    if played.result.scores and not answered and not played.result.interrupted:
        played.failure = f'the node answered none of {len(played.result.scores)} images of {job.part.path}'
    return played


def answers_of(recording: Recording) -> Predict:
    """Return a function that predicts a frame as the node did, or None if the node did not answer.

    It raises KeyboardInterrupt for the first frame after an interrupted replay.
    """
    by_index = {played.index: played for played in recording.frames}
    last = max(by_index, default=-1)

    def answer(frame: SourceFrame) -> Prediction | None:
        if frame.index > last:
            raise KeyboardInterrupt
        played = by_index.get(frame.index)
        if played is None or played.labels is None:
            return None
        ball = None if played.ball is None else Ball(*played.ball, UNKNOWN_CONFIDENCE)
        return Prediction(played.labels, ball, None if played.latency is None else played.latency * 1e3)

    return answer


def _check(live: JobResult, offline: JobResult) -> None:
    """Count in the live result the frames that offline evaluation answers equally and differently."""
    offline_scores = {score.index: score for score in offline.result.scores}
    both = [(s, offline_scores[s.index]) for s in live.result.scores if s.answered and s.index in offline_scores]
    different = [score.name for score, other in both if not same(score, other)]
    for name in different:
        live.result.problems.add('live_differs', 'frame has different live and offline answers', name)
    check = live.facts.setdefault('live_check', {'frames': 0, 'equal': 0})
    check['frames'] += len(both)
    check['equal'] += len(both) - len(different)


def same(first: FrameScore, second: FrameScore) -> bool:
    """Return whether two answers to a frame agree in every label pixel and in the ball."""
    if not np.array_equal(first.label_image(), second.label_image()):
        return False
    if first.ball is None or second.ball is None:
        return first.ball is second.ball
    pairs = ((first.ball.x, second.ball.x), (first.ball.y, second.ball.y), (first.ball.radius, second.ball.radius))
    return all(abs(a - b) <= BALL_TOLERANCE for a, b in pairs)
