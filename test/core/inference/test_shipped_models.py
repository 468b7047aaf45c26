"""The shipped models agree with each other on photos."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch', reason='the reference engine needs PyTorch')

from minisegnet_core.export.onnx import export_onnx
from minisegnet_core.imaging import read_image
from minisegnet_core.inference.selection import CHECKPOINT, FLOAT, open_model
from minisegnet_core.resources import models_directory

PHOTOS = Path(__file__).resolve().parents[4] / 'shared' / 'data'


@pytest.fixture(scope='module')
def photo():
    """Return a crop of a photo, (240, 320, 3) uint8 RGB."""
    paths = sorted((PHOTOS / 'torso21').glob('segmentation_*_1.*')) + sorted((PHOTOS / 'seglight' / 'images').glob('*'))
    if not paths:
        pytest.skip(f'no photos in {PHOTOS}')
    return read_image(paths[0])[:240, :320].copy()


def infer(path, engine, photo):
    """Run a model in float32 on the CPU."""
    return open_model(path, engine, 1, 'float32', 'cpu').engine.infer(photo, 'rgb', (320, 240))


@pytest.fixture(scope='module')
def reference(photo):
    """Return the labels and probabilities of the shipped checkpoint, computed by PyTorch."""
    return infer(models_directory() / CHECKPOINT, 'torch', photo)


@pytest.fixture(scope='module')
def full_export(tmp_path_factory):
    """Export the shipped checkpoint without rounding its weights to half precision."""
    pytest.importorskip('onnx')
    path = tmp_path_factory.mktemp('full') / 'full.onnx'
    export_onnx(models_directory() / CHECKPOINT, path, half=False)
    return path


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_the_shipped_export_agrees_with_torch_on_photos(engine, photo, reference):
    pytest.importorskip(engine)
    labels, probabilities = infer(models_directory() / FLOAT, engine, photo)
    assert (labels == reference[0]).mean() >= 0.999
    assert np.abs(probabilities[1] - reference[1][1]).max() <= 1e-3


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_an_export_without_rounded_weights_is_exact_on_photos(engine, photo, reference, full_export):
    pytest.importorskip(engine)
    labels, probabilities = infer(full_export, engine, photo)
    assert (labels == reference[0]).mean() >= 0.999
    assert np.abs(probabilities - reference[1]).max() <= 1e-4


def test_the_shipped_onnx_file_holds_the_network_of_the_shipped_checkpoint(full_export):
    onnx = pytest.importorskip('onnx')
    shipped = models_directory() / FLOAT
    weights, full = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        for path in (shipped, full_export)
    )
    assert len(weights) == len(full)
    halved = 0
    for name, values in full.items():
        half = weights.get(name + '_float16')
        halved += half is not None
        # A float16 step is 2**-10 of the value, or 2**-24 for the smallest values. Folding changes the last bits of
        # float32.
        stored, steps = (half, (2**-10, 2**-24)) if half is not None else (weights[name], (1e-5, 1e-6))
        np.testing.assert_allclose(stored.astype(float), values.astype(float), *steps, err_msg=name)
    assert halved > 20
