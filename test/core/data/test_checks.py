"""The check of a data set: every fault is named with its file, and unchanged files are not opened again."""

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest

from minisegnet_core.data import checks
from minisegnet_core.data.checks import check_dataset, never_shown
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError


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


def opened_names(root, splits=('train', 'val')):
    opened = []
    check_dataset(open_dataset(root), splits, lambda samples: opened.extend(samples) or samples)
    return [sample.name for sample in opened]


def test_files_that_passed_are_opened_again_only_after_a_change(root):
    assert opened_names(root) == ['n0', 'n1', 'n2', 'n3', 'n4', 'n5']
    assert opened_names(root) == []
    os.utime(root / 'labels/n2.png', ns=(5, 5))
    assert opened_names(root) == ['n2']


def test_classes_that_no_label_shows_are_returned_by_split_with_and_without_opening_files(root):
    labels = np.zeros((40, 48), np.uint8)
    labels[30:, 2] = 2
    labels[:2] = 255
    cv2.imwrite(str(root / 'labels/n4.png'), labels)
    dataset = open_dataset(root)
    expected = {'train': ('ball', 'line'), 'val': ('ball',)}
    assert [check_dataset(dataset), check_dataset(dataset)] == [expected, expected]
    assert opened_names(root) == []
    absent = replace(dataset, absent={'ball': 'field'})
    assert check_dataset(absent) == {'train': ('line',), 'val': ()}


def test_warnings_name_the_classes_that_no_label_shows():
    assert never_shown(('ball', 'line'), ('ball', 'field')) == [
        'no training label shows ball, line: the network cannot learn them',
        'no validation label shows field: validation cannot measure it',
    ]
    assert never_shown((), ()) == []


def test_records_of_older_versions_are_not_used(root):
    opened_names(root)
    record = root / checks.RECORD
    older = {name: entry['state'] for name, entry in json.loads(record.read_text()).items()}
    record.write_text(json.dumps(older))
    assert len(opened_names(root)) == 6
    assert opened_names(root) == []


def damage_no_label(root):
    (root / 'labels/n1.png').unlink()
    return r'cannot read image .*n1\.png: No such file'


def damage_size(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.zeros((10, 12), np.uint8))
    return r'n1\.png is 12x10, but its image is 48x40'


def damage_ids(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.full((40, 48), 4, np.uint8))
    return r'n1\.png has ids \[4\], which are neither a class \(0\.\.3\) nor ignore'


def damage_image(root):
    (root / 'images/n1.jpg').write_bytes(b'GIF89a nothing')
    return r'n1\.jpg is damaged, or OpenCV does not read its format'


def damage_truncated(root):
    data = (root / 'images/n1.jpg').read_bytes()
    (root / 'images/n1.jpg').write_bytes(data[: len(data) * 2 // 3])
    return r'n1\.jpg is truncated'


def damage_orphan(root):
    cv2.imwrite(str(root / 'labels/lost.png'), np.zeros((40, 48), np.uint8))
    return r'labels without an image; .*: \n.*lost\.png'


@pytest.mark.parametrize(
    'damage', [damage_no_label, damage_size, damage_ids, damage_image, damage_truncated, damage_orphan]
)
def test_faults_are_named_with_their_file(root, damage):
    message = damage(root)
    for _ in range(2):  # a file with faults is not recorded as checked
        with pytest.raises(DatasetError, match=message):
            opened_names(root)


def test_one_message_lists_the_first_faults_and_the_number_of_the_others(root, monkeypatch):
    monkeypatch.setattr(checks, 'MAX_FAULTS', 2)
    for index in range(4):
        cv2.imwrite(str(root / f'labels/n{index}.png'), np.full((40, 48), 9, np.uint8))
    with pytest.raises(DatasetError, match=r'n0\.png(.|\n)*n1\.png(.|\n)*and 2 more'):
        opened_names(root)


def test_an_empty_split_is_named(root):
    with pytest.raises(DatasetError, match="no images in its split 'test'"):
        opened_names(root, ('train', 'test'))


def test_a_group_in_two_splits_is_rejected(tmp_path):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', group='final')
        writer.add('b', image, labels, split='val', group='final')
    with pytest.raises(DatasetError, match=r"group 'final' \(train, val\) in several splits"):
        opened_names(tmp_path)


@pytest.mark.parametrize(('seconds', 'group', 'good'), [(0.4, None, False), (1.0, None, True), (0.4, 'own', True)])
def test_near_frames_without_a_group_are_rejected_in_different_splits(tmp_path, seconds, group, good):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', stamp=5_000_000_000)
        writer.add('b', image, labels, split='val', stamp=5_000_000_000 + int(seconds * 1e9), group=group)
    if good:
        opened_names(tmp_path)
    else:
        with pytest.raises(DatasetError, match=r'a \(train\) and b \(val\) are in different splits, less than 1 s'):
            opened_names(tmp_path)


def test_without_a_record_all_files_are_opened_again(root, monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError('read-only')

    monkeypatch.setattr('pathlib.Path.mkdir', refuse)
    assert len(opened_names(root)) == len(opened_names(root)) == 6


def test_labels_that_show_an_absent_class_are_named(root):
    cv2.imwrite(str(root / 'labels/n1.png'), np.full((40, 48), 1, np.uint8))
    dataset = replace(open_dataset(root), absent={'ball': 'field'})
    for _ in range(2):  # the second time without opening a file
        with pytest.raises(DatasetError, match=r'n1\.png shows ball, which dataset\.yaml calls absent'):
            check_dataset(dataset)


def test_truncation_is_detected_by_content_not_by_suffix(root):
    image = np.random.default_rng(3).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    png = cv2.imencode('.png', image)[1].tobytes()
    (root / 'images/n0.jpg').write_bytes(png + b'\xff\xda')
    assert opened_names(root)
    (root / 'images/n0.jpg').unlink()
    (root / 'images/n0.png').write_bytes(cv2.imencode('.jpg', image)[1].tobytes()[:-40])
    with pytest.raises(DatasetError, match=r'n0\.png is truncated'):
        opened_names(root)
