"""Run an exported ONNX file with OpenVINO: on Intel, AMD and ARM CPUs, and on Intel GPUs and NPUs."""

from __future__ import annotations

import sys
from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.encodings import Order
from minisegnet_core.errors import ModelError, shortened
from minisegnet_core.inference.engines.base import Device, ImageSize, Precision, file_hash
from minisegnet_core.inference.engines.compiled_cache import bound_cache, cache_directory, cache_entry, writable_folder
from minisegnet_core.inference.engines.onnx_metadata import PROBABILITIES, check_precision, is_int8, record_of
from minisegnet_core.model_files import check_network
from minisegnet_core.processor import processor

CONVERTER = 'openvino.tools.ovc'


def import_openvino() -> ModuleType:
    """Import the package ``openvino`` without its model converter; return it as it is if it is already imported.

    The converter imports a telemetry package, which sends a message at every import unless the user opted out, and
    leaves files in ``~/intel``. Without it the import takes a quarter of the CPU time and 16 MB less memory. The
    converter remains available to other code of the process as ``openvino.tools.ovc.convert_model``.

    Raises:
        ImportError: OpenVINO is not installed, or is broken.
    """
    hidden = 'openvino' not in sys.modules and CONVERTER not in sys.modules
    if hidden:
        sys.modules[CONVERTER] = None  # type: ignore[assignment]  # makes Python raise ImportError for this module
    try:
        import openvino  # noqa: F401
    finally:
        if hidden:
            sys.modules.pop(CONVERTER, None)
    return sys.modules['openvino']


if TYPE_CHECKING:
    import openvino as ov
else:
    ov = import_openvino()


@cache
def openvino_core() -> Any:
    """Return the only ``openvino.Core`` of this process; it is never released.

    The CPU plugin of each core gives the thread that loads it a stack for signal handlers, and frees that stack with
    the core. If several cores are released in another order than last in, first out, or in another thread, a thread
    keeps a freed stack. The next signal that Python handles there (Ctrl-C, or the end of a child process) then ends the
    process without a message or corrupts memory. OpenVINO recommends a single core, too.
    """
    return ov.Core()


COMPILED_KEPT = 3
"""Compiled networks kept in memory, one per (image size, order, network size). Few cameras change theirs."""

HINTS: dict[Precision, str] = {'float32': 'f32', 'bfloat16': 'bf16', 'float16': 'f16', 'int8': 'f32'}
"""Values of OpenVINO's INFERENCE_PRECISION_HINT. int8 is a property of the file; the hint covers its other layers."""

PRECISION_OF_HINT = {hint: precision for precision, hint in HINTS.items() if precision != 'int8'}
"""Inverse of HINTS, for the property of a compiled network. Newer versions spell the precision out."""

CONVOLUTIONS = ('Convolution', 'Deconvolution')
DEVICE_NAMES = {'auto': 'CPU', 'cpu': 'CPU', 'gpu': 'GPU', 'npu': 'NPU'}

CompiledKey = tuple[int, int, Order, ImageSize]
"""Width and height of the image, its channel order, and the network size."""


