"""What is chosen on which machine, what is said of the others, and that asked-for precisions are real."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='the models of these tests are made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ConfigurationError, ImageError, ModelError
from minisegnet_core.inference import selection
from minisegnet_core.inference.engines.base import cache_directory
from minisegnet_core.inference.segmenter import Segmenter, most_probable
from minisegnet_core.inference.selection import CHECKPOINT, FLOAT, INT8
from minisegnet_core.model import MiniSegNet
from minisegnet_core.processor import Processor, processor
from support.exported import exported, picture, random_model

AVX2 = Processor('a CPU', 2, frozenset({'avx', 'avx2'}))
AMX = Processor('a server', 2, frozenset({'avx2', 'avx512f', 'avx512_vnni', 'amx_int8', 'amx_bf16'}))
OLD = Processor('an old one', 2, frozenset({'sse4_1'}))
ARM = Processor('a board', 4, frozenset({'asimd', 'asimddp'}))


@pytest.mark.parametrize(
    ('machine', 'int8', 'floats', 'bfloat16'),
    [(AVX2, 'AVX2', 'AVX2', False), (AMX, 'AMX', 'AVX-512', True), (OLD, '', '', False),
     (ARM, 'ARM dot product', 'NEON', False)],
)  # fmt: skip
def test_processors_are_told_apart(machine, int8, floats, bfloat16):
    assert machine.int8_instructions == int8
    assert machine.float_instructions == floats
    assert machine.native_bfloat16 is bfloat16


def test_int8_stands_first_where_there_are_instructions_for_it():
    pairs = [(c.engine, c.file) for c in selection.shipped_order(AVX2, nvidia=False)]
    assert pairs == [('openvino', INT8), ('openvino', FLOAT), ('onnxruntime', FLOAT), ('onnxruntime', INT8),
                     ('torch', CHECKPOINT)]  # fmt: skip
    assert next((c.engine, c.file) for c in selection.shipped_order(OLD, nvidia=False)) == ('openvino', FLOAT)


def test_a_gpu_stands_before_everything_unless_the_cpu_is_asked_for():
    first = selection.shipped_order(AMX, nvidia=True)[0]
    assert (first.engine, first.file, first.only_gpu) == ('onnxruntime', FLOAT, True)
    assert not any(c.only_gpu for c in selection.shipped_order(AMX, nvidia=True, device='cpu'))


class FakeEngine:
    def __init__(self, name, device='CPU'):
        self.name, self.device, self.precision, self.notes = name, device, 'float32', ()


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Three empty model files, every engine installed and fake."""
    for name in (INT8, FLOAT, CHECKPOINT):
        (tmp_path / name).write_bytes(b'')
    monkeypatch.setattr(selection, 'models_directory', lambda: tmp_path)
    monkeypatch.setattr(selection, 'processor', lambda: AVX2)
    monkeypatch.setattr(selection, 'has_nvidia_gpu', lambda: False)
    monkeypatch.setattr(selection.importlib.util, 'find_spec', lambda name: name)
    openers = {name: lambda path, threads, precision, device, name=name: FakeEngine(name) for name in
               ('openvino', 'onnxruntime', 'torch')}  # fmt: skip
    monkeypatch.setattr(selection, '_OPENERS', openers)
    return tmp_path


def test_the_first_that_works_is_taken_and_the_others_give_their_reason(shipped, monkeypatch):
    def broken(path, threads, precision, device):
        raise ModelError(f'{path.name} is not to its taste')

    monkeypatch.setitem(selection._OPENERS, 'openvino', broken)
    chosen = selection.open_model()
    assert (chosen.engine.name, chosen.path.name) == ('onnxruntime', FLOAT)
    assert chosen.reasons == (
        f'openvino with {INT8}: {INT8} is not to its taste',
        f'openvino with {FLOAT}: {FLOAT} is not to its taste',
    )


