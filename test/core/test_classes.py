"""Classes: valid names and sets, the form in files, and absent classes."""

import numpy as np
import pytest
import yaml

from minisegnet_core.classes import IGNORE, SOCCER, ClassSet, SegmentationClass, replace_absent
from minisegnet_core.errors import ConfigurationError


@pytest.mark.parametrize('name', ['Ball', 'goal post', '2nd', '', 'a/b', 'torpfosten_ö'])
def test_names_that_cannot_be_part_of_a_topic_are_rejected(name):
    with pytest.raises(ConfigurationError, match='must be a lower-case word of letters a to z, digits and underscores'):
        SegmentationClass(name, (0, 0, 0))


def test_the_names_of_a_set_must_differ():
    with pytest.raises(ConfigurationError, match='class names must differ: background, ball, line, field, ball'):
        ClassSet((*SOCCER, SegmentationClass('ball', (1, 2, 3))))


def test_a_set_is_restored_from_its_list():
    assert ClassSet.from_list(SOCCER.to_list()) == SOCCER
    with pytest.raises(ConfigurationError, match=r'must be a list of \{name: word, color'):
        ClassSet.from_list([{'name': 'grass'}, {'name': 'rest', 'color': [0, 0, 0]}])


def test_every_label_id_has_a_colour():
    assert SOCCER.palette.shape == (256, 3)
    assert SOCCER.palette[[1, 4, IGNORE]].tolist() == [[255, 64, 0], [0, 0, 0], [128, 128, 128]]


def test_absent_classes_are_found_by_name_and_replaced_by_id():
    absent = SOCCER.absent_ids({'ball': 'field', 'line': 'field'})
    assert absent == {1: 3, 2: 3}
    labels = np.array([[0, 1, 2, 3, IGNORE]], np.uint8)
    assert replace_absent(labels, absent).tolist() == [[0, 3, 3, 3, IGNORE]]
    assert labels.tolist() == [[0, 1, 2, 3, IGNORE]], 'the input is unchanged'
    assert replace_absent(labels, {}).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ('absent', 'message'),
    [
        ({'goal': 'field'}, "absent names 'goal', which is not a class"),
        ({'ball': 'goal'}, "absent names 'goal', which is not a class"),
        ({'ball': 'line', 'line': 'field'}, "absent maps 'ball' to 'line', which is absent itself"),
    ],
)
def test_absent_classes_that_cannot_be_replaced_are_rejected(absent, message):
    with pytest.raises(ConfigurationError, match=message):
        SOCCER.absent_ids(absent)


@pytest.mark.parametrize('word', ['no', 'on'])
def test_a_name_that_yaml_reads_as_a_truth_value_is_refused_with_the_way_out(word):
    """yaml/pyyaml, issue 613."""
    entry = yaml.safe_load(f'{{name: {word}, color: [1, 2, 3]}}')
    with pytest.raises(ConfigurationError, match='is not text; put names like no and on in quotes'):
        ClassSet.from_list([entry])
