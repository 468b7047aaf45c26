"""Writing of data sets: appending, absent classes, and a full disk."""

import errno

import numpy as np
import pytest

from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError, OutputError
from support.shapes import BALL


def test_appending_keeps_the_existing_images(root):
    image, labels = np.full((8, 8, 3), 9, np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(root, append=True) as writer:
        assert 'a' in writer
        with pytest.raises(DatasetError, match="an image 'a' already"):
            writer.add('a', image, labels, split='train')
        writer.add('c', image, labels, split='train', group='lab')
    dataset = open_dataset(root)
    assert [s.name for s in dataset.split('train')] == ['a', 'c']
    assert dataset.split('train')[0].balls == (BALL,)
    assert dataset.split('train')[1].group == 'lab'


def test_appending_keeps_annotations_that_are_not_minisegnets(root):
    path = root / 'annotations.jsonl'
    first, second = path.read_text().splitlines()
    path.write_text(f'{first[:-1]}, "weather": "rain"}}\n{second}\n')
    before = path.read_text()
    with DatasetWriter(root, append=True):
        pass
    assert path.read_text() == before


def test_appending_other_classes_or_absent_classes_is_rejected(root):
    two = ClassSet((SegmentationClass('grass', (0, 9, 0)), SegmentationClass('rest', (0, 0, 0))))
    with pytest.raises(DatasetError, match='they must be the same'):
        DatasetWriter(root, two, append=True)
    with pytest.raises(DatasetError, match='keep them as two data sets'):
        DatasetWriter(root, absent={'ball': 'field'}, append=True)
    with pytest.raises(DatasetError, match="absent names 'goal'"):
        DatasetWriter(root, absent={'goal': 'field'})


def test_absent_classes_are_written(tmp_path):
    with DatasetWriter(tmp_path, absent={'ball': 'field'}):
        pass
    assert open_dataset(tmp_path).absent == {'ball': 'field'}


def test_labels_of_another_size_than_the_image_are_rejected(tmp_path):
    with pytest.raises(DatasetError, match=r"labels of 'a' have the shape \(8, 9\), but its image has \(8, 8\)"):
        DatasetWriter(tmp_path).add('a', np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9), np.uint8), split='val')


def test_a_full_disk_is_named_and_leaves_the_data_set_unchanged(root, monkeypatch):
    before = (root / 'dataset.yaml').read_bytes()

    def full(path, *arguments):
        raise OSError(errno.ENOSPC, 'No space left on device')

    writer = DatasetWriter(root, append=True)
    monkeypatch.setattr('pathlib.Path.open', full)
    with pytest.raises(OutputError, match=r'cannot write .*c\.png: No space left on device'):
        writer.add('c', np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), split='val')
    monkeypatch.undo()
    assert (root / 'dataset.yaml').read_bytes() == before
