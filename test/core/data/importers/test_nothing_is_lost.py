"""What no importer does in silence: replace one entry by another, leave files out, or take predictions for labels."""

import json
import os

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.annotations import read_annotations
from minisegnet_core.data.checks import predicted_labels
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.importers.boxes import BoxedImages
from minisegnet_core.data.importers.coco import Coco
from minisegnet_core.data.importers.colors import ColorMap, read_labelmap
from minisegnet_core.data.importers.frames import LabelledFrames
from minisegnet_core.data.importers.masks import MaskFolders, MaskOptions
from minisegnet_core.data.importers.minisegnet import MinisegnetDataset
from minisegnet_core.data.importers.torso21 import Torso21
from minisegnet_core.data.importing import ImportOptions, SplitRule, import_images
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.evaluation.sources.files import DatasetSource
from minisegnet_core.evaluation.sources.ground_truth_files import BallLines, LabelFolder, YoloBoxes
from minisegnet_core.frames import open_frames
from minisegnet_core.imaging import write_image

COLORS = ColorMap({c.color: c.name for c in SOCCER})
COMPOSED, DECOMPOSED = 'Gr\u00f6\u00dfe', 'Gro\u0308\u00dfe'


def image(path, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((24, 32, 3), value, np.uint8))


def label(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((24, 32), value, np.uint8))


def segments(images, annotations=(), categories=({'id': 1, 'name': 'ball'},)):
    return json.dumps({'images': images, 'annotations': list(annotations), 'categories': list(categories)})


def model(pixels):
    likely = np.zeros((4, 6, 8), np.float32)
    likely[3] = 1
    return likely


def two_images(root):
    image(root / 'images/a.jpg')
    image(root / 'images/a.png')
    image(root / 'masks/a.png', 0)
    return MaskFolders(root, COLORS, SOCCER)


def two_masks(root):
    image(root / 'images/a.jpg')
    image(root / 'masks/a.png', 0)
    image(root / 'masks/a.jpg', 0)
    return MaskFolders(root, COLORS, SOCCER)


def two_torso_masks(root):
    image(root / 'images/a.jpg')
    image(root / 'segmentations/a.png', 0)
    image(root / 'segmentations/a.jpg', 0)
    return Torso21(root)


def two_torso_images(root):
    image(root / 'images/a.jpg')
    image(root / 'images/a.png')
    image(root / 'segmentations/a.png', 0)
    return Torso21(root)


def two_boxed_images(root):
    image(root / 'a.jpg')
    image(root / 'a.png')
    (root / 'a.txt').write_text('')
    return BoxedImages(root, model, SOCCER)


def two_image_ids(root):
    image(root / 'images/a.jpg')
    image(root / 'images/b.jpg')
    entries = [{'id': 1, 'file_name': 'a.jpg'}, {'id': 1, 'file_name': 'b.jpg'}]
    (root / 'c.json').write_text(segments(entries))
    return Coco(root / 'c.json', SOCCER)


def two_entries_of_one_image(root):
    image(root / 'images/a.jpg')
    entries = [{'id': 1, 'file_name': 'a.jpg'}, {'id': 2, 'file_name': 'a.jpg'}]
    (root / 'c.json').write_text(segments(entries))
    return Coco(root / 'c.json', SOCCER)


def two_categories(root):
    image(root / 'images/a.jpg')
    categories = [{'id': 1, 'name': 'ball'}, {'id': 1, 'name': 'line'}]
    (root / 'c.json').write_text(segments([{'id': 1, 'file_name': 'a.jpg'}], (), categories))
    return Coco(root / 'c.json', SOCCER)


def two_annotations(root):
    file = root / 'annotations.jsonl'
    file.write_text('{"name": "a", "balls": []}\n{"name": "b"}\n{"name": "a"}\n')
    return read_annotations(file)


def two_lines_of_balls(root):
    file = root / 'balls.jsonl'
    file.write_text('{"name": "a", "balls": []}\n{"name": "a", "balls": []}\n')
    return BallLines(file)


def two_label_files(root):
    label(root / 'a.png')
    (root / 'a.png').rename(root / 'a.PNG')
    label(root / 'a.png')
    return LabelFolder(root)


def two_files_of_boxes(root):
    (root / 'a.txt').write_text('')
    (root / 'a.TXT').write_text('')
    return YoloBoxes(root)


def two_images_of_a_dataset(root):
    image(root / 'images/a.jpg')
    image(root / 'images/a.png')
    (root / 'dataset.yaml').write_text(json.dumps({'classes': SOCCER.to_list(), 'split': {'train': ['a']}}))
    return open_dataset(root)


