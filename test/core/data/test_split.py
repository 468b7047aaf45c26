"""Splits by group: stable when groups are added, near the requested fractions, and groups from names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.data.split import group_of, split_of
from minisegnet_core.errors import ConfigurationError, DatasetError


def test_the_hash_of_a_group_never_changes():
    # Recorded values: a change would move images between the splits of existing data sets.
    groups = ['final', 'semifinal', 'lab', 'montreal_1', '2019', '2023', 'hall']
    assert [split_of(g, 0.3, 0.2) for g in groups] == ['test', 'val', 'train', 'test', 'val', 'train', 'val']
    assert split_of('lab', 0.0) == 'train'
    assert split_of('lab', 1.0) == 'val'
    with pytest.raises(ConfigurationError, match=r'must be 0\.\.1'):
        split_of('lab', 0.8, 0.3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.integers(0, 5))
def test_adding_groups_moves_no_other_group(groups, seed):
    before = {g: split_of(g, 0.3, 0.1, seed) for g in groups[: len(groups) // 2]}
    after = {g: split_of(g, 0.3, 0.1, seed) for g in groups}
    assert all(after[g] == split for g, split in before.items())
    # A larger validation fraction only adds groups to the validation split.
    assert all(split_of(g, 0.5, 0.1, seed) == 'val' for g, split in after.items() if split == 'val')


def test_many_groups_come_near_the_requested_fractions():
    splits = [split_of(f'group {i}', 0.2, 0.1) for i in range(2000)]
    assert 0.17 < splits.count('val') / 2000 < 0.23
    assert 0.08 < splits.count('test') / 2000 < 0.12


def test_a_pattern_extracts_the_group_from_a_name():
    assert group_of('20190606_r2_cam0', r'^(\d+)_') == '20190606'
    assert group_of('anything', None) is None
    with pytest.raises(DatasetError, match='does not match'):
        group_of('frame', r'^(\d+)_')
    with pytest.raises(ConfigurationError, match='needs parentheses'):
        group_of('frame', r'^\d+_')
    with pytest.raises(ConfigurationError, match='not a regular expression'):
        group_of('frame', r'(')
