"""Bags in three formats: names, stamps, topics, damage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from minisegnet_core.errors import DamagedBagError, ImageError, SourceError
from minisegnet_core.frames import open_frames
from support.bag_files import BASE, FORMATS, BagMaker


def gradient(index: int = 0) -> np.ndarray:
    y, x = np.mgrid[:20, :30]
    return np.stack([x * 4 + index, y * 9, 255 - x * 5], axis=-1).astype(np.uint8)


@pytest.mark.parametrize('kind', FORMATS)
def test_frames_are_read_as_recorded(tmp_path, kind):
    stamps = [BASE + 7, BASE + 40_000_000, BASE + 40_000_000, 0, BASE + 40_000_000]
    with BagMaker(tmp_path, kind) as bag:
        for index, stamp in enumerate(stamps):
            bag.image(gradient(index), stamp, BASE + index, padding=index)
    source = open_frames(bag.path)
    frames = list(source)
    assert len(source) == len(frames) == 5
    assert [f.stamp for f in frames] == stamps, "the header's stamp, not the time of recording"
    twice = str(BASE + 40_000_000)
    assert [f.name for f in frames] == [str(BASE + 7), twice, f'{twice}_1', '0', f'{twice}_2']
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, gradient(index))
        assert frame.image.flags.writeable, 'engines share its memory'


@pytest.mark.parametrize('kind', FORMATS)
def test_compressed_frames_are_decoded(tmp_path, kind):
    bgr = cv2.cvtColor(gradient(), cv2.COLOR_RGB2BGR)
    png, jpeg = (cv2.imencode(e, bgr)[1].tobytes() for e in ('.png', '.jpg'))
    grey = cv2.imencode('.png', bgr[:, :, 0])[1].tobytes()
    with BagMaker(tmp_path, kind) as bag:
        bag.compressed(png, 'png', BASE, BASE)
        bag.compressed(jpeg, 'bgr8; jpeg compressed bgr8', BASE + 1, BASE + 1)
        bag.compressed(grey, 'mono8; png compressed ', BASE + 2, BASE + 2)
    first, second, third = open_frames(bag.path, '/camera/compressed')
    np.testing.assert_array_equal(first.image, gradient())
    assert np.abs(second.image.astype(int) - gradient()).mean() < 6
    np.testing.assert_array_equal(third.image, np.repeat(bgr[:, :, :1], 3, axis=2))


def test_one_of_several_topics_must_be_chosen(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(gradient(), BASE, BASE, topic='/left/image')
        bag.image(gradient(), BASE, BASE, topic='/right/image')
        bag.image(gradient(), BASE, BASE + 1, topic='/right/image')
    with pytest.raises(SourceError, match=r'/left/image \(Image, 1 messages\), /right/image \(Image, 2 messages\)'):
        open_frames(bag.path)
    with pytest.raises(SourceError, match=r'no image topic /middle; there are: /left/image'):
        open_frames(bag.path, '/middle')
    assert len(list(open_frames(bag.path, 'right/image'))) == 2, 'the leading slash is optional'


def test_a_bag_without_images_is_named(tmp_path):
    with BagMaker(tmp_path, 'sqlite3') as bag:
        bag.write('/chatter', 'std_msgs/msg/String', bag.store.types['std_msgs/msg/String'](data='hello'), BASE)
    with pytest.raises(SourceError, match='holds no images: none of its 1 topics'):
        open_frames(bag.path)
    with pytest.raises(SourceError, match='holds no images'):
        open_frames(bag.path, '/chatter')


def test_a_bag_without_messages_is_named(tmp_path):
    with BagMaker(tmp_path, 'sqlite3'):
        pass
    with pytest.raises(SourceError, match='holds no images'):
        open_frames(tmp_path / 'bag')


def test_a_folder_without_metadata_is_read_through_its_storage_files(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(gradient(), BASE, BASE)
    (bag.path / 'metadata.yaml').unlink()
    assert [f.stamp for f in open_frames(bag.path)] == [BASE]


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('fraction', [0.0, 0.2, 0.6, 0.97])
def test_a_truncated_bag_is_named(tmp_path, kind, fraction):
    with BagMaker(tmp_path, kind) as bag:
        for index in range(40):
            bag.image(gradient(index), BASE + index, BASE + index)
    (path,) = [bag.path] if kind == 'ros1' else bag.path.glob('*.*3' if kind == 'sqlite3' else '*.mcap')
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DamagedBagError) as caught:
        list(open_frames(bag.path))
    assert 'cannot read bag' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert caught.value.reason in str(caught.value)


def test_a_bad_image_in_a_bag_is_named(tmp_path):
    with BagMaker(tmp_path, 'mcap') as bag:
        bag.image(gradient(), BASE, BASE)
        bag.image(gradient(), BASE + 1, BASE + 1, cut=1)
    frames = iter(open_frames(bag.path))
    next(frames)
    with pytest.raises(ImageError, match=f'/camera/image, frame {BASE + 1}: the image is truncated'):
        next(frames)
