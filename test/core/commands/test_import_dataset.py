"""`minisegnet import-dataset`: splits by group, nothing overwritten or lost, faults named, classes and labels kept."""

import json
from itertools import chain

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data import importing
from minisegnet_core.data.checks import check_dataset
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.importers.masks import SEGLIGHT_COLORS
from minisegnet_core.data.label_tools import LabelToolFiles
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.imaging import read_labels, write_image

COLORS = ['--colors', 'background=0,0,0', 'ball=0,0,255', 'line=255,255,255', 'field=0,255,0']
PAINT = np.array(list(SEGLIGHT_COLORS), np.uint8)


def write_pair(root, name, shade=90, labels=None):
    if labels is None:
        labels = np.full((24, 32), 3, np.uint8)
        cv2.circle(labels, (10, 12), 5, 1, -1)
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_image(root / 'images' / f'{name}.jpg', np.full((24, 32, 3), shade, np.uint8))
    write_image(root / 'masks' / f'{name}.png', PAINT[labels])
    return labels


@pytest.fixture
def source(tmp_path):
    for index, name in enumerate(['hall_1', 'hall_2', 'lab_1', 'final_1']):
        write_pair(tmp_path / 'source', name, 80 + index)
    return tmp_path / 'source'


@pytest.fixture
def run(tmp_path, capsys):
    def run(*arguments, output='out', code=0):
        assert main([*map(str, arguments), '--output', str(tmp_path / output)], 'minisegnet import-dataset') == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return run


def files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def names(root):
    return {split: [s.name for s in samples] for split, samples in open_dataset(root).splits.items() if samples}


def test_masks_become_a_data_set_that_passes_the_check(source, run, tmp_path):
    output = run(source, '--format', 'masks', *COLORS, '--group-pattern', '^([a-z]+)_', '--val-groups', 'lab')
    dataset = open_dataset(tmp_path / 'out')
    assert names(tmp_path / 'out') == {'train': ['final_1', 'hall_1', 'hall_2'], 'val': ['lab_1']}
    assert [s.group for s in dataset.split('train')] == ['final', 'hall', 'hall']
    assert 'train: 3 images of 2 groups' in output
    assert 'ball 10.5' in output  # percent: 81 of 768 pixels
    check_dataset(dataset)
    assert (tmp_path / 'out/images/lab_1.jpg').read_bytes() == (source / 'images/lab_1.jpg').read_bytes()
    assert dataset.split('val')[0].balls[0].x == 10


def test_the_split_goes_by_group(source, run, tmp_path):
    run(
        source,
        '--format',
        'masks',
        *COLORS,
        '--group-pattern',
        '^([a-z]+)_',
        '--val-fraction',
        '0.3',
        '--test-fraction',
        '0.2',
    )
    # The hash puts hall into val, lab into train and final into test; test_split.py pins it.
    assert names(tmp_path / 'out') == {'train': ['lab_1'], 'val': ['hall_1', 'hall_2'], 'test': ['final_1']}


def test_nothing_is_overwritten(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS)
    before = files(tmp_path / 'out')
    assert 'already holds a data set; add to it with --append' in run(source, '--format', 'masks', *COLORS, code=2)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/notes.txt').write_text('x')
    assert 'is not empty' in run(source, '--format', 'masks', *COLORS, output='mine', code=2)
    assert files(tmp_path / 'out') == before


def test_appending_adds_new_images_only(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS)
    write_pair(source, 'new_1', 120)
    output = run(source, '--format', 'masks', *COLORS, '--append')
    assert 'already in the data set and unchanged: 4 images' in output
    assert sum(map(len, names(tmp_path / 'out').values())) == 5
    write_pair(source, 'lab_1', 200)
    output = run(source, '--format', 'masks', *COLORS, '--append', code=2)
    assert "has another image called 'lab_1'" in output
    assert '--prefix' in output
    run(source, '--format', 'masks', *COLORS, '--append', '--prefix', 'venue_')
    assert sum(map(len, names(tmp_path / 'out').values())) == 10


