"""Importers: colours, folders of masks, TORSO-21."""

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.data.importers.balls import balls_of_labels
from minisegnet_core.data.importers.colors import ColorMap, labelmap_text, parse_colors, read_labelmap
from minisegnet_core.data.importers.entry import safe_name
from minisegnet_core.data.importers.masks import MaskFolders
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.imaging import write_image

COLORS = {(0, 0, 0): 'background', (0, 0, 255): 'ball', (255, 255, 255): 'line', (0, 255, 0): 'field'}


def painted(labels):
    return np.array([(0, 0, 0), (0, 0, 255), (255, 255, 255), (0, 255, 0)], np.uint8)[labels]


def test_exact_and_nearly_exact_colours():
    mask = painted(np.array([[0, 1], [2, 3]]))
    noisy = (mask.astype(int) + np.array([[[7], [-9]], [[-12], [5]]])).clip(0, 255).astype(np.uint8)
    for given_mask in (mask, noisy):
        labels, counts = ColorMap(COLORS).labels(given_mask)
        assert labels.tolist() == [[0, 1], [2, 3]]
        assert not counts


def test_blended_borders_take_a_class_beside_them_and_no_third_one():
    # The blend of green and blue is nearest to grey 128, and that is a class here.
    mask = np.zeros((9, 12, 3), np.uint8)
    mask[:, :6], mask[:, 6:] = (0, 255, 0), (0, 0, 255)
    mask[:, 5], mask[:, 6] = (0, 160, 95), (0, 95, 160)
    labels, counts = ColorMap({(0, 255, 0): 'field', (0, 0, 255): 'ball', (0, 128, 128): 'line'}).labels(mask)
    assert set(labels[0].tolist()) == {1, 3} or set(labels[0].tolist()) == {1, 2, 3}
    labels, counts = ColorMap({(0, 255, 0): 'field', (0, 0, 255): 'ball', (90, 128, 128): 'line'}).labels(mask)
    assert labels[0].tolist() == [3] * 6 + [1] * 6
    assert counts == {'blended': 18, 'unknown': 0}


def test_unknown_colours_are_ignored_and_counted():
    mask = painted(np.full((20, 20), 3))
    mask[4:16, 4:16] = (255, 0, 0)
    labels, counts = ColorMap(COLORS).labels(mask)
    assert counts['unknown'] == 8 * 8  # its rim of two pixels could be a blend
    assert counts['#ff0000'] == 64
    assert (labels[6:14, 6:14] == IGNORE).all()
    known = ColorMap({**COLORS, (255, 0, 0): 'ignore'}).labels(mask)
    assert (known[0] == IGNORE).sum() == 144
    assert not known[1]


def test_colours_are_parsed():
    assert parse_colors(['ball=0,0,255', 'line=127', 'field=#00ff00', 'field=254']) == {
        (0, 0, 255): 'ball',
        (127, 127, 127): 'line',
        (0, 255, 0): 'field',
        (254, 254, 254): 'field',
    }
    for text in ('ball', 'ball=1,2', 'ball=300', '=1,2,3', 'ball=#12'):
        with pytest.raises(ConfigurationError, match='must be CLASS='):
            parse_colors([text])
    with pytest.raises(ConfigurationError, match='both ball and line'):
        parse_colors(['ball=9', 'line=9'])
    with pytest.raises(ConfigurationError, match="'goal', which is neither"):
        ColorMap({(1, 2, 3): 'goal'})
    with pytest.raises(ConfigurationError, match='empty'):
        ColorMap({})


def test_labelmap_round_trip(tmp_path):
    (tmp_path / 'labelmap.txt').write_text(labelmap_text(SOCCER))
    colors = read_labelmap(tmp_path / 'labelmap.txt')
    assert colors == {**{c.color: c.name for c in SOCCER}, (128, 128, 128): 'ignore'}
    (tmp_path / 'labelmap.txt').write_text('# name:color\nball:1,2\n')
    with pytest.raises(DatasetError, match='line 2'):
        read_labelmap(tmp_path / 'labelmap.txt')
    (tmp_path / 'labelmap.txt').write_text('ball:1,2,3::\nline:1,2,3::\n')
    with pytest.raises(DatasetError, match='line 2: 1,2,3 stands for both ball and line'):
        read_labelmap(tmp_path / 'labelmap.txt')


