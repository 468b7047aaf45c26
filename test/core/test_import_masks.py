"""Folders of masks: shrunk with their images, and half drawn."""

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.dataset import write_image
from minisegnet_core.data.importers.colors import ColorMap
from minisegnet_core.data.importers.masks import MaskFolders
from minisegnet_core.errors import ConfigurationError, DatasetError

COLORS = {(0, 0, 0): 'background', (0, 0, 255): 'ball', (255, 255, 255): 'line', (0, 255, 0): 'field'}


def painted(labels):
    return np.array(list(COLORS), np.uint8)[labels]


def test_large_images_are_shrunk_with_their_masks(tmp_path):
    labels = np.zeros((120, 160), np.uint8)
    labels[:, 80:] = 3
    labels[40:60, 20:40] = 1
    image = np.repeat(np.where(labels == 3, 200, 100).astype(np.uint8)[..., None], 3, axis=2)
    for folder, pixels in (('images', image), ('masks', painted(labels))):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / 'a.png', pixels)
    (entry,) = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER, longest_side=80)
    content = entry.read()
    assert entry.image_file is None, 'a copy would have the old size'
    np.testing.assert_array_equal(content.labels, labels[::2, ::2])
    np.testing.assert_array_equal(content.image, image[::2, ::2])
    assert content.balls is not None
    assert [(b.visible_x, b.visible_y) for b in content.balls] == [(14.5, 24.5)]
    (entry,) = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)
    assert entry.image_file == tmp_path / 'images' / 'a.png'
    with pytest.raises(ConfigurationError, match='longest side 20'):
        MaskFolders(tmp_path, ColorMap(COLORS), SOCCER, longest_side=20)


def test_unlabelled_images_are_left_out_only_when_asked(tmp_path):
    for folder, names in (('images', 'abc'), ('masks', 'b')):
        (tmp_path / folder).mkdir()
        for name in names:
            write_image(tmp_path / folder / f'{name}.png', painted(np.zeros((8, 8), np.uint8)))
    with pytest.raises(DatasetError, match='2 images have no label image'):
        MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)
    source = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER, skip_unlabelled=True)
    assert ([entry.name for entry in source], len(source), source.unlabelled) == (['b'], 1, 2)
    (tmp_path / 'other').mkdir()
    write_image(tmp_path / 'other' / 'x.png', painted(np.zeros((8, 8), np.uint8)))
    with pytest.raises(DatasetError, match='1 images have no label image'):  # not one pair: the wrong folder was named
        MaskFolders(tmp_path, ColorMap(COLORS), SOCCER, images=tmp_path / 'other', skip_unlabelled=True)
