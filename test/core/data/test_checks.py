"""A data set is looked through before hours are spent on it; splits go by group and stay."""

import json
import os
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.data import checks as check
from minisegnet_core.data.checks import check_dataset
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.split import group_of, split_of
from minisegnet_core.data.statistics import class_shares
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, DatasetError


@pytest.fixture
def root(tmp_path):
    random = np.random.default_rng(0)
    with DatasetWriter(tmp_path) as writer:
        for index in range(6):
            image = random.integers(0, 256, (40, 48, 3)).astype(np.uint8)
            labels = np.full((40, 48), 3, np.uint8)
            labels[:20] = 0
            split = 'train' if index < 4 else 'val'
            writer.add(f'n{index}', image, labels, split=split, group=f'g{index // 2}')
    return tmp_path


def looked_at(root, splits=('train', 'val')):
    opened = []
    check_dataset(open_dataset(root), splits, lambda samples: opened.extend(samples) or samples)
    return [sample.name for sample in opened]


def test_a_good_data_set_is_opened_once(root):
    assert looked_at(root) == ['n0', 'n1', 'n2', 'n3', 'n4', 'n5']
    assert looked_at(root) == []
    os.utime(root / 'labels/n2.png', ns=(5, 5))
    assert looked_at(root) == ['n2']


def test_classes_that_no_label_shows_are_told_by_split_also_of_files_not_opened_again(root):
    labels = np.zeros((40, 48), np.uint8)
    labels[30:, 2] = 2
    labels[:2] = 255
    cv2.imwrite(str(root / 'labels/n4.png'), labels)
    dataset = open_dataset(root)
    expected = {'train': ('ball', 'line'), 'val': ('ball',)}
    assert [check_dataset(dataset), check_dataset(dataset)] == [expected, expected]
    assert looked_at(root) == []
    absent = replace(dataset, absent={'ball': 'field'})
    assert check_dataset(absent) == {'train': ('line',), 'val': ()}


def test_records_of_older_versions_are_not_believed(root):
    looked_at(root)
    record = root / check.RECORD
    older = {name: entry['state'] for name, entry in json.loads(record.read_text()).items()}
    record.write_text(json.dumps(older))
    assert len(looked_at(root)) == 6
    assert looked_at(root) == []


def damage_no_label(root):
    (root / 'labels/n1.png').unlink()
    return r'n1\.png is missing'


def damage_size(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.zeros((10, 12), np.uint8))
    return r'n1\.png is 12x10, its image 48x40'


def damage_ids(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.full((40, 48), 4, np.uint8))
    return r'n1\.png has ids \[4\], which are neither a class \(0\.\.3\) nor ignore'


def damage_image(root):
    (root / 'images/n1.jpg').write_bytes(b'\xff\xd8nothing')
    return r'n1\.jpg is missing or not an image'


