"""A checkpoint to one ONNX file that takes the camera's pixels and gives labels.

The graph's input ``image`` is the uint8 (H, W, 3) RGB image of any size from 64x64; its outputs are ``labels``, uint8
(h, w), and ``probabilities``, float32 (C, h, w), on the network's own grid. Two initializers may be overridden as
inputs:

- ``network_scale``, float32 (2,), default [1, 1]: network size over image size, along y and x;
- ``channel_order``, int64 (3,), default [0, 1, 2]: [2, 1, 0] for BGR images.

What belongs to the model stands in the file's metadata.
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
from minisegnet_core.inference.engines.base import Engine, ImageSize
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing

OPSET = 18
CHECK_SIZES: tuple[ImageSize, ...] = ((640, 480), (331, 243))
"""(width, height) at which an export is compared with PyTorch when no images are given; one that no stride divides."""
MINIMUM_AGREEMENT = 0.999
"""Share of label pixels on which the exported file must agree with PyTorch."""
MAXIMUM_DIFFERENCE = 1e-3
"""Of any class probability, in the mean over pixels."""
SMALLEST_HALVED = 64
"""Tensors below this number of elements stay float32: they cost nothing and hold statistics."""


def export_onnx(
    checkpoint: Path, output: Path, *, half: bool = True, images: list[NDArray[np.uint8]] | None = None
) -> float:
    """Writes ``output`` and keeps it only if it agrees with PyTorch.

    Args:
        checkpoint: of :func:`save_checkpoint`.
        half: keep weights as float16 (half the file; arithmetic stays float32).
        images: (H, W, 3) uint8 RGB on which the two are compared; none: noise pictures.

    Returns:
        The share of label pixels that agree, at least ``MINIMUM_AGREEMENT``.

    Raises:
        ModelError: the checkpoint cannot be read, or the export does not agree; then nothing is left at ``output``.
    """
    if output.suffix != '.onnx':
        raise ModelError(f'the output {output} must end in .onnx')
    model, record = load_checkpoint(checkpoint)
    graph = add_pre_and_postprocessing(network_to_onnx(model), record.preprocessing)
    if half:
        halve_weights(graph)
    helper.set_model_props(graph, record.to_metadata())
    onnx.checker.check_model(graph, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(output.stem + '.part.onnx')
    temporary.write_bytes(graph.SerializeToString())
    try:
        agreement = check_agreement(temporary, model, record, images or noise_images())
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    return agreement


def export_with_checkpoint(
    checkpoint: Path,
    output: Path,
    halved: Path,
    *,
    half: bool = True,
    images: list[NDArray[np.uint8]] | None = None,
) -> float:
    """Writes the checkpoint with half-precision weights to ``halved`` and :func:`export_onnx` of *that* to ``output``.

    Rounded each for itself from full precision, the two would be two networks, twice as far apart.

    Raises:
        ModelError: as :func:`export_onnx`; then neither file is written.
    """
    temporary = halved.with_name(halved.stem + '.part.safetensors')
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_checkpoint(temporary, *load_checkpoint(checkpoint), half=True)
        agreement = export_onnx(temporary, output, half=half, images=images)
        temporary.replace(halved)
    finally:
        temporary.unlink(missing_ok=True)
    return agreement


def fold_norms(model: MiniSegNet) -> MiniSegNet:
    """A copy without the decoder's batch norms, which gives the same.

    Each stands behind a concatenation that nothing else reads, so its scale and shift per channel go into the
    transposed convolution and the lateral that were concatenated. (The encoder's are folded by the exporter.)
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
    """The bare network: input ``normalized`` (1, 3, H, W) float32, output ``logits``, any H, W."""
    height, width = torch.export.Dim('height', min=64, max=8192), torch.export.Dim('width', min=64, max=8192)
    example = torch.zeros(1, 3, 243, 331)  # divisible by nothing, so that no size is taken for granted
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
        raise ModelError('PyTorch exported nothing')
    proto: onnx.ModelProto = program.model_proto
    for node in proto.graph.node:  # the exporter notes where in whose files each operation was called
        node.ClearField('metadata_props')
        node.ClearField('doc_string')
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        value.ClearField('metadata_props')
    return proto


def add_pre_and_postprocessing(network: onnx.ModelProto, preprocessing: Preprocessing) -> onnx.ModelProto:
    """Wraps the bare network as the module's docstring describes."""
    source = network.graph
    constants = {
        'channel_order': np.array([0, 1, 2], np.int64),
        'network_scale': np.array([1, 1], np.float32),
        'pixel_mean': (np.array(preprocessing.mean, np.float32) * 255).reshape(1, 3, 1, 1),
        'pixel_std': (np.array(preprocessing.std, np.float32) * 255).reshape(1, 3, 1, 1),
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
    """Keeps large float32 tensors as float16 with a cast beside them, which every engine folds when it loads the
    file.
    """
    casts = []
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < SMALLEST_HALVED:
            continue
        stored = tensor.name + '_float16'
        halved = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), stored)
        casts.append(helper.make_node('Cast', [stored], [tensor.name], f'restore_{index}', to=TensorProto.FLOAT))
        tensor.CopyFrom(halved)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def check_agreement(path: Path, model: MiniSegNet, record: ModelRecord, images: list[NDArray[np.uint8]]) -> float:
    """Share of label pixels on which the file, run by an engine of this machine, agrees with PyTorch.

    Raises:
        ModelError: below ``MINIMUM_AGREEMENT``, or probabilities differ by more than ``MAXIMUM_DIFFERENCE`` in the
        mean.
    """
    from minisegnet_core.inference.engines.torch import TorchEngine
    from minisegnet_core.inference.selection import open_engine

    # Not what is fastest: bfloat16, where the CPU has it, differs by its own rounding, which is not the file's.
    exported = open_engine(path, 'auto', precision='float32', device='cpu')
    reference: Engine = TorchEngine.of_model(model, record)
    agreeing = total = 0
    worst = 0.0
    for image in images:
        size = (image.shape[1], image.shape[0])
        labels, probabilities = exported.infer(image, 'rgb', size)
        true_labels, true_probabilities = reference.infer(image, 'rgb', size)
        agreeing += int((labels == true_labels).sum())
        total += labels.size
        worst = max(worst, float(np.abs(probabilities - true_probabilities).mean()))
    agreement = agreeing / total
    if agreement < MINIMUM_AGREEMENT or worst > MAXIMUM_DIFFERENCE:
        raise ModelError(
            f'the export agrees with PyTorch on {agreement:.4%} of label pixels (at least {MINIMUM_AGREEMENT:.1%} '
            f'wanted), mean difference of probabilities {worst:.1e}; it was not kept'
        )
    return agreement


def noise_images(seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pictures of blurred noise, for a comparison without data."""
    random = np.random.default_rng(seed)
    images = []
    for width, height in CHECK_SIZES:
        coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
        images.append(np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1)[:height, :width]))
    return images
