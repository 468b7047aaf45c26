"""Runs a checkpoint with PyTorch: the reference for the other engines, and the way before an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.base import Device, ImageSize, Order, Precision
from minisegnet_core.model import MiniSegNet, normalize
from minisegnet_core.processor import processor

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


class TorchEngine:
    """See :class:`~minisegnet_core.inference.engines.base.Engine`.

    Weights are kept channels last in the lower precisions, where the fast kernels want them so.

    Args:
        path: checkpoint: ``.safetensors`` or a training's ``last.ckpt``.
        threads: CPU threads of this process, at least 1; 0 leaves PyTorch's setting.
        precision: None: float16 on a GPU, bfloat16 where the CPU multiplies in it, else float32.
        device: ``auto`` and ``gpu`` are the CUDA GPU where there is one; else the CPU, with a note for ``gpu``.

    Raises:
        ModelError: the checkpoint cannot be read, or there is no such precision here.
    """

    name = 'torch'

    def __init__(
        self, path: Path, threads: int = 0, precision: Precision | None = None, device: Device = 'auto'
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._use(*load_checkpoint(path), precision, device)

    @classmethod
    def of_model(cls, model: MiniSegNet, record: ModelRecord) -> TorchEngine:
        """An engine for a network that is loaded already, in float32: the reference."""
        engine = cls.__new__(cls)
        engine._use(model, record, 'float32', 'auto')
        return engine

    def _use(self, model: MiniSegNet, record: ModelRecord, precision: Precision | None, device: Device) -> None:
        on_gpu = device in ('auto', 'gpu') and torch.cuda.is_available()
        self.notes: tuple[str, ...] = ()
        if device in ('gpu', 'npu') and not on_gpu:
            self.notes = (f'PyTorch finds no {device} it can use here; it runs on the CPU',)
        self.device = 'CUDA' if on_gpu else 'CPU'
        self.precision: Precision = precision or self._native(on_gpu)
        if self.precision == 'int8':
            raise ModelError('the torch engine does not run int8; take an int8 ONNX file with openvino')
        if on_gpu and self.precision == 'float32':
            # TF32 has a 10-bit mantissa; float32 is to mean float32.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.classes = record.classes
        self._device = torch.device('cuda' if on_gpu else 'cpu')
        self._dtype = DTYPES[self.precision]
        plain = self.precision == 'float32' and not on_gpu
        self._format = torch.contiguous_format if plain else torch.channels_last
        # Converted in place where it can be: the caller's model, given to `of_model`, is float32 and stays so.
        self._model = model.eval().to(self._device, self._dtype).to(memory_format=self._format)
        self._mean = torch.tensor(record.preprocessing.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(record.preprocessing.std, device=self._device).view(3, 1, 1)
        actual = next(self._model.parameters()).dtype
        if actual != self._dtype:
            raise ModelError(f'PyTorch computes in {actual}, not in {self.precision} as it was told')

    @staticmethod
    def _native(on_gpu: bool) -> Precision:
        if on_gpu:
            return 'float16'
        return 'bfloat16' if processor().native_bfloat16 else 'float32'

    @torch.inference_mode()
    def infer(
        self, image: NDArray[np.uint8], order: Order, network_size: ImageSize
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pixels = torch.from_numpy(image).to(self._device).permute(2, 0, 1).unsqueeze(0)  # (1, 3, H, W)
        if order == 'bgr':
            pixels = pixels.flip(1)
        if network_size != (image.shape[1], image.shape[0]):
            pixels = functional.interpolate(
                pixels.float(), (network_size[1], network_size[0]), mode='bilinear', align_corners=False
            )
        normalized = normalize(pixels, self._mean, self._std)
        normalized = normalized.to(self._dtype).contiguous(memory_format=self._format)
        probabilities = self._model(normalized).float().softmax(1)[0]  # (C, h, w)
        labels = probabilities.argmax(0).to(torch.uint8)  # (h, w)
        return labels.cpu().numpy(), probabilities.cpu().numpy()
