"""minisegnet: real-time semantic segmentation and ball detection for robot soccer. This package knows no ROS.

The names below are the public API. Each is imported when it is first used, so ``import minisegnet_core`` loads neither
PyTorch nor OpenCV nor OpenVINO.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minisegnet_core.ball import Ball
    from minisegnet_core.classes import ClassSet
    from minisegnet_core.evaluation.run import evaluate
    from minisegnet_core.inference.segmenter import Segmentation, Segmenter
    from minisegnet_core.training.config import TrainConfig
    from minisegnet_core.training.trainer import train

__version__ = '0.1.0'

__all__ = ['Ball', 'ClassSet', 'Segmentation', 'Segmenter', 'TrainConfig', 'evaluate', 'train']

_HOMES = {
    'Ball': 'ball',
    'ClassSet': 'classes',
    'Segmentation': 'inference.segmenter',
    'Segmenter': 'inference.segmenter',
    'TrainConfig': 'training.config',
    'evaluate': 'evaluation.run',
    'train': 'training.trainer',
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
