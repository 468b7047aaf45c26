"""What an export reads, checks and writes: everything that ``minisegnet export`` does besides parsing and printing.

PyTorch is imported when a job runs, not before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.inference.agreement import Agreement
from minisegnet_core.inference.sample_images import (
    Progress,
    calibration_images,
    folder_images,
    labelled_images,
    rendered,
)

CHECK_IMAGES = 8
"""Number of images on which an export is compared with PyTorch."""


@dataclass(frozen=True)
class OnnxResult:
    """Comparison of an exported file with PyTorch.

    Attributes:
        agreement: fraction of label pixels that agree, 0..1.
        images: number of images compared.
        halved: the checkpoint with half-precision weights, or None if none was requested.
    """

    agreement: float
    images: int
    halved: Path | None = None


@dataclass(frozen=True)
class OnnxJob:
    """Export to ONNX with float weights.

    Attributes:
        checkpoint: checkpoint to read.
        output: ONNX file to write.
        check_images: folder of images for the comparison with PyTorch; None renders scenes.
        half: store weights as float16, which halves the file.
        half_checkpoint: also write the checkpoint with half-precision weights, named as ``output`` with the suffix
            ``.safetensors``, and make the ONNX file from it.
    """

    checkpoint: Path
    output: Path
    check_images: Path | None = None
    half: bool = True
    half_checkpoint: bool = False

    def run(self) -> OnnxResult:
        """Write the files.

        Raises:
            ModelError: the checkpoint cannot be read, or the export disagrees with PyTorch; nothing is then written.
            OutputError: a file cannot be written.
        """
        from minisegnet_core.export.onnx import export_onnx, export_with_checkpoint

        if self.check_images is not None:
            images = folder_images(self.check_images, CHECK_IMAGES)
        else:
            images = [image for image, _ in rendered(CHECK_IMAGES)]
        if not self.half_checkpoint:
            agreement = export_onnx(self.checkpoint, self.output, half=self.half, images=images)
            return OnnxResult(agreement, len(images))
        halved = self.output.with_suffix('.safetensors')
        agreement = export_with_checkpoint(self.checkpoint, self.output, halved, half=self.half, images=images)
        return OnnxResult(agreement, len(images), halved)


@dataclass(frozen=True)
class Int8Job:
    """Export to ONNX with int8 convolutions.

    Attributes:
        checkpoint: checkpoint to read.
        output: ONNX file to write.
        calibration: data set or folder of images from which the ranges of activations are measured; None renders
            scenes.
        calibration_images: number of these images.
        validation: data set on which float32 and int8 are compared. None uses the data set of ``calibration``, or
            rendered scenes if ``calibration`` is not a data set.
        validation_images: number of these images. With 100 scenes, a single wall close to the camera changes the mean
            IoU by more than int8 may lose; the default of 500 averages such scenes out.
        maximum_drop: bound of the loss of mean IoU, on a scale of 0..1.

    Raises:
        ConfigurationError: a number of images is below 1, or the bound is not finite.
    """

    checkpoint: Path
    output: Path
    calibration: Path | None = None
    calibration_images: int = 100
    validation: Path | None = None
    validation_images: int = 500
    maximum_drop: float = 0.005

    def __post_init__(self) -> None:
        if self.calibration_images < 1 or self.validation_images < 1:
            raise ConfigurationError('calibration_images and validation_images must be at least 1')
        if not math.isfinite(self.maximum_drop):
            raise ConfigurationError(f'maximum_drop is {self.maximum_drop}; it must be a finite number')

    def run(self, render_progress: Progress = iter, compare_progress: Progress = iter) -> Agreement:
        """Write the file and return its comparison with the float32 export.

        Args:
            render_progress: wraps the scenes that are rendered.
            compare_progress: wraps the images that are compared.

        Raises:
            ModelError: see :func:`~minisegnet_core.export.int8.export_int8`; nothing is then written.
            DatasetError: a folder is missing, or its data set has other classes.
            OutputError: the file cannot be written.
        """
        from minisegnet_core.checkpoint import load_checkpoint
        from minisegnet_core.export.int8 import export_int8, no_labels

        classes = load_checkpoint(self.checkpoint)[1].classes  # a missing checkpoint is reported before any rendering
        validation = self.validation
        if validation is None and self.calibration is not None and (self.calibration / 'dataset.yaml').is_file():
            validation = self.calibration
        if validation is None and classes.names != SOCCER.names:  # rendered scenes have labels of these classes only
            raise no_labels(classes)
        return export_int8(
            self.checkpoint,
            self.output,
            calibration_images(self.calibration, self.calibration_images, render_progress),
            labelled_images(validation, self.validation_images, classes, render_progress),
            self.maximum_drop,
            compare_progress,
        )
