"""Segmenter: the same labels as PyTorch, in received pixels, for every channel order, size and engine."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch', reason='the reference engine needs PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.errors import ConfigurationError, ImageError, ModelError
from minisegnet_core.geometry import label_size
from minisegnet_core.inference.segmenter import Segmenter, SegmenterConfig, most_probable
from support.exported import exported, random_image

ENGINES = ['openvino', 'onnxruntime']
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('size', [(128, 96), (131, 99), (65, 64)])
@pytest.mark.parametrize('network_size', ['native', 'half', '100x77'])
def test_engines_agree_with_torch(files, engine, size, network_size):
    pytest.importorskip(engine)
    if network_size == 'half' and min(size) < 128:
        size = (size[0] + 66, size[1] + 64)
    image = random_image(*size)
    settings = {'network_size': network_size, 'precision': 'float32'}  # bfloat16 rounds differently
    reference = Segmenter(files[0], engine='torch', **settings).run(image)
    result = Segmenter(files[1], engine=engine, **settings).run(image)
    assert result.label_image.shape == label_size(*size)[::-1]
    assert result.label_image.dtype == np.uint8
    assert (result.label_image == reference.label_image).mean() > 0.995
    assert result.image_size == size


@pytest.mark.parametrize('network_size', ['native', 'half'])
def test_pixels_outside_detected_balls_are_not_labelled_ball(files, network_size):
    segmenter = Segmenter(files[1], network_size=network_size, ball_confidence=0)
    image = random_image(256, 192, 3)  # has ball labels at both sizes
    own = segmenter.run(image).label_image
    probabilities = segmenter.probabilities(image)
    np.testing.assert_array_equal(own, probabilities.argmax(0))
    assert (own == 1).any()
    segmenter.ball_confidence = 1  # no detection reaches it
    result = segmenter.run(image)
    assert result.balls == ()
    probabilities[1] = -1
    np.testing.assert_array_equal(result.label_image, np.where(own == 1, probabilities.argmax(0), own))


@pytest.mark.parametrize('engine', [*ENGINES, 'torch'])
def test_bgr_gives_the_labels_of_rgb_with_swapped_channels(files, engine):
    pytest.importorskip(engine)
    segmenter = Segmenter(files[0] if engine == 'torch' else files[1], engine=engine)
    image = random_image(160, 128)
    rgb = segmenter.run(image)
    bgr = segmenter.run(np.ascontiguousarray(image[..., ::-1]), order='bgr')
    np.testing.assert_array_equal(rgb.label_image, bgr.label_image)
    assert not np.array_equal(rgb.label_image, segmenter.run(image, order='bgr').label_image)


@pytest.mark.parametrize('engine', ENGINES)
def test_the_image_is_unchanged_and_results_survive_the_next_frame(files, engine):
    pytest.importorskip(engine)
    segmenter = Segmenter(files[1], engine=engine)
    image = random_image(128, 96)
    kept = image.copy()
    first = segmenter.run(image)
    labels = first.label_image.copy()
    for seed in range(1, 5):
        segmenter.run(random_image(96 + 32 * seed, 96, seed))
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(first.label_image, labels)
    np.testing.assert_array_equal(segmenter.run(image).label_image, labels)


def test_views_that_are_not_contiguous_are_accepted(files):
    segmenter = Segmenter(files[1])
    wide = random_image(256, 96)
    view = wide[:, 64:192]
    np.testing.assert_array_equal(
        segmenter.run(view).label_image, segmenter.run(np.ascontiguousarray(view)).label_image
    )


@pytest.mark.parametrize('engine', ENGINES)
def test_read_only_images_are_accepted(files, engine):
    """NumPy makes such arrays from the bytes of a message; OpenVINO itself rejects their memory."""
    pytest.importorskip(engine)
    image = random_image(128, 96)
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
    segmenter = Segmenter(files[1], engine=engine)
    np.testing.assert_array_equal(segmenter.run(read_only).label_image, segmenter.run(image).label_image)


def test_labels_are_written_into_the_callers_buffer():
    pytest.importorskip('openvino')
    segmenter = Segmenter(exported()[1], engine='openvino')
    image = random_image(101, 67)
    expected = segmenter.run(image).label_image
    message = np.full(2 + 17 * 26, 77, np.uint8)
    out = message[2:].reshape(17, 26)
    result = segmenter.run(image, out=out)
    assert result.label_image is out
    np.testing.assert_array_equal(message[2:].reshape(17, 26), expected)
    assert message[:2].tolist() == [77, 77]
    for wrong in (np.zeros((17, 25), np.uint8), np.zeros((17, 26), np.int64)):
        with pytest.raises(ImageError, match='out is'):
            segmenter.run(image, out=wrong)
    half = Segmenter(exported()[1], engine='openvino', network_size='64x64')
    assert half.run(image, out=out).label_image is out


def test_most_probable_is_argmax_where_the_lowest_id_wins_a_tie():
    random = np.random.default_rng(0)
    probabilities = random.integers(0, 4, (5, 13, 9)).astype(np.float32)  # many ties
    out = np.empty((13, 9), np.uint8)
    most_probable(probabilities, out)
    np.testing.assert_array_equal(out, probabilities.argmax(0))


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((480, 640), np.uint8),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((480, 640, 3), np.float32),
        np.zeros((0, 640, 3), np.uint8),
        np.zeros((63, 640, 3), np.uint8),
        None,
    ],
)
def test_images_of_another_shape_or_type_are_refused(files, image):
    with pytest.raises(ImageError):
        Segmenter(files[1]).run(image)


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        ({'model': 'gone.onnx'}, ModelError, r'no model file gone\.onnx; shipped models: '),
        ({'engine': 'tensorflow'}, ConfigurationError, 'openvino, onnxruntime, torch'),
        ({'engine': 'openvina'}, ConfigurationError, "engine 'openvina' is unknown; did you mean openvino"),
        ({'engine': 'torch'}, ConfigurationError, 'the engine torch does not read'),
        ({'network_size': 'tiny'}, ConfigurationError, 'WIDTHxHEIGHT'),
        ({'threads': -1}, ConfigurationError, 'threads is -1'),
        ({'precision': 'float8'}, ConfigurationError, "precision 'float8' is unknown"),
        ({'device': 'tpu'}, ConfigurationError, "device 'tpu' is unknown"),
        ({'ball_threshold': 0.0}, ConfigurationError, 'ball_threshold is 0.0'),
        ({'ball_confidence': 1.5}, ConfigurationError, 'ball_confidence is 1.5'),
    ],
)
def test_a_wrong_setting_is_named(files, settings, error, message):
    with pytest.raises(error, match=message):
        Segmenter(**{'model': files[1], **settings})


def test_thresholds_are_checked_when_they_change_between_frames(files):
    segmenter = Segmenter(files[1])
    with pytest.raises(ConfigurationError, match='ball_threshold is 2'):
        segmenter.ball_threshold = 2
    with pytest.raises(ConfigurationError, match='ball_confidence is -1'):
        segmenter.ball_confidence = -1


def test_a_configuration_opens_the_same_segmenter_in_another_process(files):
    config = SegmenterConfig(str(files[1]), engine='onnxruntime', network_size='half', ball_confidence=0.3)
    pytest.importorskip('onnxruntime')
    segmenter = Segmenter.from_config(pickle.loads(pickle.dumps(config)))
    assert segmenter.config == config
    assert (segmenter.engine, segmenter.network_size, segmenter.ball_confidence) == ('onnxruntime', 'half', 0.3)
    assert len({config, segmenter.config}) == 1, 'it can be the key of a cache'


@pytest.mark.parametrize('content', [b'', b'hello, I am a text file', b'\x3a\xff\xff\xff\xff\xff\xff\xff\xff'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / 'bad.onnx').write_bytes(content)
    with pytest.raises(ModelError, match=r'bad\.onnx'):
        Segmenter(tmp_path / 'bad.onnx')


def test_an_onnx_file_of_another_program_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', [value], [result])
    onnx.save(helper.make_model(graph), tmp_path / 'other.onnx')
    with pytest.raises(ModelError, match='was not made by `minisegnet export`'):
        Segmenter(tmp_path / 'other.onnx')


def test_segmentation_needs_no_torch(files, tmp_path):
    """It runs in a process where importing torch fails, as on a robot without PyTorch."""
    (tmp_path / 'torch.py').write_text('raise ImportError("no torch here")\n')
    code = (
        'import sys, numpy as np\n'
        'from minisegnet_core.inference.segmenter import Segmenter\n'
        f'result = Segmenter({str(files[1])!r}).run(np.zeros((96, 128, 3), np.uint8))\n'
        'assert result.label_image.shape == (24, 32)\n'
        'assert not [m for m in sys.modules if m.split(".")[0] in ("torch", "torchvision", "onnx", "safetensors")]\n'
        'print(result.label_image.shape)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n{code}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '(24, 32)'
