"""Frames from video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from minisegnet_core.errors import SourceError
from minisegnet_core.frames.frame import Frame

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.ogv')

TOLERATED_FRAMES, TOLERATED_FRACTION = 3, 0.02
"""Number and fraction of frames by which a complete video may fall short of the length in its header."""


class VideoFile:
    """Frames of a video file.

    A frame's stamp is the time since the beginning of the video. Its name is the file's name and a number from 0.

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
                raise SourceError(f'video {path} holds no frame that OpenCV can decode; it is truncated or damaged')
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SourceError(f'cannot open video {self.path}: it is damaged, or OpenCV does not support its codec')
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
                    missing = self._length - index
                    tolerated = max(TOLERATED_FRAMES, TOLERATED_FRACTION * self._length)
                    self.missing = missing if missing > tolerated else 0
                    return
                milliseconds = capture.get(cv2.CAP_PROP_POS_MSEC)  # after a read, the time of the frame read
                rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
                yield Frame(round(milliseconds * 1e6), f'{self.path.stem}_{index:06d}', rgb)
                index += 1
        finally:
            capture.release()
