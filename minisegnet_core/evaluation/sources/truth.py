"""Ground truth that stands beside the images: a folder of label images, boxes or circles of balls, by frame name.

A bag frame's name is its header stamp in nanoseconds (a repeated stamp gets ``_1``), as `predict` writes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.annotations import ball_truth
from minisegnet_core.data.importers.yolo import read_yolo
from minisegnet_core.errors import SourceError
from minisegnet_core.frames.frame import UniqueNames
from minisegnet_core.imaging import read_labels

Balls = tuple[BallTruth, ...]


class LabelTruth(Protocol):
    """Labels by frame. ``where``: what to call it in texts."""

    where: str

    def take(self, name: str, stamp: int | None, received: int | None) -> NDArray[np.uint8] | None:
        """Labels (H, W) uint8 of a frame, or None; frames are asked for in their order, each once.

        Raises:
            DatasetError: this frame's labels are there but cannot be used.
        """
        ...

    def unused(self) -> list[str]:
        """Names of labels that no frame has taken."""
        ...

    def close(self) -> None:
        """Frees what is open; nothing is taken after it."""
        ...


class BallTruths(Protocol):
    """Balls by frame; as :class:`LabelTruth`."""

    where: str

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        """All balls in a frame of ``size`` (width, height), or None where nobody looked."""
        ...

    def unused(self) -> list[str]: ...


class LabelFolder:
    """``<name>.png`` of uint8 ids, at the images' size or on the label grid.

    Raises:
        SourceError: the folder is missing or holds no PNG.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._left = {p.stem: p for p in sorted(folder.glob('*.png'))}
        if not self._left:
            raise SourceError(f'{folder} holds no label image <name>.png; a bag frame is named by its stamp in ns')

    def take(self, name: str, stamp: int | None, received: int | None) -> NDArray[np.uint8] | None:
        path = self._left.pop(name, None)
        return None if path is None else read_labels(path)

    def unused(self) -> list[str]:
        return list(self._left)

    def close(self) -> None:
        pass


class YoloBoxes:
    """``<name>.txt``, a line a box: ``class cx cy w h``, relative to the image, or a YOLO outline, whose extent is
    the box; an empty file means no ball.

    A ball's radius is a quarter of its box's width and height together, its centroid the box's centre: where a ball is
    hidden in part, that is the part's, and all boxes count as fully visible.

    Args:
        folder: with one .txt per labelled frame. ball_class: the class that is the ball.

    Raises:
        SourceError: the folder is missing or holds no .txt.
    """

    def __init__(self, folder: Path, ball_class: int = 0) -> None:
        self.where = str(folder)
        self._ball_class = ball_class
        self._left = {p.stem: p for p in sorted(folder.glob('*.txt'))}
        if not self._left:
            raise SourceError(f'{folder} holds no boxes <name>.txt; a bag frame is named by its stamp in ns')

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        path = self._left.pop(name, None)
        if path is None:
            return None
        balls = []
        for box in read_yolo(path):
            if box.category == self._ball_class:
                # Pixel centres are at integers: the image's left border is at -1/2.
                x, y = box.x * size[0] - 0.5, box.y * size[1] - 0.5
                radius = (box.width * size[0] + box.height * size[1]) / 4
                balls.append(BallTruth(x, y, radius, 1.0, x, y))
        return tuple(balls)

    def unused(self) -> list[str]:
        return list(self._left)


class BallLines:
    """A JSONL file, an object a frame: ``name`` or ``stamp`` (ns), and ``balls: [{x, y, radius, ...}]``.

    As the annotations.jsonl of a data set (with ``visible``, ``visible_x``, ``visible_y``), or the corrected
    predictions.jsonl of `predict` (without them: fully visible).

    Raises:
        SourceError: it cannot be read, or holds no such object; the text names the line.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._left: dict[str, Balls] = {}
        of_stamps = UniqueNames()  # as a bag names its frames
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise SourceError(f'cannot read the ball truth {path}: {error.strerror}') from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                named = entry.get('name') is not None
                name = str(entry['name']) if named else of_stamps(str(entry['stamp']))
                if name in self._left:
                    raise ValueError(f'{name} has its balls already')
                if entry.get('balls') is not None:
                    self._left[name] = tuple(ball_truth(ball) for ball in entry['balls'])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = f'it has no {error}' if isinstance(error, KeyError) else error
                raise SourceError(
                    f'{path}, line {number}: not an object with name (or stamp) and balls [{{x, y, radius}}]: {reason}'
                ) from error
        if not self._left:
            raise SourceError(f'{path} names the balls of no frame')

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        return self._left.pop(name, None)

    def unused(self) -> list[str]:
        return list(self._left)


def ball_truth_file(path: Path, ball_class: int = 0) -> BallTruths:
    """Boxes of a folder of YOLO .txt, or the balls of a JSONL file.

    Raises:
        SourceError: there is neither.
    """
    if path.is_dir():
        return YoloBoxes(path, ball_class)
    if path.is_file():
        return BallLines(path)
    raise SourceError(f'there is no ball truth {path}; give a folder of YOLO .txt files or a .jsonl file')
