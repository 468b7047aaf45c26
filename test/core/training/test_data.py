"""What a training reports about its data before the first step."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.losses import weights_from_fractions
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


def class_weights_of_a_run(tmp_path, names, **changes):
    """Train one epoch on equal stripes of some classes; return the weights of the cross-entropy and the messages."""
    listener = Listener()
    classes = ClassSet(tuple(SegmentationClass(name, (9 * i, 0, 0)) for i, name in enumerate(names)))
    labels = np.arange(4, dtype=np.uint8).repeat(24)[:, None].repeat(128, 1) % len(names)
    with DatasetWriter(tmp_path / 'data', classes) as writer:
        for name, split in (('a', 'train'), ('b', 'train'), ('c', 'val')):
            writer.add(name, np.zeros((96, 128, 3), np.uint8), labels, split=split)
    off = StageConfig(epochs=0)
    two = StageConfig(epochs=1, batch_size=2, resolution='half')
    config = tiny_training(
        tmp_path / 'data', tmp_path / 'run', stage1=two, stage2=off, stage3=off, cache_gb=0.0, **changes
    )
    train(config, reporter=listener)
    state = read_training_state(tmp_path / 'run' / 'last.ckpt')
    return dict(zip(names, state['class_weights'], strict=True)), listener.texts


def test_the_default_weights_of_soccer_classes_go_by_name(tmp_path):
    weights, texts = class_weights_of_a_run(tmp_path, ('field', 'line', 'background', 'ball'))
    assert weights == {'field': 1, 'line': 2, 'background': 1, 'ball': 3}
    assert texts == []


@pytest.mark.parametrize('names', [('sky', 'tree', 'road', 'car'), ('sky', 'ball', 'road'), ('sky', 'road')])
def test_other_classes_never_get_the_weights_of_soccer_by_default(tmp_path, names):
    weights, texts = class_weights_of_a_run(tmp_path, names)
    expected = weights_from_fractions([2 / 4, 1 / 4, 1 / 4] if len(names) == 3 else [1 / len(names)] * len(names))
    assert list(weights.values()) == pytest.approx(expected)
    assert len(texts) == 1 and texts[0].startswith(f'class weights from the data: {names[0]} 1.00, ')


def test_class_weights_can_be_named(tmp_path):
    weights, texts = class_weights_of_a_run(tmp_path, ('sky', 'tree', 'road'), class_weights={'tree': 3, 'road': 0.5})
    assert weights == {'sky': 1, 'tree': 3, 'road': 0.5}
    assert texts == []


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'tre': 3.0}, "class_weights names 'tre', which is not a class; did you mean tree"),
        ({'sky': 0.0, 'tree': 0.0, 'road': 0.0}, 'class_weights is 0 for every class'),
        ([1.0, 3.0, 2.0, 1.0], 'class_weights has 4 numbers, but the data set has 3 classes'),
    ],
)
def test_class_weights_that_do_not_fit_the_classes_are_refused(tmp_path, weights, message):
    with pytest.raises(ConfigurationError, match=message):
        class_weights_of_a_run(tmp_path, ('sky', 'tree', 'road'), class_weights=weights)
