"""A tiny data set that a network can learn in seconds, drawn with plain shapes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.writer import DatasetWriter

WIDTH, HEIGHT = 128, 96


def draw_sample(seed: int, width: int = WIDTH, height: int = HEIGHT):
    """(image, labels, ball) with a green field below a grey wall, a white line and an orange ball."""
    random = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    horizon = int(random.integers(height // 6, height // 3))
    labels[horizon:] = 3
    row = int(random.integers(horizon + 8, height - 8))
    labels[row : row + 5] = 2
    x, y, radius = int(random.integers(20, width - 20)), int(random.integers(horizon + 12, height - 12)), 9
    cv2.circle(labels, (x, y), radius, 1, -1)
    colors = np.array([(90, 90, 100), (240, 120, 20), (235, 235, 235), (30, 130, 40)], np.float32)
    image = colors[labels] + random.normal(0, 8, (height, width, 3))
    ys, xs = np.nonzero(labels == 1)
    ball = BallTruth(float(x), float(y), float(radius), 1.0, float(xs.mean()), float(ys.mean()))
    return image.clip(0, 255).astype(np.uint8), labels, ball


@pytest.fixture(scope='session')
def shapes_dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('shapes')
    with DatasetWriter(root) as writer:
        for index in range(12):
            image, labels, ball = draw_sample(index)
            split = 'train' if index < 8 else 'val'
            writer.add(f'{index:03}', image, labels, split=split, balls=[ball], group=f'{split}-{index % 3}')
    return root
