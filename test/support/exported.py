"""Models with random weights for tests: a checkpoint and its export, made once in each test process."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np


def exported() -> tuple[Path, Path]:
    """Return the paths of a ``.safetensors`` file and of its ``.onnx`` file."""
    return _made()[:2]


def exported_network(_model=None):
    """Return the bare ONNX network of :func:`exported`; replaces ``network_to_onnx``, which takes seconds."""
    return copy.deepcopy(_made()[2])


def random_model(width_mult: float = 1.0):
    """Return a network whose batch norms are not the identity, so that tests notice wrong folding."""
    import torch

    from minisegnet_core.model import MiniSegNet

    torch.manual_seed(5)
    model = MiniSegNet(4, width_mult).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
        separate_labels(model)
    return model


def separate_labels(model) -> None:
    """Scale the logits of a network, so that labels do not depend on rounding."""
    import torch

    with torch.no_grad():
        model.head[2].weight *= 8


def random_image(width: int, height: int, seed: int = 0):
    """Return a (height, width, 3) uint8 image of 8x8 squares in random colours."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width])


@lru_cache(maxsize=1)
def _made():
    from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
    from minisegnet_core.classes import SOCCER
    from minisegnet_core.export import onnx as onnx_export

    folder = Path(tempfile.mkdtemp(prefix='minisegnet-test-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model = random_model()
    checkpoint, onnx = folder / 'm.safetensors', folder / 'm.onnx'
    save_checkpoint(checkpoint, model, ModelRecord(SOCCER, training={'who': 'test'}))
    network = onnx_export.network_to_onnx(model)
    with mock.patch.object(onnx_export, 'network_to_onnx', lambda _: copy.deepcopy(network)):
        onnx_export.export_onnx(checkpoint, onnx, images=[random_image(128, 96)])
    return checkpoint, onnx, network
