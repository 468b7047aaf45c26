"""Export and engines: all give PyTorch's labels, in received pixels, whatever the order, size or engine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the reference engine needs PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ConfigurationError, ImageError, ModelError
from minisegnet_core.export import onnx_export as export
from minisegnet_core.geometry import label_size
from minisegnet_core.inference.engines.onnx_metadata import classes_of, read_metadata
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing
from support.exported import random_model

CLASSES = ClassSet((*SOCCER, SegmentationClass('robot', (9, 9, 9))))
ENGINES = ['openvino', 'onnxruntime']


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A checkpoint with random weights and odd settings, and its export."""
    folder = tmp_path_factory.mktemp('model')
    torch.manual_seed(3)
    model = MiniSegNet(len(CLASSES)).eval()
    with torch.no_grad():
        model.head[2].weight *= 8  # decided labels: ties would make agreement a matter of rounding
    record = ModelRecord(CLASSES, Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)), {'who': 'test'})
    save_checkpoint(folder / 'm.safetensors', model, record)
    export.export_onnx(folder / 'm.safetensors', folder / 'm.onnx')
    return folder / 'm.safetensors', folder / 'm.onnx'


def test_the_export_does_not_tell_where_the_code_lay(files):
    content = files[1].read_bytes()
    for folder in (Path(export.__file__).parents[2], Path(torch.__file__).parents[1]):
        assert str(folder).encode() not in content


def picture(width, height, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width])


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('size', [(128, 96), (131, 99), (65, 64)])
@pytest.mark.parametrize('network_size', ['native', 'half', '100x77'])
def test_engines_agree_with_torch(files, engine, size, network_size):
    pytest.importorskip(engine)
    if network_size == 'half' and min(size) < 128:
        size = (size[0] + 66, size[1] + 64)
    image = picture(*size)
    settings = {'network_size': network_size, 'precision': 'float32'}  # bfloat16 has a rounding of its own
    reference = Segmenter(files[0], engine='torch', **settings).run(image)
    result = Segmenter(files[1], engine=engine, **settings).run(image)
    assert result.label_image.shape == label_size(*size)[::-1]
    assert result.label_image.dtype == np.uint8
    assert (result.label_image == reference.label_image).mean() > 0.995
    assert result.image_size == size


@pytest.mark.parametrize('network_size', ['native', 'half'])
def test_what_is_no_ball_is_not_labelled_ball_either(files, network_size):
    segmenter = Segmenter(files[1], network_size=network_size, ball_confidence=0)
    image = picture(256, 192, 3)  # of which some is ball at either size
    own = segmenter.run(image).label_image
    probabilities = segmenter.probabilities(image)
    np.testing.assert_array_equal(own, probabilities.argmax(0))
    assert (own == 1).any()
    segmenter.ball_confidence = 1  # nobody is that sure
    result = segmenter.run(image)
    assert result.balls == ()
    probabilities[1] = -1
    np.testing.assert_array_equal(result.label_image, np.where(own == 1, probabilities.argmax(0), own))


@pytest.mark.parametrize('engine', [*ENGINES, 'torch'])
def test_bgr_is_rgb_with_the_channels_swapped(files, engine):
    pytest.importorskip(engine)
    segmenter = Segmenter(files[0] if engine == 'torch' else files[1], engine=engine)
    image = picture(160, 128)
    rgb = segmenter.run(image)
    bgr = segmenter.run(np.ascontiguousarray(image[..., ::-1]), order='bgr')
    np.testing.assert_array_equal(rgb.label_image, bgr.label_image)
    assert not np.array_equal(rgb.label_image, segmenter.run(image, order='bgr').label_image)


