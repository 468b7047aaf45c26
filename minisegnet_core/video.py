"""Writing of videos that browsers play: VP9 in MP4.

OpenCV's packages write VP9. They contain no H.264 encoder, and browsers do not play their MPEG-4.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import OutputError

CODEC = 'vp09'


class VideoWriter:
    """Writes frames of one size; frames of another size are fitted into it, with black bars.

    Args:
        path: file to write, ending in ``.mp4``.
        size: (width, height) in pixels; the codec needs even sides, so odd ones are made even.
        fps: frames per second.

    Raises:
        OutputError: OpenCV cannot write the file, or has no VP9 encoder.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self.size = size[0] // 2 * 2, size[1] // 2 * 2
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODEC), fps, self.size)
        if not self._writer.isOpened():
            raise OutputError(f'OpenCV cannot write {path} as VP9; pip install opencv-python-headless')

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add an (H, W, 3) uint8 RGB frame."""
        width, height = self.size
        if image.shape[:2] != (height, width):
            scale = min(width / image.shape[1], height / image.shape[0])
            fitted = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
            canvas = np.zeros((height, width, 3), np.uint8)
            canvas[: fitted.shape[0], : fitted.shape[1]] = fitted[:height, :width]
            image = canvas
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file; it does not play without this."""
        self._writer.release()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
