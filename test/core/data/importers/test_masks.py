"""Folders of masks: shrunk with their images, half drawn, and of ids instead of colours."""

import cv2
import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.importers.colors import ColorMap, parse_colors
from minisegnet_core.data.importers.masks import MaskFolders
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.imaging import write_image

COLORS = {(0, 0, 0): 'background', (0, 0, 255): 'ball', (255, 255, 255): 'line', (0, 255, 0): 'field'}


def painted(labels):
    return np.array(list(COLORS), np.uint8)[labels]


def write_pair(root, labels):
    for folder, pixels in (('images', np.full((*labels.shape, 3), 90, np.uint8)), ('masks', painted(labels))):
        (root / folder).mkdir()
        write_image(root / folder / 'a.png', pixels)


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


@pytest.mark.parametrize(
    'mapped', [COLORS, {(v, v, v): name for v, name in [(0, 'background'), (1, 'ball'), (255, 'ignore')]}]
)
@pytest.mark.parametrize('brightest', [0, 250, 255])
def test_ids_that_nobody_mapped_are_refused(tmp_path, mapped, brightest):
    labels = np.full((24, 32), 3, np.uint8)
    write_pair(tmp_path, labels)
    labels[:8], labels[8:16], labels[0, 0] = 4, 6, brightest
    cv2.imwrite(str(tmp_path / 'masks/a.png'), labels)
    with pytest.raises(
        DatasetError, match=r'a\.png holds ids, .* stand for no class: .*3, 4, 6; name each in --colors'
    ):
        next(iter(MaskFolders(tmp_path, ColorMap(mapped), SOCCER))).read()


def test_an_id_counts_exactly_and_is_no_blend():
    ids = ColorMap(parse_colors(['background=0', 'ball=1', 'line=2', 'field=3', 'ignore=255']))
    labels, counts = ids.labels(np.array([[0, 1, 2, 3, 4, 254, 255]], np.uint8))
    assert labels[0].tolist() == [0, 1, 2, 3, 255, 255, 255]
    assert (counts['unknown'], counts['#040404'], counts['#fefefe']) == (2, 1, 1)
    spaced = ColorMap({(0, 0, 0): 'background', (20, 0, 0): 'ball'})
    assert spaced.labels(np.array([[[9, 0, 0], [11, 0, 0]]], np.uint8))[0].tolist() == [[0, 1]]


@pytest.mark.parametrize('ending', ['jpg', 'png'])
@pytest.mark.parametrize('quality', [50, 90, 98])
def test_noise_of_jpeg_is_not_taken_for_ids(tmp_path, ending, quality):
    labels = np.zeros((96, 128), np.uint8)
    cv2.line(labels, (3, 90), (120, 10), 2, 3)
    cv2.circle(labels, (90, 70), 20, 2, 2)
    noisy = cv2.imdecode(cv2.imencode('.jpg', painted(labels), [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    write_pair(tmp_path, labels)
    (tmp_path / 'masks/a.png').unlink()
    cv2.imwrite(str(tmp_path / f'masks/a.{ending}'), noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])
    content = next(iter(MaskFolders(tmp_path, ColorMap(COLORS), SOCCER))).read()
    assert (content.labels == labels).mean() > 0.98
