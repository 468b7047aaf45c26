"""`minisegnet import-dataset` with other classes than soccer's: from the data set beside it, or named."""

import numpy as np
import pytest

from minisegnet_core.classes import ClassSet
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.label_tools import LabelToolFiles
from minisegnet_core.data.writer import DatasetWriter

OTHER = ClassSet.from_list(
    [{'name': name, 'color': color} for name, color in (('floor', [90, 60, 30]), ('goal', [255, 255, 0]))]
)


@pytest.fixture
def run(tmp_path, capsys):
    def run(*arguments, code=0):
        assert main([*map(str, arguments), '--output', str(tmp_path / 'out')], 'minisegnet import-dataset') == code
        return capsys.readouterr().err

    return run


@pytest.fixture
def other(tmp_path):
    """A data set of other classes, and the same labels for label tools."""
    labels = np.zeros((24, 32), np.uint8)
    labels[4:9, 6:20] = 1
    with DatasetWriter(tmp_path / 'other', OTHER) as writer, LabelToolFiles(tmp_path / 'tools', OTHER) as tools:
        writer.add('a', np.full((24, 32, 3), 90, np.uint8), labels, split='train', group='hall')
        tools.add('a', 'a.jpg', labels)
    return labels


@pytest.mark.parametrize(('format_name', 'where'), [('masks', ''), ('coco', 'coco.json')])
def test_other_classes_come_back_from_a_label_tool(run, tmp_path, other, format_name, where):
    images = ['--images', tmp_path / 'other/images', '--val', '0']
    run(tmp_path / 'tools' / where, '--format', format_name, *images)
    dataset = open_dataset(tmp_path / 'out')
    assert dataset.classes == OTHER
    np.testing.assert_array_equal(dataset.split('train')[0].read()[1], other)


def test_classes_are_named_or_those_of_the_data_set_to_append_to(run, tmp_path, other):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'other/images/a.jpg').rename(tmp_path / 'photos/a.jpg')
    masks = [tmp_path / 'tools', '--format', 'masks', '--images', tmp_path / 'photos', '--val', '0']
    assert 'neither a class (background, ball, line, field) nor ignore; --classes' in run(*masks, code=2)
    run(*masks, '--classes', tmp_path / 'other/dataset.yaml')
    run(*masks, '--append', '--prefix', 'again_')
    assert [sample.name for sample in open_dataset(tmp_path / 'out').split('train')] == ['a', 'again_a']
    (tmp_path / 'none.yaml').write_text('split: {}')
    assert "none.yaml tells no classes: it has no 'classes'" in run(*masks, '--classes', tmp_path / 'none.yaml', code=2)
    told = run(tmp_path / 'other', '--format', 'minisegnet', '--classes', tmp_path / 'none.yaml', code=2)
    assert '--classes goes with --format masks, seglight, coco only' in told
