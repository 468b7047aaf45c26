"""Folders of masks: pairing by name, file formats, shrinking, and ids instead of colours."""

import cv2
import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.importers.colors import ColorMap, parse_colors
from minisegnet_core.data.importers.masks import SEGLIGHT_COLORS, MaskFolders, MaskOptions
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.imaging import write_image

COLORS = ColorMap(SEGLIGHT_COLORS)


def painted(labels):
    return np.array(list(SEGLIGHT_COLORS), np.uint8)[labels]


def write_pairs(root, names, images='images', masks='labels', mask_name='{}'):
    labels = np.full((24, 32), 3, np.uint8)
    cv2.circle(labels, (10, 12), 5, 1, -1)
    for name in names:
        for folder in (root / images, root / masks):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / images / f'{name}.jpg', np.full((24, 32, 3), 90, np.uint8))
        write_image(root / masks / f'{mask_name.format(name)}.png', painted(labels))
    return labels


def test_images_and_masks_are_paired_by_name(tmp_path):
    labels = write_pairs(tmp_path, ['a', 'cam0/b'])
    source = MaskFolders(tmp_path, COLORS, SOCCER)
    entries = list(source)
    assert [entry.name for entry in entries] == ['a', 'cam0_b']
    content = entries[1].read()
    np.testing.assert_array_equal(content.labels, labels)
    assert content.image.shape == (24, 32, 3)
    (ball,) = content.balls
    assert (ball.x, ball.y) == (10, 12)
    assert ball.radius == pytest.approx(5, abs=0.4)


def test_one_folder_may_hold_images_and_masks(tmp_path):
    write_pairs(tmp_path, ['a', 'b'], 'both', 'both', '{}_mask')
    source = MaskFolders(tmp_path, COLORS, SOCCER, MaskOptions(tmp_path / 'both', tmp_path / 'both', '{name}_mask'))
    assert [entry.name for entry in source] == ['a', 'b']


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r: (r / 'labels/b.png').unlink(), r'1 images have no label image .*b\.jpg'),
        (lambda r: (r / 'images/b.jpg').unlink(), r'1 label images have no image .*b\.png'),
    ],
)
def test_unpaired_files_are_named(tmp_path, damage, message):
    write_pairs(tmp_path, ['a', 'b'])
    damage(tmp_path)
    with pytest.raises(DatasetError, match=message):
        MaskFolders(tmp_path, COLORS, SOCCER)


def test_wrong_masks_are_named(tmp_path):
    write_pairs(tmp_path, ['a'])
    source = MaskFolders(tmp_path, COLORS, SOCCER)
    cv2.imwrite(str(tmp_path / 'labels/a.png'), np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match=r'a\.png is 5x5, but its image is 32x24'):
        next(iter(source)).read()
    cv2.imwrite(str(tmp_path / 'labels/a.png'), np.zeros((24, 32), np.uint16))
    with pytest.raises(DatasetError, match='16 bits'):
        next(iter(source)).read()
    with pytest.raises(SourceError, match='no folder with label images'):
        MaskFolders(tmp_path / 'images', COLORS, SOCCER, MaskOptions(tmp_path / 'images'))


@pytest.mark.parametrize(
    ('values', 'message'), [({'mask_name': 'mask'}, 'must contain {name}'), ({'max_side': 20}, 'maximum side 20 ')]
)
def test_options_out_of_range_are_rejected(values, message):
    with pytest.raises(ConfigurationError, match=message):
        MaskOptions(**values)


def test_ids_instead_of_colours_are_rejected_with_a_suggestion(tmp_path):
    # Within the tolerance of black, all of them would become background.
    labels = write_pairs(tmp_path, ['a'])
    cv2.imwrite(str(tmp_path / 'labels/a.png'), labels)
    with pytest.raises(DatasetError, match=r'a\.png holds ids instead of colours.*background=0 ball=1 line=2 field=3'):
        next(iter(MaskFolders(tmp_path, COLORS, SOCCER))).read()
    ids = ColorMap(parse_colors(['background=0', 'ball=1', 'line=2', 'field=3', 'ignore=255']))
    np.testing.assert_array_equal(next(iter(MaskFolders(tmp_path, ids, SOCCER))).read().labels, labels)


