"""Frame sources: order, names, stamps, pixels, and what they say of bad input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.frames import open_frames
from support.recordings import write_video

BAGS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'bags'


def picture(seed: int, width: int = 32, height: int = 24) -> np.ndarray:
    """(height, width, 3) uint8 RGB of smooth colours, so that lossy formats keep it nearly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5 + seed, y * 7, np.full_like(x, 40 * seed % 256)], axis=-1).astype(np.uint8)


def test_folder_in_natural_order(tmp_path):
    for name in ('f10.png', 'f2.png', 'f1.bmp', 'F3.JPG'):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(picture(len(name)), cv2.COLOR_RGB2BGR))
    (tmp_path / 'notes.txt').write_text('no image')
    source = open_frames(tmp_path)
    frames = list(source)
    assert len(source) == 4
    assert [f.name for f in frames] == ['f1', 'f2', 'F3', 'f10']
    assert all(f.stamp is None for f in frames)
    np.testing.assert_array_equal(frames[0].image, picture(6))
    assert [f.name for f in source] == [f.name for f in frames], 'a source starts anew each time'


def test_folder_gives_equal_stems_a_number(tmp_path):
    for name in ('a.jpg', 'a.png', 'a_1.png'):
        cv2.imwrite(str(tmp_path / name), picture(1))
    names = [f.name for f in open_frames(tmp_path)]
    assert len(set(names)) == 3
    assert names[0] == 'a'


def test_single_image_and_grey_image(tmp_path):
    path = tmp_path / 'grey.png'
    cv2.imwrite(str(path), np.full((5, 7), 90, np.uint8))
    (frame,) = open_frames(path)
    assert frame.image.shape == (5, 7, 3)
    assert np.all(frame.image == 90)


def test_damaged_image_is_named(tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'\x89PNG nothing')
    with pytest.raises(ImageError, match=r'bad\.png'):
        list(open_frames(tmp_path))


@pytest.mark.parametrize(
    ('make', 'text'),
    [
        (lambda p: p / 'none', 'there is no'),
        (lambda p: p, 'holds no images'),
        (lambda p: p / 'a.txt', 'cannot tell'),
        (lambda p: p / 'a.mp4', 'cannot open video'),
        (lambda p: p / 'a.bag', 'cannot read bag'),
        (lambda p: p / 'a.mcap', 'cannot read bag'),
        (lambda p: p / 'a.db3', 'cannot read bag'),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path, make, text):
    path = make(tmp_path)
    if path.suffix:
        path.write_bytes(b'this is not what the ending says')
    with pytest.raises(SourceError, match=text) as caught:
        open_frames(path)
    assert '\n' not in str(caught.value)


def test_hint_at_the_images_folder_of_a_data_set(tmp_path):
    (tmp_path / 'images').mkdir()
    with pytest.raises(SourceError, match='did you mean'):
        open_frames(tmp_path)


def test_topic_of_a_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match='no ROS bag'):
        open_frames(tmp_path, '/image')


def test_video(tmp_path):
    path = tmp_path / 'clip.mp4'
    bluer = [np.full((48, 64, 3), (40 * index, 0, 0), np.uint8) for index in range(5)]  # BGR
    write_video(path, 'mp4v', bluer)
    source = open_frames(path)
    frames = list(source)
    assert len(frames) == len(source) == 5
    assert [f.name for f in frames][:2] == ['clip_000000', 'clip_000001']
    assert [round(f.stamp / 1e6) for f in frames] == [0, 100, 200, 300, 400]
    red, _, blue = frames[4].image[24, 32]
    assert blue > 120 and red < 60, 'frames must be RGB'


@pytest.mark.parametrize(
    ('bag', 'topic', 'count', 'size'),
    [
        ('msl_falcons_compressed_mcap', None, 100, (608, 800)),
        ('msl_falcons_compressed_mcap/msl_falcons_compressed_mcap.mcap', None, 100, (608, 800)),
        ('msl_falcons_raw_sqlite3', None, 12, (608, 800)),
        ('msl_falcons_raw_sqlite3/msl_falcons_raw_sqlite3.db3', None, 12, (608, 800)),
        ('spot_hand_color_raw_ros1_cc0.bag', None, 1, (640, 480)),
        ('spot_raw_ros1.bag', '/spot/camera/hand_mono/image', 1, (224, 171)),
        ('spot_raw_mcap', '/spot/camera/frontleft/image', 1, (640, 480)),
        ('spot_compressed_ros1.bag', '/spot/camera/hand_color/image/compressed', 1, (640, 480)),
        ('spot_compressed_ros1.bag', '/spot/camera/hand_mono/image/compressed', 1, (224, 171)),
    ],
)
def test_bags_recorded_by_others(bag, topic, count, size):
    if not (BAGS / bag).exists():
        pytest.skip(f'{BAGS / bag} is not here')
    source = open_frames(BAGS / bag, topic)
    assert len(source) == count
    frames = []
    for frame in source:
        assert frame.image.dtype == np.uint8
        assert frame.name == str(frame.stamp)
        assert (frame.image.shape[1], frame.image.shape[0]) == size
        frames.append(frame)
    assert len(frames) == count
    assert len({f.name for f in frames}) == count


def test_raw_and_compressed_bag_show_the_same_colours():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is not here')
    (raw,) = open_frames(BAGS / 'spot_raw_ros1.bag', '/spot/camera/hand_color/image')
    (compressed,) = open_frames(BAGS / 'spot_compressed_ros1.bag', '/spot/camera/hand_color/image/compressed')
    difference = raw.image.astype(int) - compressed.image
    assert np.abs(difference).mean(axis=(0, 1)).max() < 7, 'per channel, or red and blue were swapped'


def test_depth_in_a_bag_is_refused_with_its_name():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is not here')
    for bag, topic in (
        ('spot_raw_ros1.bag', '/spot/depth/frontleft/image'),
        ('spot_compressed_ros1.bag', '/spot/depth/frontleft/image/compressed'),
    ):
        with pytest.raises(ImageError, match=r'16UC1.*depth'):
            list(open_frames(BAGS / bag, topic))


def test_several_topics_are_listed():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is not here')
    for topic in (None, '/camera/missing'):
        with pytest.raises(SourceError, match=r'/spot/camera/hand_mono/image \(Image, 1 messages\)'):
            open_frames(BAGS / 'spot_raw_ros1.bag', topic)
