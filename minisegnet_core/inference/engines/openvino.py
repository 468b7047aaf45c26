"""Runs an exported ONNX file with OpenVINO (Intel, AMD and ARM CPUs; Intel GPUs and NPUs)."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.base import Device, ImageSize, Order, Precision, cache_directory, file_hash
from minisegnet_core.inference.engines.compiled_cache import bound_cache, cache_entry, writable_folder
from minisegnet_core.inference.engines.onnx_metadata import check_precision, classes_of, is_int8
from minisegnet_core.inference.engines.openvino_runtime import import_openvino, openvino_core
from minisegnet_core.processor import processor

if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()

COMPILED_KEPT = 3
"""Compiled networks kept: one per (image size, order, network size). Cameras seldom have more than one."""

HINTS: dict[Precision, str] = {'float32': 'f32', 'bfloat16': 'bf16', 'float16': 'f16', 'int8': 'f32'}
"""OpenVINO's INFERENCE_PRECISION_HINT. It says nothing of int8, which is in the file; float32 is for what is left."""

READ_BACK: dict[str, Precision] = {'float32': 'float32', 'bfloat16': 'bfloat16', 'float16': 'float16'}

CONVOLUTIONS = ('Convolution', 'Deconvolution')
DEVICE_NAMES = {'auto': 'CPU', 'cpu': 'CPU', 'gpu': 'GPU', 'npu': 'NPU'}


class OpenVinoEngine:
    """See :class:`~minisegnet_core.inference.engines.base.Engine`.

    Compiles for each image size it meets: fixed sizes run faster than dynamic ones. What it compiled is kept in
    :func:`cache_directory`, so that the next start is faster.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.
        precision: of the arithmetic; None: int8 where the file is, else bfloat16 where the CPU multiplies in it
            (float16 on a GPU or NPU), else float32. Set and read back: OpenVINO by itself takes what it likes.
        device: ``auto`` is the CPU; ``gpu`` and ``npu`` fall back to it with a note where there is none.
        cache: whether compiled networks are kept on disk.

    Raises:
        ModelError: the file is missing, damaged or not ours, or cannot run in this precision here.
    """

    name = 'openvino'

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        precision: Precision | None = None,
        device: Device = 'auto',
        *,
        cache: bool = True,
    ) -> None:
        self._core, self._path = openvino_core(), path
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise ModelError(f'OpenVINO cannot read {path}: {str(error).strip().splitlines()[-1]}') from error
        self.classes = classes_of(path)
        if {output.get_any_name() for output in self._model.outputs} != {'labels', 'probabilities'}:
            raise ModelError(f'{path} has not the outputs labels and probabilities; make it with `minisegnet export`')
        check_precision(path, precision)
        self.device = DEVICE_NAMES[device]
        self.notes: tuple[str, ...] = ()
        present = self._core.available_devices
        if self.device not in {name.split('.')[0] for name in present}:
            self.notes = (f'OpenVINO finds no {self.device} here, only {", ".join(present)}; it runs on the CPU',)
            self.device = 'CPU'
        self.precision: Precision = precision or ('int8' if is_int8(path) else self._native())
        self._properties: dict[str, object] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': HINTS[self.precision],
        }
        if self.device == 'CPU':
            # Pinned threads would undo the process's CPU affinity, which keeps the walking controller's core free.
            self._properties |= {'INFERENCE_NUM_THREADS': threads, 'NUM_STREAMS': 1, 'ENABLE_CPU_PINNING': False}
        self._keep = cache
        if cache:
            try:
                writable_folder(cache_directory('openvino'))
            except OSError as error:  # a full or read-only disk costs the time of compiling, no more
                self._not_kept(error)
        self._requests: OrderedDict[tuple[int, int, Order, ImageSize], ov.InferRequest] = OrderedDict()

    def _native(self) -> Precision:
        if self.device != 'CPU':
            return 'float16'
        return 'bfloat16' if processor().native_bfloat16 else 'float32'

    def _cache_entry(self, *key: object) -> str:
        """Folder for what is compiled of this model for this; empty where nothing is kept."""
        if not self._keep:
            return ''
        try:
            facts = (ov.__version__, file_hash(self._path), self.device, sorted(self._properties.items()))
            return str(cache_entry(cache_directory('openvino'), *facts, *key))
        except OSError as error:
            self._not_kept(error)
            return ''

    def _not_kept(self, error: Exception) -> None:
        self._keep = False
        reason = str(error).strip().splitlines()[-1]
        self.notes = (*self.notes, f'compiled networks are not kept: {reason}')

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
        model = self._model.clone()
        _specialize(model, (width, height), order, network_size)
        model.reshape({'image': [height, width, 3]})
        entry = self._cache_entry(width, height, order, network_size)
        try:
            compiled = self._compile_kept(model, entry)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f'OpenVINO cannot compile the model for {self.device}: {reason}') from error
        self._check_precision(compiled)
        return compiled.create_infer_request()

    def _compile_kept(self, model: ov.Model, entry: str) -> ov.CompiledModel:
        """From the cache, or into it; OpenVINO compiles anew where what is there is damaged."""
        if entry:
            try:
                compiled = self._core.compile_model(model, self.device, {**self._properties, 'CACHE_DIR': entry})
                bound_cache(Path(entry).parent)
                return compiled
            except RuntimeError as error:  # whether of the cache, compiling without it tells
                compiled = self._core.compile_model(model, self.device, self._properties)
                self._not_kept(error)
                return compiled
        return self._core.compile_model(model, self.device, self._properties)

    def _check_precision(self, compiled: ov.CompiledModel) -> None:
        wanted = 'float32' if self.precision == 'int8' else self.precision
        hint = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
        actual = READ_BACK.get(hint) or {short: name for name, short in HINTS.items() if name != 'int8'}.get(hint, hint)
        if actual != wanted:
            raise ModelError(f'OpenVINO computes in {actual} on this {self.device}, not in {wanted} as it was told')
        # The hint says what was agreed; the compiled convolutions say what happens. Only the CPU tells their names.
        kernels = convolution_kernels(compiled) if self.device == 'CPU' else []
        if self.precision == 'int8' and kernels and not any('i8' in kernel.lower() for kernel in kernels):
            raise ModelError(f'OpenVINO runs none of the int8 convolutions in int8 on this {self.device}')


def convolution_kernels(compiled: ov.CompiledModel) -> list[str]:
    """Names of the kernels that run the convolutions, such as ``jit_avx2_I8`` or ``brgconv_avx2_f32``."""
    kernels = []
    for operation in compiled.get_runtime_model().get_ops():
        info = operation.get_rt_info()
        if 'layerType' in info and info['layerType'].astype(str) in CONVOLUTIONS:
            kernels.append(str(info['primitiveType'].astype(str)))
    return kernels


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
