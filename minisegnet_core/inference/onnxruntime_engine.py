"""Runs an exported ONNX file with ONNX Runtime (any CPU; CUDA where its GPU build is installed)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engine import ImageSize, Order, Precision
from minisegnet_core.inference.onnx_metadata import classes_of

PROVIDERS = ('CUDAExecutionProvider', 'CPUExecutionProvider')
"""Tried in this order, where this build of ONNX Runtime has them."""

CHANNEL_ORDERS = {'rgb': np.array([0, 1, 2], np.int64), 'bgr': np.array([2, 1, 0], np.int64)}


class OnnxRuntimeEngine:
    """See :class:`~minisegnet_core.inference.engine.Engine`.

    Args:
        path: ONNX file of ``minisegnet export``.
        threads: CPU threads, at least 1.

    Raises:
        ModelError: the file is missing, damaged or not ours.
    """

    name = 'onnxruntime'
    precision: Precision = 'float32'

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.classes = classes_of(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin between frames would take the walking controller's core.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = [p for p in PROVIDERS if p in onnxruntime.get_available_providers()]
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # its exceptions share no base class but this
            raise ModelError(f'ONNX Runtime cannot load {path}: {error}') from error

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
