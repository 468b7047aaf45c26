"""Export to int8: one file that describes itself and runs in both runtimes, kept only if it is accurate."""

import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

pytest.importorskip('torch', reason='the model of these tests is made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')
pytest.importorskip('nncf', reason='int8 needs nncf')
pytest.importorskip('openvino', reason='int8 is for OpenVINO')

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.commands import export as export_command
from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.export import Int8Job, int8, job
from minisegnet_core.inference.engines.onnx_metadata import classes_of, is_int8, read_metadata
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing
from support.exported import exported, exported_network, random_image

SIZE = (96, 64)


@pytest.fixture(scope='module')
def quantized(tmp_path_factory):
    """Make an int8 file of the random model, with the labels of the float model as ground truth.

    Return its path, the agreement, the images, and the bare int8 network.
    """
    checkpoint, onnx = exported()
    reference = Segmenter(onnx, engine='openvino')
    images = [random_image(*SIZE, seed=seed) for seed in range(6)]
    truth = [reference.run(image).label_image.repeat(4, 0).repeat(4, 1) for image in images]
    output = tmp_path_factory.mktemp('int8') / 'm_int8.onnx'
    network = int8.quantize(exported_network(), images[:3], Preprocessing())
    with mock.patch.object(int8, 'network_to_onnx', exported_network), mock.patch.object(int8, 'quantize') as quantize:
        quantize.return_value = network
        agreement = int8.export_int8(checkpoint, output, images[:3], zip(images, truth, strict=True), 0.9)
    return output, agreement, images, network


def test_the_file_describes_itself(quantized):
    output, agreement, _, _ = quantized
    metadata = read_metadata(output)
    assert is_int8(output)
    assert not is_int8(exported()[1])
    assert classes_of(output) == SOCCER
    assert json.loads(metadata['training']) == {'who': 'test'}
    facts = json.loads(metadata['quantization'])
    assert facts['calibration_images'] == 3
    assert facts['agreement_with_float32']['label_agreement'] == pytest.approx(agreement.label_agreement, abs=1e-6)
    assert output.stat().st_size < 0.6 * exported()[1].stat().st_size
    assert [p.name for p in output.parent.iterdir()] == [output.name]


def test_openvino_uses_int8_kernels_and_gives_nearly_the_same_labels(quantized):
    output, _, images, _ = quantized
    segmenter = Segmenter(output, engine='openvino')
    assert segmenter.precision == 'int8'
    labels = segmenter.run(images[0]).label_image
    expected = Segmenter(exported()[1], engine='openvino').run(images[0]).label_image
    assert (labels == expected).mean() > 0.8  # the classes of a random network are nearly equally probable
    assert sum('i8' in kernel.lower() for kernel in segmenter.loaded_engine.kernels()) >= 20


def test_the_convolution_of_the_image_is_not_quantized(quantized):
    """Its errors would outweigh the content of dark images."""
    graph = quantized[3].graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    first, *others = [node for node in graph.node if node.op_type == 'Conv']
    assert first.input[0] == graph.input[0].name
    assert first.input[1] in {weights.name for weights in graph.initializer}
    assert len(others) >= 20
    assert {made_by.get(node.input[1]) for node in others} == {'DequantizeLinear'}
    assert {made_by[node.input[0]] for node in others} == {'DequantizeLinear', 'MaxPool'}, 'a pool of int8 values'


def test_onnx_runtime_runs_the_same_file(quantized):
    pytest.importorskip('onnxruntime')
    output, _, images, _ = quantized
    segmenter = Segmenter(output, engine='onnxruntime', device='cpu')
    assert segmenter.precision == 'int8'
    expected = Segmenter(output, engine='openvino').run(images[1], order='bgr').label_image
    assert (segmenter.run(images[1], order='bgr').label_image == expected).mean() > 0.9


def test_a_file_runs_only_in_its_own_precision(quantized):
    with pytest.raises(ModelError, match='is an int8 model and cannot run in float32'):
        Segmenter(quantized[0], engine='openvino', precision='float32')
    with pytest.raises(ModelError, match='is not an int8 model; make one with'):
        Segmenter(exported()[1], engine='openvino', precision='int8')


def test_a_file_that_loses_too_much_is_not_kept(quantized, tmp_path, monkeypatch):
    _, _, images, network = quantized
    monkeypatch.setattr(int8, 'quantize', lambda *_: network)
    monkeypatch.setattr(int8, 'network_to_onnx', exported_network)
    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    labels[:, ::2] = 3
    with pytest.raises(ModelError, match=r'was not kept: .* more than --max-drop -1;'):
        int8.export_int8(exported()[0], tmp_path / 'bad.onnx', images[:1], [(images[0], labels)], -1.0)
    assert list(tmp_path.iterdir()) == []


def test_images_without_labels_are_refused_before_quantization(tmp_path, monkeypatch):
    checkpoint, image = exported()[0], random_image(*SIZE)
    monkeypatch.setattr(int8, 'quantize', None)
    monkeypatch.setattr(int8, 'network_to_onnx', None)
    message = 'no labelled images for the classes background, ball, line, field: give --validation DATASET'
    with pytest.raises(ModelError, match=message):
        int8.export_int8(checkpoint, tmp_path / 'x.onnx', [image], [(image, None)], 0.005)


def test_the_command_refuses_other_classes_without_ground_truth_before_it_renders(tmp_path, monkeypatch, capsys):
    goal = ClassSet((SOCCER.classes[0], replace(SOCCER.classes[1], name='goal')))
    checkpoint = tmp_path / 'goal.safetensors'
    save_checkpoint(checkpoint, MiniSegNet(2, 0.25), ModelRecord(goal))
    monkeypatch.setattr(job, 'calibration_images', None)
    monkeypatch.setattr(job, 'labelled_images', None)
    assert export_command.main([str(checkpoint), '--output', str(tmp_path / 'x.onnx'), '--int8'], 'export') == 2
    message = 'there are no labelled images for the classes background, goal: give --validation DATASET'
    assert message in capsys.readouterr().err


def test_wrong_arguments_are_refused():
    with pytest.raises(ModelError, match='must end in'):
        int8.export_int8(exported()[0], exported()[0].with_suffix('.xml'), [random_image(*SIZE)], [], 0.005)
    with pytest.raises(ModelError, match='no calibration images'):
        int8.export_int8(exported()[0], exported()[0].with_name('x.onnx'), [], [], 0.005)
    with pytest.raises(ConfigurationError, match='must be at least 1'):
        Int8Job(exported()[0], exported()[0].with_name('x.onnx'), calibration_images=0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--calibration', 'photos'], '--calibration and --validation need --int8'),
        (['--int8', '--float32'], 'cannot be combined with --int8'),
    ],
)
def test_options_of_the_two_exports_are_not_combined(arguments, message, capsys):
    assert export_command.main(['m.safetensors', '--output', 'm.onnx', *arguments], 'export') == 2
    assert message in capsys.readouterr().err
