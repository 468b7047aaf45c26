"""Scores on disk, and `import-dataset --hardest`: the images that a model got most wrong."""

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.scoring.frames_file import class_weighted_errors, hardest, write_frames


def test_errors_are_weighted_by_the_pixels_of_each_class():
    correct = [[90, 0], [0, 8]]
    one_field_pixel = [[89, 1], [0, 8]]
    one_ball_pixel = [[90, 0], [1, 1]]
    errors = class_weighted_errors(np.array([correct, one_field_pixel, one_ball_pixel]))
    # There are 270 and 18 pixels of the two classes. A wrong pixel counts for its true and its predicted class.
    np.testing.assert_allclose(errors, [0, 1 / 270 + 1 / 18, 1 / 270 + 1 / 18])


def test_a_class_without_ground_truth_has_no_weight():
    errors = class_weighted_errors(np.array([[[10, 0, 2], [0, 4, 0], [0, 0, 0]], [[10, 2, 0], [0, 4, 0], [0, 0, 0]]]))
    np.testing.assert_allclose(errors, [2 / 24, 2 / 24 + 2 / 8])


def frame(name, confusion):
    confusion = None if confusion is None else np.array(confusion, np.int64)
    return FrameScore('set', 0, name, None, None, (64, 64), True, b'', None, None, confusion)


def evaluation(folder, wrong):
    """Write the scores of images of ten pixels, with a number of wrong pixels each."""
    folder.mkdir(exist_ok=True)
    frames = [frame(name, [[10 - count, count], [0, 0]]) for name, count in wrong.items()]
    write_frames(frames, folder / 'frames.jsonl')
    return folder


def test_the_worst_come_first_and_images_without_error_are_left_out(tmp_path):
    folder = evaluation(tmp_path, {'a': 1, 'b': 5, 'c': 0, 'd': 1, 'e': 7})
    assert hardest(folder, 3) == ('e', 'b', 'a')
    assert hardest(folder, 100) == ('e', 'b', 'a', 'd')


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([frame('a', None)], 'no image with labels'),
        ([frame('a', [[1]]), frame('b', [[1, 0], [0, 1]])], 'different numbers of classes'),
        ([frame('a', [[1]]), frame('a', [[2]])], 'several images with one name'),
    ],
)
def test_an_evaluation_that_cannot_be_used_is_an_error(tmp_path, frames, message):
    write_frames(frames, tmp_path / 'frames.jsonl')
    with pytest.raises(SourceError, match=message):
        hardest(tmp_path, 1)


def test_a_missing_or_damaged_evaluation_and_a_bad_count_are_errors(tmp_path):
    with pytest.raises(SourceError, match='give a folder that `evaluate` wrote'):
        hardest(tmp_path / 'none', 1)
    with pytest.raises(ConfigurationError, match='at least 1'):
        hardest(evaluation(tmp_path, {'a': 1}), -1)
    (tmp_path / 'frames.jsonl').write_text('{"name": "a", "confu')
    with pytest.raises(SourceError, match='line 1 is not valid JSON'):
        hardest(tmp_path, 1)


@pytest.fixture
def dataset(tmp_path):
    with DatasetWriter(tmp_path / 'scenes', SOCCER) as writer:
        for index, split in enumerate(['train', 'train', 'train', 'val']):
            image = np.full((64, 64, 3), index, np.uint8)
            writer.add(f'image_{index}', image, np.full((64, 64), 3, np.uint8), split=split, balls=())
    return tmp_path / 'scenes'


def run(dataset, output, *more):
    return main([str(dataset), '--format', 'minisegnet', '--output', str(output), *map(str, more)], 'import')


def test_only_the_hardest_images_are_imported_unchanged(dataset, tmp_path):
    figures = evaluation(tmp_path / 'evaluated', {'image_0': 1, 'image_1': 0, 'image_2': 6})
    more = ('--hardest', 2, '--evaluation', figures, '--keep-splits', '--prefix', 'hard_')
    assert run(dataset, tmp_path / 'out', *more) == 0
    splits = open_dataset(tmp_path / 'out').splits
    assert {k: [s.name for s in v] for k, v in splits.items() if v} == {'train': ['hard_image_0', 'hard_image_2']}
    original = next((dataset / 'images').glob('image_2.*'))
    assert (tmp_path / 'out' / 'images' / f'hard_{original.name}').read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (('--hardest', 2), 'need each other'),
        (('--evaluation', 'x'), 'need each other'),
        (('--hardest', 1, '--evaluation', 'other'), 'no image called other_1'),
        (('--hardest', 1, '--evaluation', 'missing'), 'give a folder that `evaluate` wrote'),
    ],
)
def test_wrong_options_are_reported_and_nothing_is_written(dataset, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    evaluation(tmp_path / 'other', {'other_1': 2})
    assert run(dataset, tmp_path / 'out', *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
