"""Bags that are cut off, have no index or are damaged, and evaluations that were interrupted."""

from __future__ import annotations

import pytest

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.scoring.pipeline import evaluate_source
from minisegnet_core.evaluation.sources.bags import BagPart, BagSelection, BagSource, ReadableBag
from minisegnet_core.evaluation.sources.recovery import McapRecords, is_cut_off
from minisegnet_core.parallel import prefetch
from support.bag_files import BASE, FORMATS, BagMaker
from support.recordings import IMAGES, evaluated, image_of, labels_of, make_bag, predict


@pytest.mark.parametrize('kind', FORMATS)
def test_the_readable_part_of_a_cut_off_bag_is_evaluated(tmp_path, kind):
    bag = make_bag(tmp_path, kind, count=14)
    (path,) = [bag.path] if kind == 'ros1' else bag.path.glob('*.*3' if kind == 'sqlite3' else '*.mcap')
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    if kind == 'sqlite3':
        assert is_cut_off(bag.path)
    result = evaluated(bag.path)
    assert 4 < len(result.scores) < 13
    assert all(score.mean_iou() == 1.0 for score in result.scores if score.confusion is not None)
    assert sum(score.confusion is not None for score in result.scores) >= len(result.scores) - 1
    assert 'bytes at its end are lost' in result.problems.sentences()[0]


def test_the_readable_part_of_a_cut_off_chunk_is_not_lost(tmp_path):
    bag = make_bag(tmp_path, 'mcap', count=14)
    (path,) = bag.path.glob('*.mcap')
    size = int(path.stat().st_size * 0.7)
    path.write_bytes(path.read_bytes()[:size])
    records = McapRecords(path)
    read = sum(len(message[-1]) for message in records)
    assert 0 < records.lost_bytes < size - read, 'only the rest of the last chunk is lost'


def test_a_bag_without_index_loses_nothing(tmp_path):
    """A ROS 1 recorder writes the position of the index when it closes, so a killed one leaves none."""
    path = make_bag(tmp_path, 'ros1').path
    data = bytearray(path.read_bytes())
    at = data.index(b'index_pos=') + len(b'index_pos=')
    data[at : at + 8] = bytes(8)
    active = path.with_name('bag.bag.active')
    active.write_bytes(data)
    result = evaluated(active)
    assert len(result.scores) == 6
    assert 'nothing is lost' in result.problems.sentences()[0]


def test_a_bag_without_readable_messages_is_an_error(tmp_path):
    path = tmp_path / 'x.mcap'
    path.write_bytes(b'\x89MCAP0\r\n')
    with pytest.raises(SourceError, match='nothing can be read of bag'):
        ReadableBag(path)
    with pytest.raises(SourceError, match='there is no ROS bag'):
        ReadableBag(tmp_path / 'gone.bag')


def test_prefetching_passes_errors_on_and_can_be_closed_early():
    def items():
        yield 1
        raise SourceError('broken')

    iterator = prefetch(items())
    assert next(iterator) == 1
    with pytest.raises(SourceError, match='broken'):
        next(iterator)
    endless = prefetch(iter(int, 1))
    next(endless)
    endless.close()


def test_ctrl_c_keeps_the_frames_before(tmp_path):
    def interrupted(frame):
        if frame.index == 3:
            raise KeyboardInterrupt
        return predict(frame)

    path = make_bag(tmp_path).path
    with ReadableBag(path) as bag:
        result = evaluate_source(BagSource(bag, BagPart(path, IMAGES), BagSelection(), SOCCER), interrupted, SOCCER)
    assert result.interrupted and [score.index for score in result.scores] == [0, 1, 2]


@pytest.mark.parametrize('how', ['bz2', 'lz4', 'chunks', 'messages'])
def test_compressed_bags_are_recovered(tmp_path, how):
    """Cut off within the index: no image is lost, whatever compresses the chunks or messages."""
    from rosbags.rosbag1 import Writer as Writer1
    from rosbags.rosbag2 import CompressionFormat, CompressionMode

    bag = BagMaker(tmp_path, 'ros1' if how in ('bz2', 'lz4') else 'mcap')
    if bag.kind == 'ros1':
        bag.writer.set_compression(getattr(Writer1.CompressionFormat, how.upper()))
    else:
        mode = CompressionMode.STORAGE if how == 'chunks' else CompressionMode.MESSAGE
        bag.writer.set_compression(mode, CompressionFormat.ZSTD)
    with bag:
        for index in range(4):
            bag.image(image_of(labels_of(index)), BASE + index, BASE + index, topic=IMAGES)
    (path,) = [bag.path] if bag.kind == 'ros1' else bag.path.glob('*.mcap')
    path.write_bytes(path.read_bytes()[:-40])
    if bag.kind != 'ros1':
        (bag.path / 'metadata.yaml').unlink()
    result = evaluated(path)
    assert [score.stamp for score in result.scores] == [BASE + index for index in range(4)]


def test_a_damaged_bag_is_evaluated_up_to_the_damage(tmp_path):
    with BagMaker(tmp_path, 'ros1') as bag:
        bag.writer.chunk_threshold = 20_000
        for index in range(12):
            bag.image(image_of(labels_of(index)), BASE + index, BASE + index, topic=IMAGES)
    data = bytearray(bag.path.read_bytes())
    at = data.index((BASE + 8 - 10**9 * (BASE // 10**9)).to_bytes(4, 'little') + b'\x06\x00\x00\x00camera')
    data[at + 4 : at + 8] = b'\xff' * 4  # the length of its frame_id
    bag.path.write_bytes(data)
    result = evaluated(bag.path)
    assert [score.index for score in result.scores] == list(range(8))
    assert 'the bag breaks off: 4 of 12 images are lost' in result.problems.sentences()[0]
