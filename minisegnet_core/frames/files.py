"""Frames from image files and video files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ImageError, SourceError
from minisegnet_core.frames.frame import Frame, UniqueNames

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.ogv')

FEW_FRAMES, FEW_SHARE = 3, 0.02
"""By so many frames, or so large a share of them, what a video says of its length may be off."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key under which ``frame2`` comes before ``frame10``."""
    parts = re.split(r'(\d+)', name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


class ImageFolder:
    """Image files in natural order; a frame is named as its file is, less the ending."""

    missing = 0

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    @classmethod
    def of_folder(cls, folder: Path) -> ImageFolder:
        """The images directly inside a folder.

        Raises:
            SourceError: there are none.
        """
        paths = [
            p
            for p in folder.iterdir()
            if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith('.') and p.is_file()
        ]
        if not paths:
            hint = f'; did you mean {folder / "images"}?' if (folder / 'images').is_dir() else ''
            raise SourceError(f'folder {folder} holds no images ({", ".join(IMAGE_SUFFIXES)}){hint}')
        return cls(sorted(paths, key=lambda p: natural_key(p.name)))

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        unique = UniqueNames()
        for path in self.paths:
            yield Frame(None, unique(path.stem), read_image(path))


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image file.

    Raises:
        ImageError: it cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:
        raise ImageError(f'cannot read image {path}: {error}') from error
    if image is None:
        raise ImageError(f'image {path} is {"empty" if not data.size else "damaged or of an unknown format"}')
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb


class VideoFile:
    """A video's frames; stamps are the time since its beginning, names the file's name and a number from 0.

    Raises:
        SourceError: OpenCV cannot decode the file's first frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.missing = 0
        capture = self._open()
        try:
            self._length = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)
            if not capture.grab():
                raise SourceError(f'video {path} holds no frame that can be decoded; it is cut off or damaged')
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SourceError(f'cannot open video {self.path}: it is damaged or of a codec that OpenCV does not know')
        return capture

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        try:
            index = 0
            while True:
                ok, image = capture.read()
                if not ok:
                    lacking = self._length - index
                    self.missing = lacking if lacking > max(FEW_FRAMES, FEW_SHARE * self._length) else 0
                    return
                milliseconds = capture.get(cv2.CAP_PROP_POS_MSEC)  # after a read: that frame's time
                rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
                yield Frame(round(milliseconds * 1e6), f'{self.path.stem}_{index:06d}', rgb)
                index += 1
        finally:
            capture.release()
