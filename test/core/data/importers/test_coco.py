"""COCO: masks and polygons compared with pycocotools, painting order, and faults that are named."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.data.importers.coco import Coco, decode_counts, segmentation_mask
from minisegnet_core.data.label_tools import runs_of
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.imaging import write_image

CATEGORIES = [{'id': i, 'name': name} for i, name in enumerate(['Field', 'Line', 'robot', 'sports ball', 'unused'], 1)]


@pytest.mark.filterwarnings('ignore:__array__:DeprecationWarning')  # raised inside pycocotools
@settings(max_examples=40, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_length_masks_agree_with_pycocotools(mask):
    reference = pytest.importorskip('pycocotools.mask', reason='pycocotools is the reference here')
    encoded = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = encoded['counts'].decode()
    np.testing.assert_array_equal(segmentation_mask({'size': encoded['size'], 'counts': text}, mask.shape), mask)
    plain = {'size': list(mask.shape), 'counts': runs_of(mask)}
    np.testing.assert_array_equal(segmentation_mask(plain, mask.shape), mask)
    assert decode_counts(text) == runs_of(mask)


@pytest.mark.filterwarnings('ignore:__array__:DeprecationWarning')
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-4, 44), st.floats(-4, 34)), min_size=3, max_size=7))
def test_polygons_agree_with_pycocotools(corners):
    reference = pytest.importorskip('pycocotools.mask', reason='pycocotools is the reference here')
    polygon = np.array(corners).clip([0, 0], [40, 30]).ravel().tolist()
    mask = segmentation_mask([polygon], (30, 40))
    expected = reference.decode(reference.merge(reference.frPyObjects([polygon], 30, 40))).astype(bool)
    near = cv2.dilate((mask | expected).astype(np.uint8), np.ones((3, 3)))
    inside = cv2.erode((mask & expected).astype(np.uint8), np.ones((3, 3)))
    assert not ((mask != expected) & (near == inside)).any()
    length = cv2.arcLength(np.array(polygon, np.float32).reshape(-1, 1, 2), True)
    assert abs(int(mask.sum()) - int(expected.sum())) <= 2 + 0.5 * length


def test_compressed_counts_are_decoded():
    # 6 outside, 1 inside, 40 outside (bits 01000 and more to follow, then 1), then 1 + 0.
    assert decode_counts('61X10') == [6, 1, 40, 1]


def test_a_pixel_belongs_to_a_polygon_that_covers_more_than_half_of_it():
    mask = segmentation_mask([[2, 1, 5.6, 1, 5.6, 4, 2, 4]], (6, 8))
    assert np.argwhere(mask).min(axis=0).tolist() == [1, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [3, 5]


def write_coco(root, annotations, changes=None):
    (root / 'images').mkdir(parents=True, exist_ok=True)
    write_image(root / 'images/a.jpg', np.full((30, 40, 3), 80, np.uint8))
    content = {
        'images': [{'id': 7, 'file_name': 'a.jpg', 'width': 40, 'height': 30}],
        'annotations': annotations,
        'categories': CATEGORIES,
        **(changes or {}),
    }
    (root / 'annotations.json').write_text(json.dumps(content))
    return root


def box(category, left, top, right, bottom):
    return {
        'id': category,
        'image_id': 7,
        'category_id': category,
        'segmentation': [[left, top, right, top, right, bottom, left, bottom]],
    }


def test_lines_robots_and_balls_are_painted_over_the_field(tmp_path):
    shapes = [box(4, 10, 10, 18, 18), box(3, 8, 4, 14, 14), box(2, 0, 12, 40, 15), box(1, 0, 8, 40, 30)]
    root = write_coco(tmp_path, shapes)
    source = Coco(root, SOCCER, names={'robot': 'background', 'sports ball': 'ball'})
    content = next(iter(source)).read()
    at = {(5, 20): 0, (20, 20): 3, (13, 30): 2, (13, 9): 0, (12, 12): 1, (16, 16): 1}
    assert {place: int(content.labels[place]) for place in at} == at
    assert len(content.balls) == 1
    ignoring = Coco(root, SOCCER, names={'robot': 'ignore', 'sports ball': 'ball'}, rest='ignore')
    assert next(iter(ignoring)).read().labels[[5, 13], [20, 9]].tolist() == [IGNORE, IGNORE]


@pytest.mark.parametrize(
    ('changes', 'names', 'error', 'message'),
    [
        ({}, {}, DatasetError, r"no class for the categories 'robot'.*--map"),
        ({}, {'robot': 'background', 'cat': 'ball'}, ConfigurationError, 'has no categories cat'),
        ({}, {'robot': 'goal'}, DatasetError, "no class for the categories 'robot'"),
        ({'images': [{'id': 7, 'file_name': 'gone.jpg'}]}, {'robot': 'background'}, DatasetError, r'gone\.jpg'),
        ({'images': [{'id': 8, 'file_name': 'a.jpg'}]}, {}, DatasetError, 'does not have the layout of COCO'),
        ({'categories': []}, {}, DatasetError, 'categories that it does not list: 3'),
    ],
)
def test_faults_of_the_file_are_named(tmp_path, changes, names, error, message):
    with pytest.raises(error, match=message):
        Coco(write_coco(tmp_path, [box(3, 0, 0, 5, 5)], changes), SOCCER, names=names)


def test_a_source_without_one_json_file_is_rejected(tmp_path):
    with pytest.raises(SourceError, match='none does not exist; give a COCO file or its folder'):
        Coco(tmp_path / 'none', SOCCER)
    with pytest.raises(SourceError, match='holds 0 JSON files instead of one'):
        Coco(tmp_path, SOCCER)
    (tmp_path / 'a.json').write_text('{')
    with pytest.raises(DatasetError, match=r'a\.json is not valid JSON'):
        Coco(tmp_path, SOCCER)


def test_images_of_another_size_than_in_the_file_are_rejected(tmp_path):
    listed = {'images': [{'id': 7, 'file_name': 'a.jpg', 'width': 80, 'height': 60}]}
    source = Coco(write_coco(tmp_path, [box(1, 0, 0, 5, 5)], listed), SOCCER)
    with pytest.raises(DatasetError, match=r'images/a\.jpg is 40x30, but .*annotations\.json states 80x60'):
        next(iter(source)).read()
    unsized = {'images': [{'id': 7, 'file_name': 'a.jpg'}]}
    assert next(iter(Coco(write_coco(tmp_path, [box(1, 0, 0, 5, 5)], unsized), SOCCER))).read().labels[2, 2] == 3


@pytest.mark.parametrize('folder', ['images', 'val2017', '.'])
def test_images_beside_the_folder_of_annotations_are_found(tmp_path, folder):
    root = write_coco(tmp_path, [box(1, 0, 0, 5, 5)])
    for below in ('annotations', 'train2017', folder):
        (root / below).mkdir(exist_ok=True)
    (root / 'annotations.json').rename(root / 'annotations/instances_default.json')
    (root / 'images/a.jpg').rename(root / folder / 'a.jpg')
    for source in (root, root / 'annotations/instances_default.json'):
        (entry,) = Coco(source, SOCCER)
        assert entry.image_file == root / folder / 'a.jpg'


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ({'size': [40, 30], 'counts': [1200]}, r'its mask is \[40, 30\]'),
        ({'size': [30, 40], 'counts': [5, 6]}, 'its runs cover 11 pixels'),
        ([[1, 2, 3, 4]], 'a polygon has 4 numbers'),
    ],
)
def test_wrong_segmentations_are_named(tmp_path, segmentation, message):
    shape = {**box(1, 0, 0, 5, 5), 'segmentation': segmentation}
    source = Coco(write_coco(tmp_path, [shape]), SOCCER)
    with pytest.raises(DatasetError, match=rf'annotation 1 \(a\.jpg\): {message}'):
        next(iter(source)).read()
