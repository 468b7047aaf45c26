"""int8: one self-describing file that both runtimes take, kept only if it is accurate; comparison of two models."""

import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

pytest.importorskip('torch', reason='the model of these tests is made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')
pytest.importorskip('nncf', reason='int8 needs nncf')
pytest.importorskip('openvino', reason='int8 is for OpenVINO')

from minisegnet_core.ball import Ball
from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.commands import export as export_command
from minisegnet_core.errors import ModelError
from minisegnet_core.export import int8
from minisegnet_core.export import onnx_export as export
from minisegnet_core.inference import sample_images as pictures
from minisegnet_core.inference.agreement import compare
from minisegnet_core.inference.engines.onnx_metadata import classes_of, is_int8, read_metadata
from minisegnet_core.inference.segmenter import Segmentation, Segmenter
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing
from support.exported import exported, network_to_onnx, picture

SIZE = (96, 64)


@pytest.fixture(scope='module')
def quantized(tmp_path_factory):
    """An int8 file of the random model, what was measured with the float model's labels as truth, the images, and
    the bare int8 network.
    """
    checkpoint, onnx = exported()
    reference = Segmenter(onnx, engine='openvino')
    images = [picture(*SIZE, seed=seed) for seed in range(6)]
    truth = [reference.run(image).label_image.repeat(4, 0).repeat(4, 1) for image in images]
    output = tmp_path_factory.mktemp('int8') / 'm_int8.onnx'
    network = int8.quantize(network_to_onnx(None), images[:3], Preprocessing())
    with mock.patch.object(export, 'network_to_onnx', network_to_onnx), mock.patch.object(int8, 'quantize') as quantize:
        quantize.return_value = network
        agreement = int8.export_int8(checkpoint, output, images[:3], zip(images, truth, strict=True), 0.9)
    return output, agreement, images, network


def test_the_file_says_what_it_is(quantized):
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


def test_int8_is_read_back_from_the_kernels_and_gives_nearly_the_same_labels(quantized):
    output, _, images, _ = quantized
    segmenter = Segmenter(output, engine='openvino')
    assert segmenter.precision == 'int8'
    labels = segmenter.run(images[0]).label_image
    expected = Segmenter(exported()[1], engine='openvino').run(images[0]).label_image
    assert (labels == expected).mean() > 0.8  # a random network's labels are close calls
    from minisegnet_core.inference.engines.openvino import convolution_kernels

    kernels = convolution_kernels(next(iter(segmenter._engine._requests.values())).get_compiled_model())
    assert sum('i8' in kernel.lower() for kernel in kernels) >= 20


def test_the_image_itself_is_not_quantized(quantized):
    """Of dark images little else would be left."""
    graph = quantized[3].graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    first, *others = [node for node in graph.node if node.op_type == 'Conv']
    assert first.input[0] == graph.input[0].name
    assert first.input[1] in {weights.name for weights in graph.initializer}
    assert len(others) >= 20
    assert {made_by.get(node.input[1]) for node in others} == {'DequantizeLinear'}
    assert {made_by[node.input[0]] for node in others} == {'DequantizeLinear', 'MaxPool'}, 'one of bytes'


def test_onnx_runtime_takes_the_same_file(quantized):
    pytest.importorskip('onnxruntime')
    output, _, images, _ = quantized
    segmenter = Segmenter(output, engine='onnxruntime', device='cpu')
    assert segmenter.precision == 'int8'
    expected = Segmenter(output, engine='openvino').run(images[1], order='bgr').label_image
    assert (segmenter.run(images[1], order='bgr').label_image == expected).mean() > 0.9


def test_a_file_runs_in_its_own_precision_only(quantized):
    with pytest.raises(ModelError, match='is an int8 model, it cannot run in float32'):
        Segmenter(quantized[0], engine='openvino', precision='float32')
    with pytest.raises(ModelError, match='is no int8 model; make one with'):
        Segmenter(exported()[1], engine='openvino', precision='int8')


