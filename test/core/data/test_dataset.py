"""Data sets on disk: what was written is read, and faults of the index are named."""

import re

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.data.dataset import open_dataset, read_classes
from minisegnet_core.errors import DatasetError
from support.shapes import BALL


def rewrite(root, **changes):
    content = yaml.safe_load((root / 'dataset.yaml').read_text())
    (root / 'dataset.yaml').write_text(yaml.safe_dump({**content, **changes}))


def test_a_written_data_set_is_read_back(root):
    dataset = open_dataset(root)
    (sample,) = dataset.split('train')
    assert (sample.name, sample.group, sample.stamp, sample.balls) == ('a', 'hall', 7, (BALL,))
    image, labels = sample.read()
    assert image[0, 1].tolist() == [3, 4, 5]
    assert labels[5, 5] == 1
    assert dataset.split('val')[0].balls is None
    assert dataset.classes.names == ('background', 'ball', 'line', 'field')


def test_an_absent_class_is_replaced_in_predictions(root):
    rewrite(root, absent={'ball': 'field'})
    mapped = open_dataset(root).map_absent(np.array([[0, 1, 2, 3]], np.uint8))
    assert mapped.tolist() == [[0, 3, 2, 3]]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'split': {'train': ['a'], 'val': ['a']}}, "lists 'a' twice, in train and val"),
        ({'split': {'train': ['gone']}}, r"names 'gone', but images/ has no gone\.jpg"),
        ({'split': {'training': ['a']}}, r"unknown splits \['training'\]"),
        ({'classes': [{'name': 'x'}]}, 'must be a list of {name: word'),
        ({'classes': None}, 'has no list of classes'),
        ({'absent': {'goal': 'field'}}, "absent names 'goal', which is not a class"),
        ({'absent': {'ball': 'ball'}}, "absent maps 'ball' to 'ball', which is absent itself"),
        ({'absent': {'ball': 'line', 'line': 'field'}}, "absent maps 'ball' to 'line'"),
        ({'split': {'train': [10], 'val': ['b']}}, 'names 10, which YAML does not read as text; quote it'),
        ({'split': {'train': 'a', 'val': ['b']}}, "split train is 'a', but must be a list of names"),
        ({'split': None}, 'has no split'),
        ({'absent': 'ball'}, 'must be a mapping'),
        ({'ignore': 0}, 'ignore is 0, but must be 255'),
    ],
)
def test_a_wrong_index_is_named(root, changes, message):
    rewrite(root, **changes)
    with pytest.raises(DatasetError, match=message):
        open_dataset(root)


def test_an_index_that_is_not_yaml_is_named(root):
    for text, message in (('{', 'is not valid YAML'), ('[1]', 'must be a mapping'), ('', 'must be a mapping')):
        (root / 'dataset.yaml').write_text(text)
        with pytest.raises(DatasetError, match=message):
            open_dataset(root)


def test_the_classes_of_a_file_are_read_without_its_images(tmp_path):
    path = tmp_path / 'classes.yaml'
    path.write_text('classes: [{name: floor, color: [1, 2, 3]}, {name: goal, color: [4, 5, 6]}]')
    assert read_classes(path).names == ('floor', 'goal')


def test_a_missing_index_suggests_rendering_a_data_set(tmp_path):
    with pytest.raises(DatasetError, match='minisegnet synthesize'):
        open_dataset(tmp_path)


def test_an_empty_split_is_named(root):
    with pytest.raises(DatasetError, match=re.escape("its split 'test'; it has train: 1, val: 1, test: 0")):
        open_dataset(root).split('test')


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.zeros((10, 10), np.uint8), '10x10, but its image is 41x30'),
        (np.zeros((30, 41, 3), np.uint8), 'one channel of 8-bit class ids'),
        (np.zeros((30, 41), np.uint16), 'one channel of 8-bit class ids'),
        (None, 'No such file or directory; it must be a label file'),
    ],
)
def test_wrong_label_files_are_named(root, labels, message):
    path = root / 'labels' / 'a.png'
    path.unlink()
    if labels is not None:
        cv2.imwrite(str(path), labels)
    with pytest.raises(DatasetError, match=message):
        open_dataset(root).split('train')[0].read()


def test_two_images_of_one_name_are_rejected(root):
    cv2.imwrite(str(root / 'images' / 'a.jpg'), np.zeros((30, 41, 3), np.uint8))
    with pytest.raises(DatasetError, match=r'has both a\.jpg and a\.png, but a label belongs to one image'):
        open_dataset(root)
