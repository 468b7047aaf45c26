"""`minisegnet import-dataset`: nothing overwritten, nothing lost, faults named, splits by group."""

import json
from itertools import chain

import cv2
import numpy as np
import pytest
import yaml

from minisegnet_core.classes import SOCCER
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data import importing
from minisegnet_core.data.checks import check_dataset
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.imaging import write_image

COLORS = ['--colors', 'background=0,0,0', 'ball=0,0,255', 'line=255,255,255', 'field=0,255,0']
PAINT = np.array([(0, 0, 0), (0, 0, 255), (255, 255, 255), (0, 255, 0)], np.uint8)


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


def test_masks_become_a_data_set_that_passes_its_check(source, run, tmp_path):
    told = run(source, '--format', 'masks', *COLORS, '--group-pattern', '^([a-z]+)_', '--val-groups', 'lab')
    dataset = open_dataset(tmp_path / 'out')
    assert names(tmp_path / 'out') == {'train': ['final_1', 'hall_1', 'hall_2'], 'val': ['lab_1']}
    assert [s.group for s in dataset.split('train')] == ['final', 'hall', 'hall']
    assert 'train: 3 images of 2 groups' in told
    assert 'ball 10.5' in told  # 81 of 768 pixels
    check_dataset(dataset)
    assert (tmp_path / 'out/images/lab_1.jpg').read_bytes() == (source / 'images/lab_1.jpg').read_bytes()
    assert dataset.split('val')[0].balls[0].x == 10


def test_the_split_goes_by_group(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS, '--group-pattern', '^([a-z]+)_', '--val', '0.3', '--test', '0.2')
    # hall hashes to val, lab to train, final to test: as pinned in test_data_check.
    assert names(tmp_path / 'out') == {'train': ['lab_1'], 'val': ['hall_1', 'hall_2'], 'test': ['final_1']}


def test_nothing_is_overwritten(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS)
    before = files(tmp_path / 'out')
    assert 'holds a data set already; --append adds to it' in run(source, '--format', 'masks', *COLORS, code=2)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/notes.txt').write_text('x')
    assert 'is not empty' in run(source, '--format', 'masks', *COLORS, output='mine', code=2)
    assert files(tmp_path / 'out') == before


def test_appending_adds_what_is_new(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS)
    write_pair(source, 'new_1', 120)
    told = run(source, '--format', 'masks', *COLORS, '--append')
    assert '4 images were there already' in told
    assert sum(map(len, names(tmp_path / 'out').values())) == 5
    write_pair(source, 'lab_1', 200)
    told = run(source, '--format', 'masks', *COLORS, '--append', code=2)
    assert "has another image called 'lab_1'" in told
    assert '--prefix' in told
    run(source, '--format', 'masks', *COLORS, '--append', '--prefix', 'venue_')
    assert sum(map(len, names(tmp_path / 'out').values())) == 10


def test_a_dry_run_tells_and_writes_nothing(source, run, tmp_path):
    told = run(source, '--format', 'masks', *COLORS, '--dry-run', '--label-tools', tmp_path / 'tools')
    assert 'nothing was written' in told
    assert 'pixels: background' in told
    assert not (tmp_path / 'out').exists()
    assert not (tmp_path / 'tools').exists()


def test_unknown_colours_are_refused_and_the_next_try_is_free(source, run, tmp_path):
    told = run(source, '--format', 'masks', '--colors', 'field=0,255,0', code=2)
    assert 'masks/final_1.png has' in told
    assert '#0000ff' in told
    assert not (tmp_path / 'out').exists()
    told = run(source, '--format', 'masks', '--colors', 'field=0,255,0', '--most-unknown', '0.2')
    assert '#0000ff: ' in told
    labels = open_dataset(tmp_path / 'out').splits['train'][0].read()[1]
    assert set(np.unique(labels)) == {3, 255}


def test_two_images_of_one_name_are_refused(source, run):
    for folder in ('images', 'masks'):
        (source / folder / 'hall').mkdir()
    write_image(source / 'images/hall/1.jpg', np.zeros((24, 32, 3), np.uint8))
    write_image(source / 'masks/hall/1.png', np.zeros((24, 32, 3), np.uint8))
    assert "have the name 'hall_1'" in run(source, '--format', 'masks', *COLORS, code=2)


def test_a_fault_half_way_keeps_what_was_done(source, run, tmp_path, monkeypatch):
    monkeypatch.setattr('minisegnet_core.parallel.os.cpu_count', lambda: 1)
    (source / 'images/lab_1.jpg').write_bytes(b'broken')
    assert 'lab_1.jpg is missing or not an image' in run(source, '--format', 'masks', *COLORS, code=2)
    assert sorted(chain(*names(tmp_path / 'out').values())) == ['final_1', 'hall_1', 'hall_2']
    write_pair(source, 'lab_1', 82)
    assert '3 images were there already' in run(source, '--format', 'masks', *COLORS, '--append')


def test_ctrl_c_loses_nothing(source, run, tmp_path, monkeypatch):
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


def test_the_index_is_written_now_and_then(source, run, tmp_path, monkeypatch):
    # A kill gives no chance to write it at the end.
    monkeypatch.setattr(importing, 'SAVED_EVERY', 2)
    seen = []

    def watch(results, total):
        for result in results:
            yield result
            index = tmp_path / 'out/dataset.yaml'
            seen.append(sum(map(len, yaml.safe_load(index.read_text())['split'].values())) if index.is_file() else 0)

    monkeypatch.setattr('minisegnet_core.commands.import_dataset._progress', watch)
    run(source, '--format', 'masks', *COLORS)
    assert seen == [0, 2, 2, 4]


