"""Runs an exported ONNX file with ONNX Runtime: any CPU; NVIDIA GPUs through its CUDA and TensorRT providers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.base import Device, ImageSize, Order, Precision, cache_directory
from minisegnet_core.inference.engines.onnx_metadata import check_precision, classes_of, is_int8

# Official builds send statistics to their maker unless told not to before the import; a robot sends none. Who wants to
# sets the variable to 0.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
import onnxruntime

CHANNEL_ORDERS = {'rgb': np.array([0, 1, 2], np.int64), 'bgr': np.array([2, 1, 0], np.int64)}

DEVICE_NAMES = {
    'TensorrtExecutionProvider': 'TensorRT',
    'CUDAExecutionProvider': 'CUDA',
    'CPUExecutionProvider': 'CPU',
}

Provider = tuple[str, dict[str, str]]


class OnnxRuntimeEngine:
    """See :class:`~minisegnet_core.inference.engines.base.Engine`.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.
        precision: None: int8 where the file is; float16 on TensorRT; else float32. ONNX Runtime computes in what the
            file says, so on a CPU and on CUDA there is nothing else.
        device: ``auto`` and ``gpu`` take TensorRT, then CUDA, where this build has them and they load; else the CPU,
            with a note where a GPU was asked for.

    Raises:
        ModelError: the file is missing, damaged or not ours, or cannot run in this precision here.
    """

    name = 'onnxruntime'

    def __init__(
        self, path: Path, threads: int = 1, precision: Precision | None = None, device: Device = 'auto'
    ) -> None:
        self.classes = classes_of(path)
        check_precision(path, precision)
        if precision == 'bfloat16':
            raise ModelError('ONNX Runtime has no bfloat16 convolutions; take openvino or torch for bfloat16')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin between frames would take the walking controller's core.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = wanted_providers(onnxruntime.get_available_providers(), device, precision)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # its exceptions share no base class but this
            raise ModelError(f'ONNX Runtime cannot load {path}: {error}') from error
        # A provider whose libraries do not load is left out of the session without an error.
        loaded = self._session.get_providers()[0]
        self.device = DEVICE_NAMES.get(loaded, loaded)
        self.notes = _notes(device, [name for name, _ in providers], loaded)
        if precision == 'float16' and self.device != 'TensorRT':
            raise ModelError(
                f'ONNX Runtime computes in float16 only with its TensorRT provider, and runs on {self.device} here'
            )
        on_tensorrt = self.device == 'TensorRT' and precision != 'float32'
        self.precision: Precision = 'int8' if is_int8(path) else 'float16' if on_tensorrt else 'float32'

    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        height, width = image.shape[:2]
        feeds = {
            'image': image,
            'channel_order': CHANNEL_ORDERS[order],
            'network_scale': np.array([network_size[1] / height, network_size[0] / width], np.float32),
        }
        labels, probabilities = self._session.run(['labels', 'probabilities'], feeds)
        return labels, probabilities


def wanted_providers(available: list[str], device: Device, precision: Precision | None) -> list[Provider]:
    """Execution providers with their options, the fastest first, of those that this build of ONNX Runtime has.

    TensorRT compiles for a minute and more at the first image of a size and keeps the result in
    :func:`cache_directory`. CUDA's TF32, a 10-bit mantissa, is switched off: float32 is to mean float32.
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
        return (f'this ONNX Runtime has no provider for {device}; pip install onnxruntime-gpu. It runs on the CPU',)
    return ()
