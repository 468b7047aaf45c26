"""Ground truth that is stored apart from the images: its interface, and how it is matched to frames."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import BALL, IGNORE, ClassSet
from minisegnet_core.errors import DatasetError, SourceError
from minisegnet_core.evaluation.sources.source import Problems
from minisegnet_core.geometry import label_size

Balls = tuple[BallTruth, ...]


class LabelSource(Protocol):
    """Label images by frame. ``where`` names the origin in messages."""

    where: str

    def take(self, name: str, stamp: int | None, received: int | None) -> NDArray[np.uint8] | None:
        """Return the (H, W) uint8 labels of a frame, or None. Frames must be asked for in order, each once.

        Raises:
            DatasetError: the frame has labels that cannot be used.
        """
        ...

    def unused(self) -> list[str]:
        """Return the names of labels that no frame has taken."""
        ...

    def close(self) -> None:
        """Close open files. Nothing may be taken afterwards."""
        ...


class BallSource(Protocol):
    """Balls by frame. ``where`` names the origin in messages."""

    where: str

    def take(
        self, name: str, stamp: int | None, size: tuple[int, int], labels: NDArray[np.uint8] | None, ball_id: int | None
    ) -> Balls | None:
        """Return all balls of a frame, or None if the frame has no annotation.

        Args:
            size: (width, height) of the image in pixels.
            labels: ground-truth labels of the frame, if any.
            ball_id: class id of the ball in ``labels``.
        """
        ...

    def unused(self) -> list[str]:
        """Return the names of entries that no frame has taken."""
        ...


class GroundTruthMatcher:
    """Look up the ground truth of each frame, and count what does not match.

    Args:
        labels, balls: origin of the ground truth; None without ground truth of this kind.
        classes: classes of the label ids.
        problems: receives every problem.
    """

    def __init__(
        self, labels: LabelSource | None, balls: BallSource | None, classes: ClassSet, problems: Problems
    ) -> None:
        self._labels, self._balls = labels, balls
        self._classes, self._problems = classes, problems
        self._ball_id = classes.id_of(BALL)
        self._matched_labels = self._matched_balls = 0
        self._first_frame: str | None = None

    def match(
        self, name: str, stamp: int | None, received: int | None, image: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8] | None, Balls | None]:
        """Return the labels and the balls of one frame, each None if unknown."""
        if self._first_frame is None:
            self._first_frame = name
        labels = self._take_labels(name, stamp, received, image)
        if self._balls is None:
            return labels, None
        balls = self._balls.take(name, stamp, (image.shape[1], image.shape[0]), labels, self._ball_id)
        if balls is None:
            self._problems.add('no_ball_truth', f'image has no ball annotation in {self._balls.where}', name)
        else:
            self._matched_balls += 1
        return labels, balls

    def _take_labels(
        self, name: str, stamp: int | None, received: int | None, image: NDArray[np.uint8]
    ) -> NDArray[np.uint8] | None:
        if self._labels is None:
            return None
        try:
            labels = self._labels.take(name, stamp, received)
        except DatasetError as error:
            self._problems.add('unusable_truth', f'labels cannot be used: {error}', name)
            return None
        if labels is None:
            self._problems.add('no_truth', f'image has no labels in {self._labels.where}', name)
            return None
        self._matched_labels += 1
        return check_labels(labels, image, name, self._classes, self._problems)

    def close(self) -> None:
        """Close open files."""
        if self._labels is not None:
            self._labels.close()

    def finish(self) -> None:
        """Count ground truth without an image, after the last frame.

        Raises:
            SourceError: ground truth was given, and no frame matches it.
        """
        for kind, origin, matched, word in (
            ('labels', self._labels, self._matched_labels, 'labels'),
            ('balls', self._balls, self._matched_balls, 'ball annotation'),
        ):
            if origin is None:
                continue
            unused = origin.unused()
            if self._first_frame is not None and not matched:
                names = f': it begins with {unused[0]}, the images begin with {self._first_frame}' if unused else ''
                raise SourceError(f'no image has {word} in {origin.where}; names or stamps must be equal{names}')
            for name in unused:
                self._problems.add(f'{kind}_without_image', f'{word} in {origin.where} without an image', name)


def check_labels(
    labels: NDArray[np.uint8], image: NDArray[np.uint8], name: str, classes: ClassSet, problems: Problems
) -> NDArray[np.uint8] | None:
    """Return labels that can be scored (see :func:`clean_labels`), or None, and count what is wrong with them."""
    height, width = image.shape[:2]
    usable, stray = clean_labels(labels, (width, height), len(classes))
    if usable is None:
        size = f'{labels.shape[1]}x{labels.shape[0]}'
        problems.add(
            'truth_size', f'labels of {size} fit neither their image of {width}x{height} nor its label grid', name
        )
    for label_id, pixels in stray.items():
        problems.add(
            f'stray_id_{label_id}',
            f'labels contain the id {label_id}, which is neither a class (0 to {len(classes) - 1}) nor ignore; its '
            'pixels are not scored, `import-dataset` can map ids',
            f'{name}: {pixels} px',
        )
    return usable


def clean_labels(
    labels: NDArray[np.uint8], image_size: tuple[int, int], num_classes: int
) -> tuple[NDArray[np.uint8] | None, dict[int, int]]:
    """Replace stray ids by ignore.

    Args:
        labels: uint8 ids.
        image_size: (width, height) of the image in pixels.
        num_classes: ids from here to 254 are stray.

    Returns:
        The labels, or None if their size is neither the image's nor the label grid's; the number of pixels by stray id.
    """
    width, height = image_size
    grid = label_size(width, height)
    if labels.shape not in ((height, width), (grid[1], grid[0])):
        return None, {}
    counts = np.bincount(labels.reshape(-1), minlength=256)
    stray = {i: int(counts[i]) for i in range(num_classes, IGNORE) if counts[i]}
    if stray:
        labels = np.where(labels < num_classes, labels, np.uint8(IGNORE))
    return labels, stray
