"""Images of a bag, a video or a folder, with a model's own predictions as labels to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.data.importers.entry import Content, Entry, safe_name
from minisegnet_core.data.split import NEIGHBOUR_NS
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.frames import FrameSource
from minisegnet_core.geometry import STRIDE

Labeller = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""(H, W, 3) uint8 RGB to (ceil(H/4), ceil(W/4)) uint8 ids: a model."""

THUMBNAIL = (32, 24)


class LabelledFrames:
    """Chosen frames of a source, each with a model's labels, to be corrected by hand.

    Args:
        frames: the source.
        name: of the source; begins the names of its images, and names its group.
        label: the model.
        every: take each n-th frame.
        rate: take at most so many frames a second, by their stamps; 0: all.
        least_change: a frame whose thumbnail differs less than this from the last one taken is left out; mean absolute
            difference in grey levels of 255; 0 takes all.
        group_seconds: length of a group, seconds; between two groups a second is left out, so that no near neighbours
            stand on both sides of a split. 0: the whole source is one group.

    Raises:
        ConfigurationError: a number is out of range.
    """

    def __init__(
        self,
        frames: FrameSource,
        name: str,
        label: Labeller,
        *,
        every: int = 1,
        rate: float = 0.0,
        least_change: float = 0.0,
        group_seconds: float = 0.0,
    ) -> None:
        if every < 1 or rate < 0 or least_change < 0:
            raise ConfigurationError(
                f'every {every} must be at least 1, rate {rate:g} and least change {least_change:g} not below 0'
            )
        if group_seconds and group_seconds * 1e9 <= 2 * NEIGHBOUR_NS:
            raise ConfigurationError(f'group seconds {group_seconds:g} must be 0 or above 2')
        self.absent: dict[str, str] = {}
        self.frames, self.name, self.label = frames, safe_name(name), label
        self.every, self.rate, self.least_change, self.group_seconds = every, rate, least_change, group_seconds
        self.alike = 0

    def __len__(self) -> int:
        return (len(self.frames) + self.every - 1) // self.every

    def __iter__(self) -> Iterator[Entry]:
        last_stamp: int | None = None
        last_look: NDArray[np.int16] | None = None
        begin: int | None = None
        for index, frame in enumerate(self.frames):
            begin = frame.stamp if begin is None else begin
            if index % self.every or not self._due(frame.stamp, last_stamp):
                continue
            group = self._group(frame.stamp, begin)
            if group is None:
                continue
            look = _thumbnail(frame.image)
            if last_look is not None and np.abs(look - last_look).mean() < self.least_change:
                self.alike += 1
                continue
            last_look, last_stamp = look, frame.stamp
            # The model runs here, not in the reader's threads: an engine takes one image at a time.
            labels = smooth_labels(self.label(frame.image), frame.image.shape[1], frame.image.shape[0])
            yield Entry(
                f'{self.name}_{safe_name(frame.name)}',
                partial(Content, frame.image, labels),
                group=group,
                stamp=frame.stamp,
            )

    def _due(self, stamp: int | None, last: int | None) -> bool:
        if not self.rate:
            return True
        if stamp is None:
            raise SourceError(f'{self.name} has no stamps, so there is no rate; take each n-th frame instead (--every)')
        return last is None or abs(stamp - last) >= 1e9 / self.rate

    def _group(self, stamp: int | None, begin: int | None) -> str | None:
        if not self.group_seconds or stamp is None or begin is None:
            return self.name
        number, seconds = divmod((stamp - begin) / 1e9, self.group_seconds)
        near_the_last_group = number > 0 and seconds * 1e9 < NEIGHBOUR_NS
        return None if near_the_last_group else f'{self.name}_{int(number):04}'


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, THUMBNAIL, interpolation=cv2.INTER_AREA), np.int16)


def smooth_labels(label_image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(h, w) ids on the label grid to (height, width): of every pixel, the class that is nearest and most around it.

    Each class's area is enlarged linearly, and the largest share wins: borders without steps of four pixels, which
    would be tedious to correct, and no ids that were not there.
    """
    size = label_image.shape[1] * STRIDE, label_image.shape[0] * STRIDE
    best = np.zeros((height, width), np.float32)
    labels = np.zeros((height, width), np.uint8)
    for label in np.unique(label_image):
        share = cv2.resize((label_image == label).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        more = share[:height, :width] > best
        labels[more] = label
        best[more] = share[:height, :width][more]
    return labels


def stem_of(path: Path) -> str:
    """Name of a source for its images and its group."""
    return safe_name(path.stem if path.is_file() else path.name)
