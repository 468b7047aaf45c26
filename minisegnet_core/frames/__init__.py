"""Frame sources: a folder of images, a video file, a ROS bag. Each yields its frames in order; none needs ROS."""

from __future__ import annotations

from pathlib import Path

from minisegnet_core.errors import SourceError
from minisegnet_core.frames.folder import ImageFolder
from minisegnet_core.frames.frame import Frame, FrameSource
from minisegnet_core.frames.video import VIDEO_SUFFIXES, VideoFile
from minisegnet_core.imaging import IMAGE_SUFFIXES

STORAGE_SUFFIXES = ('.db3', '.mcap')
"""Suffixes of a ROS 2 bag's storage files: SQLite, MCAP."""

BAG_SUFFIXES = ('.bag', *STORAGE_SUFFIXES)
"""Suffixes of files that are read as ROS bags; ``.bag`` is ROS 1."""

__all__ = ['BAG_SUFFIXES', 'STORAGE_SUFFIXES', 'VIDEO_SUFFIXES', 'Frame', 'FrameSource', 'is_bag', 'open_frames']


def is_bag(path: str | Path) -> bool:
    """Return whether a path is a ROS bag: a bag file, or a folder with ``metadata.yaml`` or storage files."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or any(p.suffix in STORAGE_SUFFIXES for p in path.iterdir())
    return path.suffix.lower() in BAG_SUFFIXES


def open_frames(path: str | Path, topic: str | None = None) -> FrameSource:
    """Open a frame source of any kind.

    Args:
        path: a folder of images, an image file, a video file, a ROS 1 bag, or the folder or storage file of a ROS 2
            bag.
        topic: image topic of a bag; optional where the bag has only one.

    Raises:
        SourceError: the path does not exist, cannot be read, or holds no images, or the topic does not fit.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f'{path} does not exist; give a folder of images, a video file or a ROS bag')
    if is_bag(path):
        from minisegnet_core.frames.bag import BagImages  # importing rosbags is slow, and only bags need it

        return BagImages(path, topic)
    if topic is not None:
        raise SourceError(f'{path} is not a ROS bag and has no topic {topic}; omit the topic')
    if path.is_dir():
        return ImageFolder.of_folder(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder([path])
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoFile(path)
    known = ', '.join((*BAG_SUFFIXES, *VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
    raise SourceError(f'{path} has the unknown suffix {path.suffix!r}; give a folder, or a file with one of {known}')
