"""The machine on which a benchmark runs, its peak arithmetic rate, and the operations that the network needs."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from minisegnet_core.inference.engines.base import Precision
from minisegnet_core.processor import processor

PACKAGES = ('openvino', 'onnxruntime', 'onnxruntime-gpu', 'torch', 'numpy')
ISA_VARIABLE = 'ONEDNN_MAX_CPU_ISA'
"""Environment variable that limits the instructions of oneDNN, and so of OpenVINO and PyTorch."""

SIDE = 2048
"""Rows and columns of the matrix product that measures the peak; large enough that only arithmetic limits it."""

CHANNELS, PLANE = 512, 32
"""Channels and side of the 3x3 convolution, whose rate is the peak if it is faster than the product. A CPU without int8
dot products computes int8 convolutions twice as fast as products."""

RUNS = 5
"""Runs of a layer; the fastest counts."""


def describe_machine(threads: int) -> dict[str, Any]:
    """Return the facts that a table of times depends on: CPU, instructions, memory in GB, versions, date.

    Args:
        threads: CPU threads of the measurements.
    """
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
    """Measure the peak rate of this CPU in each native precision, in 1e9 operations per second.

    The peak is the rate of a large matrix product or of a large convolution, whichever is higher. It is measured with
    OpenVINO. Without OpenVINO, only float32 is measured, with NumPy's product, which chooses its own number of threads.

    Args:
        threads: CPU threads.
        side: rows and columns of the matrices.
    """
    try:
        import_module('minisegnet_core.inference.engines.openvino')
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
        precision: max(layer_gflops(precision, threads, *layer) for layer in (product, convolution))
        for precision in precisions
    }


def layer_gflops(precision: Precision, threads: int, gflop: float, shape: list[int], weights: list[int]) -> float:
    """Measure the rate of one layer with OpenVINO, in 1e9 operations per second.

    Args:
        gflop: operations of the layer, in 1e9.
        shape: shape of the input; two axes mean a matrix product, four a 3x3 convolution.
        weights: shape of the weights.
    """
    from minisegnet_core.inference.engines.openvino import openvino_core  # loads OpenVINO without its converter

    import openvino as ov  # isort: skip
    from openvino import opset13 as op  # isort: skip

    random = np.random.default_rng(0)
    left = op.parameter(shape, np.float32)
    if precision == 'int8':
        # OpenVINO represents a quantized layer as activations of 256 levels and int8 weights with a scale.
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


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def network_gflop(width: int, height: int, classes: int = 4, width_mult: float = 1.0) -> float:
    """Return the operations of the network's convolutions for one image, in 1e9.

    A multiplication with its addition counts as two operations.

    Args:
        width, height: size of the image that the network receives, in pixels.
        classes: number of classes.
        width_mult: width multiplier of :class:`~minisegnet_core.model.MiniSegNet`; its rounding of channels is ignored.
    """

    def positions(stride: int) -> int:
        return -(-width // stride) * -(-height // stride)

    total = 4 * 9 * 64 * 64 * positions(4)
    for channels, stride in ((128, 8), (256, 16), (512, 32)):
        total += (9 * channels // 2 * channels + 3 * 9 * channels * channels + channels // 2 * channels) * positions(
            stride
        )
    for channels, stride in ((512, 32), (256, 16), (256, 8)):  # transposed convolutions: input channels and stride
        total += 9 * channels * 128 * positions(stride)
    for channels, stride in ((256, 16), (128, 8), (64, 4)):  # laterals
        total += channels * 128 * positions(stride)
    # Most layers scale with the square of the width; the first and the last have scaled channels on one side only.
    ends = 49 * 3 * 64 * positions(2) + 9 * 256 * classes * positions(4)
    return 2 * (total * width_mult**2 + ends * width_mult) / 1e9
