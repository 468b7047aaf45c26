"""What a training reports about its data before the first step."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.trainer import train
from support.shapes import draw_sample, tiny_training


class Listener(Silence):
    """Keeps the messages of a training."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)


def test_classes_that_no_label_shows_are_reported(tmp_path):
    labels = np.zeros((96, 128), np.uint8)
    with DatasetWriter(tmp_path / 'data') as writer:
        for name, split, ids in (('a', 'train', 2), ('b', 'train', 2), ('c', 'val', 0)):
            labels[40:60] = ids
            writer.add(name, np.zeros((96, 128, 3), np.uint8), labels, split=split)
    two, off = StageConfig(epochs=1, batch_size=2), StageConfig(epochs=0)
    for run in ('first', 'second'):  # the second run does not open the files again
        listener = Listener()
        stages = {'stage1': off, 'stage2': two, 'stage3': off}
        train(tiny_training(tmp_path / 'data', tmp_path / run, cache_gb=0.0, **stages), reporter=listener)
        assert listener.texts == [
            'no training label shows ball, field: the network cannot learn them',
            'no validation label shows line: validation cannot measure it',
        ]


def test_few_images_are_reported_and_too_few_refused(tmp_path):
    with DatasetWriter(tmp_path / 'data') as writer:
        for index, split in enumerate(['train', 'train', 'train', 'val']):
            image, labels, ball = draw_sample(index)
            writer.add(f'{index}', image, labels, split=split, balls=[ball])
    listener = Listener()
    some = StageConfig(epochs=1, batch_size=4, images=100, resolution='half')
    off = StageConfig(epochs=0)
    config = tiny_training(tmp_path / 'data', tmp_path / 'run', stage1=some, stage2=off, stage3=off, cache_gb=0.0)
    train(config, reporter=listener)
    assert listener.texts == [
        'stage1: the batch size is 3, the number of training images, instead of 4',
        'stage1: an epoch has 3 images, all training images, instead of 100',
    ]
    parts = replace(some, accumulation=2)
    with pytest.raises(ConfigurationError, match=r'stage1 has 3 training images.*in 2 parts .*at least 4'):
        train(tiny_training(tmp_path / 'data', tmp_path / 'two', stage1=parts, stage2=off, stage3=off))


def test_class_weights_meant_for_other_classes_are_reported(tmp_path):
    listener = Listener()
    names = ('field', 'line', 'background', 'ball')
    classes = ClassSet(tuple(SegmentationClass(name, (9 * i, 0, 0)) for i, name in enumerate(names)))
    labels = np.arange(4, dtype=np.uint8).repeat(24)[:, None].repeat(128, 1)
    with DatasetWriter(tmp_path / 'data', classes) as writer:
        for name, split in (('a', 'train'), ('b', 'train'), ('c', 'val')):
            writer.add(name, np.zeros((96, 128, 3), np.uint8), labels, split=split)
    off = StageConfig(epochs=0)
    two = StageConfig(epochs=1, batch_size=2, resolution='half')
    config = tiny_training(tmp_path / 'data', tmp_path / 'run', stage1=two, stage2=off, stage3=off, cache_gb=0.0)
    train(config, reporter=listener)
    assert listener.texts == [
        'class_weights 1, 3, 2, 1 are meant for background, ball, line, field, but the classes are field, line, '
        'background, ball; --class-weights auto takes them from the data'
    ]
