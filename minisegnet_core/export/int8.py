"""Export a checkpoint to one int8 ONNX file, which is kept only if it is as accurate as the float model.

The method is static quantization after training, by NNCF (Apache-2.0): weights per channel, activations per tensor with
ranges measured on calibration images, and a correction of the biases. The file holds pairs of QuantizeLinear and
DequantizeLinear, which OpenVINO and ONNX Runtime turn into int8 arithmetic.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from minisegnet_core.checkpoint import load_checkpoint
from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ModelError
from minisegnet_core.export.onnx import add_pre_and_postprocessing, check_output, network_to_onnx
from minisegnet_core.files import defined, replaced_atomically
from minisegnet_core.inference.agreement import Agreement, LabelledPair, compare
from minisegnet_core.inference.sample_images import Progress
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.preprocessing import Preprocessing

Images = Sequence[NDArray[np.uint8]]


def export_int8(
    checkpoint: Path,
    output: Path,
    calibration: Images,
    validation: Iterable[LabelledPair],
    maximum_drop: float,
    progress: Progress = iter,
) -> Agreement:
    """Write the int8 ONNX file of a checkpoint. It is kept only if it is accurate enough.

    Args:
        checkpoint: checkpoint to read.
        output: ONNX file to write.
        calibration: (H, W, 3) uint8 RGB images from which the ranges of the activations are measured; 30 or more.
        validation: images on which float32 and int8 are compared, other ones than for calibration. At least one must
            have labels.
        maximum_drop: bound of the loss of mean IoU, on a scale of 0..1.
        progress: wraps the images that are compared.

    Returns:
        The comparison with the float32 export.

    Raises:
        ModelError: the checkpoint cannot be read, no image has labels, NNCF is not installed, or int8 loses more than
            ``maximum_drop``. ``output`` is then unchanged.
        OutputError: the file cannot be written.
    """
    check_output(output)
    if not calibration:
        raise ModelError('there are no calibration images')
    model, record = load_checkpoint(checkpoint)
    validation = list(validation)
    if all(labels is None for _, labels in validation):  # before the minutes that quantization takes
        raise no_labels(record.classes)
    network = network_to_onnx(model)
    quantized = quantize(network, calibration, record.preprocessing)
    reference = add_pre_and_postprocessing(network, record.preprocessing)
    candidate = add_pre_and_postprocessing(quantized, record.preprocessing)
    metadata = record.to_metadata()
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(output) as path, tempfile.TemporaryDirectory(prefix='minisegnet-export-') as folder:
        helper.set_model_props(reference, metadata)
        reference_path = Path(folder) / 'float32.onnx'
        reference_path.write_bytes(reference.SerializeToString())
        _write(candidate, metadata, None, len(calibration), path)
        agreement = compare(Segmenter(reference_path, precision='float32'), Segmenter(path), progress(validation))
        if not agreement.drop <= maximum_drop:  # true for NaN too, which proves nothing
            raise ModelError(
                f'the int8 file was not kept: it loses {agreement.drop:.4f} of mean IoU '
                f'({agreement.reference_mean_iou:.4f} to {agreement.mean_iou:.4f} on {agreement.images} images), more '
                f'than --max-drop {maximum_drop:g}; give more calibration images that resemble a match'
            )
        _write(candidate, metadata, agreement, len(calibration), path)
        onnx.checker.check_model(str(path), full_check=True)
    return agreement


def no_labels(classes: ClassSet) -> ModelError:
    """Return the error for a validation without any labels."""
    return ModelError(
        f'there are no labelled images for the classes {", ".join(classes.names)}: give --validation DATASET'
    )


def quantize(network: onnx.ModelProto, images: Images, preprocessing: Preprocessing) -> onnx.ModelProto:
    """Return a bare network with int8 convolutions.

    These choices were measured; the documentation of inference has the figures. Activation ranges without outliers lose
    about half as much accuracy as ranges from extremes. Weights of seven bits lose less than weights of eight on CPUs
    whose instructions saturate the sum of two products (AVX2). The first convolution stays in float32. A dark image
    differs from black by few grey levels, and black is far from zero after normalisation. Errors of the weights would
    outweigh the image.

    Args:
        network: graph of :func:`~minisegnet_core.export.onnx.network_to_onnx`.
        images: (H, W, 3) uint8 RGB calibration images.
        preprocessing: mean and standard deviation of the model.

    Raises:
        ModelError: NNCF is not installed.
    """
    try:
        import nncf  # type: ignore
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # type: ignore
    except ImportError as error:
        raise ModelError(f'int8 needs nncf, which cannot be imported ({error}): pip install nncf') from error

    mean, std = preprocessing.pixel_mean_std()

    def normalized(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        planes = ((image - mean) / std).astype(np.float32).transpose(2, 0, 1)
        return {'normalized': np.ascontiguousarray(planes[None])}  # (1, 3, H, W)

    nncf.set_log_level(logging.ERROR)
    quantized: onnx.ModelProto = nncf.quantize(
        network,
        nncf.Dataset(images, normalized),
        subset_size=len(images),
        # Asymmetric activations: after a ReLU, half of a symmetric range would be unused.
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=_first_convolutions(network)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE,
            activations_range_estimator_params=RangeEstimatorParametersSet.MEAN_NO_OUTLIERS_MINMAX,
        ),
    )
    return quantized


def _first_convolutions(network: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions that read the image itself."""
    image = network.graph.input[0].name
    return [node.name for node in network.graph.node if node.op_type == 'Conv' and node.input[0] == image]


def _write(
    model: onnx.ModelProto, metadata: dict[str, str], agreement: Agreement | None, calibration_images: int, path: Path
) -> None:
    """Write a model with its metadata, including the agreement if it is known."""
    facts: dict[str, Any] = {'calibration_images': calibration_images}
    if agreement is not None:
        facts['agreement_with_float32'] = {key: defined(round(value, 6)) for key, value in asdict(agreement).items()}
    helper.set_model_props(model, {**metadata, 'precision': 'int8', 'quantization': json.dumps(facts)})
    path.write_bytes(model.SerializeToString())
