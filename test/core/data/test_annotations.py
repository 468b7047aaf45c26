"""annotations.jsonl: optional values, and faults that are named by line."""

import json

import numpy as np
import pytest

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.annotations import read_annotation_lines
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError, SourceError


@pytest.fixture
def root(tmp_path):
    with DatasetWriter(tmp_path) as writer:
        for name in 'ab':
            writer.add(name, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), split='train')
    return tmp_path


def test_a_wrong_line_is_named_with_its_number(root):
    whole = (root / 'annotations.jsonl').read_text()
    for line, reason in (('{"name": ', 'is not valid JSON'), ('[1]', 'holds list'), ('{}', 'has no name')):
        (root / 'annotations.jsonl').write_text(f'{whole}{line}\n')
        with pytest.raises(DatasetError, match=f'line 3 {reason}'):
            open_dataset(root)


def annotated(root, entry):
    (root / 'annotations.jsonl').write_text(json.dumps({'name': 'a', **entry}) + '\n')
    return open_dataset(root).split('train')[0]


def test_unknown_values_are_null_or_missing(root):
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
    assert annotated(root, {'group': 2, 'stamp': 5}).group == '2'  # a group is a name


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'balls': [{'x': 8, 'y': 9}]}, r'line 1 is not an annotation: .*has no radius'),
        ({'balls': [{'x': 8, 'y': None, 'radius': 3}]}, 'has no y'),
        ({'balls': [{'x': 8, 'y': '9', 'radius': 3}]}, "y of a ball is '9', but must be a number"),
        (
            {'balls': [{'x': 8, 'y': 9, 'radius': 3, 'visble': 0.2}]},
            'must be a mapping with the keys x, y, radius, visible',
        ),
        ({'balls': {'x': 8}}, 'balls is .*, but must be a list'),
        ({'group': ['a']}, 'group is .*, but must be text'),
        ({'stamp': '12'}, "stamp is '12', but must be an integer in nanoseconds"),
    ],
)
def test_wrong_values_are_named(root, entry, message):
    with pytest.raises(DatasetError, match=message):
        annotated(root, entry)


def test_lines_may_identify_images_by_stamp(tmp_path):
    path = tmp_path / 'balls.jsonl'
    path.write_text('\ufeff{"stamp": 7, "balls": [{"x": 8, "y": 9, "radius": 3}]}\n\n{"name": "b"}\n', encoding='utf-8')
    (first, by_stamp), (second, by_name) = read_annotation_lines(path)
    assert (first, second) == (f'{path}, line 1', f'{path}, line 3')
    assert (by_stamp.name, by_stamp.stamp, by_stamp.balls) == (None, 7, (BallTruth(8.0, 9.0, 3.0, 1.0, 8.0, 9.0),))
    assert (by_name.name, by_name.balls) == ('b', None)


def test_the_caller_chooses_the_type_of_the_error(tmp_path):
    path = tmp_path / 'balls.jsonl'
    path.write_text('{"balls": 3}')
    with pytest.raises(SourceError, match='line 1 is not an annotation: balls is 3'):
        list(read_annotation_lines(path, SourceError))