@pytest.mark.parametrize(('encoding', 'comment'), [('latin-1', '# Étiquettes für alle'), ('utf-8-sig', '# label')])
def test_labelmaps_of_other_encodings_are_read(tmp_path, encoding, comment):
    (tmp_path / 'labelmap.txt').write_text(f'{comment}\nball:1,2,3::\n', encoding=encoding)
    assert read_labelmap(tmp_path / 'labelmap.txt') == {(1, 2, 3): 'ball'}


# Folders of masks


def write_pairs(root, names, images='images', masks='labels', mask_name='{}'):
    labels = np.full((24, 32), 3, np.uint8)
    cv2.circle(labels, (10, 12), 5, 1, -1)
    for name in names:
        for folder in (root / images, root / masks):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(root / images / f'{name}.jpg', np.full((24, 32, 3), 90, np.uint8))
        write_image(root / masks / f'{mask_name.format(name)}.png', painted(labels))
    return labels


def test_mask_folders_are_paired_by_name(tmp_path):
    labels = write_pairs(tmp_path, ['a', 'cam0/b'])
    source = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)
    entries = list(source)
    assert [entry.name for entry in entries] == ['a', 'cam0_b']
    content = entries[1].read()
    np.testing.assert_array_equal(content.labels, labels)
    assert content.image.shape == (24, 32, 3)
    (ball,) = content.balls
    assert (ball.x, ball.y) == (10, 12)
    assert ball.radius == pytest.approx(5, abs=0.4)


def test_images_and_masks_of_one_folder(tmp_path):
    write_pairs(tmp_path, ['a', 'b'], 'both', 'both', '{}_mask')
    source = MaskFolders(
        tmp_path, ColorMap(COLORS), SOCCER, images=tmp_path / 'both', masks=tmp_path / 'both', mask_name='{name}_mask'
    )
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
        MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)


def test_wrong_masks_are_named(tmp_path):
    write_pairs(tmp_path, ['a'])
    source = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)
    cv2.imwrite(str(tmp_path / 'labels/a.png'), np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match=r'a\.png is 5x5, its image 32x24'):
        next(iter(source)).read()
    cv2.imwrite(str(tmp_path / 'labels/a.png'), np.zeros((24, 32), np.uint16))
    with pytest.raises(DatasetError, match='16 bits'):
        next(iter(source)).read()
    with pytest.raises(SourceError, match='no folder with label images'):
        MaskFolders(tmp_path / 'images', ColorMap(COLORS), SOCCER, images=tmp_path / 'images')
    with pytest.raises(ConfigurationError, match='must contain'):
        MaskFolders(tmp_path, ColorMap(COLORS), SOCCER, mask_name='mask')


def test_ids_instead_of_colours_are_told(tmp_path):
    # Within the tolerance of black, they would all have become background.
    labels = write_pairs(tmp_path, ['a'])
    cv2.imwrite(str(tmp_path / 'labels/a.png'), labels)
    with pytest.raises(DatasetError, match=r'a\.png holds ids, not colours.*background=0 ball=1 line=2 field=3'):
        next(iter(MaskFolders(tmp_path, ColorMap(COLORS), SOCCER))).read()
    ids = ColorMap(parse_colors(['background=0', 'ball=1', 'line=2', 'field=3', 'ignore=255']))
    np.testing.assert_array_equal(next(iter(MaskFolders(tmp_path, ids, SOCCER))).read().labels, labels)


def test_grey_palette_and_alpha_masks_read_the_same(tmp_path):
    image_module = pytest.importorskip('PIL.Image', reason='Pillow writes the palette image here')
    labels = write_pairs(tmp_path, ['a'])
    picture = image_module.fromarray(labels).convert('P')
    picture.putpalette([0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0])
    picture.save(tmp_path / 'labels/a.png')
    source = MaskFolders(tmp_path, ColorMap(COLORS), SOCCER)
    np.testing.assert_array_equal(next(iter(source)).read().labels, labels)
    alpha = np.dstack([painted(labels)[..., ::-1], np.full(labels.shape, 255, np.uint8)])
    cv2.imwrite(str(tmp_path / 'labels/a.png'), alpha)
    np.testing.assert_array_equal(next(iter(source)).read().labels, labels)


# TORSO-21


def torso(root, annotations, mask, part='train'):
    for folder in ('images', 'segmentations'):
        (root / part / folder).mkdir(parents=True)
    write_image(root / part / 'images/130-frame.jpg', np.full((*mask.shape[:2], 3), 80, np.uint8))
    write_image(root / part / 'segmentations/130-frame.png', mask)
    if annotations is not None:
        content = {'images': {'130-frame.jpg': {'width': 60, 'height': 40, 'annotations': annotations}}}
        (root / part / 'annotations.yaml').write_text(yaml.safe_dump(content))
    return Torso21(root)


