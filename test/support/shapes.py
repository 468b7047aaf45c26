"""A tiny data set of simple shapes that a network can learn in seconds, and a training of a few steps on it.

This is not in conftest.py because child processes of tests import it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.training.config import StageConfig, TrainConfig

WIDTH, HEIGHT = 128, 96

BALL = BallTruth(10.5, 20.25, 4.125, 0.75, 10.0, 19.5)
"""The ball of the small data set of test/core/data."""


def draw_sample(seed: int, width: int = WIDTH, height: int = HEIGHT):
    """Return (image, labels, ball) with a green field below a grey wall, a white line and an orange ball."""
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


def write_shapes(root: Path, group_of: Callable[[int, str], str | None]) -> Path:
    """Write eight training and four validation images; ``group_of`` gives the group of (index, split)."""
    with DatasetWriter(root) as writer:
        for index in range(12):
            image, labels, ball = draw_sample(index)
            split = 'train' if index < 8 else 'val'
            writer.add(f'{index:03}', image, labels, split=split, balls=[ball], group=group_of(index, split))
    return root


def tiny_training(data: Path, output: Path, **changes: Any) -> TrainConfig:
    """Return the settings of a few steps: one epoch of each stage, in this process, on the CPU, with ``changes``."""
    stage = StageConfig(epochs=1, batch_size=4, lr=2e-3, base_lr=2e-4, cycle_epochs=1)
    settings: dict[str, Any] = {
        'encoder_weights': 'none',
        'stage1': stage,
        'stage2': stage,
        'stage3': replace(stage, resolution='full'),
        'workers': 0,
        'precision': 'float32',
        'device': 'cpu',
        'tensorboard': False,
        'curves': False,
    }
    return TrainConfig(data=str(data), output=str(output), **{**settings, **changes})
