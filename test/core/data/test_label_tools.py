"""Files for label tools, and their way back."""

import zipfile

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import ColorMap, read_labelmap
from minisegnet_core.data.importers.masks import MaskFolders, MaskOptions
from minisegnet_core.data.label_tools import LabelToolFiles
from minisegnet_core.errors import DatasetError
from minisegnet_core.imaging import write_image


def test_labels_are_restored_from_both_formats_to_the_pixel(tmp_path):
    random = np.random.default_rng(1)
    labels = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), (30, 40))
    with LabelToolFiles(tmp_path / 'tools', SOCCER) as tools:
        tools.add('a', 'a.jpg', labels)
    (tmp_path / 'images').mkdir()
    write_image(tmp_path / 'images/a.jpg', np.full((30, 40, 3), 80, np.uint8))
    colors = ColorMap(read_labelmap(tmp_path / 'tools/labelmap.txt'))
    masks = MaskFolders(tmp_path / 'tools', colors, SOCCER, MaskOptions(images=tmp_path / 'images'))
    np.testing.assert_array_equal(next(iter(masks)).read().labels, labels)
    back = Coco(tmp_path / 'tools/coco.json', SOCCER, images=tmp_path / 'images')
    np.testing.assert_array_equal(next(iter(back)).read().labels, labels)
    assert zipfile.ZipFile(tmp_path / 'tools/cvat_segmentation_mask.zip').namelist() == [
        'labelmap.txt',
        'ImageSets/Segmentation/default.txt',
        'SegmentationClass/a.png',
    ]
    with pytest.raises(DatasetError, match='already holds labels for label tools'):
        LabelToolFiles(tmp_path / 'tools', SOCCER)


def test_a_folder_without_labels_is_left_empty(tmp_path):
    with LabelToolFiles(tmp_path, SOCCER):
        pass
    assert list(tmp_path.iterdir()) == []