class OpenVinoEngine:
    """Implement :class:`~minisegnet_core.inference.engines.base.Engine` with OpenVINO.

    The network is compiled for each image size, because fixed sizes run faster than dynamic ones. Compiled networks are
    kept on disk, so that the next start is faster.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.
        precision: numeric precision. None selects int8 for an int8 file, float16 on a GPU or NPU, bfloat16 on CPUs with
            native bfloat16, and float32 otherwise. It is always set and read back, since OpenVINO's own default varies.
        device: ``auto`` is the CPU. ``gpu`` and ``npu`` fall back to the CPU with a note.
        cache: whether compiled networks are kept on disk.

    Raises:
        ModelError: the file is missing, damaged or not made by ``minisegnet export``, or cannot run in this precision.
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
        record = record_of(path)  # before OpenVINO, which prints the complaints of all its readers about other files
        self.classes = record.classes
        try:
            self._model = self._core.read_model(path)
            outputs = {output.get_any_name(): output.get_partial_shape() for output in self._model.outputs}
        except RuntimeError as error:
            raise ModelError(f'OpenVINO cannot read {path}: {shortened(_last_line(error), 120)}') from error
        if set(outputs) != {'labels', PROBABILITIES}:
            raise ModelError(
                f'{path} has other outputs than labels and probabilities; make it with `minisegnet export`'
            )
        channels = outputs[PROBABILITIES][0]
        check_network(path, record, outputs=channels.get_length() if channels.is_static else None)
        check_precision(path, precision)
        self.device = DEVICE_NAMES[device]
        self.notes: tuple[str, ...] = ()
        present = self._core.available_devices
        if self.device not in {name.split('.')[0] for name in present}:
            self.notes = (f'OpenVINO finds no {self.device} here, only {", ".join(present)}; it runs on the CPU',)
            self.device = 'CPU'
        self.precision: Precision = precision or ('int8' if is_int8(path) else self._fastest_float())
        self._properties: dict[str, object] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': HINTS[self.precision],
        }
        if self.device == 'CPU':
            # Pinned threads would override the process's CPU affinity, which keeps a core free for walking.
            self._properties |= {'INFERENCE_NUM_THREADS': threads, 'NUM_STREAMS': 1, 'ENABLE_CPU_PINNING': False}
        self._cached = cache
        if cache:
            try:
                writable_folder(cache_directory('openvino'))
            except OSError as error:  # a full or read-only disk costs compilation time, nothing else
                self._disable_cache(error)
        self._requests: OrderedDict[CompiledKey, ov.InferRequest] = OrderedDict()

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See :meth:`~minisegnet_core.inference.engines.base.Engine.infer`."""
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

    def kernels(self) -> list[str]:
        """Return the kernels of the convolutions of the network that ran last; empty before the first image."""
        if not self._requests:
            return []
        return convolution_kernels(next(reversed(self._requests.values())).get_compiled_model())

    def _fastest_float(self) -> Precision:
        if self.device != 'CPU':
            return 'float16'
        return 'bfloat16' if processor().native_bfloat16 else 'float32'

    def _compile(self, width: int, height: int, order: Order, network_size: ImageSize) -> ov.InferRequest:
        model = self._model.clone()
        _specialize(model, (width, height), order, network_size)
        model.reshape({'image': [height, width, 3]})
        entry = self._cache_entry(width, height, order, network_size)
        try:
            compiled = self._compile_cached(model, entry)
        except RuntimeError as error:
            raise ModelError(
                f'OpenVINO cannot compile the model for {self.device}: {shortened(_last_line(error), 120)}'
            ) from error
        self._check_precision(compiled)
        return compiled.create_infer_request()

    def _cache_entry(self, *key: object) -> Path | None:
        """Return the folder for one compiled network, or None if compiled networks are not kept."""
        if not self._cached:
            return None
        try:
            facts = (ov.__version__, file_hash(self._path), self.device, sorted(self._properties.items()))
            return cache_entry(cache_directory('openvino'), *facts, *key)
        except OSError as error:
            self._disable_cache(error)
            return None

    def _compile_cached(self, model: ov.Model, entry: Path | None) -> ov.CompiledModel:
        """Load the compiled network from its folder, or compile it into that folder.

        OpenVINO compiles again if the folder's content is damaged.
        """
        if entry is None:
            return self._core.compile_model(model, self.device, self._properties)
        try:
            compiled = self._core.compile_model(model, self.device, {**self._properties, 'CACHE_DIR': str(entry)})
        except RuntimeError as error:
            # If the cache is not the cause, compiling without it raises again.
            compiled = self._core.compile_model(model, self.device, self._properties)
            self._disable_cache(error)
        else:
            bound_cache(entry.parent)
        return compiled

    def _disable_cache(self, error: Exception) -> None:
        self._cached = False
        self.notes = (*self.notes, f'compiled networks are not kept: {_last_line(error)}')

    def _check_precision(self, compiled: ov.CompiledModel) -> None:
        """Raise ModelError if the compiled network does not compute in the engine's precision."""
        requested = 'float32' if self.precision == 'int8' else self.precision
        hint = compiled.get_property('INFERENCE_PRECISION_HINT').to_string()
        actual = PRECISION_OF_HINT.get(hint, hint)
        if actual != requested:
            raise ModelError(f'OpenVINO computes in {actual} on this {self.device} although {requested} was requested')
        # The hint is an agreement; the kernels show what is executed. Only the CPU plugin names them.
        kernels = convolution_kernels(compiled) if self.device == 'CPU' else []
        if self.precision == 'int8' and kernels and not any('i8' in kernel.lower() for kernel in kernels):
            raise ModelError(f'OpenVINO runs none of the int8 convolutions in int8 on this {self.device}')


def convolution_kernels(compiled: ov.CompiledModel) -> list[str]:
    """Return the names of the kernels that run the convolutions, such as ``jit_avx2_I8`` or ``brgconv_avx2_f32``."""
    kernels = []
    for operation in compiled.get_runtime_model().get_ops():
        info = operation.get_rt_info()
        if 'layerType' in info and info['layerType'].astype(str) in CONVOLUTIONS:
            kernels.append(str(info['primitiveType'].astype(str)))
    return kernels


def _specialize(model: ov.Model, image_size: ImageSize, order: Order, network_size: ImageSize) -> None:
    """Fix the channel order and the network size of a model, and remove the resize that native size does not need.

    Both become constants that are folded at compile time, so that BGR costs nothing per frame.
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


def _last_line(error: Exception) -> str:
    """Return the last line of an OpenVINO error; the lines before it name source files."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