def real_mask():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:] = 255
    mask[12:20] = 254
    mask[30:34] = 127
    return mask


def test_torso_without_annotations_draws_no_balls(tmp_path):
    source = torso(tmp_path, None, real_mask())
    (entry,) = source
    assert (entry.name, entry.group, entry.split) == ('130-frame', 'torso21_130', 'train')
    content = entry.read()
    assert content.labels[:, 0].tolist() == [0] * 10 + [3] * 20 + [2] * 4 + [3] * 6
    assert content.balls is None
    assert source.absent == {'ball': 'field'}


def test_torso_annotations_are_painted(tmp_path):
    annotations = [
        {'type': 'ball', 'in_image': True, 'blurred': False, 'concealed': False, 'vector': [[20, 24], [30, 34]]},
        {'type': 'ball', 'in_image': True, 'concealed': True, 'vector': [[0, 36], [4, 40]]},
        {'type': 'robot', 'in_image': True, 'concealed': False, 'vector': [[40, 5], [49, 20]]},
        {'type': 'goalpost', 'in_image': True, 'vector': [[55, 0], [57, 0], [57, 20], [55, 20]]},
        {'type': 'L-Intersection', 'in_image': True, 'vector': [[3, 3]]},
        {'type': 'obstacle', 'in_image': False},
    ]
    source = torso(tmp_path, annotations, real_mask())
    content = next(iter(source)).read()
    labels = content.labels
    assert source.absent == {}
    assert labels[29, 25] == labels[31, 25] == 1  # on field and line alike
    assert (labels == 1).sum() == pytest.approx(np.pi * 25, rel=0.25)
    assert labels[38, 2] == IGNORE
    assert (labels[5:10, 40:50] == 0).all()
    assert (labels[10:21, 40:50] == IGNORE).all()
    assert (labels[0:21, 55:58] == 0).all()
    assert labels[15, 35] == 3
    assert content.balls == (BallTruth(25, 29, 5, 1, 25, 29), BallTruth(2, 38, 2, 0, 2, 38))
    assert content.notes['hidden balls, ignored'] == 1


def test_torso_simulation_is_told_by_its_colours(tmp_path):
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[10:] = (0, 255, 0)
    mask[30:34] = (204, 204, 204)
    mask[20:30, 20:30] = (127, 127, 127)
    mask[12:18, 40:50] = (25, 25, 255)  # a robot
    content = next(iter(torso(tmp_path, [{'type': 'ball', 'in_image': False}], mask))).read()
    assert content.labels[[5, 15, 25, 31, 15], [0, 0, 25, 0, 45]].tolist() == [0, 3, 1, 2, 0]
    assert len(content.balls) == 1


def test_torso_faults_are_named(tmp_path):
    with pytest.raises(SourceError, match='not laid out like TORSO-21'):
        Torso21(tmp_path)
    source = torso(tmp_path, [{'type': 'ball', 'in_image': True}], real_mask())
    with pytest.raises(DatasetError, match=r'130-frame\.jpg cannot be used: KeyError'):
        next(iter(source)).read()
    (tmp_path / 'train/annotations.yaml').write_text('images: {other.jpg: {annotations: []}}')
    with pytest.raises(DatasetError, match=r'says nothing of 1 images: .*130-frame\.jpg|130-frame\.jpg'):
        Torso21(tmp_path)
    (tmp_path / 'train/segmentations/130-frame.png').rename(tmp_path / 'train/segmentations/131-frame.png')
    with pytest.raises(DatasetError, match='1 images have no label image'):
        Torso21(tmp_path)


def test_balls_of_labels():
    labels = np.zeros((40, 60), np.uint8)
    cv2.circle(labels, (12, 20), 6, 1, -1)
    labels[30, 50:53] = 1  # too small
    (ball,) = balls_of_labels(labels, 1)
    assert (ball.x, ball.y, ball.visible) == (12, 20, 1)
    assert ball.radius == pytest.approx(6, abs=0.3)
    assert balls_of_labels(labels, None) is None
    assert balls_of_labels(np.zeros((4, 4), np.uint8), 1) == ()


def test_names_are_fit_for_files():
    assert safe_name('cam 0/ä b?.x') == 'cam_0_ä_b_.x'
    assert safe_name('///') == 'image'
