"""The shipped model on photos: its export does what PyTorch does."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch', reason='the reference engine needs PyTorch')

from minisegnet_core.export.onnx_export import export_onnx
from minisegnet_core.imaging import read_image
from minisegnet_core.inference.selection import CHECKPOINT, FLOAT, open_engine
from minisegnet_core.resources import models_directory

PHOTOS = Path(__file__).resolve().parents[4] / 'shared' / 'data'


@pytest.fixture(scope='module')
def photo():
    """A cut of a real one, (240, 320, 3) uint8 RGB."""
    paths = sorted((PHOTOS / 'torso21').glob('segmentation_*_1.*')) + sorted((PHOTOS / 'seglight' / 'images').glob('*'))
    if not paths:
        pytest.skip(f'no photos in {PHOTOS}')
    return read_image(paths[0])[:240, :320].copy()


@pytest.fixture(scope='module')
def reference(photo):
    """Labels and probabilities of the shipped checkpoint, by PyTorch."""
    return open_engine(models_directory() / CHECKPOINT, 'torch', 1, 'float32', 'cpu').infer(photo, 'rgb', (320, 240))


@pytest.fixture(scope='module')
def full_export(tmp_path_factory):
    """The shipped checkpoint's export whose weights are not rounded to half precision."""
    pytest.importorskip('onnx')
    path = tmp_path_factory.mktemp('full') / 'full.onnx'
    export_onnx(models_directory() / CHECKPOINT, path, half=False)
    return path


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_the_shipped_export_agrees_with_torch_on_photos(engine, photo, reference):
    pytest.importorskip(engine)
    labels, probabilities = open_engine(models_directory() / FLOAT, engine, 1, 'float32', 'cpu').infer(
        photo, 'rgb', (320, 240)
    )
    assert (labels == reference[0]).mean() >= 0.999
    assert np.abs(probabilities[1] - reference[1][1]).max() <= 1e-3


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime'])
def test_but_for_rounding_of_weights_an_export_is_exact_on_photos(engine, photo, reference, full_export):
    pytest.importorskip(engine)
    labels, probabilities = open_engine(full_export, engine, 1, 'float32', 'cpu').infer(photo, 'rgb', (320, 240))
    assert (labels == reference[0]).mean() >= 0.999
    assert np.abs(probabilities - reference[1]).max() <= 1e-4


def test_the_shipped_export_is_that_of_the_shipped_checkpoint(full_export):
    """The two files hold one network: each weight of the one follows from the other's."""
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
        # A step of float16 is 2**-10 of a value, 2**-24 among the smallest; folding differs in float32's last bits.
        stored, steps = (half, (2**-10, 2**-24)) if half is not None else (weights[name], (1e-5, 1e-6))
        np.testing.assert_allclose(stored.astype(float), values.astype(float), *steps, err_msg=name)
    assert halved > 20
