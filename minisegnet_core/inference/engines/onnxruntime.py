"""Run an exported ONNX file with ONNX Runtime: on any CPU, and on NVIDIA GPUs with CUDA or TensorRT."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.encodings import Order
from minisegnet_core.errors import ModelError, shortened
from minisegnet_core.inference.engines.base import Device, ImageSize, Precision
from minisegnet_core.inference.engines.compiled_cache import cache_directory
from minisegnet_core.inference.engines.onnx_metadata import PROBABILITIES, check_precision, is_int8, record_of
from minisegnet_core.model_files import check_network

# Official builds send usage statistics unless this variable is set before the import. Set it to 0 to allow them.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
import onnxruntime

CHANNEL_ORDERS = {'rgb': np.array([0, 1, 2], np.int64), 'bgr': np.array([2, 1, 0], np.int64)}

DEVICE_NAMES = {
    'TensorrtExecutionProvider': 'TensorRT',
    'CUDAExecutionProvider': 'CUDA',
    'CPUExecutionProvider': 'CPU',
}

Provider = tuple[str, dict[str, str]]
"""Name and options of an execution provider."""


class OnnxRuntimeEngine:
    """Implement :class:`~minisegnet_core.inference.engines.base.Engine` with ONNX Runtime.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.
        precision: None selects int8 for an int8 file, float16 on TensorRT, and float32 otherwise. ONNX Runtime computes
            in the precision of the file, so a CPU and CUDA offer nothing else.
        device: ``auto`` and ``gpu`` select TensorRT, then CUDA, if this build has them and they load. Otherwise the CPU
            is used, with a note if a GPU was requested.

    Raises:
        ModelError: the file is missing, damaged or not made by ``minisegnet export``, or cannot run in this precision
            here.
    """

    name = 'onnxruntime'

    def __init__(
        self, path: Path, threads: int = 1, precision: Precision | None = None, device: Device = 'auto'
    ) -> None:
        record = record_of(path)
        self.classes = record.classes
        check_precision(path, precision)
        if precision == 'bfloat16':
            raise ModelError('ONNX Runtime has no bfloat16 convolutions; use the engine openvino or torch')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin between frames would occupy the walking controller's core.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = wanted_providers(onnxruntime.get_available_providers(), device, precision)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # its exceptions have no other common base class
            raise ModelError(f'ONNX Runtime cannot load {path}: {shortened(_last_line(error), 120)}') from error
        check_network(path, record, outputs=_channels(self._session))
        # A provider whose libraries do not load is left out of the session without an error.
        loaded = self._session.get_providers()[0]
        self.device = DEVICE_NAMES.get(loaded, loaded)
        self.notes = _notes(device, [name for name, _ in providers], loaded)
        if precision == 'float16' and self.device != 'TensorRT':
            raise ModelError(
                f'ONNX Runtime computes in float16 only with its TensorRT provider, and it runs on {self.device} here'
            )
        on_tensorrt = self.device == 'TensorRT' and precision != 'float32'
        self.precision: Precision = 'int8' if is_int8(path) else 'float16' if on_tensorrt else 'float32'

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See :meth:`~minisegnet_core.inference.engines.base.Engine.infer`."""
        height, width = image.shape[:2]
        feeds = {
            'image': image,
            'channel_order': CHANNEL_ORDERS[order],
            'network_scale': np.array([network_size[1] / height, network_size[0] / width], np.float32),
        }
        labels, probabilities = self._session.run(['labels', 'probabilities'], feeds)
        return labels, probabilities


def wanted_providers(available: list[str], device: Device, precision: Precision | None) -> list[Provider]:
    """Return the execution providers to try with their options, the fastest first.

    TensorRT compiles for more than a minute at the first image of each size and keeps the result in the engine cache.
    CUDA's TF32 has a 10-bit mantissa; it is disabled so that float32 means float32.

    Args:
        available: providers of this build of ONNX Runtime.
    """
    half = '0' if precision in ('float32', 'int8') else '1'
    options: dict[str, dict[str, str]] = {
        'TensorrtExecutionProvider': {
            'trt_fp16_enable': half,
            'trt_engine_cache_enable': '1',
            'trt_engine_cache_path': str(cache_directory('tensorrt')),
            'trt_timing_cache_enable': '1',
        },
        'CUDAExecutionProvider': {'use_tf32': '0'},
        'CPUExecutionProvider': {},
    }
    wanted = options if device in ('auto', 'gpu') else {'CPUExecutionProvider': {}}
    return [(name, settings) for name, settings in wanted.items() if name in available]


def _notes(device: Device, wanted: list[str], loaded: str) -> tuple[str, ...]:
    if loaded != 'CPUExecutionProvider':
        return ()
    failed = [DEVICE_NAMES[name] for name in wanted if name != 'CPUExecutionProvider']
    if failed:
        return (f'ONNX Runtime could not load its providers {", ".join(failed)}; it runs on the CPU',)
    if device in ('gpu', 'npu'):
        return (f'this ONNX Runtime has no provider for {device}; it runs on the CPU (pip install onnxruntime-gpu)',)
    return ()


def _channels(session: onnxruntime.InferenceSession) -> int | None:
    """Return the number of classes of the output ``probabilities``; None if it is missing or not constant."""
    shapes = {output.name: output.shape for output in session.get_outputs()}
    first = next(iter(shapes.get(PROBABILITIES) or ()), None)
    return first if isinstance(first, int) else None


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