def two_splits_of_one_name(root):
    (root / 'dataset.yaml').write_text(
        'classes: [{name: a, color: [0, 0, 0]}, {name: b, color: [1, 1, 1]}]\nsplit: {train: [a], train: [b]}\n'
    )
    return open_dataset(root)


@pytest.mark.parametrize(
    ('read', 'named'),
    [
        (two_images, ('a.jpg', 'a.png', 'the same name')),
        (two_masks, ('a.jpg', 'a.png', 'the same name')),
        (two_torso_masks, ('a.jpg', 'a.png', 'the same name')),
        (two_torso_images, ('a.jpg', 'a.png', 'the same name')),
        (two_boxed_images, ('a.jpg', 'a.png', 'the same name')),
        (two_image_ids, ("the id 1 to two images, 'a.jpg' and 'b.jpg'",)),
        (two_entries_of_one_image, ('lists the image a.jpg twice, with the ids 1 and 2',)),
        (two_categories, ("the id 1 to two categories, 'ball' and 'line'",)),
        (two_annotations, ("line 3 annotates 'a' again",)),
        (two_lines_of_balls, ('line 2 annotates a again',)),
        (two_label_files, ('a.PNG', 'a.png', 'the same name')),
        (two_files_of_boxes, ('a.TXT', 'a.txt', 'the same name')),
        (two_images_of_a_dataset, ('both a.jpg and a.png',)),
        (two_splits_of_one_name, ("the key 'train' is there twice",)),
    ],
)
def test_no_entry_replaces_another(tmp_path, read, named):
    with pytest.raises((DatasetError, SourceError)) as caught:
        read(tmp_path)
    for text in named:
        assert text in str(caught.value)


def test_names_that_would_be_one_file_are_both_named(tmp_path):
    for name in ('a b', 'a_b'):
        image(tmp_path / f'images/{name}.jpg')
        image(tmp_path / f'masks/{name}.png', 0)
    source = MaskFolders(tmp_path, COLORS, SOCCER)
    with pytest.raises(DatasetError, match=r"a b\.jpg and .*a_b\.jpg would both be called 'a_b'"):
        import_images(source, ImportOptions(tmp_path / 'out', dry_run=True))


def test_names_that_look_alike_are_one_name_to_every_reader(tmp_path):
    """macOS unpacks archives with decomposed names."""
    image(tmp_path / f'images/{COMPOSED}.jpg')
    image(tmp_path / f'masks/{DECOMPOSED}.png', 0)
    assert len(list(MaskFolders(tmp_path, COLORS, SOCCER))) == 1
    (tmp_path / 'c.json').write_text(segments([{'id': 1, 'file_name': f'{DECOMPOSED}.jpg'}]))
    assert next(iter(Coco(tmp_path / 'c.json', SOCCER))).read().image.shape == (24, 32, 3)
    label(tmp_path / f'labels/{COMPOSED}.png')
    index = {'classes': SOCCER.to_list(), 'split': {'train': [DECOMPOSED]}}
    (tmp_path / 'dataset.yaml').write_text(json.dumps(index))
    (tmp_path / 'annotations.jsonl').write_text(json.dumps({'name': COMPOSED, 'group': 'g'}) + '\n')
    (sample,) = open_dataset(tmp_path).split('train')
    assert sample.group == 'g'
    assert sample.read()[1].shape == (24, 32)
    assert LabelFolder(tmp_path / 'labels').take(DECOMPOSED, None, None) is not None


def test_two_names_that_look_alike_are_shown_by_code_points(tmp_path):
    for name in (COMPOSED, DECOMPOSED):
        image(tmp_path / f'images/{name}.jpg')
    image(tmp_path / f'masks/{COMPOSED}.png', 0)
    with pytest.raises(DatasetError, match=r'Gro\\u0308\\xdfe.*and .*Gr\\xf6\\xdfe'):
        MaskFolders(tmp_path, COLORS, SOCCER)


@pytest.fixture
def crowded(tmp_path):
    """A folder of two images with much else in it, and a source of every importer around it."""
    for name in ('a', 'b'):
        image(tmp_path / f'images/{name}.jpg')
        image(tmp_path / f'masks/{name}.png', 0)
        image(tmp_path / f'segmentations/{name}.png', 0)
        label(tmp_path / f'labels/{name}.png')
    (tmp_path / 'images/c.gif').write_bytes(b'GIF89a')
    (tmp_path / 'images/.hidden.jpg').write_bytes(b'')
    (tmp_path / 'elsewhere').mkdir()
    image(tmp_path / 'elsewhere/d.jpg')
    os.symlink(tmp_path / 'elsewhere', tmp_path / 'images/linked')
    (tmp_path / 'c.json').write_text(segments([{'id': n, 'file_name': f'{n}.jpg'} for n in ('a', 'b')]))
    index = {'classes': SOCCER.to_list(), 'split': {'train': ['a', 'b']}}
    (tmp_path / 'dataset.yaml').write_text(json.dumps(index))
    return tmp_path


