"""TORSO-21: label images with and without annotations, the simulation, and faults that are named."""

import numpy as np
import pytest
import yaml

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import IGNORE
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.imaging import write_image


def write_torso(root, annotations, mask, part='train'):
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


def test_label_images_without_annotations_have_no_balls(tmp_path):
    source = write_torso(tmp_path, None, real_mask())
    (entry,) = source
    assert (entry.name, entry.group, entry.split) == ('130-frame', 'torso21_130', 'train')
    content = entry.read()
    assert content.labels[:, 0].tolist() == [0] * 10 + [3] * 20 + [2] * 4 + [3] * 6
    assert content.balls is None
    assert source.absent == {'ball': 'field'}


def test_annotated_objects_are_painted(tmp_path):
    annotations = [
        {'type': 'ball', 'in_image': True, 'blurred': False, 'concealed': False, 'vector': [[20, 24], [30, 34]]},
        {'type': 'ball', 'in_image': True, 'concealed': True, 'vector': [[0, 36], [4, 40]]},
        {'type': 'robot', 'in_image': True, 'concealed': False, 'vector': [[40, 5], [49, 20]]},
        {'type': 'goalpost', 'in_image': True, 'vector': [[55, 0], [57, 0], [57, 20], [55, 20]]},
        {'type': 'L-Intersection', 'in_image': True, 'vector': [[3, 3]]},
        {'type': 'obstacle', 'in_image': False},
    ]
    source = write_torso(tmp_path, annotations, real_mask())
    content = next(iter(source)).read()
    labels = content.labels
    assert source.absent == {}
    assert labels[29, 25] == labels[31, 25] == 1  # on the field and on the line
    assert (labels == 1).sum() == pytest.approx(np.pi * 25, rel=0.25)
    assert labels[38, 2] == IGNORE
    assert (labels[5:10, 40:50] == 0).all()
    assert (labels[10:21, 40:50] == IGNORE).all()
    assert (labels[0:21, 55:58] == 0).all()
    assert labels[15, 35] == 3
    assert content.balls == (BallTruth(25, 29, 5, 1, 25, 29), BallTruth(2, 38, 2, 0, 2, 38))
    assert content.notes['hidden balls, ignored'] == 1


def test_the_simulation_is_recognized_by_its_colours(tmp_path):
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[10:] = (0, 255, 0)
    mask[30:34] = (204, 204, 204)
    mask[20:30, 20:30] = (127, 127, 127)
    mask[12:18, 40:50] = (25, 25, 255)  # a robot
    content = next(iter(write_torso(tmp_path, [{'type': 'ball', 'in_image': False}], mask))).read()
    assert content.labels[[5, 15, 25, 31, 15], [0, 0, 25, 0, 45]].tolist() == [0, 3, 1, 2, 0]
    assert len(content.balls) == 1


def test_faults_are_named(tmp_path):
    with pytest.raises(SourceError, match='does not have the layout of TORSO-21'):
        Torso21(tmp_path)
    source = write_torso(tmp_path, [{'type': 'ball', 'in_image': True}], real_mask())
    with pytest.raises(DatasetError, match=r'130-frame\.jpg are not valid: KeyError'):
        next(iter(source)).read()
    (tmp_path / 'train/annotations.yaml').write_text('images: {other.jpg: {annotations: []}}')
    with pytest.raises(DatasetError, match=r'does not list 1 images: 130-frame\.jpg'):
        Torso21(tmp_path)
    (tmp_path / 'train/segmentations/130-frame.png').rename(tmp_path / 'train/segmentations/131-frame.png')
    with pytest.raises(DatasetError, match='1 images have no label image'):
        Torso21(tmp_path)
