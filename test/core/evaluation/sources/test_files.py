"""Folders and videos as sources of an evaluation: damaged, cut off, with repeated names."""

from __future__ import annotations

import json

import cv2
import numpy as np

from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.pipeline import evaluate_source
from minisegnet_core.evaluation.sources.files import FileSource
from minisegnet_core.evaluation.sources.ground_truth_files import BallLines, LabelFolder
from support.recordings import image_of, labels_of, predict, write_video


def test_images_are_scored_by_labels_in_another_folder(shapes_dataset):
    source = FileSource(shapes_dataset / 'images', LabelFolder(shapes_dataset / 'labels'), None, SOCCER)
    scores = evaluate_source(source, predict, SOCCER).scores
    assert len(scores) == 12 and not source.problems.counts()
    truth = cv2.imread(str(shapes_dataset / 'labels' / '003.png'), cv2.IMREAD_UNCHANGED)
    assert scores[3].confusion_full.sum(1).tolist() == np.bincount(truth.reshape(-1), minlength=4).tolist()


def test_a_damaged_image_is_counted_and_skipped(tmp_path):
    for index in range(3):
        cv2.imwrite(str(tmp_path / f'{index}.png'), image_of(labels_of(index)))
    (tmp_path / '1.png').write_bytes(b'no image')
    (tmp_path / 'balls.jsonl').write_text(json.dumps({'name': '0', 'balls': []}) + '\n')
    source = FileSource(tmp_path, None, BallLines(tmp_path / 'balls.jsonl'), SOCCER)
    result = evaluate_source(source, predict, SOCCER)
    assert [score.name for score in result.scores] == ['0', '2'] and not result.consecutive
    assert result.problems.counts() == {'undecodable': 1, 'no_ball_truth': 1}
    assert result.scores[0].match.false


def test_ground_truth_of_images_with_equal_stems(tmp_path):
    """`predict` names them a and a_1, and ground truth must use the same names."""
    for ending in ('bmp', 'png'):
        cv2.imwrite(str(tmp_path / f'a.{ending}'), image_of(labels_of(1)))
    lines = tmp_path / 'balls.jsonl'
    lines.write_text('{"name": "a", "balls": []}\n{"name": "a_1", "balls": []}\n')
    source = FileSource(tmp_path, None, BallLines(lines), SOCCER)
    assert [score.name for score in evaluate_source(source, predict, SOCCER).scores] == ['a', 'a_1']
    assert source.problems.counts() == {}


def test_missing_frames_of_a_cut_off_video_are_counted(tmp_path):
    path = tmp_path / 'clip.avi'
    write_video(path, 'MJPG', [image_of(labels_of(index % 8)) for index in range(40)])
    whole = FileSource(path, None, None, SOCCER)
    assert len(evaluate_source(whole, predict, SOCCER).scores) == 40
    assert whole.problems.counts() == {}
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source = FileSource(path, None, None, SOCCER)
    count = len(evaluate_source(source, predict, SOCCER).scores)
    assert 4 < count < 30
    assert source.problems.counts() == {'breaks_off': 40 - count}
