"""Sets of classes: what a name may be, and what a set must be."""

import pytest

from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ConfigurationError


@pytest.mark.parametrize('name', ['Ball', 'goal post', '2nd', '', 'a/b', 'torpfosten_ö'])
def test_names_that_could_be_no_topics(name):
    with pytest.raises(ConfigurationError, match='must be a lower-case word of letters a to z, digits and underscores'):
        SegmentationClass(name, (0, 0, 0))


def test_names_differ():
    with pytest.raises(ConfigurationError, match='class names must differ: background, ball, line, field, ball'):
        ClassSet((*SOCCER, SegmentationClass('ball', (1, 2, 3))))


def test_a_set_survives_its_file():
    assert ClassSet.from_list(SOCCER.to_list()) == SOCCER
    with pytest.raises(ConfigurationError, match='could not read'):
        ClassSet.from_list([{'name': 'grass'}, {'name': 'rest', 'color': [0, 0, 0]}])
