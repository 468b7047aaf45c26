"""The live half of `evaluate-bag`: a bag goes to the real node over DDS, what comes back is scored as offline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from minisegnet_core.ball import Ball
from minisegnet_core.commands.evaluation_options import DoAll
from minisegnet_core.errors import ConfigurationError, MinisegnetError
from minisegnet_core.evaluation.job import (
    BagWork,
    Done,
    Settings,
    Work,
    do,
    evaluate_work,
    model_facts,
    name_of,
    segmenter_for,
)
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, TruthFrame
from minisegnet_core.evaluation.scoring.pipeline import SourceResult
from minisegnet_core.evaluation.sources.bags import BagSource, ReadableBag
from minisegnet_core.evaluation.sources.problems import Problems
from minisegnet_ros.parameters import PARAMETERS
from minisegnet_ros.replay import Recording, ReplayInterrupted, replay, started_node

UNKNOWN_CONFIDENCE = 0.0
"""The node's ball message holds no confidence."""

BALL_TOLERANCE = 1e-6
"""Pixels by which a ball may differ live and offline: the message holds all digits."""


def live(rate: float, total: int, check: bool) -> DoAll:
    """Plays bags one after the other, each to a node of its own.

    Args:
        rate: 1: as recorded. total: images of all bags. check: evaluate offline too, and tell where the two differ.
    """

    def run(works: Sequence[Work], settings: Settings) -> list[Done]:
        done = []
        with tqdm(total=total, desc='live', unit='frame') as bar:
            for work in works:
                assert isinstance(work, BagWork), 'only bags are played'
                done.append(_play(work, settings, rate, bar.update))
                if done[-1].result.interrupted:
                    return done
        if check:
            for work, part in zip(works, done, strict=True):
                if not part.failure:
                    _check(part, do(work_without_files(work), settings))
        return done

    return run


def work_without_files(work: Work) -> Work:
    """The same part, of which nothing is written."""
    return replace(work, wanted=replace(work.wanted, overlay=None, results=None))


def node_parameters(settings: Settings, compressed: bool, image: TruthFrame | None) -> dict[str, object]:
    """The node's parameters that mean the same as these settings."""
    values = dict(settings)
    size = '' if image is None else f'{image.image.shape[1]}x{image.image.shape[0]}'
    return {
        **{p.name: values[p.name] for p in PARAMETERS if p.name in values},
        'expected_size': size,
        'image_transport': 'compressed' if compressed else 'raw',
        'reliability': 'reliable',
        'diagnostics_period': 0.5,
    }


def _play(work: BagWork, settings: Settings, rate: float, progress: Any) -> Done:
    segmenter = segmenter_for(settings)  # gives classes and facts, and the file that the node shall load too
    chosen = dict(settings) | {'model': str(segmenter.model_path.resolve()), 'engine': segmenter.engine}
    try:
        with ReadableBag(work.part.path) as bag:
            source = BagSource(bag, work.part, work.question, segmenter.classes)
            with closing(iter(source)) as frames:
                first = next(frames, None)
            source = BagSource(bag, work.part, work.question, segmenter.classes)
            parameters = node_parameters(tuple(chosen.items()), source.images.compressed, first)
            with started_node(parameters) as node:
                try:
                    recording = replay(source.images, node, rate=rate, progress=progress)
                except ReplayInterrupted as interrupted:
                    recording = interrupted.recording
            done = evaluate_work(work, segmenter.classes, answers_of(recording), bag=(bag, source))
    except ConfigurationError:
        raise
    except MinisegnetError as error:
        return Done(SourceResult(name_of(work), [], Problems()), [], str(error))
    done.facts = model_facts(segmenter) | {'replay': f'live, x{rate:g}', 'node': dict(recording.facts)}
    answered = any(score.answered for score in done.result.scores)
    if done.result.scores and not answered and not done.result.interrupted:
        done.failure = f'the node answered none of {len(done.result.scores)} images of {work.part.path}'
    return done


def answers_of(recording: Recording) -> Any:
    """A prediction of each frame: what came back for it, None where nothing did. Ends where a replay was ended."""
    by_index = {played.index: played for played in recording.frames}
    last = max(by_index, default=-1)

    def answer(frame: TruthFrame) -> Prediction | None:
        if frame.index > last:
            raise KeyboardInterrupt
        played = by_index.get(frame.index)
        if played is None or played.labels is None:
            return None
        ball = None if played.ball is None else Ball(*played.ball, UNKNOWN_CONFIDENCE)
        return Prediction(played.labels, ball, None if played.latency is None else played.latency * 1e3)

    return answer


def _check(played: Done, alone: Done) -> None:
    """Notes in the live part's problems and facts on how many frames offline says the same."""
    offline = {score.index: score for score in alone.result.scores}
    both = [(s, offline[s.index]) for s in played.result.scores if s.answered and s.index in offline]
    different = [live_score.name for live_score, other in both if not same(live_score, other)]
    for name in different:
        played.result.problems.add('live_differs', 'frame that live and offline answer differently', name)
    told = played.facts.setdefault('live_check', {'frames': 0, 'equal': 0})
    told['frames'] += len(both)
    told['equal'] += len(both) - len(different)


def same(first: FrameScore, second: FrameScore) -> bool:
    """Whether two answers to a frame agree: every label pixel, and the ball."""
    if not np.array_equal(first.label_image(), second.label_image()):
        return False
    if first.ball is None or second.ball is None:
        return first.ball is second.ball
    pairs = ((first.ball.x, second.ball.x), (first.ball.y, second.ball.y), (first.ball.radius, second.ball.radius))
    return all(abs(a - b) <= BALL_TOLERANCE for a, b in pairs)
