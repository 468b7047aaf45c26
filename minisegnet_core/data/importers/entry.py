"""What every importer lists, and what reading one entry gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.annotations import read_annotations
from minisegnet_core.errors import ConfigurationError, SourceError

COPIED = ('.jpg', '.jpeg', '.png')
"""Endings of image files that are copied as they are; others are written anew as PNG."""
IMAGES = (*COPIED, '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')


@dataclass(frozen=True)
class Content:
    """One labelled image.

    image: (H, W, 3) uint8 RGB; labels: (H, W) uint8 ids; balls: None where unknown; notes: what is to be told of it,
    with a number to add up, such as ignored pixels.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    balls: tuple[BallTruth, ...] | None = None
    notes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Entry:
    """One image that an importer found.

    Args:
        name: in the data set to be; fit for a file name.
        read: gives the content; may be called in any thread. Raises ImageError or DatasetError that name the file.
        group: match, venue or sequence, where the format tells.
        stamp: ns, where the format tells.
        split: that the source puts it into: train, val, test, or None.
        image_file: what can be copied as it is.
        label_file: what errors shall name.
    """

    name: str
    read: Callable[[], Content]
    group: str | None = None
    stamp: int | None = None
    split: str | None = None
    image_file: Path | None = None
    label_file: Path | None = None


class Importer(Protocol):
    """A source of labelled images. ``absent`` as in ``dataset.yaml``, where the format never draws a class."""

    absent: dict[str, str]

    def __iter__(self) -> Iterator[Entry]: ...

    def __len__(self) -> int:
        """Number of entries, for the progress display; an upper bound where some may be skipped."""
        ...


def annotations_beside(images: Path) -> dict[str, dict[str, Any]]:
    """What a data set of ours tells of the images in this folder of it, by name: group and stamp outlive a label tool.

    Raises:
        DatasetError: its annotations.jsonl is damaged.
    """
    return read_annotations(images.parent / 'annotations.jsonl')


def safe_name(text: str) -> str:
    """A text as a file name: letters, digits, dot, dash and underscore stay, all else becomes an underscore."""
    return re.sub(r'[^\w.-]+', '_', text).strip('._') or 'image'


def image_files(folder: Path) -> list[Path]:
    """Image files inside a folder and its subfolders, in order.

    Raises:
        SourceError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise SourceError(f'there is no folder {folder}')
    files = sorted(p for p in folder.rglob('*') if p.suffix.lower() in IMAGES and not p.name.startswith('.'))
    if not files:
        raise SourceError(f'{folder} holds no images ({", ".join(IMAGES)})')
    return files


def first_folder(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these folders that exists below ``root``.

    Raises:
        SourceError: none does.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SourceError(f'{root} has no folder with {what} ({", ".join(names)}); name it')


def listed(entries: Iterable[object], most: int = 5) -> str:
    """The first few, and how many more."""
    texts = [str(entry) for entry in entries]
    rest = f' and {len(texts) - most} more' if len(texts) > most else ''
    return ', '.join(texts[:most]) + rest


def checked_longest_side(pixels: int) -> int:
    """0, for images as they are, or the most pixels that the longer side of an image may have.

    Raises:
        ConfigurationError: it is none of both.
    """
    if pixels and pixels < 64:
        raise ConfigurationError(f'longest side {pixels} must be 0 or at least 64 pixels')
    return pixels


def shrunk(pixels: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """An image (H, W, 3), averaged, or labels (H, W), of which single pixels are taken; as it is where it is no larger.

    Args:
        longest_side: pixels that the longer side may have; 0: any number.
    """
    factor = longest_side / max(pixels.shape[:2])
    if not longest_side or factor >= 1:
        return pixels
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    how = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)
