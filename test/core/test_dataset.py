"""Data sets on disk: what is written is read, what is wrong is named, the half-resolution copy is kept and remade."""

import os
import re

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.dataset import DatasetWriter, open_dataset, write_image
from minisegnet_core.data.half_resolution import half_resolution_images
from minisegnet_core.errors import DatasetError

BALL = BallTruth(10.5, 20.25, 4.125, 0.75, 10.0, 19.5)


@pytest.fixture
def root(tmp_path):
    image = np.arange(30 * 41 * 3, dtype=np.uint32).reshape(30, 41, 3).astype(np.uint8)
    labels = np.full((30, 41), 3, np.uint8)
    labels[3:9, 4:20] = 1
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', group='hall', balls=[BALL], stamp=7, extension='png')
        writer.add('b', image[::-1], labels, split='val', extension='png')
    return tmp_path


def rewrite(root, **changes):
    content = yaml.safe_load((root / 'dataset.yaml').read_text())
    (root / 'dataset.yaml').write_text(yaml.safe_dump({**content, **changes}))


def test_round_trip(root):
    dataset = open_dataset(root)
    (sample,) = dataset.split('train')
    assert (sample.name, sample.group, sample.stamp, sample.balls) == ('a', 'hall', 7, (BALL,))
    image, labels = sample.read()
    assert image[0, 1].tolist() == [3, 4, 5]
    assert labels[5, 5] == 1
    assert dataset.split('val')[0].balls is None
    assert dataset.classes.names == ('background', 'ball', 'line', 'field')


def test_absent_class_is_predicted_as_what_stands_for_it(root):
    rewrite(root, absent={'ball': 'field'})
    mapped = open_dataset(root).map_absent(np.array([[0, 1, 2, 3]], np.uint8))
    assert mapped.tolist() == [[0, 3, 2, 3]]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'split': {'train': ['a'], 'val': ['a']}}, "'a' stands in both train and val"),
        ({'split': {'train': ['gone']}}, r"names 'gone', but images/ has no gone\.jpg"),
        ({'split': {'training': ['a']}}, r"unknown splits \['training'\]"),
        ({'classes': [{'name': 'x'}]}, 'classes must be a list'),
        ({'classes': None}, 'could not be used'),
        ({'absent': {'goal': 'field'}}, "absent names 'goal'"),
        ({'ignore': 0}, 'ignore must be 255'),
    ],
)
def test_wrong_index_is_named(root, changes, message):
    rewrite(root, **changes)
    with pytest.raises(DatasetError, match=message):
        open_dataset(root)


def test_missing_index_says_how_to_get_one(tmp_path):
    with pytest.raises(DatasetError, match='minisegnet synthesize'):
        open_dataset(tmp_path)


def test_empty_split_is_named(root):
    with pytest.raises(DatasetError, match=re.escape("its split 'test'; it has train: 1, val: 1, test: 0")):
        open_dataset(root).split('test')


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.zeros((10, 10), np.uint8), '10x10, its image 41x30'),
        (np.zeros((30, 41, 3), np.uint8), 'one channel of 8-bit class ids'),
        (np.zeros((30, 41), np.uint16), 'one channel of 8-bit class ids'),
        (None, 'missing or no PNG'),
    ],
)
def test_wrong_label_files_are_named(root, labels, message):
    path = root / 'labels' / 'a.png'
    path.unlink()
    if labels is not None:
        cv2.imwrite(str(path), labels)
    with pytest.raises(DatasetError, match=message):
        open_dataset(root).split('train')[0].read()


def test_damaged_annotation_is_named_by_line(root):
    with (root / 'annotations.jsonl').open('a') as file:
        file.write('{"name": \n')
    with pytest.raises(DatasetError, match='line 3'):
        open_dataset(root)


def test_half_resolution_copy(root, tmp_path):
    samples = open_dataset(root).split('train')
    made = []

    def watch(stale):
        made.append([s.name for s in stale])
        return stale

    folder = tmp_path / 'half'
    paths = half_resolution_images(samples, folder, watch)
    assert cv2.imread(str(paths['a'])).shape == (15, 21, 3)  # rounded up, so that the label grids fit
    half_resolution_images(samples, folder, watch)
    assert made == [['a']]  # kept
    write_image(samples[0].image_path, np.zeros((30, 41, 3), np.uint8))
    os.utime(samples[0].image_path, ns=(1, 1))
    paths = half_resolution_images(samples, folder, watch)
    assert made == [['a'], ['a']]  # remade
    assert cv2.imread(str(paths['a'])).max() == 0
    paths['a'].unlink()
    assert half_resolution_images(samples, folder, watch)['a'].is_file()


def test_labels_are_never_interpolated_in_training(root):
    pytest.importorskip('torch', reason='training needs PyTorch')
    from minisegnet_core.data.loading import SegmentationDataset

    dataset = open_dataset(root)
    data = SegmentationDataset(dataset.split('train'), dataset.classes, augment=True, seed=1)
    seen = set()
    for epoch in range(20):
        data.epoch = epoch
        image, target, _ = data[0]
        assert image.shape == (3, 30, 41)
        assert set(target.unique().tolist()) == {1, 3}
        seen.add(tuple(target[1].tolist()))
    assert len(seen) == 2  # as it is, and mirrored: reduced after mirroring, since 41 is no multiple of four
    again = SegmentationDataset(dataset.split('train'), dataset.classes, augment=True, seed=1)
    again.epoch = 19
    assert (again[0][0] == image).all()