@pytest.mark.parametrize('engine', ENGINES)
def test_image_is_untouched_and_results_survive_the_next_frame(files, engine):
    pytest.importorskip(engine)
    segmenter = Segmenter(files[1], engine=engine)
    image = picture(128, 96)
    kept = image.copy()
    first = segmenter.run(image)
    labels = first.label_image.copy()
    for seed in range(1, 5):
        segmenter.run(picture(96 + 32 * seed, 96, seed))
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(first.label_image, labels)
    np.testing.assert_array_equal(segmenter.run(image).label_image, labels)


def test_views_that_are_not_contiguous_are_taken(files):
    segmenter = Segmenter(files[1])
    wide = picture(256, 96)
    view = wide[:, 64:192]
    np.testing.assert_array_equal(
        segmenter.run(view).label_image, segmenter.run(np.ascontiguousarray(view)).label_image
    )


@pytest.mark.parametrize('engine', ENGINES)
def test_read_only_images_are_taken(files, engine):
    """As NumPy gives them from a message's bytes; OpenVINO refuses such memory."""
    pytest.importorskip(engine)
    image = picture(128, 96)
    read_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
    segmenter = Segmenter(files[1], engine=engine)
    np.testing.assert_array_equal(segmenter.run(read_only).label_image, segmenter.run(image).label_image)


def test_metadata_is_read_without_the_onnx_package(files):
    import onnx

    expected = {p.key: p.value for p in onnx.load(files[1]).metadata_props}
    assert read_metadata(files[1]) == expected
    assert classes_of(files[1]) == CLASSES


def test_half_weights_halve_the_file(files, tmp_path):
    export.export_onnx(files[0], tmp_path / 'float32.onnx', half=False)
    assert files[1].stat().st_size / (tmp_path / 'float32.onnx').stat().st_size < 0.55


def test_the_half_checkpoint_and_its_export_are_one_network(tmp_path):
    """Each weight of the ONNX file is what the half checkpoint gives, not another rounding of the whole one."""
    import onnx

    checkpoint = tmp_path / 'last.safetensors'
    save_checkpoint(checkpoint, random_model(), ModelRecord(SOCCER))
    out, halved = tmp_path / 'out' / 'm.onnx', tmp_path / 'out' / 'm.safetensors'
    export.export_with_checkpoint(checkpoint, out, halved, images=[picture(128, 96)])
    assert sorted(out.parent.iterdir()) == [out, halved]
    assert halved.stat().st_size < 0.55 * checkpoint.stat().st_size
    export.export_onnx(halved, tmp_path / 'again.onnx', images=[picture(128, 96)])
    export.export_onnx(checkpoint, tmp_path / 'apart.onnx', images=[picture(128, 96)])
    written, again, apart = (
        [*onnx.load(p).graph.initializer] for p in (out, tmp_path / 'again.onnx', tmp_path / 'apart.onnx')
    )
    assert written == again
    assert written != apart


def test_an_export_that_disagrees_leaves_the_pair_before_it(files, tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'MINIMUM_AGREEMENT', 1.1)
    (tmp_path / 'm.onnx').write_bytes(b'old')
    (tmp_path / 'm.safetensors').write_bytes(b'old')
    with pytest.raises(ModelError, match='was not kept'):
        export.export_with_checkpoint(files[0], tmp_path / 'm.onnx', tmp_path / 'm.safetensors')
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {'m.onnx': b'old', 'm.safetensors': b'old'}