def test_absent_is_set_or_taken_from_the_format(source, run, tmp_path):
    run(source, '--format', 'masks', *COLORS, '--absent', 'ball=field')
    assert open_dataset(tmp_path / 'out').absent == {'ball': 'field'}
    for folder in ('images', 'segmentations'):
        (tmp_path / 'torso' / folder).mkdir(parents=True)
        write_image(tmp_path / f'torso/{folder}/7-a.png', np.full((24, 32, 3), 127, np.uint8))
    run(tmp_path / 'torso', '--format', 'torso21', output='out2')
    assert open_dataset(tmp_path / 'out2').absent == {'ball': 'field'}


def test_options_that_are_repeated_add_up(source, run, tmp_path):
    colors = [word for color in COLORS[1:] for word in ('--colors', color)]
    groups = ['--group-pattern', '^([a-z]+)_', '--val-groups', 'lab', '--val-groups', 'final', '--test-groups', 'hall']
    run(source, '--format', 'masks', *colors, *groups, '--absent', 'ball=field', '--absent', 'line=field')
    assert names(tmp_path / 'out') == {'val': ['final_1', 'lab_1'], 'test': ['hall_1', 'hall_2']}
    assert open_dataset(tmp_path / 'out').absent == {'ball': 'field', 'line': 'field'}
    told = run(source, '--format', 'coco', '--map', '0=ball', '--map', '0=field', code=2)
    assert '--map maps 0 to both ball and field' in told


def test_own_data_sets_are_split_anew_or_merged(run, tmp_path):
    image, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with DatasetWriter(tmp_path / 'leaky') as writer:
        for index, split in enumerate(['train', 'val', 'train']):
            writer.add(f'{index}', image, labels, split=split, group='hall', stamp=index)
    run(tmp_path / 'leaky', '--format', 'minisegnet', '--val', '0.3')
    assert names(tmp_path / 'out') == {'val': ['0', '2', '1']}
    run(tmp_path / 'leaky', '--format', 'minisegnet', '--keep-splits', output='kept')
    assert names(tmp_path / 'kept') == {'train': ['0', '2'], 'val': ['1']}
    assert open_dataset(tmp_path / 'kept').split('val')[0].stamp == 1


def test_frames_are_labelled_by_the_model_and_come_back_corrected(run, tmp_path, monkeypatch):
    class Segmenter:
        classes = SOCCER

        def __init__(self, model, network_size):
            assert (model, network_size) == ('chosen.onnx', 'half')

        def run(self, image):
            label_image = np.full((image.shape[0] // 4, image.shape[1] // 4), 3, np.uint8)
            label_image[3:5, 4:6] = 1
            return type('Segmentation', (), {'label_image': label_image})

    monkeypatch.setattr('minisegnet_core.inference.segmenter.Segmenter', Segmenter)
    (tmp_path / 'photos').mkdir()
    for index in range(3):
        write_image(tmp_path / f'photos/{index}.jpg', np.full((48, 64, 3), 60 * index, np.uint8))
    tools = tmp_path / 'tools'
    told = run(
        tmp_path / 'photos',
        '--format',
        'frames',
        '--model',
        'chosen.onnx',
        '--network-size',
        'half',
        '--label-tools',
        tools,
        '--val',
        '0',
    )
    assert 'train: 3 images of 1 groups' in told
    corrected = tools / 'SegmentationClass/photos_1.png'
    mask = cv2.imread(str(corrected))
    mask[:, 40:] = 0
    cv2.imwrite(str(corrected), mask)
    run(tools, '--format', 'masks', '--images', tmp_path / 'out/images', '--val', '0', output='corrected')
    samples = {s.name: s for s in open_dataset(tmp_path / 'corrected').split('train')}
    labels = samples['photos_1'].read()[1]
    assert (labels[:, 40:] == 0).all()
    assert labels[16, 20] == 1
    assert len(samples['photos_1'].balls) == 1
    assert samples['photos_1'].group == 'photos'  # from the data set whose images they are
    run(tools / 'coco.json', '--format', 'coco', '--images', tmp_path / 'out/images', '--val', '0', output='coco')
    assert {s.group for s in open_dataset(tmp_path / 'coco').split('train')} == {'photos'}
    assert [entry['file_name'] for entry in json.loads((tools / 'coco.json').read_text())['images']] == [
        'photos_0.png',
        'photos_1.png',
        'photos_2.png',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere', '--format', 'masks'], 'no folder'),
        (['nowhere', '--format', 'coco'], 'there is no nowhere'),
        (['nowhere', '--format', 'frames'], 'there is no nowhere'),
        (['nowhere', '--format', 'minisegnet'], 'is no data set'),
        (['.', '--format', 'masks', '--colors', 'ball'], "colour 'ball' must be"),
        (['.', '--format', 'coco', '--map', 'robot'], "--map 'robot' must be NAME=CLASS"),
    ],
)
def test_wrong_use_is_said(run, arguments, message):
    assert message in run(*arguments, code=2)


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'], 'minisegnet import-dataset')
    assert ended.value.code == 0
    assert 'minisegnet import-dataset match.mcap --format frames' in capsys.readouterr().out
