"""`import-dataset --hardest`: the images that a model got most wrong, and no others."""

import numpy as np
import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.commands.import_dataset import main
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.evaluation.scoring.frames import FrameScore
from minisegnet_core.evaluation.scoring.hardest import errors_of, hardest
from minisegnet_core.evaluation.statistics.comparison import write_frames


def test_errors_weigh_each_class_by_its_pixels():
    right = [[90, 0], [0, 8]]
    one_field_pixel = [[89, 1], [0, 8]]
    one_ball_pixel = [[90, 0], [1, 1]]
    errors = errors_of(np.array([right, one_field_pixel, one_ball_pixel]))
    # 270 pixels of the first class in all, 18 of the second; a wrong pixel counts for the true and the predicted class.
    np.testing.assert_allclose(errors, [0, 1 / 270 + 1 / 18, 1 / 270 + 1 / 18])


def test_a_class_that_no_truth_has_weighs_nothing():
    errors = errors_of(np.array([[[10, 0, 2], [0, 4, 0], [0, 0, 0]], [[10, 2, 0], [0, 4, 0], [0, 0, 0]]]))
    np.testing.assert_allclose(errors, [2 / 24, 2 / 24 + 2 / 8])


def frame(name, confusion):
    confusion = None if confusion is None else np.array(confusion, np.int64)
    return FrameScore('set', 0, name, None, None, (64, 64), True, b'', None, None, confusion)


def evaluation(folder, wrong):
    """Counts of images of ten pixels each, of which so many are wrong."""
    folder.mkdir(exist_ok=True)
    frames = [frame(name, [[10 - count, count], [0, 0]]) for name, count in wrong.items()]
    write_frames(frames, folder / 'frames.jsonl')
    return folder


def test_the_worst_come_first_and_faultless_ones_not_at_all(tmp_path):
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
def test_evaluations_that_cannot_be_used_are_named(tmp_path, frames, message):
    write_frames(frames, tmp_path / 'frames.jsonl')
    with pytest.raises(SourceError, match=message):
        hardest(tmp_path, 1)


def test_no_evaluation_a_damaged_one_and_no_count(tmp_path):
    with pytest.raises(SourceError, match='no folder that `evaluate` wrote'):
        hardest(tmp_path / 'none', 1)
    with pytest.raises(ConfigurationError, match='at least 1'):
        hardest(evaluation(tmp_path, {'a': 1}), -1)
    (tmp_path / 'frames.jsonl').write_text('{"name": "a", "confu')
    with pytest.raises(SourceError, match='cannot be read'):
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


def test_only_the_hardest_are_imported_as_they_are(dataset, tmp_path):
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
        (('--hardest', 2), 'go together'),
        (('--evaluation', 'x'), 'go together'),
        (('--hardest', 1, '--evaluation', 'other'), 'no image called other_1'),
        (('--hardest', 1, '--evaluation', 'missing'), 'no folder that `evaluate` wrote'),
    ],
)
def test_wrong_choices_are_told_and_nothing_is_written(dataset, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    evaluation(tmp_path / 'other', {'other_1': 2})
    assert run(dataset, tmp_path / 'out', *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
