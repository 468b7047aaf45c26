"""Bags and videos of simple images with ground truth, and a model that predicts them without error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import Ball
from minisegnet_core.classes import SOCCER
from minisegnet_core.evaluation.scoring.frames import Prediction
from minisegnet_core.evaluation.scoring.pipeline import SourceResult, evaluate_source
from minisegnet_core.evaluation.sources.bags import BagPart, BagSelection, BagSource, ReadableBag
from minisegnet_core.inference.segmenter import SegmenterConfig
from support.bag_files import BASE, BagMaker

IMAGES, LABELS, BALLS = '/camera/image', '/ground_truth/label_image', '/ground_truth/ball'
STEP = 200_000_000
"""Nanoseconds between images."""

WIDTH, HEIGHT = 128, 96
ENGINE = ['--threads', '1', '--engine', 'openvino', '--model', 'minisegnet.onnx']
"""Command-line options that select the shipped model."""

CONFIG = SegmenterConfig(model='minisegnet.onnx', engine='openvino', threads=1)
"""The same selection as a value."""


def labels_of(index: int) -> np.ndarray:
    """Return (48, 64) uint8 ids: background, field, and a ball whose position depends on the index."""
    labels = np.full((48, 64), 3, np.uint8)
    labels[:16] = 0
    labels[24:32, 4 * index : 4 * index + 8] = 1
    return labels


def image_of(labels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 from which :func:`predict` reads the ids."""
    return np.repeat(labels[..., None] * 50, 3, axis=2).astype(np.uint8)


def predict(frame) -> Prediction:
    """Read the ids from the image: a model without error. The ball is found at the centroid of its pixels."""
    labels = np.minimum(frame.image[1::4, 1::4, 0] // 50, 3).astype(np.uint8)
    ys, xs = np.nonzero(labels == 1)
    ball = Ball(4 * xs.mean() + 1.5, 4 * ys.mean() + 1.5, 4.0, 0.9) if len(xs) else None
    return Prediction(labels, ball, 1.0)


def write_bag(folder: Path, count=8, kind='mcap', shift=0) -> Path:
    """Write a bag of images with labels, five per second, into a new folder and return its path."""
    folder.mkdir()
    with BagMaker(folder, kind) as bag:
        for index in range(count):
            stamp = BASE + (index + shift) * STEP
            labels = cv2.resize(labels_of(index % 8), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
            bag.image(image_of(labels), stamp, stamp, topic=IMAGES)
            bag.image(labels, stamp, stamp, 'mono8', LABELS)
    return bag.path


def make_bag(folder: Path, kind: str = 'mcap', count: int = 6, labels=True) -> BagMaker:
    """Write a bag of small images, with labels and balls unless ``labels`` is False."""
    with BagMaker(folder, kind) as bag:
        for index in range(count):
            stamp = BASE + index * STEP
            truth = labels_of(index)
            bag.image(image_of(truth), stamp, stamp, topic=IMAGES)
            if labels:
                bag.image(truth, stamp, stamp + 1, 'mono8', LABELS)
                add_ball(bag, stamp, 4 * index + 3.5, 27.5, 4.5)
    return bag


def add_ball(bag: BagMaker, stamp: int, x: float, y: float, radius: float) -> None:
    """Write a PointStamped of a ball."""
    types = bag.store.types
    point = types['geometry_msgs/msg/Point'](x=x, y=y, z=radius)
    message = types['geometry_msgs/msg/PointStamped'](header=bag.header(stamp), point=point)
    bag.write(BALLS, 'geometry_msgs/msg/PointStamped', message, stamp)


def evaluated(path: Path, selection: BagSelection | None = None, topic: str = IMAGES) -> SourceResult:
    """Evaluate :func:`predict` on a bag."""
    with ReadableBag(path) as bag:
        source = BagSource(bag, BagPart(path, topic), selection or BagSelection(), SOCCER)
        return evaluate_source(source, predict, SOCCER)


def write_video(path: Path, codec: str, images: list[np.ndarray]) -> None:
    """Write (H, W, 3) uint8 BGR images, ten per second; skip the test if OpenCV has no such codec."""
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    if not writer.isOpened():
        pytest.skip(f'this OpenCV cannot write {codec}')
    for image in images:
        writer.write(image)
    writer.release()