def test_a_package_that_is_missing_is_a_reason(shipped, monkeypatch):
    monkeypatch.setattr(selection.importlib.util, 'find_spec', lambda name: None if name == 'openvino' else name)
    chosen = selection.open_model()
    assert chosen.engine.name == 'onnxruntime'
    assert 'openvino with minisegnet_int8.onnx: not installed (pip install openvino)' in chosen.reasons


def test_an_engine_chosen_for_its_gpu_is_left_where_it_finds_none(shipped, monkeypatch):
    monkeypatch.setattr(selection, 'has_nvidia_gpu', lambda: True)
    chosen = selection.open_model()
    assert (chosen.engine.name, chosen.path.name) == ('openvino', INT8)
    assert 'it finds no GPU it can use' in chosen.reasons[0]
    monkeypatch.setitem(selection._OPENERS, 'onnxruntime', lambda *_: FakeEngine('onnxruntime', 'CUDA'))
    assert selection.open_model().engine.device == 'CUDA'


def test_the_engine_asked_for_gets_a_shipped_file_it_reads(shipped):
    assert selection.open_model(engine='torch').path.name == CHECKPOINT
    assert selection.open_model(engine='openvino', precision='float32').path.name == FLOAT
    assert selection.open_model(precision='int8').path.name == INT8


def test_a_folder_without_models_is_told(shipped):
    for path in shipped.iterdir():
        path.unlink()
    with pytest.raises(ModelError, match='no engine can run a shipped model'):
        selection.open_model()


def test_words_that_are_no_precision_or_device_are_named():
    with pytest.raises(ConfigurationError, match='no precision'):
        Segmenter('m.onnx', precision='float8')
    with pytest.raises(ConfigurationError, match='no device'):
        Segmenter('m.onnx', device='tpu')


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime', 'torch'])
def test_float32_is_float32_everywhere(engine):
    pytest.importorskip(engine)
    checkpoint, onnx = exported()
    segmenter = Segmenter(checkpoint if engine == 'torch' else onnx, engine=engine, precision='float32', device='cpu')
    segmenter.run(picture(96, 64))
    assert (segmenter.precision, segmenter.device) == ('float32', 'CPU')
    if engine == 'openvino':
        from minisegnet_core.inference.engines.openvino import convolution_kernels

        request = next(iter(segmenter._engine._requests.values()))
        kernels = convolution_kernels(request.get_compiled_model())
        assert len(kernels) == 27
        assert not any('bf16' in kernel or 'f16' in kernel for kernel in kernels)


def test_openvino_does_not_claim_a_precision_the_cpu_lacks():
    pytest.importorskip('openvino')
    if processor().native_bfloat16:
        pytest.skip('this CPU multiplies in bfloat16')
    with pytest.raises(ModelError, match='computes in float32 on this CPU, not in bfloat16'):
        Segmenter(exported()[1], engine='openvino', precision='bfloat16').run(picture(96, 64))


def test_onnxruntime_refuses_what_it_has_no_kernels_for():
    pytest.importorskip('onnxruntime')
    with pytest.raises(ModelError, match='no bfloat16'):
        Segmenter(exported()[1], engine='onnxruntime', precision='bfloat16')
    with pytest.raises(ModelError, match='TensorRT'):
        Segmenter(exported()[1], engine='onnxruntime', precision='float16', device='cpu')


def test_torch_runs_in_bfloat16_when_told():
    checkpoint, _ = exported()
    image = picture(96, 64)
    exact = Segmenter(checkpoint, engine='torch', precision='float32', device='cpu').run(image)
    segmenter = Segmenter(checkpoint, engine='torch', precision='bfloat16', device='cpu')
    assert segmenter.precision == 'bfloat16'
    assert next(segmenter._engine._model.parameters()).dtype.__str__() == 'torch.bfloat16'
    assert (segmenter.run(image).label_image == exact.label_image).mean() > 0.9