def test_a_drop_beyond_the_bound_is_refused_and_leaves_nothing(quantized, tmp_path, monkeypatch):
    _, _, images, network = quantized
    monkeypatch.setattr(int8, 'quantize', lambda *_: network)
    monkeypatch.setattr(export, 'network_to_onnx', network_to_onnx)
    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    labels[:, ::2] = 3
    with pytest.raises(ModelError, match=r'more than --max-drop -1; it was not kept'):
        int8.export_int8(exported()[0], tmp_path / 'bad.onnx', images[:1], [(images[0], labels)], -1.0)
    assert list(tmp_path.iterdir()) == []


def test_images_without_labels_are_refused_before_the_minutes_of_quantizing(tmp_path, monkeypatch):
    checkpoint, image = exported()[0], picture(*SIZE)
    monkeypatch.setattr(int8, 'quantize', None)
    monkeypatch.setattr(export, 'network_to_onnx', None)
    message = 'no labelled images for the classes background, ball, line, field: give --validation DATASET'
    with pytest.raises(ModelError, match=message):
        int8.export_int8(checkpoint, tmp_path / 'x.onnx', [image], [(image, None)])


def test_the_command_refuses_other_classes_without_truth_before_it_renders(tmp_path, monkeypatch, capsys):
    goal = ClassSet((SOCCER.classes[0], replace(SOCCER.classes[1], name='goal')))
    checkpoint = tmp_path / 'goal.safetensors'
    save_checkpoint(checkpoint, MiniSegNet(2, 0.25), ModelRecord(goal))
    monkeypatch.setattr(pictures, 'calibration_images', None)
    monkeypatch.setattr(pictures, 'labelled_images', None)
    assert export_command.main([str(checkpoint), '--output', str(tmp_path / 'x.onnx'), '--int8'], 'export') == 2
    message = 'there are no labelled images for the classes background, goal: give --validation DATASET'
    assert message in capsys.readouterr().err


def test_rendered_labels_are_for_classes_of_their_names_in_whatever_colours(monkeypatch):
    scene = picture(*SIZE), np.full((SIZE[1], SIZE[0]), 3, np.uint8)
    monkeypatch.setattr(pictures, 'rendered', lambda count, _: [scene] * count)
    recolored = ClassSet(tuple(replace(c, color=(index, 9, 9)) for index, c in enumerate(SOCCER)))
    assert [labels is scene[1] for _, labels in pictures.labelled_images(None, 2, recolored)] == [True, True]
    others = ClassSet((SOCCER.classes[0], replace(SOCCER.classes[1], name='goal')))
    assert [labels for _, labels in pictures.labelled_images(None, 2, others)] == [None, None]


def test_wrong_use_is_told():
    with pytest.raises(ModelError, match='must end in'):
        int8.export_int8(exported()[0], exported()[0].with_suffix('.xml'), [picture(*SIZE)], [])
    with pytest.raises(ModelError, match='no calibration images'):
        int8.export_int8(exported()[0], exported()[0].with_name('x.onnx'), [], [])


class Says:
    """A runner that gives the same label everywhere in the left half, another in the right, and a ball."""

    classes = SOCCER

    def __init__(self, left, right, ball):
        self.labels = np.full((2, 4), left, np.uint8)
        self.labels[:, 2:] = right
        self.balls = (Ball(*ball, 2.0, 0.9),) if ball else ()

    def run(self, image):
        return Segmentation(self.labels, self.balls, (16, 8), 0.0)


def test_comparison_by_hand():
    truth = np.zeros((8, 16), np.uint8)
    truth[:, 8:] = 3
    image = np.zeros((8, 16, 3), np.uint8)
    # The candidate calls all of it background: IoU 4/8 and 0/4, the reference is right.
    result = compare(Says(0, 3, (10.0, 5.0)), Says(0, 0, (13.0, 1.0)), [(image, truth)])
    assert result.label_agreement == 0.5
    assert (result.reference_mean_iou, result.mean_iou, result.drop) == (1.0, 0.25, 0.75)
    assert (result.ball_shift, result.balls, result.images) == (5.0, 1, 1)
    blind = compare(Says(0, 3, None), Says(0, 3, (1.0, 1.0)), [(image, None)])
    assert np.isnan([blind.drop, blind.ball_shift]).all()