def test_an_export_that_disagrees_is_not_kept(files, tmp_path, monkeypatch):
    from minisegnet_core.inference.engines.torch import TorchEngine

    honest = TorchEngine.infer

    def liar(self, image, order, network_size):
        labels, probabilities = honest(self, image, order, network_size)
        return (labels + 1) % 4, probabilities

    monkeypatch.setattr(TorchEngine, 'infer', liar)
    with pytest.raises(ModelError, match='was not kept'):
        export.export_onnx(files[0], tmp_path / 'bad.onnx')
    assert list(tmp_path.iterdir()) == []


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
def test_images_of_another_kind_are_refused(files, image):
    with pytest.raises(ImageError):
        Segmenter(files[1]).run(image)


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        ({'model': 'gone.onnx'}, ModelError, r'no model file gone\.onnx; shipped are'),
        ({'engine': 'tensorflow'}, ConfigurationError, 'openvino, onnxruntime, torch'),
        ({'engine': 'torch'}, ConfigurationError, 'the engine torch does not read'),
        ({'network_size': 'tiny'}, ConfigurationError, 'WIDTHxHEIGHT'),
        ({'threads': -1}, ConfigurationError, 'threads is -1'),
        ({'ball_threshold': 0.0}, ConfigurationError, 'ball_threshold is 0.0'),
        ({'ball_confidence': 1.5}, ConfigurationError, 'ball_confidence is 1.5'),
    ],
)
def test_wrong_settings_are_named(files, settings, error, message):
    with pytest.raises(error, match=message):
        Segmenter(**{'model': files[1], **settings})


@pytest.mark.parametrize('content', [b'', b'hello, I am a text file', b'\x3a\xff\xff\xff\xff\xff\xff\xff\xff'])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / 'bad.onnx').write_bytes(content)
    with pytest.raises(ModelError, match=r'bad\.onnx'):
        Segmenter(tmp_path / 'bad.onnx')


def test_an_onnx_file_of_somebody_else_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', [value], [result])
    onnx.save(helper.make_model(graph), tmp_path / 'other.onnx')
    with pytest.raises(ModelError, match='was not made by `minisegnet export`'):
        Segmenter(tmp_path / 'other.onnx')


def test_segmenting_needs_no_torch(files, tmp_path):
    """In a process where importing torch fails, as on a robot without it."""
    (tmp_path / 'torch.py').write_text('raise ImportError("no torch here")\n')
    code = (
        'import sys, numpy as np\n'
        'from minisegnet_core.inference.segmenter import Segmenter\n'
        f'result = Segmenter({str(files[1])!r}).run(np.zeros((96, 128, 3), np.uint8))\n'
        'assert result.label_image.shape == (24, 32)\n'
        'assert not [m for m in sys.modules if m.split(".")[0] in ("torch", "torchvision", "onnx", "safetensors")]\n'
        'print(result.label_image.shape)\n'
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]\n{code}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '(24, 32)'


@pytest.mark.slow
def test_a_narrow_network_is_exported_and_says_its_width(tmp_path):
    from minisegnet_core.benchmark.runner import _width_mult
    from minisegnet_core.inference.engines.onnx_metadata import width_of
    from support.exported import random_model

    checkpoint, onnx = tmp_path / 'm.safetensors', tmp_path / 'm.onnx'
    save_checkpoint(checkpoint, random_model(0.5), ModelRecord(SOCCER))
    export.export_onnx(checkpoint, onnx, images=[picture(128, 96), picture(101, 67)])
    assert width_of(onnx) == _width_mult(onnx) == _width_mult(checkpoint) == 0.5
    image = picture(131, 99)
    reference = Segmenter(checkpoint, engine='torch', precision='float32').run(image)
    for engine in ENGINES:
        result = Segmenter(onnx, engine=engine, precision='float32').run(image)
        assert (result.label_image == reference.label_image).mean() > 0.995


def test_signals_are_heard_after_engines_have_gone(files):
    """With a core for each engine, OpenVINO left the stack for signal handlers freed; the next signal was SIGSEGV."""
    pytest.importorskip('openvino')
    open_one = f'segmenter = Segmenter({str(files[1])!r}, engine="openvino")\n'
    code = (
        'import os, signal\n'
        'from minisegnet_core.inference.segmenter import Segmenter\n'
        'signal.signal(signal.SIGUSR1, lambda *_: print("heard"))\n'
        f'{open_one}{open_one}del segmenter\n'  # the first goes after the second has come
        'os.kill(os.getpid(), signal.SIGUSR1)\n'
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, 'heard'), done.stderr
