"""Scores of small frames, for tests of the figures."""

from __future__ import annotations

import numpy as np

from minisegnet_core.ball import Ball, BallTruth
from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import FrameScore, Prediction, score_frame
from minisegnet_core.evaluation.sources.source import SourceFrame


def frame_score(truth, prediction, index=0, ball=None, balls=None, group=None, source='s', absent=None) -> FrameScore:
    """Score a frame whose image is four times the size of its label grid."""
    height, width = prediction.shape
    image = np.zeros((4 * height, 4 * width, 3), np.uint8)
    frame = SourceFrame(index, f'{index}', image, group=group, labels=truth, balls=balls)
    return score_frame(source, frame, Prediction(prediction, ball, None), SOCCER, absent or {})


def random_labels(seed: int, shape=(24, 32), ids=(0, 1, 2, 3, 255)) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array(ids, np.uint8), shape)


def many_frames(seed: int, wrong: float, count=30) -> Evaluation:
    """Return frames whose ground truth depends on their index only; a fraction ``wrong`` of label pixels is wrong."""
    scores = []
    for index in range(count):
        truth = random_labels(index, (8, 8), (0, 2, 3))
        random = np.random.default_rng([seed, index])
        predicted = np.where(random.random((8, 8)) < wrong, 3 - truth, truth).astype(np.uint8)
        scores.append(frame_score(truth, predicted, index, group=f'{index // 3}'))
    return Evaluation(SOCCER, scores)


def ball(x: float, radius=10.0, confidence=1.0) -> Ball:
    return Ball(x, 50, radius, confidence)


def truth_ball(x: float, radius=10.0) -> BallTruth:
    return BallTruth(x, 50, radius, 1, x, 50)
