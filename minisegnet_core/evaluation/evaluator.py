"""A model against a data set's truth, on the label grid (the headline) and at the images' size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.errors import DatasetError
from minisegnet_core.inference.segmenter import Segmentation, Segmenter
from minisegnet_core.metrics import BallScore, ConfusionMatrix
from minisegnet_core.visualization import enlarge_labels


@dataclass
class FrameResult:
    """One evaluated image: its name, its own mean IoU (NaN where nothing is defined), what was seen, milliseconds."""

    sample: Sample
    mean_iou: float
    segmentation: Segmentation


@dataclass
class Evaluation:
    """What an evaluation measured.

    confusion: on the label grid; confusion_full: at the images' size, labels enlarged by 4x4 blocks; absent: ids that
    this truth never draws, left out of the means; frames: in the order of the data set.
    """

    classes: ClassSet
    confusion: ConfusionMatrix
    confusion_full: ConfusionMatrix
    absent: tuple[int, ...] = ()
    balls: BallScore = field(default_factory=BallScore)
    frames_with_ball_truth: int = 0
    frames: list[FrameResult] = field(default_factory=list)

    def latency_ms(self, percent: float) -> float:
        """Percentile of the engine's time per frame, milliseconds."""
        return float(np.percentile([f.segmentation.engine_ms for f in self.frames], percent))


def evaluate_dataset(
    segmenter: Segmenter,
    dataset: Dataset,
    samples: Sequence[Sample],
    progress: Callable[[Sequence[Sample]], Iterable[Sample]] = lambda samples: samples,
) -> Evaluation:
    """Runs the model over samples of a data set and compares.

    Raises:
        DatasetError: model and data set do not have the same classes, or a file is damaged.
    """
    classes = dataset.classes
    if segmenter.classes.names != classes.names:
        raise DatasetError(
            f'the model knows the classes {", ".join(segmenter.classes.names)}, {dataset.root} has '
            f'{", ".join(classes.names)}; they must be the same'
        )
    absent = tuple(i for i, name in enumerate(classes.names) if name in dataset.absent)
    result = Evaluation(classes, ConfusionMatrix(len(classes)), ConfusionMatrix(len(classes)), absent)
    for sample in progress(samples):
        image, labels = sample.read()
        segmentation = segmenter.run(image)
        predicted = dataset.map_absent(segmentation.label_image)
        result.frames.append(FrameResult(sample, _add(result, labels, predicted), segmentation))
        if sample.balls is not None:
            result.balls.add(sample.balls, segmentation.ball)
            result.frames_with_ball_truth += 1
    return result


def _add(result: Evaluation, labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> float:
    height, width = labels.shape
    own = ConfusionMatrix(len(result.classes))
    own.add(reduce_labels(labels, result.classes), predicted)
    result.confusion.counts += own.counts
    result.confusion_full.add(labels, enlarge_labels(predicted, width, height))
    return own.mean_iou(result.absent)
