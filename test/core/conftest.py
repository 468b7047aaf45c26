"""What tests of the core share."""

from pathlib import Path

import pytest

from support.shapes import write_shapes


@pytest.fixture(scope='session')
def shapes_dataset(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp('shapes'), lambda index, split: f'{split}-{index % 3}')
