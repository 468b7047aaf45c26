"""Frames of a bag, a video or a folder, labelled by a model and meant for correction in a label tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.importers.entry import Content, Entry, safe_name
from minisegnet_core.data.split import NEIGHBOUR_NS
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.frames import FrameSource
from minisegnet_core.geometry import STRIDE

Labeller = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""A model: (H, W, 3) uint8 RGB to (ceil(H/4), ceil(W/4)) uint8 ids."""

THUMBNAIL_SIZE = (32, 24)
"""Width and height in pixels of the thumbnails that are compared."""

SIMILAR = 'frames that look like the one before'


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a source are imported.

    Attributes:
        every: take every n-th frame.
        fps: maximum number of frames per second, by their stamps; 0 for no limit.
        min_change: minimum mean absolute difference, in grey levels of 255, between the thumbnails of a frame and of
            the last imported frame; 0 imports all frames.
        group_seconds: length of a group in seconds. One second is left out between groups, so that near neighbours
            never are in different splits. 0 makes the source one group.

    Raises:
        ConfigurationError: a number is out of range.
    """

    every: int = 1
    fps: float = 0.0
    min_change: float = 0.0
    group_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1 or self.fps < 0 or self.min_change < 0:
            raise ConfigurationError(
                f'every {self.every} must be at least 1, fps {self.fps:g} and min_change {self.min_change:g} at least 0'
            )
        if self.group_seconds and self.group_seconds * 1e9 <= 2 * NEIGHBOUR_NS:
            raise ConfigurationError(f'group_seconds {self.group_seconds:g} must be 0 (one group) or above 2')


class LabelledFrames:
    """Selected frames of a source with the labels of a model.

    Args:
        frames: the source.
        name: name of the source, which begins the names of its images and names its group.
        label: the model.
        classes: classes of the model.
        selection: which frames are imported.
    """

    def __init__(
        self,
        frames: FrameSource,
        name: str,
        label: Labeller,
        classes: ClassSet,
        selection: FrameSelection | None = None,
    ) -> None:
        self.classes = classes
        self.absent: dict[str, str] = {}
        self.left_out = {SIMILAR: 0}
        self.selection = selection or FrameSelection()
        self._frames, self._name, self._label = frames, safe_name(name), label

    def __len__(self) -> int:
        return (len(self._frames) + self.selection.every - 1) // self.selection.every

    def __iter__(self) -> Iterator[Entry]:
        self.left_out[SIMILAR] = 0
        last_stamp: int | None = None
        last_thumbnail: NDArray[np.int16] | None = None
        begin: int | None = None
        for index, frame in enumerate(self._frames):
            begin = frame.stamp if begin is None else begin
            if index % self.selection.every or not self._due(frame.stamp, last_stamp):
                continue
            group = self._group(frame.stamp, begin)
            if group is None:
                continue
            thumbnail = _thumbnail(frame.image)
            if last_thumbnail is not None and np.abs(thumbnail - last_thumbnail).mean() < self.selection.min_change:
                self.left_out[SIMILAR] += 1
                continue
            last_thumbnail, last_stamp = thumbnail, frame.stamp
            # The model runs here and not in the reading threads, since an engine takes one image at a time.
            labels = smooth_labels(self._label(frame.image), frame.image.shape[1], frame.image.shape[0])
            yield Entry(
                f'{self._name}_{safe_name(frame.name)}',
                partial(Content, frame.image, labels),
                group=group,
                stamp=frame.stamp,
            )

    def _due(self, stamp: int | None, last: int | None) -> bool:
        if not self.selection.fps:
            return True
        if stamp is None:
            raise SourceError(f'{self._name} has no stamps, so --fps cannot select frames; use --every')
        return last is None or abs(stamp - last) >= 1e9 / self.selection.fps

    def _group(self, stamp: int | None, begin: int | None) -> str | None:
        """Return the group of a frame, or None for a frame between two groups."""
        if not self.selection.group_seconds or stamp is None or begin is None:
            return self._name
        number, seconds = divmod((stamp - begin) / 1e9, self.selection.group_seconds)
        near_the_last_group = number > 0 and seconds * 1e9 < NEIGHBOUR_NS
        return None if near_the_last_group else f'{self._name}_{int(number):04}'


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA), np.int16)


def smooth_labels(label_image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Enlarge a label image to the (height, width) of its image, with smooth borders between classes.

    Each class's mask is enlarged bilinearly, and each pixel takes the class with the largest value. So borders have no
    steps of four pixels, which are tedious to correct, and no new ids appear.

    Args:
        label_image: (h, w) uint8 ids on the label grid.
        width, height: size of the image in pixels.
    """
    size = label_image.shape[1] * STRIDE, label_image.shape[0] * STRIDE
    best = np.zeros((height, width), np.float32)
    labels = np.zeros((height, width), np.uint8)
    for label in np.unique(label_image):
        enlarged = cv2.resize((label_image == label).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        value = enlarged[:height, :width]
        larger = value > best
        labels[larger] = label
        best[larger] = value[larger]
    return labels


def source_name(path: Path) -> str:
    """Return the name of a source for its images and its group."""
    return safe_name(path.stem if path.is_file() else path.name)
