"""Frame sources: a folder of images, a video file, a ROS bag. Each yields frames in order; none needs ROS."""

from __future__ import annotations

from pathlib import Path

from minisegnet_core.errors import SourceError
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.frames.frame import Frame, FrameSource
from minisegnet_core.frames.video import VIDEO_SUFFIXES, VideoFile
from minisegnet_core.imaging import IMAGE_SUFFIXES

BAG_SUFFIXES = ('.bag', '.db3', '.mcap')
"""File name endings that are taken for ROS bags: ROS 1, ROS 2 in SQLite, ROS 2 in MCAP."""

__all__ = ['BAG_SUFFIXES', 'VIDEO_SUFFIXES', 'Frame', 'FrameSource', 'is_bag', 'open_frames']


def is_bag(path: str | Path) -> bool:
    """Whether the path is a ROS bag by its name: a bag file, or a folder with ``metadata.yaml`` or storage files."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or any(p.suffix in ('.db3', '.mcap') for p in path.iterdir())
    return path.suffix.lower() in BAG_SUFFIXES


def open_frames(path: str | Path, topic: str | None = None) -> FrameSource:
    """Opens whatever holds images.

    Args:
        path: a folder of images, an image file, a video file, a ROS 1 bag, a ROS 2 bag's folder or its storage file.
        topic: which image topic of a bag; may be left out where there is just one.

    Raises:
        SourceError: nothing is there, it cannot be read, it holds no images, or the topic must be chosen otherwise.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f'there is no {path}; give a folder of images, a video file or a ROS bag')
    if is_bag(path):
        from minisegnet_core.frames.bag import BagImages  # rosbags takes a while to import, folders do not need it

        return BagImages(path, topic)
    if topic is not None:
        raise SourceError(f'{path} is no ROS bag, so it has no topic {topic}; leave the topic out')
    if path.is_dir():
        return ImageFolder.of_folder(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder([path])
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoFile(path)
    known = ', '.join((*BAG_SUFFIXES, *VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
    raise SourceError(f'cannot tell what {path} is from its ending {path.suffix!r}; known are {known}')
