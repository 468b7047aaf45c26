"""The reduction of truth, on hand-computed blocks and against a plain restatement of the rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet_core.classes import IGNORE, ClassSet, SegmentationClass
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.errors import DatasetError


def reduce_plainly(labels, block):
    """The rule, pixel by pixel, as DESIGN states it."""
    height, width = labels.shape
    result = np.empty((-(-height // block), -(-width // block)), np.uint8)
    for v in range(result.shape[0]):
        for u in range(result.shape[1]):
            pixels = labels[v * block : (v + 1) * block, u * block : (u + 1) * block].ravel()
            valid = pixels[pixels != IGNORE]
            if 2 * (len(pixels) - len(valid)) > len(pixels):
                result[v, u] = IGNORE
            elif 4 * np.sum(valid == 1) >= len(valid):
                result[v, u] = 1
            elif 4 * np.sum(valid == 2) >= len(valid):
                result[v, u] = 2
            else:
                result[v, u] = np.bincount(valid, minlength=4).argmax()
    return result


def block_of(counts):
    """A 4x4 block with these counts of ids."""
    return np.repeat([*counts], [*counts.values()]).astype(np.uint8).reshape(4, 4)


@pytest.mark.parametrize(
    ('counts', 'expected'),
    [
        ({3: 16}, 3),
        ({0: 12, 2: 4}, 2),  # a quarter line is a line
        ({0: 13, 2: 3}, 0),
        ({2: 12, 1: 4}, 1),  # ball goes before line
        ({3: 9, 0: 7}, 3),
        ({255: 8, 2: 2, 3: 6}, 2),  # a quarter of the valid pixels
        ({255: 9, 2: 7}, 255),
        ({255: 8, 3: 8}, 3),  # exactly half ignored still counts
    ],
)
def test_blocks_by_hand(counts, expected):
    assert reduce_labels(block_of(counts)).tolist() == [[expected]]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 21), st.integers(1, 21)),
        elements=st.sampled_from([0, 1, 2, 3, 3, 3, 255]),
    ),
    st.sampled_from([4, 8]),
)
def test_equals_the_plain_rule(labels, block):
    np.testing.assert_array_equal(reduce_labels(labels, block=block), reduce_plainly(labels, block))


def test_half_resolution_truth_comes_from_the_original():
    # A 4 px line fills a quarter of two columns of 8x8 blocks' pixels; reducing twice would make it 8 px wide first.
    labels = np.full((16, 16), 3, np.uint8)
    labels[:, 6:8] = 2
    assert reduce_labels(labels, block=8)[0].tolist() == [2, 3]
    assert reduce_labels(labels, block=4)[0].tolist() == [3, 2, 3, 3]


def test_unknown_id_is_named():
    with pytest.raises(DatasetError, match=r'\[7\]'):
        reduce_labels(np.full((4, 4), 7, np.uint8))


def test_all_255_ids_can_be_classes():
    # 5 columns: the last block is padded, with an id that must not be taken for class 254.
    classes = ClassSet(tuple(SegmentationClass(f'c{i}', (i, 0, 0)) for i in range(255)))
    assert reduce_labels(np.full((5, 5), 254, np.uint8), classes).tolist() == [[254, 254], [254, 254]]
    assert reduce_labels(np.full((5, 5), 7, np.uint8), classes).tolist() == [[7, 7], [7, 7]]
