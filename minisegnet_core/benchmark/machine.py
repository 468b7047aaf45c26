"""The machine a benchmark ran on: what it is, what is installed, and how much it multiplies at best."""

from __future__ import annotations

import datetime
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from minisegnet_core.inference.engines.base import Precision
from minisegnet_core.inference.engines.openvino_runtime import import_openvino, openvino_core
from minisegnet_core.processor import processor

PACKAGES = ('openvino', 'onnxruntime', 'onnxruntime-gpu', 'torch', 'numpy')
ISA_VARIABLE = 'ONEDNN_MAX_CPU_ISA'
"""Environment variable with which oneDNN, and so OpenVINO and PyTorch, keep to older instructions."""

SIDE = 2048
"""Rows and columns of the matrices whose product gives the peak: large enough to be limited by arithmetic alone."""
CHANNELS, PLANE = 512, 32
"""Of the 3x3 convolution that gives the peak where it is faster: a CPU without int8 dot products does int8 convolutions
twice as fast as products."""

RUNS = 5


def describe_machine(threads: int) -> dict[str, Any]:
    """What a table of times must say beside it; memory in GB."""
    cpu = processor()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        'cpu': cpu.name,
        'cores': cpu.cores,
        'threads': threads,
        'instructions': cpu.float_instructions,
        'int8_instructions': cpu.int8_instructions,
        'native_bfloat16': cpu.native_bfloat16,
        'isa_limit': os.environ.get(ISA_VARIABLE, ''),
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
        'system': f'{platform.system()} {platform.machine()}, Python {platform.python_version()}',
        'versions': versions,
        'date': datetime.date.today().isoformat(),
    }


def peak_gflops(threads: int, side: int = SIDE) -> dict[Precision, float]:
    """Best rate in each precision that this machine has, of a large matrix product or a large convolution, whichever is
    faster; 1e9 operations per second.

    Measured with OpenVINO's kernels where it is installed; without it, float32 alone with NumPy's product (which keeps
    to its own number of threads).
    """
    try:
        import_openvino()
    except ImportError:
        left = np.random.default_rng(0).random((side, side), np.float32)
        seconds = min(_seconds(lambda: left @ left) for _ in range(RUNS))
        return {'float32': 2 * side**3 / seconds / 1e9}
    precisions: list[Precision] = ['float32', 'int8']
    if processor().native_bfloat16:
        precisions.insert(1, 'bfloat16')
    product = 2 * side**3 / 1e9, [side, side], [side, side]
    convolution = 18 * (CHANNELS * PLANE) ** 2 / 1e9, [1, CHANNELS, PLANE, PLANE], [CHANNELS, CHANNELS, 3, 3]
    return {
        precision: max(_openvino_rate(precision, threads, *layer) for layer in (product, convolution))
        for precision in precisions
    }


def _openvino_rate(precision: Precision, threads: int, gflop: float, shape: list[int], weights: list[int]) -> float:
    """Rate of one layer: a product where ``shape`` has two axes, else a convolution."""
    import openvino as ov
    from openvino import opset13 as op

    random = np.random.default_rng(0)
    left = op.parameter(shape, np.float32)
    if precision == 'int8':
        # As OpenVINO's quantized models are: activations with 256 levels, weights in int8 with a scale.
        low, high = op.constant(np.float32(0)), op.constant(np.float32(1))
        activations = op.fake_quantize(left, low, high, low, high, 256)
        whole = op.constant(random.integers(-64, 64, weights).astype(np.int8))
        right = op.multiply(op.convert(whole, np.float32), op.constant(np.float32(1 / 64)))
    else:
        activations, right = left, op.constant(random.random(weights, np.float32))
    if len(shape) == 2:
        result = op.matmul(activations, right, False, False)
    else:
        result = op.convolution(activations, right, [1, 1], [1, 1], [1, 1], [1, 1])
    model = ov.Model([result], [left], 'layer')
    hint = 'bf16' if precision == 'bfloat16' else 'f32'
    properties = {'INFERENCE_NUM_THREADS': threads, 'NUM_STREAMS': 1, 'INFERENCE_PRECISION_HINT': hint}
    request = openvino_core().compile_model(model, 'CPU', properties).create_infer_request()
    request.set_input_tensor(ov.Tensor(random.random(shape, np.float32)))
    request.infer()
    return gflop / min(_seconds(request.infer) for _ in range(RUNS))


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def network_gflop(width: int, height: int, classes: int = 4, width_mult: float = 1.0) -> float:
    """1e9 operations of one image of this size, a multiplication and an addition counting two; convolutions only.

    Args:
        width, height: of the image that the network sees, pixels.
        width_mult: of :class:`~minisegnet_core.model.MiniSegNet`, whose rounding of channels is left out.
    """

    def reduced(stride: int) -> int:
        return -(-width // stride) * -(-height // stride)

    total = 4 * 9 * 64 * 64 * reduced(4)
    for channels, stride in ((128, 8), (256, 16), (512, 32)):
        total += (9 * channels // 2 * channels + 3 * 9 * channels * channels + channels // 2 * channels) * reduced(
            stride
        )
    for channels, stride in ((512, 32), (256, 16), (256, 8)):  # transposed convolutions, by their inputs
        total += 9 * channels * 128 * reduced(stride)
    for channels, stride in ((256, 16), (128, 8), (64, 4)):  # laterals
        total += channels * 128 * reduced(stride)
    # Channels on both sides, so by the square; but of the first layer's and the last one's only on one.
    ends = 49 * 3 * 64 * reduced(2) + 9 * 256 * classes * reduced(4)
    return 2 * (total * width_mult**2 + ends * width_mult) / 1e9
