"""Ground truth in files, by frame name: a folder of label images, YOLO boxes, or balls in JSON Lines.

The name of a bag frame is its header stamp in nanoseconds (a repeated stamp gets ``_1``), as `predict` names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.data.annotations import ball_truth
from minisegnet_core.data.importers.yolo import read_yolo
from minisegnet_core.errors import SourceError
from minisegnet_core.evaluation.sources.ground_truth import Balls, BallSource, LabelSource
from minisegnet_core.files import read_json_lines
from minisegnet_core.frames.frame import UniqueNames
from minisegnet_core.imaging import read_labels

BAG_NAMES = 'the name of a bag frame is its stamp in ns'


@dataclass(frozen=True)
class GroundTruthFiles:
    """Where the ground truth of images or of a bag is stored.

    Attributes:
        labels: folder of label images ``<name>.png``, or None.
        balls: folder of YOLO boxes ``<name>.txt`` or a JSON Lines file, or None.
        ball_class: class of the ball in YOLO boxes.

    Raises:
        SourceError: a path does not exist.
    """

    labels: Path | None = None
    balls: Path | None = None
    ball_class: int = 0

    def __post_init__(self) -> None:
        for kind, path in (('labels', self.labels), ('balls', self.balls)):
            if path is not None and not path.exists():
                raise SourceError(f'{kind} {path}: there is no such file or folder')

    def open_labels(self) -> LabelSource | None:
        """Return the label images, or None. Raises SourceError if the folder holds none."""
        return None if self.labels is None else LabelFolder(self.labels)

    def open_balls(self) -> BallSource | None:
        """Return the balls, or None. Raises SourceError if they cannot be read."""
        if self.balls is None:
            return None
        return YoloBoxes(self.balls, self.ball_class) if self.balls.is_dir() else BallLines(self.balls)


class LabelFolder:
    """Label images ``<name>.png`` of uint8 ids, at the size of the images or of their label grid.

    Raises:
        SourceError: the folder is missing or holds no PNG.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._left = {p.stem: p for p in sorted(folder.glob('*.png'))}
        if not self._left:
            raise SourceError(f'{folder} holds no label image <name>.png; {BAG_NAMES}')

    def take(self, name: str, stamp: int | None, received: int | None) -> NDArray[np.uint8] | None:
        path = self._left.pop(name, None)
        return None if path is None else read_labels(path)

    def unused(self) -> list[str]:
        return list(self._left)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class YoloBoxes:
    """Boxes ``<name>.txt``, one ``class cx cy w h`` per line, relative to the image; an empty file means no ball.

    A line may also hold an outline; the box is its bounding box. The radius of a ball is a quarter of the box's width
    plus height, and its centroid is the centre of the box. All balls count as fully visible. For a partly hidden ball
    the box, and so the ball, is that of the visible part.

    Args:
        folder: one .txt per annotated frame.
        ball_class: class of the ball.

    Raises:
        SourceError: the folder is missing or holds no .txt.
    """

    def __init__(self, folder: Path, ball_class: int = 0) -> None:
        self.where = str(folder)
        self._ball_class = ball_class
        self._left = {p.stem: p for p in sorted(folder.glob('*.txt'))}
        if not self._left:
            raise SourceError(f'{folder} holds no boxes <name>.txt; {BAG_NAMES}')

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        path = self._left.pop(name, None)
        if path is None:
            return None
        balls = []
        for box in read_yolo(path):
            if box.category == self._ball_class:
                # Pixel centres are at integers, so the left border of the image is at -1/2.
                x, y = box.x * size[0] - 0.5, box.y * size[1] - 0.5
                radius = (box.width * size[0] + box.height * size[1]) / 4
                balls.append(BallTruth(x, y, radius, 1.0, x, y))
        return tuple(balls)

    def unused(self) -> list[str]:
        return list(self._left)


class BallLines:
    """A JSON Lines file with one object per frame: ``name`` or ``stamp`` (ns), and ``balls: [{x, y, radius}]``.

    This is the format of a data set's annotations.jsonl, with ``visible``, ``visible_x`` and ``visible_y``, and of
    predictions.jsonl after correction by hand, without them; then every ball is fully visible.

    Raises:
        SourceError: the file cannot be read, or holds no such object; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._left: dict[str, Balls] = {}
        name_of_stamp = UniqueNames()  # the names of bag frames
        for where, entry in read_json_lines(path, SourceError):
            try:
                name = str(entry['name']) if entry.get('name') is not None else name_of_stamp(str(entry['stamp']))
                balls = None if entry.get('balls') is None else tuple(ball_truth(ball) for ball in entry['balls'])
            except (ValueError, KeyError, TypeError) as error:
                reason = f'it has no {error}' if isinstance(error, KeyError) else error
                raise SourceError(
                    f'{where} must hold name (or stamp) and balls [{{x, y, radius}}] of a frame: {reason}'
                ) from error
            if name in self._left:
                raise SourceError(f'{where} annotates {name} again; keep one line for each frame')
            if balls is not None:
                self._left[name] = balls
        if not self._left:
            raise SourceError(f'{path} annotates no frame; it needs lines such as {{"name": "a", "balls": []}}')

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        return self._left.pop(name, None)

    def unused(self) -> list[str]:
        return list(self._left)
