"""Run a checkpoint with PyTorch: the reference for the other engines, and the way to run a model before its export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint
from minisegnet_core.encodings import Order
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.base import Device, ImageSize, Precision
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import normalize
from minisegnet_core.processor import processor

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


class TorchEngine:
    """Implement :class:`~minisegnet_core.inference.engines.base.Engine` with PyTorch.

    Args:
        model: network with its weights. It is converted in place to the device and precision.
        record: classes and preprocessing of the model.
        precision: None selects float16 on a GPU, bfloat16 on CPUs with native bfloat16, and float32 otherwise.
        device: ``auto`` and ``gpu`` select the CUDA GPU if there is one. Otherwise the CPU is used, with a note if
            another device was requested.

    Attributes:
        network: the converted network, in evaluation mode.

    Raises:
        ModelError: the precision is int8.
    """

    name = 'torch'

    def __init__(
        self, model: MiniSegNet, record: ModelRecord, precision: Precision | None = None, device: Device = 'auto'
    ) -> None:
        on_gpu = device in ('auto', 'gpu') and torch.cuda.is_available()
        self.notes: tuple[str, ...] = ()
        if device in ('gpu', 'npu') and not on_gpu:
            self.notes = (f'PyTorch finds no usable {device} here; it runs on the CPU',)
        self.device = 'CUDA' if on_gpu else 'CPU'
        self.precision: Precision = precision or _fastest_precision(on_gpu)
        if self.precision == 'int8':
            raise ModelError('the engine torch does not run int8; use an int8 ONNX file with openvino')
        if on_gpu and self.precision == 'float32':
            # TF32 has a 10-bit mantissa; float32 has to mean float32.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.classes = record.classes
        self._device = torch.device('cuda' if on_gpu else 'cpu')
        self._dtype = DTYPES[self.precision]
        # The fast kernels of the lower precisions and of GPUs expect channels last.
        plain = self.precision == 'float32' and not on_gpu
        self._format = torch.contiguous_format if plain else torch.channels_last
        self.network = model.eval().to(self._device, self._dtype).to(memory_format=self._format)
        self._mean = torch.tensor(record.preprocessing.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(record.preprocessing.std, device=self._device).view(3, 1, 1)
        actual = next(self.network.parameters()).dtype
        if actual != self._dtype:
            raise ModelError(f'PyTorch computes in {actual} although {self.precision} was requested')

    @torch.inference_mode()
    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See :meth:`~minisegnet_core.inference.engines.base.Engine.infer`."""
        pixels = torch.from_numpy(image).to(self._device).permute(2, 0, 1).unsqueeze(0)  # (1, 3, H, W)
        if order == 'bgr':
            pixels = pixels.flip(1)
        if network_size != (image.shape[1], image.shape[0]):
            pixels = functional.interpolate(
                pixels.float(), (network_size[1], network_size[0]), mode='bilinear', align_corners=False
            )
        normalized = normalize(pixels.float(), self._mean, self._std)
        normalized = normalized.to(self._dtype).contiguous(memory_format=self._format)
        probabilities = self.network(normalized).float().softmax(1)[0]  # (C, h, w)
        labels = probabilities.argmax(0).to(torch.uint8)  # (h, w)
        return labels.cpu().numpy(), probabilities.cpu().numpy()


def open_checkpoint(
    path: Path, threads: int = 0, precision: Precision | None = None, device: Device = 'auto'
) -> TorchEngine:
    """Open a checkpoint: ``.safetensors``, or a training's ``last.ckpt``.

    Args:
        threads: CPU threads of this process; 0 keeps PyTorch's setting.
        precision, device: see :class:`TorchEngine`.

    Raises:
        ModelError: the checkpoint cannot be read, or the precision is int8.
    """
    if threads:
        torch.set_num_threads(threads)
    return TorchEngine(*load_checkpoint(path), precision, device)


def _fastest_precision(on_gpu: bool) -> Precision:
    if on_gpu:
        return 'float16'
    return 'bfloat16' if processor().native_bfloat16 else 'float32'
