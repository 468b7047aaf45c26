"""Runs an exported ONNX file with OpenVINO (Intel and ARM CPUs)."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engine import ImageSize, Order, Precision
from minisegnet_core.inference.onnx_metadata import classes_of

COMPILED_KEPT = 3
"""Compiled networks kept: one per (image size, order, network size). Cameras seldom have more than one."""

_OPENVINO_PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16', 'float16': 'f16'}


class OpenVinoEngine:
    """See :class:`~minisegnet_core.inference.engine.Engine`.

    Compiles for each image size it meets: fixed sizes run faster than dynamic ones.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.
        precision: of the arithmetic; set and read back, since OpenVINO by itself takes bfloat16 where the CPU has it.

    Raises:
        ModelError: the file is missing, damaged or not ours.
    """

    name = 'openvino'

    def __init__(self, path: Path, threads: int = 1, precision: Precision = 'float32') -> None:
        self._core = ov.Core()
        self._path = path
        try:
            model = self._core.read_model(path)
        except RuntimeError as error:
            raise ModelError(f'OpenVINO cannot read {path}: {str(error).strip().splitlines()[-1]}') from error
        self.classes = classes_of(path)
        if {output.get_any_name() for output in model.outputs} != {'labels', 'probabilities'}:
            raise ModelError(f'{path} has not the outputs labels and probabilities; make it with `minisegnet export`')
        self._properties = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_NUM_THREADS': threads,
            'NUM_STREAMS': 1,
            'INFERENCE_PRECISION_HINT': _OPENVINO_PRECISIONS[precision],
        }
        self.precision: Precision = precision
        self._requests: OrderedDict[tuple[int, int, Order, ImageSize], ov.InferRequest] = OrderedDict()

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        key = (image.shape[1], image.shape[0], order, network_size)
        request = self._requests.get(key)
        if request is None:
            request = self._compile(*key)
            self._requests[key] = request
            while len(self._requests) > COMPILED_KEPT:
                self._requests.popitem(last=False)
        self._requests.move_to_end(key)
        request.set_input_tensor(ov.Tensor(image, shared_memory=True))
        request.infer()
        return request.get_tensor('labels').data, request.get_tensor('probabilities').data

    def _compile(self, width: int, height: int, order: Order, network_size: ImageSize) -> ov.InferRequest:
        model = self._core.read_model(self._path)
        _specialize(model, (width, height), order, network_size)
        model.reshape({'image': [height, width, 3]})
        compiled = self._core.compile_model(model, 'CPU', self._properties)
        actual = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
        if actual != self._properties['INFERENCE_PRECISION_HINT']:
            raise ModelError(f'OpenVINO computes in {actual}, not in {self.precision} as it was told')
        return compiled.create_infer_request()


def _specialize(model: ov.Model, image_size: ImageSize, order: Order, network_size: ImageSize) -> None:
    """Removes what this image does not need, and sets the channel order and network size of the rest.

    Each is a constant folded at compile time, so BGR costs nothing per frame and native size has no resize at all.
    """
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if name == 'channel_order_gather' and order == 'bgr':
            reverse = ov.opset13.constant(np.array([2, 1, 0], np.int64))
            node.input(1).replace_source_output(reverse.output(0))
        elif name == 'resize':
            if network_size == image_size:
                node.output(0).replace(node.input_value(0))
            else:
                size = ov.opset13.constant(np.array([1, 3, network_size[1], network_size[0]], np.int64))
                node.input(1).replace_source_output(size.output(0))
    model.validate_nodes_and_infer_types()
