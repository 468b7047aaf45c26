"""Frames from video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from minisegnet_core.errors import SourceError
from minisegnet_core.frames.frame import Frame

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.ogv')

FEW_FRAMES, FEW_SHARE = 3, 0.02
"""By so many frames, or so large a share of them, what a video says of its length may be off."""


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