def damage_cut_off(root):
    data = (root / 'images/n1.jpg').read_bytes()
    (root / 'images/n1.jpg').write_bytes(data[: len(data) * 2 // 3])
    return r'n1\.jpg breaks off'


def damage_orphan(root):
    cv2.imwrite(str(root / 'labels/lost.png'), np.zeros((40, 48), np.uint8))
    return r'labels without an image: \n.*lost\.png'


@pytest.mark.parametrize(
    'damage', [damage_no_label, damage_size, damage_ids, damage_image, damage_cut_off, damage_orphan]
)
def test_faults_are_named_with_their_file(root, damage):
    message = damage(root)
    for _ in range(2):  # a bad file is not remembered as good
        with pytest.raises(DatasetError, match=message):
            looked_at(root)


def test_all_faults_are_told_at_once_but_not_hundreds(root, monkeypatch):
    monkeypatch.setattr(check, 'MOST_FAULTS', 2)
    for index in range(4):
        cv2.imwrite(str(root / f'labels/n{index}.png'), np.full((40, 48), 9, np.uint8))
    with pytest.raises(DatasetError, match=r'n0\.png(.|\n)*n1\.png(.|\n)*and 2 more'):
        looked_at(root)


def test_an_empty_split_is_named(root):
    with pytest.raises(DatasetError, match="no images in its split 'test'"):
        looked_at(root, ('train', 'test'))


def test_a_group_on_both_sides_is_refused(tmp_path):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', group='final')
        writer.add('b', image, labels, split='val', group='final')
    with pytest.raises(DatasetError, match=r"group 'final' \(train, val\) on both sides"):
        looked_at(tmp_path)


@pytest.mark.parametrize(('seconds', 'group', 'good'), [(0.4, None, False), (1.0, None, True), (0.4, 'own', True)])
def test_near_frames_without_a_group_are_refused(tmp_path, seconds, group, good):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', stamp=5_000_000_000)
        writer.add('b', image, labels, split='val', stamp=5_000_000_000 + int(seconds * 1e9), group=group)
    if good:
        looked_at(tmp_path)
    else:
        with pytest.raises(DatasetError, match=r'a \(train\) and b \(val\) lie within 1 s'):
            looked_at(tmp_path)


def test_a_folder_that_cannot_be_written_is_only_looked_at_again(root, monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError('read-only')

    monkeypatch.setattr('pathlib.Path.mkdir', refuse)
    assert len(looked_at(root)) == len(looked_at(root)) == 6


def test_split_by_hash_is_pinned():
    # Recorded once: a change would move images between splits of everybody's data sets.
    groups = ['final', 'semifinal', 'lab', 'montreal_1', '2019', '2023', 'hall']
    assert [split_of(g, 0.3, 0.2) for g in groups] == ['test', 'val', 'train', 'test', 'val', 'train', 'val']
    assert split_of('lab', 0.0) == 'train'
    assert split_of('lab', 1.0) == 'val'
    with pytest.raises(ConfigurationError, match=r'must be 0\.\.1'):
        split_of('lab', 0.8, 0.3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.integers(0, 5))
def test_adding_groups_moves_none(groups, seed):
    before = {g: split_of(g, 0.3, 0.1, seed) for g in groups[: len(groups) // 2]}
    after = {g: split_of(g, 0.3, 0.1, seed) for g in groups}
    assert all(after[g] == split for g, split in before.items())
    # A larger validation share takes from the others and gives nothing back.
    assert all(split_of(g, 0.5, 0.1, seed) == 'val' for g, split in after.items() if split == 'val')


def test_shares_come_out_over_many_groups():
    splits = [split_of(f'group {i}', 0.2, 0.1) for i in range(2000)]
    assert 0.17 < splits.count('val') / 2000 < 0.23
    assert 0.08 < splits.count('test') / 2000 < 0.12


def test_names_carry_groups():
    assert group_of('20190606_r2_cam0', r'^(\d+)_') == '20190606'
    assert group_of('anything', None) is None
    with pytest.raises(DatasetError, match='does not fit'):
        group_of('frame', r'^(\d+)_')
    with pytest.raises(ConfigurationError, match='needs parentheses'):
        group_of('frame', r'^\d+_')
    with pytest.raises(ConfigurationError, match='no regular expression'):
        group_of('frame', r'(')


def test_class_shares_by_hand(root, tmp_path):
    dataset = open_dataset(root)
    # 40 rows of 48 columns: 10 x 12 blocks, the upper five rows background, the lower five field.
    np.testing.assert_allclose(class_shares(dataset.split('train'), dataset.classes), [0.5, 0, 0, 0.5])
    labels = np.full((40, 48), 255, np.uint8)
    labels[:4, :4] = 1
    labels[4:8, :12] = 2
    cv2.imwrite(str(root / 'labels/n0.png'), labels)
    np.testing.assert_allclose(class_shares(dataset.split('train')[:1], dataset.classes), [0, 0.25, 0.75, 0])
    cv2.imwrite(str(root / 'labels/n0.png'), np.full((40, 48), 255, np.uint8))
    with pytest.raises(DatasetError, match='nothing to learn'):
        class_shares(dataset.split('train')[:1], dataset.classes)
    cv2.imwrite(str(root / 'labels/n0.png'), np.full((40, 48), 77, np.uint8))
    with pytest.raises(DatasetError, match=re.escape('n0.png: label ids [77]')):
        class_shares(dataset.split('train')[:1], dataset.classes)


def test_labels_of_a_class_that_is_called_absent_are_named(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.full((40, 48), 1, np.uint8))
    dataset = replace(open_dataset(root), absent={'ball': 'field'})
    for _ in range(2):  # also where no file is opened again
        with pytest.raises(DatasetError, match=r'n1\.png shows ball, which dataset\.yaml calls absent'):
            check_dataset(dataset)


def test_files_are_known_by_content_not_by_their_names(root):
    """A PNG called .jpg was refused as cut off where its bytes looked so; a cut-off JPEG called .png was not."""
    image = np.random.default_rng(3).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    png = cv2.imencode('.png', image)[1].tobytes()
    (root / 'images/n0.jpg').write_bytes(png + b'\xff\xda')
    assert looked_at(root)
    (root / 'images/n0.jpg').unlink()
    (root / 'images/n0.png').write_bytes(cv2.imencode('.jpg', image)[1].tobytes()[:-40])
    with pytest.raises(DatasetError, match=r'n0\.png breaks off'):
        looked_at(root)