def boxed(root):
    (root / 'images/a.txt').write_text('')
    return BoxedImages(root / 'images', model, SOCCER)


def frames(root):
    return LabelledFrames(open_frames(root / 'images'), 'x', lambda pixels: np.zeros((6, 8), np.uint8), SOCCER)


@pytest.mark.parametrize(
    'open_source',
    [
        lambda root: MaskFolders(root, COLORS, SOCCER),
        lambda root: Coco(root / 'c.json', SOCCER),
        Torso21,
        MinisegnetDataset,
        boxed,
        frames,
    ],
    ids=['masks', 'coco', 'torso21', 'minisegnet', 'boxes', 'frames'],
)
def test_every_importer_reports_what_it_left_out(crowded, open_source):
    report = import_images(open_source(crowded), ImportOptions(crowded / 'out', dry_run=True))
    lines = '\n'.join(report.lines())
    assert report.count == 2
    assert 'left out: 1 without the suffix of an image (c.gif)' in lines
    assert 'left out: 1 hidden (.hidden.jpg)' in lines
    assert '(linked)' in lines


@pytest.mark.parametrize('open_source', [lambda root: Coco(root / 'c.json', SOCCER), MinisegnetDataset])
def test_images_that_an_index_does_not_list_are_reported(crowded, open_source):
    image(crowded / 'images/e.jpg')
    assert any('does not list (e.jpg)' in reason for reason in open_source(crowded).left_out)


def predicted_dataset(root):
    """Write a data set of predicted labels and the files of label tools; return both folders."""
    image(root / 'frames/a.png', 30)
    image(root / 'frames/b.png', 200)

    def run(pixels):
        labels = np.full((6, 8), 3, np.uint8)
        labels[2:4, 3:5] = 1
        return labels

    source = LabelledFrames(open_frames(root / 'frames'), 'x', run, SOCCER)
    options = ImportOptions(root / 'predicted', SplitRule(val_fraction=0), label_tools=root / 'tools')
    import_images(source, options)
    return root / 'predicted', root / 'tools'


@pytest.mark.parametrize('tool', ['masks', 'coco', 'minisegnet'])
def test_predicted_labels_stay_marked_until_somebody_corrects_them(tmp_path, tool):
    data, tools = predicted_dataset(tmp_path)
    assert [sample.predicted for sample in open_dataset(data).split('train')] == [True, True]
    if tool == 'masks':
        mask = np.array(SOCCER.palette)[np.full((24, 32), 3)]
        write_image(tools / 'SegmentationClass/x_b.png', mask.astype(np.uint8))
        colors = ColorMap(read_labelmap(tools / 'labelmap.txt'))
        source = MaskFolders(tools, colors, SOCCER, MaskOptions(images=data / 'images'))
    elif tool == 'coco':
        content = json.loads((tools / 'coco.json').read_text())
        content['annotations'] = [entry for entry in content['annotations'] if entry['image_id'] == 1]
        (tools / 'coco.json').write_text(json.dumps(content))
        source = Coco(tools / 'coco.json', SOCCER, images=data / 'images')
    else:
        source = MinisegnetDataset(data)
    report = import_images(source, ImportOptions(tmp_path / 'back', SplitRule(val_fraction=0)))
    back = {sample.name: sample.predicted for sample in open_dataset(tmp_path / 'back').split('train')}
    corrected = tool != 'minisegnet'
    assert back == {'x_a': True, 'x_b': not corrected}
    if corrected:
        assert 'predicted labels that came back unchanged, still marked as predicted: 1' in report.lines()
    (warning,) = predicted_labels(open_dataset(tmp_path / 'back'))
    assert warning.startswith(f'{1 if corrected else 2} of 2 train images have the uncorrected labels of a model')


def test_an_evaluation_warns_of_predicted_labels(tmp_path):
    data, _ = predicted_dataset(tmp_path)
    source = DatasetSource(open_dataset(data), 'train', SOCCER)
    assert len(list(source)) == 2
    assert any('uncorrected labels of a model' in sentence for sentence in source.problems.sentences())


def test_labels_drawn_by_people_are_not_marked(crowded):
    import_images(MaskFolders(crowded, COLORS, SOCCER), ImportOptions(crowded / 'out', SplitRule(val_fraction=0)))
    dataset = open_dataset(crowded / 'out')
    assert not any(sample.predicted for sample in dataset.split('train'))
    assert predicted_labels(dataset) == []
    assert 'predicted' not in (crowded / 'out/annotations.jsonl').read_text()
