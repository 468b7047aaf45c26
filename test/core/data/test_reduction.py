"""The label reduction, on blocks computed by hand and against a plain restatement of the rule; class fractions."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet_core.classes import IGNORE, ClassSet, SegmentationClass
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.reduction import class_fractions, reduce_labels
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError


def reduce_plainly(labels, block):
    """The rule of the module, pixel by pixel."""
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


def block_with(counts):
    """A 4x4 block with the given number of pixels of each id."""
    return np.repeat([*counts], [*counts.values()]).astype(np.uint8).reshape(4, 4)


@pytest.mark.parametrize(
    ('counts', 'expected'),
    [
        ({3: 16}, 3),
        ({0: 12, 2: 4}, 2),  # a quarter of line makes a line
        ({0: 13, 2: 3}, 0),
        ({2: 12, 1: 4}, 1),  # ball precedes line
        ({3: 9, 0: 7}, 3),
        ({255: 8, 2: 2, 3: 6}, 2),  # a quarter of the valid pixels
        ({255: 9, 2: 7}, 255),
        ({255: 8, 3: 8}, 3),  # half of the block ignored does not ignore it
    ],
)
def test_blocks_follow_the_rule(counts, expected):
    assert reduce_labels(block_with(counts)).tolist() == [[expected]]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 21), st.integers(1, 21)),
        elements=st.sampled_from([0, 1, 2, 3, 3, 3, 255]),
    ),
    st.sampled_from([4, 8]),
)
def test_the_reduction_equals_a_plain_restatement(labels, block):
    np.testing.assert_array_equal(reduce_labels(labels, block=block), reduce_plainly(labels, block))


def test_half_resolution_labels_are_reduced_from_the_original():
    # The line fills a quarter of the first column of 8x8 blocks. Reducing twice would widen it to 4 px first.
    labels = np.full((16, 16), 3, np.uint8)
    labels[:, 6:8] = 2
    assert reduce_labels(labels, block=8)[0].tolist() == [2, 3]
    assert reduce_labels(labels, block=4)[0].tolist() == [3, 2, 3, 3]


def test_an_unknown_id_is_named():
    with pytest.raises(DatasetError, match=r'\[7\]'):
        reduce_labels(np.full((4, 4), 7, np.uint8))


def test_255_classes_can_be_reduced():
    # With 5 columns the last block is padded, and the padding must not count as class 254.
    classes = ClassSet(tuple(SegmentationClass(f'c{i}', (i, 0, 0)) for i in range(255)))
    assert reduce_labels(np.full((5, 5), 254, np.uint8), classes).tolist() == [[254, 254], [254, 254]]
    assert reduce_labels(np.full((5, 5), 7, np.uint8), classes).tolist() == [[7, 7], [7, 7]]


@pytest.fixture
def dataset(tmp_path):
    """Four images whose upper half is background and lower half field."""
    labels = np.full((40, 48), 3, np.uint8)
    labels[:20] = 0
    with DatasetWriter(tmp_path) as writer:
        for index in range(4):
            writer.add(f'n{index}', np.zeros((40, 48, 3), np.uint8), labels, split='train')
    return open_dataset(tmp_path)


def test_class_fractions_by_hand(dataset):
    path = str(dataset.root / 'labels/n0.png')
    # 10 x 12 blocks: five rows of background, five of field.
    np.testing.assert_allclose(class_fractions(dataset.split('train'), dataset.classes), [0.5, 0, 0, 0.5])
    labels = np.full((40, 48), 255, np.uint8)
    labels[:4, :4] = 1
    labels[4:8, :12] = 2
    cv2.imwrite(path, labels)
    np.testing.assert_allclose(class_fractions(dataset.split('train')[:1], dataset.classes), [0, 0.25, 0.75, 0])
    cv2.imwrite(path, np.full((40, 48), 255, np.uint8))
    with pytest.raises(DatasetError, match='are ignore'):
        class_fractions(dataset.split('train')[:1], dataset.classes)
    cv2.imwrite(path, np.full((40, 48), 77, np.uint8))
    with pytest.raises(DatasetError, match=re.escape('n0.png: label ids [77]')):
        class_fractions(dataset.split('train')[:1], dataset.classes)