def test_a_dry_run_reports_and_writes_nothing(source, run, tmp_path):
    output = run(source, '--format', 'masks', *COLORS, '--dry-run', '--label-tools', tmp_path / 'tools')
    assert 'nothing was written' in output
    assert 'pixels: background' in output
    assert not (tmp_path / 'out').exists()
    assert not (tmp_path / 'tools').exists()


def test_unknown_colours_are_rejected_and_leave_no_folder(source, run, tmp_path):
    output = run(source, '--format', 'masks', '--colors', 'field=0,255,0', code=2)
    assert 'masks/final_1.png has' in output
    assert '#0000ff' in output
    assert not (tmp_path / 'out').exists()
    output = run(source, '--format', 'masks', '--colors', 'field=0,255,0', '--max-unknown', '0.2')
    assert '#0000ff: ' in output
    labels = open_dataset(tmp_path / 'out').splits['train'][0].read()[1]
    assert set(np.unique(labels)) == {3, 255}


def test_two_images_of_one_name_are_rejected(source, run):
    for folder in ('images', 'masks'):
        (source / folder / 'hall').mkdir()
    write_image(source / 'images/hall/1.jpg', np.zeros((24, 32, 3), np.uint8))
    write_image(source / 'masks/hall/1.png', np.zeros((24, 32, 3), np.uint8))
    assert "have the name 'hall_1'" in run(source, '--format', 'masks', *COLORS, code=2)


def test_a_fault_keeps_the_images_before_it(source, run, tmp_path, monkeypatch):
    monkeypatch.setattr('minisegnet_core.parallel.available_cores', lambda: 1)
    (source / 'images/lab_1.jpg').write_bytes(b'broken')
    assert 'lab_1.jpg is damaged, or OpenCV does not read its format' in run(
        source, '--format', 'masks', *COLORS, code=2
    )
    assert sorted(chain(*names(tmp_path / 'out').values())) == ['final_1', 'hall_1', 'hall_2']
    write_pair(source, 'lab_1', 82)
    assert 'already in the data set and unchanged: 3 images' in run(source, '--format', 'masks', *COLORS, '--append')


def test_ctrl_c_keeps_the_images_before_it(source, run, tmp_path, monkeypatch):
    def stop(results, total):
        for index, result in enumerate(results):
            if index == 2:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr('minisegnet_core.commands.import_dataset._progress', stop)
    run(source, '--format', 'masks', *COLORS, code=130)
    monkeypatch.undo()
    assert sum(map(len, names(tmp_path / 'out').values())) == 2
    run(source, '--format', 'masks', *COLORS, '--append')
    assert sum(map(len, names(tmp_path / 'out').values())) == 4


def test_the_index_is_written_at_intervals(source, run, tmp_path, monkeypatch):
    # A killed process cannot write it at the end.
    monkeypatch.setattr(importing, 'SAVE_INTERVAL', 2)
    seen = []

    def watch(results, total):
        for result in results:
            yield result
            index = tmp_path / 'out/dataset.yaml'
            seen.append(sum(map(len, yaml.safe_load(index.read_text())['split'].values())) if index.is_file() else 0)

    monkeypatch.setattr('minisegnet_core.commands.import_dataset._progress', watch)
    run(source, '--format', 'masks', *COLORS)
    assert seen == [0, 2, 2, 4]


def test_absent_classes_are_given_or_come_from_the_format(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS, '--absent', 'ball=field')
    assert open_dataset(tmp_path / 'out').absent == {'ball': 'field'}
    for folder in ('images', 'segmentations'):
        (tmp_path / 'torso' / folder).mkdir(parents=True)
        write_image(tmp_path / f'torso/{folder}/7-a.png', np.full((24, 32, 3), 127, np.uint8))
    run(tmp_path / 'torso', '--format', 'torso21', output='out2')
    assert open_dataset(tmp_path / 'out2').absent == {'ball': 'field'}


