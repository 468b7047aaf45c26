"""Bags of plain pictures with their truth, and a model without fault: it reads the truth off the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.frames import Prediction
from minisegnet_core.evaluation.scoring.pipeline import evaluate_source
from minisegnet_core.evaluation.sources.bags import BagPart, BagQuestion, BagSource, ReadableBag
from support.bag_files import BASE, BagMaker

IMAGES, LABELS, BALLS = '/camera/image', '/ground_truth/label_image', '/ground_truth/ball'
STEP = 200_000_000
WIDTH, HEIGHT = 128, 96
ENGINE = ['--threads', '1', '--engine', 'openvino', '--model', 'minisegnet.onnx']
"""Options of the commands that choose the shipped model."""


def labels_of(index: int) -> np.ndarray:
    labels = np.full((48, 64), 3, np.uint8)
    labels[:16] = 0
    labels[24:32, 4 * index : 4 * index + 8] = 1
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    return np.repeat(labels[..., None] * 50, 3, axis=2).astype(np.uint8)


def write_bag(folder: Path, count=8, kind='mcap', shift=0) -> Path:
    folder.mkdir()
    with BagMaker(folder, kind) as bag:
        for index in range(count):
            stamp = BASE + (index + shift) * STEP
            labels = cv2.resize(labels_of(index % 8), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
            bag.image(image_of(labels), stamp, stamp, topic=IMAGES)
            bag.image(labels, stamp, stamp, 'mono8', LABELS)
    return bag.path


def write_video(path: Path, codec: str, pictures: list[np.ndarray]) -> None:
    """(H, W, 3) uint8 BGR pictures, ten a second; skips a test where OpenCV has no such codec."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    if not writer.isOpened():
        pytest.skip(f'this OpenCV writes no {codec}')
    for picture in pictures:
        writer.write(picture)
    writer.release()


def segmenter_settings(options: list[str]):
    """What the parts of a work make their segmenter with."""
    from minisegnet_core.evaluation.job import settings_of
    from minisegnet_ros.commands.evaluate_bag import make_parser

    return settings_of(make_parser('x').parse_args(['b', '--output', 'o', *options]))


def predict(frame) -> Prediction:
    """Reads the truth off the picture: a model without fault. The ball is found at the centre of its pixels."""
    labels = np.minimum(frame.image[1::4, 1::4, 0] // 50, 3).astype(np.uint8)
    ys, xs = np.nonzero(labels == 1)
    ball = Ball(4 * xs.mean() + 1.5, 4 * ys.mean() + 1.5, 4.0, 0.9) if len(xs) else None
    return Prediction(labels, ball, 1.0)


def add_ball(bag: BagMaker, stamp: int, x: float, y: float, radius: float) -> None:
    types = bag.store.types
    point = types['geometry_msgs/msg/Point'](x=x, y=y, z=radius)
    message = types['geometry_msgs/msg/PointStamped'](header=bag.header(stamp), point=point)
    bag.write(BALLS, 'geometry_msgs/msg/PointStamped', message, stamp)


def make_bag(folder: Path, kind: str = 'mcap', count: int = 6, labels=True) -> BagMaker:
    with BagMaker(folder, kind) as bag:
        for index in range(count):
            stamp = BASE + index * STEP
            truth = labels_of(index)
            bag.image(image_of(truth), stamp, stamp, topic=IMAGES)
            if labels:
                bag.image(truth, stamp, stamp + 1, 'mono8', LABELS)
                add_ball(bag, stamp, 4 * index + 3.5, 27.5, 4.5)
    return bag


def evaluated(path: Path, question: BagQuestion | None = None, topic: str = IMAGES):
    question = question or BagQuestion()
    with ReadableBag(path) as bag:
        return evaluate_source(BagSource(bag, BagPart(path, topic), question, SOCCER), predict, SOCCER)
