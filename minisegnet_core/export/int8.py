"""A checkpoint to one int8 ONNX file: calibrated on images, and kept only if it is as accurate as the float model.

The method is static quantization after training: weights per channel, activations per tensor with the ranges that the
calibration images give, and a correction of the biases; by NNCF (Apache-2.0). The file holds pairs of QuantizeLinear
and DequantizeLinear, which OpenVINO and ONNX Runtime both turn into int8 arithmetic.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.agreement import Agreement, LabelledPair, compare
from minisegnet_core.inference.sample_images import Progress
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnx

MAXIMUM_DROP = 0.005
"""Mean IoU that int8 may lose where nobody asks for another bound."""

Images = Sequence[NDArray[np.uint8]]


def export_int8(
    checkpoint: Path,
    output: Path,
    calibration: Images,
    validation: Iterable[LabelledPair],
    maximum_drop: float = MAXIMUM_DROP,
    progress: Progress = iter,
) -> Agreement:
    """Writes ``output`` and keeps it only if it is accurate enough.

    Args:
        checkpoint: of :func:`save_checkpoint`.
        calibration: (H, W, 3) uint8 RGB images from which the ranges of the activations are taken; 30 or more.
        validation: images, at least one with labels, on which float32 and int8 are compared; not the calibration's.
        maximum_drop: of the mean IoU.
        progress: wraps the images that are compared.

    Returns:
        What the comparison with the float32 export gave.

    Raises:
        ModelError: the checkpoint cannot be read, no image has labels, nncf is missing, or int8 loses more than
        ``maximum_drop``; then nothing is left at ``output``.
    """
    import onnx
    from onnx import helper

    from minisegnet_core.checkpoint import load_checkpoint
    from minisegnet_core.export.onnx_export import add_pre_and_postprocessing, network_to_onnx

    if output.suffix != '.onnx':
        raise ModelError(f'the output {output} must end in .onnx')
    if not calibration:
        raise ModelError('there are no calibration images')
    model, record = load_checkpoint(checkpoint)
    validation = list(validation)
    if all(labels is None for _, labels in validation):  # quantizing takes minutes, and could not be judged
        raise no_labels(record.classes)
    network = network_to_onnx(model)
    quantized = quantize(network, calibration, record.preprocessing)
    whole = add_pre_and_postprocessing(network, record.preprocessing)
    small = add_pre_and_postprocessing(quantized, record.preprocessing)
    output.parent.mkdir(parents=True, exist_ok=True)
    reference, candidate = (output.with_name(f'{output.stem}.{kind}.part.onnx') for kind in ('float32', 'int8'))
    try:
        helper.set_model_props(whole, record.to_metadata())
        reference.write_bytes(whole.SerializeToString())
        _write(small, record.to_metadata(), None, len(calibration), candidate)
        # The default threads leave a core to the robot; here nothing else is to be done.
        agreement = compare(Segmenter(reference, precision='float32'), Segmenter(candidate), progress(validation))
        if not agreement.drop <= maximum_drop:  # NaN, without a truth, is no proof either
            raise ModelError(
                f'int8 loses {agreement.drop:.4f} of mean IoU ({agreement.reference_mean_iou:.4f} to '
                f'{agreement.mean_iou:.4f} on {agreement.images} images), more than --max-drop {maximum_drop:g}; it '
                'was not kept. More calibration images like those of the match may help'
            )
        _write(small, record.to_metadata(), agreement, len(calibration), candidate)
        onnx.checker.check_model(str(candidate), full_check=True)
        candidate.replace(output)
    finally:
        reference.unlink(missing_ok=True)
        candidate.unlink(missing_ok=True)
    return agreement


def no_labels(classes: ClassSet) -> ModelError:
    """That nothing can be judged for want of truth."""
    return ModelError(
        f'there are no labelled images for the classes {", ".join(classes.names)}: give --validation DATASET'
    )


def quantize(network: onnx.ModelProto, images: Images, preprocessing: Preprocessing) -> onnx.ModelProto:
    """The bare network of :func:`network_to_onnx` with int8 convolutions.

    The choices were measured, see docs/inference.md: activations whose ranges leave out outliers lose about half as
    much accuracy as with their extremes; weights of seven bits lose less than weights of eight on CPUs whose
    instructions saturate the sum of two products (AVX2).
    The first convolution stays as it is: a dark image differs from black by few grey levels, and as black is far from
    zero once it is normalised, errors of the weights weigh more than the picture.

    Raises:
        ModelError: nncf is not installed.
    """
    try:
        import nncf  # type: ignore
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # type: ignore
    except ImportError as error:
        raise ModelError(f'int8 needs nncf, which is not installed here ({error}): pip install nncf') from error

    mean = np.array(preprocessing.mean, np.float32) * 255
    std = np.array(preprocessing.std, np.float32) * 255

    def normalized(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        planes = ((image - mean) / std).astype(np.float32).transpose(2, 0, 1)
        return {'normalized': np.ascontiguousarray(planes[None])}  # (1, 3, H, W)

    nncf.set_log_level(logging.ERROR)
    quantized: onnx.ModelProto = nncf.quantize(
        network,
        nncf.Dataset(images, normalized),
        subset_size=len(images),
        # Asymmetric activations: their ranges begin at zero after each ReLU, and half a symmetric range would be lost.
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=_first_convolutions(network)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE,
            activations_range_estimator_params=RangeEstimatorParametersSet.MEAN_NO_OUTLIERS_MINMAX,
        ),
    )
    return quantized


def _first_convolutions(network: onnx.ModelProto) -> list[str]:
    """Names of the convolutions of the image itself."""
    image = network.graph.input[0].name
    return [node.name for node in network.graph.node if node.op_type == 'Conv' and node.input[0] == image]


def _write(
    model: onnx.ModelProto, metadata: dict[str, str], agreement: Agreement | None, images: int, path: Path
) -> None:
    """The file with what belongs to it, and with what was measured where that is known."""
    from onnx import helper

    facts: dict[str, Any] = {'calibration_images': images}
    if agreement is not None:
        facts['agreement_with_float32'] = {key: _plain(value) for key, value in asdict(agreement).items()}
    helper.set_model_props(model, {**metadata, 'precision': 'int8', 'quantization': json.dumps(facts)})
    path.write_bytes(model.SerializeToString())


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)  # JSON has no NaN