def test_repeated_options_add_up(source, run, tmp_path):
    colors = [word for color in COLORS[1:] for word in ('--colors', color)]
    groups = ['--group-pattern', '^([a-z]+)_', '--val-groups', 'lab', '--val-groups', 'final', '--test-groups', 'hall']
    run(source, '--format', 'masks', *colors, *groups, '--absent', 'ball=field', '--absent', 'line=field')
    assert names(tmp_path / 'out') == {'val': ['final_1', 'lab_1'], 'test': ['hall_1', 'hall_2']}
    assert open_dataset(tmp_path / 'out').absent == {'ball': 'field', 'line': 'field'}
    output = run(source, '--format', 'coco', '--map', '0=ball', '--map', '0=field', code=2)
    assert '--map maps 0 to both ball and field' in output


def test_minisegnet_data_sets_are_split_again_or_keep_their_splits(run, tmp_path):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path / 'leaky') as writer:
        for index, split in enumerate(['train', 'val', 'train']):
            writer.add(f'{index}', image, labels, split=split, group='hall', stamp=index)
    run(tmp_path / 'leaky', '--format', 'minisegnet', '--val-fraction', '0.3')
    assert names(tmp_path / 'out') == {'val': ['0', '2', '1']}
    run(tmp_path / 'leaky', '--format', 'minisegnet', '--keep-splits', output='kept')
    assert names(tmp_path / 'kept') == {'train': ['0', '2'], 'val': ['1']}
    assert open_dataset(tmp_path / 'kept').split('val')[0].stamp == 1


