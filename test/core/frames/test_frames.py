"""Frame sources: order, names, stamps, pixels, and messages about bad input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.frames import open_frames
from support.recordings import write_video

BAGS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'bags'


def image(seed: int, width: int = 32, height: int = 24) -> np.ndarray:
    """Return (height, width, 3) uint8 RGB of smooth colours, which lossy formats keep nearly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 5 + seed, y * 7, np.full_like(x, 40 * seed % 256)], axis=-1).astype(np.uint8)


def test_a_folder_is_read_in_natural_order(tmp_path):
    for name in ('f10.png', 'f2.png', 'f1.bmp', 'F3.JPG'):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(image(len(name)), cv2.COLOR_RGB2BGR))
    (tmp_path / 'notes.txt').write_text('no image')
    source = open_frames(tmp_path)
    frames = list(source)
    assert len(source) == 4
    assert [f.name for f in frames] == ['f1', 'f2', 'F3', 'f10']
    assert all(f.stamp is None for f in frames)
    np.testing.assert_array_equal(frames[0].image, image(6))
    assert [f.name for f in source] == [f.name for f in frames], 'each iteration starts at the beginning'


def test_images_with_equal_names_are_numbered(tmp_path):
    for name in ('a.jpg', 'a.png', 'a_1.png'):
        cv2.imwrite(str(tmp_path / name), image(1))
    names = [f.name for f in open_frames(tmp_path)]
    assert len(set(names)) == 3
    assert names[0] == 'a'


def test_a_single_grey_image_is_a_source(tmp_path):
    path = tmp_path / 'grey.png'
    cv2.imwrite(str(path), np.full((5, 7), 90, np.uint8))
    (frame,) = open_frames(path)
    assert frame.image.shape == (5, 7, 3)
    assert np.all(frame.image == 90)


def test_a_damaged_image_is_named(tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'\x89PNG nothing')
    with pytest.raises(ImageError, match=r'bad\.png'):
        list(open_frames(tmp_path))


@pytest.mark.parametrize(
    ('make', 'text'),
    [
        (lambda p: p / 'none', 'does not exist'),
        (lambda p: p, 'holds no images'),
        (lambda p: p / 'a.txt', 'has the unknown suffix'),
        (lambda p: p / 'a.mp4', 'cannot open video'),
        (lambda p: p / 'a.bag', 'cannot read bag'),
        (lambda p: p / 'a.mcap', 'cannot read bag'),
        (lambda p: p / 'a.db3', 'cannot read bag'),
    ],
)
def test_paths_that_are_not_sources_are_named_in_one_line(tmp_path, make, text):
    path = make(tmp_path)
    if path.suffix:
        path.write_bytes(b'not the format of the suffix')
    with pytest.raises(SourceError, match=text) as caught:
        open_frames(path)
    assert '\n' not in str(caught.value)


def test_the_folder_images_of_a_data_set_is_suggested(tmp_path):
    (tmp_path / 'images').mkdir()
    with pytest.raises(SourceError, match='did you mean'):
        open_frames(tmp_path)


def test_a_topic_of_a_folder_is_rejected(tmp_path):
    with pytest.raises(SourceError, match='is not a ROS bag and has no topic /image'):
        open_frames(tmp_path, '/image')


def test_a_video_yields_its_frames_with_stamps(tmp_path):
    path = tmp_path / 'clip.mp4'
    bluer = [np.full((48, 64, 3), (40 * index, 0, 0), np.uint8) for index in range(5)]  # BGR
    write_video(path, 'mp4v', bluer)
    source = open_frames(path)
    frames = list(source)
    assert len(frames) == len(source) == 5
    assert [f.name for f in frames][:2] == ['clip_000000', 'clip_000001']
    assert [round(f.stamp / 1e6) for f in frames] == [0, 100, 200, 300, 400]
    red, _, blue = frames[4].image[24, 32]
    assert blue > 120 and red < 60, 'frames are RGB'


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
def test_public_bags_are_read(bag, topic, count, size):
    if not (BAGS / bag).exists():
        pytest.skip(f'{BAGS / bag} is missing')
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


def test_raw_and_compressed_bags_have_the_same_colours():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is missing')
    (raw,) = open_frames(BAGS / 'spot_raw_ros1.bag', '/spot/camera/hand_color/image')
    (compressed,) = open_frames(BAGS / 'spot_compressed_ros1.bag', '/spot/camera/hand_color/image/compressed')
    difference = raw.image.astype(int) - compressed.image
    assert np.abs(difference).mean(axis=(0, 1)).max() < 7, 'a larger difference of a channel means swapped colours'


def test_depth_in_a_bag_is_rejected_with_its_encoding():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is missing')
    for bag, topic in (
        ('spot_raw_ros1.bag', '/spot/depth/frontleft/image'),
        ('spot_compressed_ros1.bag', '/spot/depth/frontleft/image/compressed'),
    ):
        with pytest.raises(ImageError, match=r'16UC1.*depth'):
            list(open_frames(BAGS / bag, topic))


def test_several_topics_are_listed():
    if not BAGS.exists():
        pytest.skip(f'{BAGS} is missing')
    for topic in (None, '/camera/missing'):
        with pytest.raises(SourceError, match=r'/spot/camera/hand_mono/image \(Image, 1 messages\)'):
            open_frames(BAGS / 'spot_raw_ros1.bag', topic)
