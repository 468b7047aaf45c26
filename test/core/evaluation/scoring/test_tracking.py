"""Flicker and the track of the ball against cases computed by hand."""

from __future__ import annotations

import numpy as np

from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.evaluation import Evaluation
from minisegnet_core.evaluation.scoring.frames import score_frame
from minisegnet_core.evaluation.scoring.tracking import class_fractions, sequences_of
from minisegnet_core.evaluation.sources.source import SourceFrame
from support.scores import ball, frame_score


def test_flicker_and_track_equal_those_computed_by_hand():
    first, other = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    other[0, :] = 3
    ball_at = [ball(100), ball(104), None, ball(110), ball(300), None]
    labels = [first, other, first, first, other, other]
    scores = [frame_score(None, image, i, b) for i, (image, b) in enumerate(zip(labels, ball_at, strict=True))]
    found = sequences_of(scores)
    assert found.changed == [0.25, 0.25, 0, 0.25, 0]
    assert found.flicker == [0.25, 0, 0, 0], 'only pixels that change and change back'
    assert (found.frames, found.seen, found.tracks, found.longest_track) == (6, 4, 2, 2)
    assert (found.blinks, found.jumps, found.steps) == (1, ['4'], [4.0, 190.0])
    assert class_fractions(scores).tolist() == [1 - 0.125, 0, 0, 0.125]


def test_a_dropped_frame_ends_the_sequence():
    labels = np.zeros((4, 4), np.uint8)
    frame = SourceFrame(1, '1', np.zeros((16, 16, 3), np.uint8), labels=np.zeros((16, 16), np.uint8), balls=())
    dropped = score_frame('s', frame, None, SOCCER, {})
    found = sequences_of([frame_score(None, labels, 0), dropped, frame_score(None, labels + 3, 2)])
    assert found.changed == [] and not dropped.answered
    evaluation = Evaluation(SOCCER, [dropped])
    assert (evaluation.dropped, evaluation.frames_with_labels(), evaluation.frames_with_ball_truth) == (1, 0, 0)