def test_frames_are_labelled_by_the_model_and_return_corrected(run, tmp_path, monkeypatch):
    class Segmenter:
        classes = SOCCER

        @classmethod
        def from_config(cls, config):
            assert (config.model, config.network_size) == ('chosen.onnx', 'half')
            return cls()

        def run(self, image):
            label_image = np.full((image.shape[0] // 4, image.shape[1] // 4), 3, np.uint8)
            label_image[3:5, 4:6] = 1
            return type('Segmentation', (), {'label_image': label_image})

    monkeypatch.setattr('minisegnet_core.commands.import_dataset.Segmenter', Segmenter)
    (tmp_path / 'photos').mkdir()
    for index in range(3):
        write_image(tmp_path / f'photos/{index}.jpg', np.full((48, 64, 3), 60 * index, np.uint8))
    tools = tmp_path / 'tools'
    output = run(
        tmp_path / 'photos',
        '--format',
        'frames',
        '--model',
        'chosen.onnx',
        '--network-size',
        'half',
        '--label-tools',
        tools,
        '--val-fraction',
        '0',
    )
    assert 'train: 3 images of 1 groups' in output
    corrected = tools / 'SegmentationClass/photos_1.png'
    mask = cv2.imread(str(corrected))
    mask[:, 40:] = 0
    cv2.imwrite(str(corrected), mask)
    run(tools, '--format', 'masks', '--images', tmp_path / 'out/images', '--val-fraction', '0', output='corrected')
    samples = {s.name: s for s in open_dataset(tmp_path / 'corrected').split('train')}
    labels = samples['photos_1'].read()[1]
    assert (labels[:, 40:] == 0).all()
    assert labels[16, 20] == 1
    assert len(samples['photos_1'].balls) == 1
    assert samples['photos_1'].group == 'photos'  # from the data set that the images belong to
    run(
        tools / 'coco.json',
        '--format',
        'coco',
        '--images',
        tmp_path / 'out/images',
        '--val-fraction',
        '0',
        output='coco',
    )
    assert {s.group for s in open_dataset(tmp_path / 'coco').split('train')} == {'photos'}
    assert [entry['file_name'] for entry in json.loads((tools / 'coco.json').read_text())['images']] == [
        'photos_0.png',
        'photos_1.png',
        'photos_2.png',
    ]


def test_images_with_boxes_are_labelled_by_the_shipped_model(run, tmp_path):
    root = tmp_path / 'yolo'
    (root / 'images').mkdir(parents=True)
    write_image(root / 'images/m1_a.png', np.full((96, 128, 3), (60, 130, 60), np.uint8))
    (root / 'labels').mkdir()
    (root / 'labels/m1_a.txt').write_text('0 0.5 0.5 0.25 0.3333\n')
    arguments = [root, '--format', 'boxes', '--group-pattern', '(m.)_', '--val-fraction', '0']
    run(*arguments)
    (sample,) = open_dataset(tmp_path / 'out').split('train')
    assert sample.group == 'm1'
    labels = read_labels(sample.label_path, (96, 128))
    assert labels[48, 64] == SOCCER.id_of('ball')
    assert (labels == SOCCER.id_of('ball')).sum() == pytest.approx(np.pi * 16 * 16, rel=0.02)
    assert '--map ball=...' in run(*arguments, '--map', 'ball=ball', '--append', code=2)


def test_left_out_images_are_reported(source, run):
    (source / 'masks/lab_1.png').unlink()
    assert '1 images have no label image' in run(source, '--format', 'masks', *COLORS, code=2)
    output = run(source, '--format', 'masks', *COLORS, '--skip-unlabelled')
    assert 'left out: 1 images without a label image' in output


def test_an_empty_validation_split_is_reported(source, run):
    output = run(source, '--format', 'masks', *COLORS, '--val-groups', 'nothing')
    assert 'no image is in the validation split: of 4 groups, name some with --val-groups' in output


OTHER = ClassSet.from_list(
    [{'name': name, 'color': color} for name, color in (('floor', [90, 60, 30]), ('goal', [255, 255, 0]))]
)


@pytest.fixture
def other(tmp_path):
    """Write a data set of other classes, and the same labels for label tools; return the labels."""
    labels = np.zeros((24, 32), np.uint8)
    labels[4:9, 6:20] = 1
    with DatasetWriter(tmp_path / 'other', OTHER) as writer, LabelToolFiles(tmp_path / 'tools', OTHER) as tools:
        writer.add('a', np.full((24, 32, 3), 90, np.uint8), labels, split='train', group='hall')
        tools.add('a', 'a.jpg', labels)
    return labels


@pytest.mark.parametrize(('format_name', 'file'), [('masks', ''), ('coco', 'coco.json')])
def test_other_classes_return_from_a_label_tool(run, tmp_path, other, format_name, file):
    images = ['--images', tmp_path / 'other/images', '--val-fraction', '0']
    run(tmp_path / 'tools' / file, '--format', format_name, *images)
    dataset = open_dataset(tmp_path / 'out')
    assert dataset.classes == OTHER
    np.testing.assert_array_equal(dataset.split('train')[0].read()[1], other)


def test_classes_are_given_or_those_of_the_data_set_to_append_to(run, tmp_path, other):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'other/images/a.jpg').rename(tmp_path / 'photos/a.jpg')
    masks = [tmp_path / 'tools', '--format', 'masks', '--images', tmp_path / 'photos', '--val-fraction', '0']
    error = run(*masks, code=2)
    assert 'neither a class (background, ball, line, field) nor ignore; give a dataset.yaml with other classes' in error
    run(*masks, '--classes', tmp_path / 'other/dataset.yaml')
    run(*masks, '--append', '--prefix', 'again_')
    assert [sample.name for sample in open_dataset(tmp_path / 'out').split('train')] == ['a', 'again_a']
    (tmp_path / 'none.yaml').write_text('split: {}')
    assert 'none.yaml has no list of classes' in run(*masks, '--classes', tmp_path / 'none.yaml', code=2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere', '--format', 'masks'], 'nowhere has no folder with images'),
        (['nowhere', '--format', 'coco'], 'nowhere does not exist'),
        (['nowhere', '--format', 'frames'], 'nowhere does not exist'),
        (['nowhere', '--format', 'minisegnet'], 'nowhere is not a data set'),
        (['.', '--format', 'masks', '--colors', 'ball'], "colour 'ball' must be CLASS=R,G,B"),
        (['.', '--format', 'coco', '--map', 'robot'], "--map 'robot' must be NAME=CLASS"),
        (['.', '--format', 'boxes', '--hardest', '5'], '--hardest N and --evaluation DIR need each other'),
        (['.', '--format', 'minisegnet', '--classes', 'x.yaml'], '--classes needs --format masks, seglight, coco'),
    ],
)
def test_wrong_use_is_reported(run, arguments, message):
    assert message in run(*arguments, code=2)


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'], 'minisegnet import-dataset')
    assert ended.value.code == 0
    assert 'minisegnet import-dataset match.mcap --format frames' in capsys.readouterr().out
