"""What the tests of data sets share."""

import numpy as np
import pytest

from minisegnet_core.data.writer import DatasetWriter
from support.shapes import BALL


@pytest.fixture
def root(tmp_path):
    """Return a data set of two 41x30 images: ``a`` in train with a ball, ``b`` in val without annotations."""
    image = np.arange(30 * 41 * 3, dtype=np.uint32).reshape(30, 41, 3).astype(np.uint8)
    labels = np.full((30, 41), 3, np.uint8)
    labels[3:9, 4:20] = 1
    with DatasetWriter(tmp_path) as writer:
        writer.add('a', image, labels, split='train', group='hall', balls=[BALL], stamp=7, extension='png')
        writer.add('b', image[::-1], labels, split='val', extension='png')
    return tmp_path