def test_palette_and_alpha_masks_read_like_plain_ones(tmp_path):
    pillow = pytest.importorskip('PIL.Image', reason='Pillow writes the palette image here')
    labels = write_pairs(tmp_path, ['a'])
    image = pillow.fromarray(labels).convert('P')
    image.putpalette([0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0])
    image.save(tmp_path / 'labels/a.png')
    source = MaskFolders(tmp_path, COLORS, SOCCER)
    np.testing.assert_array_equal(next(iter(source)).read().labels, labels)
    alpha = np.dstack([painted(labels)[..., ::-1], np.full(labels.shape, 255, np.uint8)])
    cv2.imwrite(str(tmp_path / 'labels/a.png'), alpha)
    np.testing.assert_array_equal(next(iter(source)).read().labels, labels)


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
    (entry,) = MaskFolders(tmp_path, COLORS, SOCCER, MaskOptions(max_side=80))
    content = entry.read()
    assert entry.image_file is None, 'a copy would have the old size'
    np.testing.assert_array_equal(content.labels, labels[::2, ::2])
    np.testing.assert_array_equal(content.image, image[::2, ::2])
    assert content.balls is not None
    assert [(b.visible_x, b.visible_y) for b in content.balls] == [(14.5, 24.5)]
    (entry,) = MaskFolders(tmp_path, COLORS, SOCCER)
    assert entry.image_file == tmp_path / 'images' / 'a.png'


def test_unlabelled_images_are_left_out_on_request_only(tmp_path):
    for folder, names in (('images', 'abc'), ('masks', 'b')):
        (tmp_path / folder).mkdir()
        for name in names:
            write_image(tmp_path / folder / f'{name}.png', painted(np.zeros((8, 8), np.uint8)))
    with pytest.raises(DatasetError, match='2 images have no label image'):
        MaskFolders(tmp_path, COLORS, SOCCER)
    source = MaskFolders(tmp_path, COLORS, SOCCER, MaskOptions(skip_unlabelled=True))
    assert ([entry.name for entry in source], len(source), source.left_out) == (
        ['b'],
        1,
        {'images without a label image': 2},
    )
    (tmp_path / 'other').mkdir()
    write_image(tmp_path / 'other' / 'x.png', painted(np.zeros((8, 8), np.uint8)))
    with pytest.raises(DatasetError, match='1 images have no label image'):  # without any pair, the folder is wrong
        MaskFolders(tmp_path, COLORS, SOCCER, MaskOptions(tmp_path / 'other', skip_unlabelled=True))


@pytest.mark.parametrize(
    'mapped', [SEGLIGHT_COLORS, {(v, v, v): name for v, name in [(0, 'background'), (1, 'ball'), (255, 'ignore')]}]
)
@pytest.mark.parametrize('brightest', [0, 250, 255])
def test_ids_without_a_colour_are_rejected(tmp_path, mapped, brightest):
    labels = np.full((24, 32), 3, np.uint8)
    write_pair(tmp_path, labels)
    labels[:8], labels[8:16], labels[0, 0] = 4, 6, brightest
    cv2.imwrite(str(tmp_path / 'masks/a.png'), labels)
    with pytest.raises(
        DatasetError,
        match=r'a\.png holds ids instead of colours, and --colors does not name 3, 4, 6; name each',
    ):
        next(iter(MaskFolders(tmp_path, ColorMap(mapped), SOCCER))).read()


@pytest.mark.parametrize('ending', ['jpg', 'png'])
@pytest.mark.parametrize('quality', [50, 90, 98])
def test_noise_of_jpeg_is_not_mistaken_for_ids(tmp_path, ending, quality):
    labels = np.zeros((96, 128), np.uint8)
    cv2.line(labels, (3, 90), (120, 10), 2, 3)
    cv2.circle(labels, (90, 70), 20, 2, 2)
    noisy = cv2.imdecode(cv2.imencode('.jpg', painted(labels), [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    write_pair(tmp_path, labels)
    (tmp_path / 'masks/a.png').unlink()
    cv2.imwrite(str(tmp_path / f'masks/a.{ending}'), noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])
    content = next(iter(MaskFolders(tmp_path, COLORS, SOCCER))).read()
    assert (content.labels == labels).mean() > 0.98