@pytest.mark.parametrize('engine', ['openvino', 'onnxruntime', 'torch'])
def test_a_gpu_that_is_not_there_falls_back_with_the_reason(engine):
    pytest.importorskip(engine)
    if selection.has_nvidia_gpu():
        pytest.skip('there is a GPU')
    checkpoint, onnx = exported()
    segmenter = Segmenter(checkpoint if engine == 'torch' else onnx, engine=engine, device='gpu')
    if segmenter.device == 'GPU':
        pytest.skip('there is a GPU for OpenVINO')
    assert segmenter.device == 'CPU'
    assert 'it runs on the CPU' in segmenter.notes[-1].lower().replace('cpu', 'CPU')
    assert segmenter.run(picture(96, 64)).label_image.shape == (16, 24)


def test_tensorrt_and_cuda_come_before_the_cpu_and_float32_means_float32():
    pytest.importorskip('onnxruntime')
    from minisegnet_core.inference.engines.onnxruntime import wanted_providers

    every = ['CPUExecutionProvider', 'CUDAExecutionProvider', 'TensorrtExecutionProvider']
    providers = wanted_providers(every, 'auto', 'float32')
    assert [name for name, _ in providers] == every[::-1]
    assert dict(providers)['TensorrtExecutionProvider']['trt_fp16_enable'] == '0'
    assert dict(providers)['CUDAExecutionProvider']['use_tf32'] == '0'
    assert dict(wanted_providers(every, 'gpu', None))['TensorrtExecutionProvider']['trt_fp16_enable'] == '1'
    assert wanted_providers(every, 'cpu', None) == [('CPUExecutionProvider', {})]


def test_labels_go_into_the_callers_buffer():
    pytest.importorskip('openvino')
    segmenter = Segmenter(exported()[1], engine='openvino')
    image = picture(101, 67)
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


def test_compiled_networks_are_kept_where_xdg_says(tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert cache_directory('openvino') == tmp_path / 'cache' / 'minisegnet' / 'openvino'
    image = picture(96, 64)
    first = Segmenter(exported()[1], engine='openvino').run(image)
    assert list(cache_directory('openvino').glob('*/*.blob'))
    again = Segmenter(exported()[1], engine='openvino').run(image)
    np.testing.assert_array_equal(first.label_image, again.label_image)


def test_a_cache_folder_that_cannot_be_made_costs_only_time(tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    (tmp_path / 'minisegnet').write_text('a file stands in the way')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    segmenter = Segmenter(exported()[1], engine='openvino')
    assert any('not kept' in note for note in segmenter.notes)
    assert segmenter.run(picture(96, 64)).label_image.shape == (16, 24)


@pytest.mark.parametrize('width_mult', [1, 0.5])
def test_folding_the_norms_changes_nothing(width_mult):
    import torch

    from minisegnet_core.export.onnx_export import fold_norms

    model = random_model(width_mult)
    image = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (1, 3, 75, 67)).astype(np.float32))
    with torch.inference_mode():
        before, folded = model(image), fold_norms(model)
        after = folded(image)
    assert not [m for m in (folded.up2.norm, folded.up3.norm, folded.head[0]) if list(m.parameters())]
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    assert list(model.up2.norm.parameters()), 'the given model stays as it was'


def test_most_probable_is_argmax_with_the_first_of_equals():
    random = np.random.default_rng(0)
    probabilities = random.integers(0, 4, (5, 13, 9)).astype(np.float32)  # many are equal
    out = np.empty((13, 9), np.uint8)
    most_probable(probabilities, out)
    np.testing.assert_array_equal(out, probabilities.argmax(0))


def test_a_models_classes_are_told_without_an_engine(tmp_path):
    others = ClassSet((SOCCER.classes[0], SegmentationClass('goal', (1, 2, 3))))
    assert selection.classes_of_model('') == SOCCER
    assert selection.classes_of_model(exported()[1]) == SOCCER
    assert selection.classes_of_model(str(exported()[0])) == SOCCER
    save_checkpoint(tmp_path / 'goal.safetensors', MiniSegNet(2, 0.25), ModelRecord(others))
    assert selection.classes_of_model(tmp_path / 'goal.safetensors') == others
    with pytest.raises(ModelError, match='there is no model file nosuch'):
        selection.classes_of_model('nosuch.onnx')
