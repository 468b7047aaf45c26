"""Data sets on disk: what is written is read, what is wrong is named."""

import errno
import json
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import ClassSet, SegmentationClass
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError
from minisegnet_core.imaging import read_labels

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
        ({'absent': {'ball': 'ball'}}, "absent has 'ball' drawn instead of 'ball', but that is absent itself"),
        ({'absent': {'ball': 'line', 'line': 'field'}}, "'line' drawn instead of 'ball'"),
        ({'split': {'train': [10], 'val': ['b']}}, 'names 10, which YAML reads as no text; put names in quotes'),
        ({'split': {'train': 'a', 'val': ['b']}}, "split train is 'a'; it must be a list of names"),
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


def write_png(path, bits, color_type, palette=b''):
    """A PNG of 41 x 30 pixels, all of id 1, in grey (0) or with a palette (3)."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', 41, 30, bits, color_type, 0, 0, 0)
    row = np.packbits(np.tile([0] * (bits - 1) + [1], 41).astype(np.uint8)).tobytes()
    chunks = [chunk(b'IHDR', header), chunk(b'PLTE', palette) if palette else b'']
    chunks += [chunk(b'IDAT', zlib.compress((b'\0' + row) * 30)), chunk(b'IEND', b'')]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_labels_of_fewer_than_eight_bits_are_refused(tmp_path, bits):
    path = tmp_path / 'a.png'
    write_png(path, bits, 0)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).max() == 255 // (2**bits - 1)  # what would be read, not 1
    with pytest.raises(DatasetError, match=rf'a\.png has {bits}-bit grey.*save it with 8 bits'):
        read_labels(path)
    write_png(path, 8, 0)
    assert np.array_equal(read_labels(path, (30, 41)), np.ones((30, 41)))


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_labels_with_a_palette_are_refused_as_the_colours_they_are_read_as(tmp_path, bits):
    path = tmp_path / 'a.png'
    write_png(path, bits, 3, bytes([0, 0, 0, 1, 1, 1]))
    with pytest.raises(DatasetError, match=r'one channel of 8-bit class ids; it is uint8 \(30, 41, 3\)'):
        read_labels(path)


def test_damaged_annotation_is_named_by_line(root):
    whole = (root / 'annotations.jsonl').read_text()
    for line, reason in (('{"name": ', 'Expecting value'), ('[1]', 'no object with a name'), ('{}', 'no object with')):
        (root / 'annotations.jsonl').write_text(f'{whole}{line}\n')
        with pytest.raises(DatasetError, match=f'line 3 is no annotation: .*{reason}'):
            open_dataset(root)


def annotated(root, entry):
    (root / 'annotations.jsonl').write_text(json.dumps({'name': 'a', **entry}) + '\n')
    return open_dataset(root).split('train')[0]


def test_what_is_not_known_of_an_image_is_null_or_left_out(root):
    whole = (BallTruth(8.0, 9.0, 3.0, 1.0, 8.0, 9.0),)
    assert annotated(root, {'balls': [{'x': 8, 'y': 9, 'radius': 3}]}).balls == whole
    assert (
        annotated(root, {'balls': [{'x': 8, 'y': 9, 'radius': 3, 'visible': None, 'visible_x': None}]}).balls == whole
    )
    assert annotated(root, {'balls': [{'x': 8, 'y': 9, 'radius': 3, 'confidence': 0.9}]}).balls == whole
    part = annotated(root, {'balls': [{'x': 8, 'y': 9, 'radius': 3, 'visible': 0.5, 'visible_y': 7}]}).balls
    assert part == (BallTruth(8.0, 9.0, 3.0, 0.5, 8.0, 7.0),)
    unknown = annotated(root, {'balls': None, 'group': None, 'stamp': None})
    assert (unknown.balls, unknown.group, unknown.stamp) == (None, None, None)
    assert annotated(root, {'group': 2, 'stamp': 5}).group == '2'  # it is a name, whatever JSON has it as


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'balls': [{'x': 8, 'y': 9}]}, r'line 1 is no annotation: .*has no radius'),
        ({'balls': [{'x': 8, 'y': None, 'radius': 3}]}, 'has no y'),
        ({'balls': [{'x': 8, 'y': '9', 'radius': 3}]}, "y of a ball is '9'; it must be a number"),
        (
            {'balls': [{'x': 8, 'y': 9, 'radius': 3, 'visble': 0.2}]},
            'is no mapping with the keys x, y, radius, visible',
        ),
        ({'balls': {'x': 8}}, 'balls is .*; it must be a list'),
        ({'group': ['a']}, 'group is .*; it must be a text'),
        ({'stamp': '12'}, "stamp is '12'; it must be an integer, in nanoseconds"),
    ],
)
def test_wrong_annotations_are_named(root, entry, message):
    with pytest.raises(DatasetError, match=message):
        annotated(root, entry)


def test_two_images_of_one_name_are_refused(root):
    cv2.imwrite(str(root / 'images' / 'a.jpg'), np.zeros((30, 41, 3), np.uint8))
    with pytest.raises(DatasetError, match=r'has both a\.jpg and a\.png, but a label belongs to one image'):
        open_dataset(root)


def test_appending_keeps_what_is_there(root):
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


def test_appending_other_classes_or_absences_is_refused(root):
    two = ClassSet((SegmentationClass('grass', (0, 9, 0)), SegmentationClass('rest', (0, 0, 0))))
    with pytest.raises(DatasetError, match='they must be the same'):
        DatasetWriter(root, two, append=True)
    with pytest.raises(DatasetError, match='keep them as two data sets'):
        DatasetWriter(root, absent={'ball': 'field'}, append=True)
    with pytest.raises(DatasetError, match="absent names 'goal'"):
        DatasetWriter(root, absent={'goal': 'field'})


def test_absent_is_written(tmp_path):
    with DatasetWriter(tmp_path, absent={'ball': 'field'}):
        pass
    assert open_dataset(tmp_path).absent == {'ball': 'field'}


def test_full_disk_is_named_and_harms_nothing(root, monkeypatch):
    before = (root / 'dataset.yaml').read_bytes()

    def full(path, content):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('pathlib.Path.write_bytes', full)
    with pytest.raises(DatasetError, match=r'c\.png could not be written: No space left on device'):
        DatasetWriter(root, append=True).add(
            'c', np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), split='val'
        )
    assert (root / 'dataset.yaml').read_bytes() == before
