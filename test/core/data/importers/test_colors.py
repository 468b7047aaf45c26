"""Label images painted in colours: noise, blends, unknown colours, and the colour maps of users and label tools."""

import numpy as np
import pytest

from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.data.importers.colors import ColorMap, colors_beside, labelmap_text, parse_colors, read_labelmap
from minisegnet_core.data.importers.masks import SEGLIGHT_COLORS
from minisegnet_core.errors import ConfigurationError, DatasetError


def painted(labels):
    return np.array(list(SEGLIGHT_COLORS), np.uint8)[labels]


def test_exact_and_nearly_exact_colours_take_their_class():
    mask = painted(np.array([[0, 1], [2, 3]]))
    noisy = (mask.astype(int) + np.array([[[7], [-9]], [[-12], [5]]])).clip(0, 255).astype(np.uint8)
    for image in (mask, noisy):
        labels, counts = ColorMap(SEGLIGHT_COLORS).labels(image)
        assert labels.tolist() == [[0, 1], [2, 3]]
        assert not counts


def test_blended_borders_take_a_class_beside_them_and_no_third_one():
    # The blend of green and blue is nearest to a third colour that is a class here.
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
    labels, counts = ColorMap(SEGLIGHT_COLORS).labels(mask)
    assert counts['unknown'] == 8 * 8  # two pixels along its border may be blends
    assert counts['#ff0000'] == 64
    assert (labels[6:14, 6:14] == IGNORE).all()
    known = ColorMap({**SEGLIGHT_COLORS, (255, 0, 0): 'ignore'}).labels(mask)
    assert (known[0] == IGNORE).sum() == 144
    assert not known[1]


def test_ids_count_exactly_and_do_not_blend():
    ids = ColorMap(parse_colors(['background=0', 'ball=1', 'line=2', 'field=3', 'ignore=255']))
    labels, counts = ids.labels(np.array([[0, 1, 2, 3, 4, 254, 255]], np.uint8))
    assert labels[0].tolist() == [0, 1, 2, 3, 255, 255, 255]
    assert (counts['unknown'], counts['#040404'], counts['#fefefe']) == (2, 1, 1)
    spaced = ColorMap({(0, 0, 0): 'background', (20, 0, 0): 'ball'})
    assert spaced.labels(np.array([[[9, 0, 0], [11, 0, 0]]], np.uint8))[0].tolist() == [[0, 1]]


def test_colours_are_parsed_and_wrong_ones_are_named():
    assert parse_colors(['ball=0,0,255', 'line=127', 'field=#00ff00', 'field=254']) == {
        (0, 0, 255): 'ball',
        (127, 127, 127): 'line',
        (0, 255, 0): 'field',
        (254, 254, 254): 'field',
    }
    for text in ('ball', 'ball=1,2', 'ball=300', '=1,2,3', 'ball=#12'):
        with pytest.raises(ConfigurationError, match='must be CLASS='):
            parse_colors([text])
    with pytest.raises(ConfigurationError, match='means both ball and line'):
        parse_colors(['ball=9', 'line=9'])
    with pytest.raises(ConfigurationError, match="'goal', which is neither"):
        ColorMap({(1, 2, 3): 'goal'})
    with pytest.raises(ConfigurationError, match='empty'):
        ColorMap({})


def test_a_labelmap_is_restored_and_wrong_lines_are_named(tmp_path):
    (tmp_path / 'labelmap.txt').write_text(labelmap_text(SOCCER))
    colors = read_labelmap(tmp_path / 'labelmap.txt')
    assert colors == {**{c.color: c.name for c in SOCCER}, (128, 128, 128): 'ignore'}
    (tmp_path / 'labelmap.txt').write_text('# name:color\nball:1,2\n')
    with pytest.raises(DatasetError, match='line 2'):
        read_labelmap(tmp_path / 'labelmap.txt')
    (tmp_path / 'labelmap.txt').write_text('ball:1,2,3::\nline:1,2,3::\n')
    with pytest.raises(DatasetError, match='line 2: 1,2,3 means both ball and line'):
        read_labelmap(tmp_path / 'labelmap.txt')


@pytest.mark.parametrize(('encoding', 'comment'), [('latin-1', '# Étiquettes für alle'), ('utf-8-sig', '# label')])
def test_comments_of_a_labelmap_may_have_another_encoding(tmp_path, encoding, comment):
    (tmp_path / 'labelmap.txt').write_text(f'{comment}\nball:1,2,3::\n', encoding=encoding)
    assert read_labelmap(tmp_path / 'labelmap.txt') == {(1, 2, 3): 'ball'}


def test_colours_come_from_the_labelmap_beside_the_masks_or_from_the_classes(tmp_path):
    (tmp_path / 'masks').mkdir()
    assert colors_beside(tmp_path / 'masks', SOCCER) == {c.color: c.name for c in SOCCER}
    (tmp_path / 'labelmap.txt').write_text('ball:1,2,3::\n')
    assert colors_beside(tmp_path / 'masks', SOCCER) == {(1, 2, 3): 'ball'}
