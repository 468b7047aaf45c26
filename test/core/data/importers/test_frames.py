"""Frames labelled by a model: selection, groups, and smooth labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.importers.frames import FrameSelection, LabelledFrames, smooth_labels
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.frames import Frame


def make_frames(stamps, change=50):
    return [
        Frame(None if s is None else int(s * 1e9), f'f{i}', np.full((48, 64, 3), (i * change) % 256, np.uint8))
        for i, s in enumerate(stamps)
    ]


def labelled(stamps, name='bag', change=50, **selection):
    def label(image):
        return np.full((12, 16), 3, np.uint8)

    return LabelledFrames(make_frames(stamps, change), name, label, SOCCER, FrameSelection(**selection))


def names(source):
    return [entry.name for entry in source]


def test_frames_are_selected_by_number_rate_and_change():
    stamps = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert names(labelled(stamps, every=4)) == ['bag_f0', 'bag_f4']
    assert names(labelled(stamps, fps=2.5)) == ['bag_f0', 'bag_f2', 'bag_f4']
    still = labelled(stamps, change=1, min_change=2.5)
    assert names(still) == names(still) == ['bag_f0', 'bag_f3']
    assert still.left_out == {'frames that look like the one before': 4}


def test_groups_are_separated_by_a_second():
    source = labelled([0, 1, 2, 3.5, 4, 4.9, 5.1, 9.5], 'a bag', group_seconds=4)
    assert [(e.name, e.group) for e in source] == [
        ('a_bag_f0', 'a_bag_0000'),
        ('a_bag_f1', 'a_bag_0000'),
        ('a_bag_f2', 'a_bag_0000'),
        ('a_bag_f3', 'a_bag_0000'),
        ('a_bag_f6', 'a_bag_0001'),
        ('a_bag_f7', 'a_bag_0002'),
    ]
    assert {e.group for e in labelled([0, 9], 'a bag')} == {'a_bag'}


@pytest.mark.parametrize('wrong', [{'every': 0}, {'fps': -1}, {'min_change': -1}, {'group_seconds': 1.5}])
def test_selections_out_of_range_are_rejected(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        FrameSelection(**wrong)


def test_frames_without_stamps_have_no_rate():
    with pytest.raises(SourceError, match='bag has no stamps, so --fps cannot select frames; use --every'):
        names(labelled([None], fps=1))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 3])))
@settings(max_examples=30, deadline=None)
def test_smooth_labels_add_no_ids_and_keep_block_centres(label_image):
    height, width = label_image.shape[0] * 4 - 1, label_image.shape[1] * 4 - 2
    labels = smooth_labels(label_image, width, height)
    assert labels.shape == (height, width)
    assert set(np.unique(labels)) <= set(np.unique(label_image))
    np.testing.assert_array_equal(labels[1::4, 1::4], label_image)
