"""The shipped model on photos: its export does what PyTorch does."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch', reason='the reference engine needs PyTorch')

from minisegnet_core.data.dataset import read_image
from minisegnet_core.inference.selection import CHECKPOINT, FLOAT, open_engine
from minisegnet_core.resources import models_directory

PHOTOS = Path(__file__).resolve().parents[3] / 'shared' / 'data'


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_the_shipped_export_agrees_with_torch_on_photos(engine):
    pytest.importorskip(engine)
    paths = sorted((PHOTOS / 'torso21').glob('segmentation_*_1.*')) + sorted((PHOTOS / 'seglight' / 'images').glob('*'))
    checkpoint, onnx = models_directory() / CHECKPOINT, models_directory() / FLOAT
    if not paths or not checkpoint.is_file() or not onnx.is_file():
        pytest.skip(f'no photos in {PHOTOS}, or no shipped models')
    image = read_image(paths[0])[:240, :320].copy()
    size = (image.shape[1], image.shape[0])
    expected_labels, expected = open_engine(checkpoint, 'torch', 1, 'float32', 'cpu').infer(image, 'rgb', size)
    labels, probabilities = open_engine(onnx, engine, 1, 'float32', 'cpu').infer(image, 'rgb', size)
    assert (labels == expected_labels).mean() >= 0.999
    assert np.abs(probabilities[1] - expected[1]).max() <= 1e-3
