"""Importers: COCO against pycocotools, files for label tools, frames with a model's labels."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet_core.classes import IGNORE, SOCCER
from minisegnet_core.data.importers.coco import Coco, decode_counts, segmentation_mask
from minisegnet_core.data.importers.colors import ColorMap, read_labelmap
from minisegnet_core.data.importers.frames import LabelledFrames, smooth_labels
from minisegnet_core.data.importers.masks import MaskFolders
from minisegnet_core.data.label_tools import LabelToolFiles, runs_of
from minisegnet_core.errors import ConfigurationError, DatasetError, SourceError
from minisegnet_core.frames import Frame
from minisegnet_core.imaging import write_image


@pytest.mark.filterwarnings('ignore:__array__:DeprecationWarning')  # pycocotools's own
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
    ours = segmentation_mask([polygon], (30, 40))
    theirs = reference.decode(reference.merge(reference.frPyObjects([polygon], 30, 40))).astype(bool)
    near = cv2.dilate((ours | theirs).astype(np.uint8), np.ones((3, 3)))
    inside = cv2.erode((ours & theirs).astype(np.uint8), np.ones((3, 3)))
    assert not ((ours != theirs) & (near == inside)).any()
    length = cv2.arcLength(np.array(polygon, np.float32).reshape(-1, 1, 2), True)
    assert abs(int(ours.sum()) - int(theirs.sum())) <= 2 + 0.5 * length


def test_decode_counts_by_hand():
    # 6 outside, 1 inside, 40 outside (bits 01000 with a successor, then 1), then 1 + 0.
    assert decode_counts('61X10') == [6, 1, 40, 1]


def test_a_pixel_belongs_to_the_polygon_that_covers_half_of_it():
    mask = segmentation_mask([[2, 1, 5.6, 1, 5.6, 4, 2, 4]], (6, 8))
    assert np.argwhere(mask).min(axis=0).tolist() == [1, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [3, 5]


def coco(root, annotations, changes=None):
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


CATEGORIES = [{'id': i, 'name': name} for i, name in enumerate(['Field', 'Line', 'robot', 'sports ball', 'unused'], 1)]


def box(category, left, top, right, bottom):
    return {
        'id': category,
        'image_id': 7,
        'category_id': category,
        'segmentation': [[left, top, right, top, right, bottom, left, bottom]],
    }


def test_coco_is_painted_in_the_right_order(tmp_path):
    shapes = [box(4, 10, 10, 18, 18), box(3, 8, 4, 14, 14), box(2, 0, 12, 40, 15), box(1, 0, 8, 40, 30)]
    root = coco(tmp_path, shapes)
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
        ({'images': [{'id': 8, 'file_name': 'a.jpg'}]}, {}, DatasetError, 'not laid out like COCO'),
        ({'categories': []}, {}, DatasetError, 'categories that it does not list: 3'),
    ],
)
def test_coco_faults_are_named(tmp_path, changes, names, error, message):
    with pytest.raises(error, match=message):
        Coco(coco(tmp_path, [box(3, 0, 0, 5, 5)], changes), SOCCER, names=names)


def test_a_coco_file_of_images_of_another_size_is_refused(tmp_path):
    listed = {'images': [{'id': 7, 'file_name': 'a.jpg', 'width': 80, 'height': 60}]}
    source = Coco(coco(tmp_path, [box(1, 0, 0, 5, 5)], listed), SOCCER)
    with pytest.raises(DatasetError, match=r'images/a\.jpg is 40x30, but .*annotations\.json says 80x60'):
        next(iter(source)).read()
    unsized = {'images': [{'id': 7, 'file_name': 'a.jpg'}]}
    assert next(iter(Coco(coco(tmp_path, [box(1, 0, 0, 5, 5)], unsized), SOCCER))).read().labels[2, 2] == 3


@pytest.mark.parametrize('folder', ['images', 'val2017', '.'])
def test_images_beside_the_folder_of_annotations_are_found(tmp_path, folder):
    root = coco(tmp_path, [box(1, 0, 0, 5, 5)])
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
        ([[1, 2, 3, 4]], 'a polygon of 4 numbers'),
    ],
)
def test_wrong_segmentations_are_named(tmp_path, segmentation, message):
    shape = {**box(1, 0, 0, 5, 5), 'segmentation': segmentation}
    source = Coco(coco(tmp_path, [shape]), SOCCER)
    with pytest.raises(DatasetError, match=rf'annotation 1 \(a\.jpg\): {message}'):
        next(iter(source)).read()


def test_label_tool_files_come_back_to_the_pixel(tmp_path):
    random = np.random.default_rng(1)
    labels = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), (30, 40))
    with LabelToolFiles(tmp_path / 'tools', SOCCER) as tools:
        tools.add('a', 'a.jpg', labels)
    (tmp_path / 'images').mkdir()
    write_image(tmp_path / 'images/a.jpg', np.full((30, 40, 3), 80, np.uint8))
    colors = ColorMap(read_labelmap(tmp_path / 'tools/labelmap.txt'))
    masks = MaskFolders(tmp_path / 'tools', colors, SOCCER, images=tmp_path / 'images')
    np.testing.assert_array_equal(next(iter(masks)).read().labels, labels)
    back = Coco(tmp_path / 'tools/coco.json', SOCCER, images=tmp_path / 'images')
    np.testing.assert_array_equal(next(iter(back)).read().labels, labels)
    assert zipfile.ZipFile(tmp_path / 'tools/cvat_segmentation_mask.zip').namelist() == [
        'labelmap.txt',
        'ImageSets/Segmentation/default.txt',
        'SegmentationClass/a.png',
    ]
    with pytest.raises(DatasetError, match='holds labels for label tools already'):
        LabelToolFiles(tmp_path / 'tools', SOCCER)


def frames(stamps, change=50):
    return [
        Frame(None if s is None else int(s * 1e9), f'f{i}', np.full((48, 64, 3), (i * change) % 256, np.uint8))
        for i, s in enumerate(stamps)
    ]


def label(image):
    return np.full((12, 16), 3, np.uint8)


def names(source):
    return [entry.name for entry in source]


def test_frames_are_chosen_by_count_rate_and_change():
    stamps = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert names(LabelledFrames(frames(stamps), 'bag', label, every=4)) == ['bag_f0', 'bag_f4']
    assert names(LabelledFrames(frames(stamps), 'bag', label, rate=2.5)) == ['bag_f0', 'bag_f2', 'bag_f4']
    still = LabelledFrames(frames(stamps, change=1), 'bag', label, least_change=2.5)
    assert names(still) == ['bag_f0', 'bag_f3']
    assert still.alike == 4


def test_frames_are_grouped_with_gaps_between():
    source = LabelledFrames(frames([0, 1, 2, 3.5, 4, 4.9, 5.1, 9.5]), 'a bag', label, group_seconds=4)
    assert [(e.name, e.group) for e in source] == [
        ('a_bag_f0', 'a_bag_0000'),
        ('a_bag_f1', 'a_bag_0000'),
        ('a_bag_f2', 'a_bag_0000'),
        ('a_bag_f3', 'a_bag_0000'),
        ('a_bag_f6', 'a_bag_0001'),
        ('a_bag_f7', 'a_bag_0002'),
    ]
    assert {e.group for e in LabelledFrames(frames([0, 9]), 'a bag', label)} == {'a_bag'}


def test_wrong_choices_are_refused():
    for wrong in ({'every': 0}, {'rate': -1}, {'least_change': -1}, {'group_seconds': 1.5}):
        with pytest.raises(ConfigurationError):
            LabelledFrames(frames([0]), 'bag', label, **wrong)
    with pytest.raises(SourceError, match='has no stamps'):
        names(LabelledFrames(frames([None]), 'folder', label, rate=1))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 3])))
@settings(max_examples=30, deadline=None)
def test_smooth_labels_invent_nothing_and_keep_block_centres(label_image):
    height, width = label_image.shape[0] * 4 - 1, label_image.shape[1] * 4 - 2
    labels = smooth_labels(label_image, width, height)
    assert labels.shape == (height, width)
    assert set(np.unique(labels)) <= set(np.unique(label_image))
    np.testing.assert_array_equal(labels[1::4, 1::4], label_image)
