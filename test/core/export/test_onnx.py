"""Export to ONNX: the file holds the network of its checkpoint, and is kept only if it agrees with PyTorch."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the reference engine needs PyTorch')
onnx = pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.benchmark.runner import width_mult_of
from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER
from minisegnet_core.errors import ModelError
from minisegnet_core.export import onnx as checks
from minisegnet_core.export import onnx as onnx_export
from minisegnet_core.inference.engines.onnx_metadata import width_of
from minisegnet_core.inference.engines.torch import TorchEngine
from minisegnet_core.inference.segmenter import Segmenter
from support.exported import exported, random_image, random_model


def test_the_export_does_not_contain_the_folders_of_the_code():
    content = exported()[1].read_bytes()
    for folder in (Path(onnx_export.__file__).parents[2], Path(torch.__file__).parents[1]):
        assert str(folder).encode() not in content


def test_half_precision_weights_halve_the_file(tmp_path):
    checkpoint, half = exported()
    onnx_export.export_onnx(checkpoint, tmp_path / 'float32.onnx', half=False)
    assert half.stat().st_size / (tmp_path / 'float32.onnx').stat().st_size < 0.55


def test_the_half_checkpoint_and_its_export_are_one_network(tmp_path):
    """The weights of the ONNX file are those of the half checkpoint, not another rounding of the full checkpoint."""
    checkpoint = tmp_path / 'last.safetensors'
    save_checkpoint(checkpoint, random_model(), ModelRecord(SOCCER))
    out, halved = tmp_path / 'out' / 'm.onnx', tmp_path / 'out' / 'm.safetensors'
    images = [random_image(128, 96)]
    onnx_export.export_with_checkpoint(checkpoint, out, halved, images=images)
    assert sorted(out.parent.iterdir()) == [out, halved]
    assert halved.stat().st_size < 0.55 * checkpoint.stat().st_size
    onnx_export.export_onnx(halved, tmp_path / 'again.onnx', images=images)
    onnx_export.export_onnx(checkpoint, tmp_path / 'apart.onnx', images=images)
    written, again, apart = (
        [*onnx.load(p).graph.initializer] for p in (out, tmp_path / 'again.onnx', tmp_path / 'apart.onnx')
    )
    assert written == again
    assert written != apart


def test_an_export_that_disagrees_leaves_the_existing_pair(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, 'MINIMUM_AGREEMENT', 1.1)
    (tmp_path / 'm.onnx').write_bytes(b'old')
    (tmp_path / 'm.safetensors').write_bytes(b'old')
    with pytest.raises(ModelError, match='was not kept'):
        onnx_export.export_with_checkpoint(exported()[0], tmp_path / 'm.onnx', tmp_path / 'm.safetensors')
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {'m.onnx': b'old', 'm.safetensors': b'old'}


def test_an_export_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    correct = TorchEngine.infer

    def wrong(self, image, order, network_size):
        labels, probabilities = correct(self, image, order, network_size)
        return (labels + 1) % 4, probabilities

    monkeypatch.setattr(TorchEngine, 'infer', wrong)
    with pytest.raises(ModelError, match='was not kept'):
        onnx_export.export_onnx(exported()[0], tmp_path / 'bad.onnx')
    assert list(tmp_path.iterdir()) == []


def test_an_output_with_another_suffix_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r'm\.xml must end in \.onnx'):
        onnx_export.export_onnx(exported()[0], tmp_path / 'm.xml')


@pytest.mark.parametrize('width_mult', [1, 0.5])
def test_folding_the_batch_norms_does_not_change_the_logits(width_mult):
    model = random_model(width_mult)
    image = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (1, 3, 75, 67)).astype(np.float32))
    with torch.inference_mode():
        before, folded = model(image), onnx_export.fold_norms(model)
        after = folded(image)
    assert not [m for m in (folded.up2.norm, folded.up3.norm, folded.head[0]) if list(m.parameters())]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    assert list(model.up2.norm.parameters()), 'the original model is unchanged'


@pytest.mark.slow
def test_a_narrow_network_is_exported_with_its_width(tmp_path):
    checkpoint, path = tmp_path / 'm.safetensors', tmp_path / 'm.onnx'
    save_checkpoint(checkpoint, random_model(0.5), ModelRecord(SOCCER))
    onnx_export.export_onnx(checkpoint, path, images=[random_image(128, 96), random_image(101, 67)])
    assert width_of(path) == width_mult_of(path) == width_mult_of(checkpoint) == 0.5
    image = random_image(131, 99)
    reference = Segmenter(checkpoint, engine='torch', precision='float32').run(image)
    for engine in ('openvino', 'onnxruntime'):
        result = Segmenter(path, engine=engine, precision='float32').run(image)
        assert (result.label_image == reference.label_image).mean() > 0.995
