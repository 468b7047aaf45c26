"""The interface of importers, and functions that several of them need."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import ClassSet
from minisegnet_core.data.annotations import Annotation, read_annotations
from minisegnet_core.data.dataset import ANNOTATIONS
from minisegnet_core.errors import ConfigurationError, SourceError
from minisegnet_core.imaging import IMAGE_SUFFIXES, is_image_file

COPIED_SUFFIXES = ('.jpg', '.jpeg', '.png')
"""Suffixes of image files that are copied unchanged; images of other formats are written again."""

MIN_BALL_AREA = 12
"""Smallest area in pixels of a blob of ball labels that counts as a ball."""

MIN_SIDE = 64
"""Smallest side length in pixels to which images are scaled."""

UNKNOWN = 'unknown'
"""Note that counts pixels of unknown colours."""


@dataclass(frozen=True)
class Content:
    """One labelled image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 ids.
        balls: all balls in the image; None where they are unknown.
        notes: remarks for the report, such as a number of ignored pixels; the numbers of all images are added.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    balls: tuple[BallTruth, ...] | None = None
    notes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Entry:
    """One image that an importer lists.

    Attributes:
        name: name of the image in the data set, valid as a file name.
        read: returns the content. It may be called in any thread. It raises ImageError or DatasetError with the file.
        group: match, venue or sequence; None where the format does not record it.
        stamp: nanoseconds; None where the format does not record it.
        split: the source's own split (train, val, test), or None.
        image_file: image file to copy unchanged; None if the image must be written again.
        label_file: label file for error messages.
    """

    name: str
    read: Callable[[], Content]
    group: str | None = None
    stamp: int | None = None
    split: str | None = None
    image_file: Path | None = None
    label_file: Path | None = None


class Importer(Protocol):
    """A source of labelled images.

    Attributes:
        classes: classes of the label ids.
        absent: names of classes that the format never draws, with the class that it draws in their place.
        left_out: numbers of images that are not listed, by reason; complete after an iteration.
    """

    @property
    def classes(self) -> ClassSet: ...

    @property
    def absent(self) -> Mapping[str, str]: ...

    @property
    def left_out(self) -> Mapping[str, int]: ...

    def __iter__(self) -> Iterator[Entry]: ...

    def __len__(self) -> int:
        """Return the number of entries for a progress display; an upper bound where some may be left out."""
        ...


def annotations_beside(images: Path) -> dict[str, Annotation]:
    """Return the annotations of the minisegnet data set whose folder ``images`` this is; nothing for other folders.

    They keep groups and stamps across a correction in a label tool.

    Raises:
        DatasetError: annotations.jsonl is damaged.
    """
    return read_annotations(images.parent / ANNOTATIONS)


def safe_name(text: str) -> str:
    """Return a text as a file name: all but letters, digits, dot, dash and underscore become underscores."""
    return re.sub(r'[^\w.-]+', '_', text).strip('._') or 'image'


def copied_file(path: Path) -> Path | None:
    """Return an image file that can be copied unchanged, or None if its format must be converted."""
    return path if path.suffix.lower() in COPIED_SUFFIXES else None


def image_files(folder: Path) -> list[Path]:
    """Return the image files inside a folder and its subfolders, sorted.

    Raises:
        SourceError: the folder does not exist or holds no images.
    """
    if not folder.is_dir():
        raise SourceError(f'there is no folder {folder}; give a folder of images')
    files = sorted(path for path in folder.rglob('*') if is_image_file(path))
    if not files:
        raise SourceError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return files


def first_folder(root: Path, names: Sequence[str], what: str, option: str) -> Path:
    """Return the first existing folder of ``names`` below ``root``.

    Args:
        what: content of the folder, for the message.
        option: option that names the folder, for the message.

    Raises:
        SourceError: none of them exists.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SourceError(f'{root} has no folder with {what} ({", ".join(names)}); name it with {option}')


def check_max_side(pixels: int) -> None:
    """Validate a maximum side length.

    Raises:
        ConfigurationError: it is neither 0 nor at least 64 pixels.
    """
    if pixels and pixels < MIN_SIDE:
        raise ConfigurationError(f'maximum side {pixels} must be 0 (no limit) or at least {MIN_SIDE} pixels')


def limit_size(pixels: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Shrink an image or a label image whose longer side exceeds a limit.

    Args:
        pixels: image (H, W, 3), which is averaged, or labels (H, W), of which single pixels are taken.
        max_side: maximum of the longer side in pixels; 0 for no limit.
    """
    factor = max_side / max(pixels.shape[:2])
    if not max_side or factor >= 1:
        return pixels
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    interpolation = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def balls_of_labels(labels: NDArray[np.uint8], ball_id: int | None) -> tuple[BallTruth, ...] | None:
    """Return a ball for each connected blob of ball labels: its centroid, and the radius of a circle of its area.

    Labels do not show hidden parts. So every ball counts as wholly visible, and occlusions make it smaller.

    Args:
        labels: (H, W) uint8 ids.
        ball_id: class id of the ball; None returns None, since nothing is known of balls.
    """
    if ball_id is None:
        return None
    count, _, stats, centroids = cv2.connectedComponentsWithStats((labels == ball_id).astype(np.uint8), connectivity=8)
    balls = []
    for blob in range(1, count):
        area = int(stats[blob, cv2.CC_STAT_AREA])
        if area >= MIN_BALL_AREA:
            x, y = (float(value) for value in centroids[blob])
            balls.append(BallTruth(x, y, math.sqrt(area / math.pi), 1.0, x, y))
    return tuple(balls)
