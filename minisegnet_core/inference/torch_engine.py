"""Runs a checkpoint with PyTorch: the reference for the other engines, and the way before an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint
from minisegnet_core.data.transforms import to_network
from minisegnet_core.inference.engine import ImageSize, Order, Precision
from minisegnet_core.model import MiniSegNet


class TorchEngine:
    """See :class:`~minisegnet_core.inference.engine.Engine`. Uses a CUDA GPU where there is one.

    Args:
        path: checkpoint: ``.safetensors`` or a training's ``last.ckpt``.
        threads: CPU threads of this process, at least 1; 0 leaves PyTorch's setting.

    Raises:
        ModelError: the checkpoint cannot be read.
    """

    name = 'torch'
    precision: Precision = 'float32'

    def __init__(self, path: Path, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._use(*load_checkpoint(path))

    @classmethod
    def of_model(cls, model: MiniSegNet, record: ModelRecord) -> TorchEngine:
        """An engine for a network that is loaded already."""
        engine = cls.__new__(cls)
        engine._use(model, record)
        return engine

    def _use(self, model: MiniSegNet, record: ModelRecord) -> None:
        self.classes = record.classes
        self._device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self._model = model.eval().to(self._device)
        self._mean = torch.tensor(record.preprocessing.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(record.preprocessing.std, device=self._device).view(3, 1, 1)

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
        probabilities = self._model(to_network(pixels, self._mean, self._std)).softmax(1)[0]  # (C, h, w)
        labels = probabilities.argmax(0).to(torch.uint8)  # (h, w)
        return labels.cpu().numpy(), probabilities.cpu().numpy()
