"""Export a checkpoint to one ONNX file that takes the pixels of a camera and returns labels.

The graph's input ``image`` is a uint8 (H, W, 3) RGB image of any size from 64x64. Its outputs are ``labels``, uint8
(h, w), and ``probabilities``, float32 (C, h, w), on the network's own grid. Two initializers can be overridden as
inputs:

- ``network_scale``, float32 (2,), default [1, 1]: network size divided by image size, along y and x;
- ``channel_order``, int64 (3,), default [0, 1, 2]; [2, 1, 0] for BGR images.

The file's metadata holds classes, preprocessing and training record, see
:class:`~minisegnet_core.checkpoint.ModelRecord`.
"""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint, save_checkpoint
from minisegnet_core.errors import ModelError
from minisegnet_core.files import replaced_atomically
from minisegnet_core.inference.engines.base import Engine, ImageSize
from minisegnet_core.inference.engines.torch import TorchEngine
from minisegnet_core.inference.selection import open_model
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing

OPSET = 18
MINIMUM_HALVED = 64
"""Number of elements from which a tensor is stored as float16. Smaller ones cost nothing and hold statistics."""


def export_onnx(
    checkpoint: Path, output: Path, *, half: bool = True, images: list[NDArray[np.uint8]] | None = None
) -> float:
    """Write the ONNX file of a checkpoint. It is kept only if it agrees with PyTorch.

    Args:
        checkpoint: checkpoint to read.
        output: ONNX file to write.
        half: store weights as float16, which halves the file. The arithmetic stays float32.
        images: (H, W, 3) uint8 RGB images on which the two are compared; by default images of noise.

    Returns:
        The fraction of label pixels that agree, 0..1.

    Raises:
        ModelError: the checkpoint cannot be read, or the export disagrees. ``output`` is then unchanged.
        OutputError: the file cannot be written.
    """
    check_output(output)
    model, record = load_checkpoint(checkpoint)
    graph = add_pre_and_postprocessing(network_to_onnx(model), record.preprocessing)
    if half:
        halve_weights(graph)
    helper.set_model_props(graph, record.to_metadata())
    onnx.checker.check_model(graph, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(output) as temporary:
        temporary.write_bytes(graph.SerializeToString())
        return check_agreement(temporary, model, record, images or noise_images())


def export_with_checkpoint(
    checkpoint: Path,
    output: Path,
    halved: Path,
    *,
    half: bool = True,
    images: list[NDArray[np.uint8]] | None = None,
) -> float:
    """Write the checkpoint with half-precision weights, and the ONNX file of that checkpoint.

    If each were rounded from full precision, they would be two networks, twice as far apart.

    Args:
        halved: checkpoint to write.
        checkpoint, output, half, images: see :func:`export_onnx`.

    Returns:
        The fraction of label pixels that agree, 0..1.

    Raises:
        ModelError, OutputError: as :func:`export_onnx`. Both files are then unchanged.
    """
    halved.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(halved) as temporary:
        save_checkpoint(temporary, *load_checkpoint(checkpoint), half=True)
        return export_onnx(temporary, output, half=half, images=images)


def check_output(output: Path) -> None:
    """Raise ModelError if a file that is to be written does not have the suffix of ONNX files."""
    if output.suffix != '.onnx':
        raise ModelError(f'the output {output} must end in .onnx')


def fold_norms(model: MiniSegNet) -> MiniSegNet:
    """Return an equivalent copy without the decoder's batch norms.

    Each norm follows a concatenation that nothing else reads. Its scale and shift per channel are multiplied into the
    transposed convolution and the lateral that are concatenated. The exporter folds the norms of the encoder.

    Raises:
        ModelError: the decoder has other layers in place of batch norms.
    """
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for block, norm in ((model.up1, model.up2.norm), (model.up2, model.up3.norm), (model.up3, model.head[0])):
            if not isinstance(norm, nn.BatchNorm2d):
                raise ModelError(f'cannot fold {type(norm).__name__} into the layers before it')
            mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            scale = norm.weight / (variance + norm.eps).sqrt()  # (256,)
            shift = norm.bias - mean * scale
            parts = (
                (block.up, (1, -1, 1, 1), slice(0, model.decoder_channels)),
                (block.lateral, (-1, 1, 1, 1), slice(model.decoder_channels, None)),
            )
            for layer, shape, channels in parts:
                layer.weight *= scale[channels].view(shape)
                cast(Tensor, layer.bias).mul_(scale[channels]).add_(shift[channels])
        model.up2.norm, model.up3.norm, model.head[0] = nn.Identity(), nn.Identity(), nn.Identity()
    return model


def network_to_onnx(model: MiniSegNet) -> onnx.ModelProto:
    """Return the graph of the bare network for any size from 64x64.

    Its input is ``normalized``, (1, 3, H, W) float32; its output is ``logits``, (1, C, h, w) float32.

    Raises:
        ModelError: the exporter returns nothing.
    """
    height, width = torch.export.Dim('height', min=64, max=8192), torch.export.Dim('width', min=64, max=8192)
    example = torch.zeros(1, 3, 243, 331)  # sizes that no stride divides, so that the exporter fixes none
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)
        program = torch.onnx.export(
            fold_norms(model),
            (example,),
            input_names=['normalized'],
            output_names=['logits'],
            opset_version=OPSET,
            dynamic_shapes={'images': {2: height, 3: width}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError(
            'the exporter of PyTorch returned no program; install a supported version of torch and onnxscript'
        )
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:  # the exporter records the source file of each operation
        node.ClearField('metadata_props')
        node.ClearField('doc_string')
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        value.ClearField('metadata_props')
    return proto


def add_pre_and_postprocessing(network: onnx.ModelProto, preprocessing: Preprocessing) -> onnx.ModelProto:
    """Wrap a bare network in the operations that the module's docstring describes.

    Args:
        network: graph of :func:`network_to_onnx`.
        preprocessing: mean and standard deviation of the model.
    """
    source = network.graph
    mean, std = preprocessing.pixel_mean_std()
    constants = {
        'channel_order': np.array([0, 1, 2], np.int64),
        'network_scale': np.array([1, 1], np.float32),
        'pixel_mean': mean.reshape(1, 3, 1, 1),
        'pixel_std': std.reshape(1, 3, 1, 1),
        'batch_axis': np.array([0], np.int64),
        'from_height': np.array([2], np.int64),
        'to_width': np.array([4], np.int64),
        'batch_and_channels': np.array([1, 3], np.int64),
        'no_roi': np.array([], np.float32),
        'no_scales': np.array([], np.float32),
    }
    node = helper.make_node
    before = [
        node('Transpose', ['image'], ['planes'], 'planes', perm=[2, 0, 1]),
        node('Gather', ['planes', 'channel_order'], ['rgb_planes'], 'channel_order_gather', axis=0),
        node('Cast', ['rgb_planes'], ['float_planes'], 'to_float', to=TensorProto.FLOAT),
        node('Unsqueeze', ['float_planes', 'batch_axis'], ['batch'], 'add_batch'),
        node('Shape', ['batch'], ['batch_shape'], 'received_shape'),
        node('Slice', ['batch_shape', 'from_height', 'to_width'], ['received_size'], 'received_size'),
        node('Cast', ['received_size'], ['received_size_float'], 'received_size_float', to=TensorProto.FLOAT),
        node('Mul', ['received_size_float', 'network_scale'], ['network_size_float'], 'network_size_float'),
        node('Round', ['network_size_float'], ['network_size_round'], 'network_size_round'),
        node('Cast', ['network_size_round'], ['network_size'], 'network_size', to=TensorProto.INT64),
        node('Concat', ['batch_and_channels', 'network_size'], ['network_shape'], 'network_shape', axis=0),
        node(
            'Resize',
            ['batch', '', '', 'network_shape'],
            ['resized'],
            'resize',
            mode='linear',
            coordinate_transformation_mode='half_pixel',
        ),
        node('Sub', ['resized', 'pixel_mean'], ['centered'], 'subtract_mean'),
        node('Div', ['centered', 'pixel_std'], ['normalized'], 'divide_std'),
    ]
    after = [
        node('Softmax', ['logits'], ['batch_probabilities'], 'softmax', axis=1),
        node('Squeeze', ['batch_probabilities', 'batch_axis'], ['probabilities'], 'remove_batch'),
        node('ArgMax', ['probabilities'], ['label_ids'], 'argmax', axis=0, keepdims=0),
        node('Cast', ['label_ids'], ['labels'], 'to_uint8', to=TensorProto.UINT8),
    ]
    used = {name for n in before + after for name in n.input}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    classes = source.output[0].type.tensor_type.shape.dim[1].dim_value
    graph = helper.make_graph(
        [*before, *source.node, *after],
        'minisegnet',
        [
            helper.make_tensor_value_info('image', TensorProto.UINT8, ['height', 'width', 3]),
            helper.make_tensor_value_info('network_scale', TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info('channel_order', TensorProto.INT64, [3]),
        ],
        [
            helper.make_tensor_value_info('labels', TensorProto.UINT8, ['label_height', 'label_width']),
            helper.make_tensor_value_info('probabilities', TensorProto.FLOAT, [classes, 'label_height', 'label_width']),
        ],
        [*initializers, *source.initializer],
    )
    return helper.make_model(
        graph, opset_imports=network.opset_import, ir_version=min(network.ir_version, 10), producer_name='minisegnet'
    )


def halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 tensors as float16, each with a cast that every engine folds when it loads the file."""
    casts = []
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < MINIMUM_HALVED:
            continue
        stored = tensor.name + '_float16'
        halved = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), stored)
        casts.append(helper.make_node('Cast', [stored], [tensor.name], f'restore_{index}', to=TensorProto.FLOAT))
        tensor.CopyFrom(halved)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


CHECK_SIZES: tuple[ImageSize, ...] = ((640, 480), (331, 243))
"""Sizes of the images of noise; no stride of the network divides the second."""

MINIMUM_AGREEMENT = 0.999
"""Fraction of label pixels on which the exported file must agree with PyTorch."""

MAXIMUM_DIFFERENCE = 1e-3
"""Bound of the mean absolute difference of the class probabilities of an image."""


def check_agreement(path: Path, model: MiniSegNet, record: ModelRecord, images: list[NDArray[np.uint8]]) -> float:
    """Compare an exported file with the network that it was exported from.

    The file runs in float32 on the CPU, with the engine that is fastest here. Where bfloat16 is faster, its rounding
    would hide errors of the file.

    Args:
        path: ONNX file.
        model, record: network and record of the checkpoint.
        images: (H, W, 3) uint8 RGB, at least one.

    Returns:
        The fraction of label pixels that agree, 0..1.

    Raises:
        ModelError: it is below ``MINIMUM_AGREEMENT``, or probabilities differ by more than ``MAXIMUM_DIFFERENCE``.
    """
    exported = open_model(path, precision='float32', device='cpu').engine
    reference: Engine = TorchEngine(model, record, 'float32')
    agreeing = total = 0
    worst = 0.0
    for image in images:
        size = (image.shape[1], image.shape[0])
        labels, probabilities = exported.infer(image, 'rgb', size)
        expected_labels, expected_probabilities = reference.infer(image, 'rgb', size)
        agreeing += int((labels == expected_labels).sum())
        total += labels.size
        worst = max(worst, float(np.abs(probabilities - expected_probabilities).mean()))
    agreement = agreeing / total
    if agreement < MINIMUM_AGREEMENT or worst > MAXIMUM_DIFFERENCE:
        raise ModelError(
            f'the export was not kept: it agrees with PyTorch on {agreement:.4%} of the label pixels (at least '
            f'{MINIMUM_AGREEMENT:.1%} is required), and its probabilities differ by {worst:.1e} on average'
        )
    return agreement


def noise_images(seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return images of coarse noise, (H, W, 3) uint8, for a comparison without data."""
    random = np.random.default_rng(seed)
    images = []
    for width, height in CHECK_SIZES:
        coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
        images.append(np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width]))
    return images
