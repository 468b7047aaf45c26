"""Model files that contradict themselves or are no models are refused by every engine, for every suffix."""

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='the models of these tests are made with PyTorch')
onnx = pytest.importorskip('onnx', reason='export needs onnx')

from onnx import numpy_helper

from minisegnet_core.checkpoint import load_checkpoint, read_state_dict, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ModelError
from minisegnet_core.inference.engines.registry import ENGINES
from minisegnet_core.inference.selection import classes_of_model, open_model
from minisegnet_core.model import MiniSegNet
from minisegnet_core.model_files import ModelRecord
from minisegnet_core.training.starting_model import load_encoder_weights
from support.exported import exported, random_image, random_model

MAX_MESSAGE = 300

NO_MODELS = {
    'lfs': (
        b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n',
        'is a Git LFS pointer.*git lfs pull',
    ),
    'page': (b'\n<!DOCTYPE html><html><body>Not found</body></html>', 'is a web page'),
    'empty': (b'', 'is empty'),
    'text': (b'class: ball\nweights: none\n', "is a text file that begins with 'class: ball"),
}

FORMATS = ('.onnx', '.safetensors', '.ckpt')
ENGINE_FORMATS = [(engine, suffix) for engine, entry in ENGINES.items() for suffix in entry.suffixes]
every_engine = pytest.mark.parametrize(('engine', 'suffix'), ENGINE_FORMATS)


def class_list(count: int) -> str:
    classes = ClassSet(tuple(SegmentationClass(f'c{i}', (i, 0, 0)) for i in range(count)))
    return json.dumps(classes.to_list())


def preprocessing(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)) -> str:
    return json.dumps({'mean': mean, 'std': std})


CONTRADICTIONS = {
    'two classes': ({'classes': class_list(2)}, 'has 4 output channels, but its metadata names 2 classes'),
    'five classes': ({'classes': class_list(5)}, 'has 4 output channels, but its metadata names 5 classes'),
    '255 classes': ({'classes': class_list(255)}, r'names 255 classes \(c0, c1, c2, c3 and 251 more\)'),
    'half the width': ({'width_mult': '0.5'}, 'its first layer has 64 channels, but width_mult 0.5 .* means 32'),
    'width is NaN': ({'width_mult': 'nan'}, 'width_mult is nan'),
    'mean is NaN': ({'preprocessing': preprocessing(mean=(0.5, float('nan'), 0.5))}, 'must be three finite numbers'),
    'mean overflows': ({'preprocessing': preprocessing(mean=(0.5, 1e300, 0.5))}, 'must be three finite numbers'),
    'std is infinite': ({'preprocessing': preprocessing(std=(0.5, float('inf'), 0.5))}, 'must be three finite'),
    'std is zero': (
        {'preprocessing': preprocessing(std=(0.5, 0.0, 0.5))},
        'std is .* must be three finite numbers above 0',
    ),
    'std is missing': ({'preprocessing': '{"mean": [0.5, 0.5, 0.5]}'}, 'the preprocessing has no std'),
    'two means': ({'preprocessing': preprocessing(mean=(0.5, 0.5))}, 'must be three finite numbers'),
    'preprocessing is a list': ({'preprocessing': '[1, 2]'}, 'the metadata of .* is damaged'),
    'classes are a number': ({'classes': '5'}, 'the metadata of .* is damaged'),
    'classes are deep': ({'classes': '[' * 100_000}, 'the metadata of .* is damaged'),
    'no classes': ({'classes': None}, 'there is no classes'),
    'another version': ({'format': 'other/9'}, "its format is 'other/9'"),
}


def write_model(path, metadata=None, weights=lambda state: None):
    """Write the model of :func:`exported` with changed metadata (None removes a key) and weights, changed in place."""
    checkpoint, exported_onnx = exported()
    state = {key: value.clone() for key, value in load_checkpoint(checkpoint)[0].state_dict().items()}

    def changed(values):
        merged = {**values, **(metadata or {})}
        return {key: value for key, value in merged.items() if value is not None}

    if path.suffix == '.onnx':
        model = onnx.load(exported_onnx)
        arrays = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}
        weights({key.removesuffix('_float16'): torch.from_numpy(value) for key, value in arrays.items()})
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        values = changed({entry.key: entry.value for entry in model.metadata_props})
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, values)
        onnx.save(model, path)
        return path
    weights(state)
    values = changed(ModelRecord(SOCCER).to_metadata())
    if path.suffix == '.safetensors':
        from safetensors.torch import save_file

        save_file(state, path, values)
    else:
        torch.save({'model': state, 'record': values}, path)
    return path


def refused(path, engine='auto') -> str:
    with pytest.raises(ModelError) as caught:
        open_model(path, engine)
    text = str(caught.value)
    assert len(f'minisegnet predict: {text}'.replace(str(path.parent), '')) <= MAX_MESSAGE
    assert str(path) in text
    return text


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize('kind', NO_MODELS)
def test_a_file_that_is_no_model_is_named_for_what_it_is(tmp_path, kind, suffix):
    content, message = NO_MODELS[kind]
    path = tmp_path / f'm{suffix}'
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        open_model(path)
    with pytest.raises(ModelError, match=message):
        classes_of_model(path)


@pytest.mark.parametrize('suffix', ['.safetensors', '.ckpt', '.pth'])
@pytest.mark.parametrize('kind', NO_MODELS)
def test_weights_to_start_from_that_are_no_weights_are_named_for_what_they_are(tmp_path, kind, suffix):
    content, message = NO_MODELS[kind]
    path = tmp_path / f'm{suffix}'
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_encoder_weights(MiniSegNet(), str(path))


@every_engine
def test_a_sound_model_is_opened(tmp_path, engine, suffix):
    pytest.importorskip(engine)
    path = write_model(tmp_path / f'm{suffix}')
    labels, probabilities = open_model(path, engine).engine.infer(random_image(96, 64), 'rgb', (96, 64))
    assert labels.shape == (16, 24)
    assert probabilities.shape[0] == len(SOCCER)


@every_engine
@pytest.mark.parametrize('kind', CONTRADICTIONS)
def test_metadata_that_contradicts_the_network_is_refused(tmp_path, engine, suffix, kind):
    pytest.importorskip(engine)
    metadata, message = CONTRADICTIONS[kind]
    path = write_model(tmp_path / f'm{suffix}', metadata)
    assert re.search(message, refused(path, engine))
    with pytest.raises(ModelError, match=message):
        ENGINES[engine].open(path, 1, None, 'cpu')


@every_engine
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, engine, suffix, value):
    pytest.importorskip(engine)

    def spoil(state):
        state['head.2.weight'].view(-1)[7] = value

    path = write_model(tmp_path / f'm{suffix}', weights=spoil)
    assert 'holds weights that are NaN or infinite (head.2.weight' in refused(path, engine)
    with pytest.raises(ModelError, match='NaN or infinite'):
        ENGINES[engine].open(path, 1, None, 'cpu')


def test_an_output_of_unknown_size_is_refused(tmp_path):
    model = onnx.load(exported()[1])
    output = next(value for value in model.graph.output if value.name == 'probabilities')
    output.type.tensor_type.shape.dim[0].dim_param = 'classes'
    onnx.save(model, tmp_path / 'm.onnx')
    assert 'has an unknown number of output channels' in refused(tmp_path / 'm.onnx')


WRAPPINGS = {
    'model': lambda state: {'model': state, 'epoch': 3},
    'state_dict': lambda state: {'state_dict': state},
    'nested': lambda state: {'model': {'state_dict': state}},
    'module': lambda state: {f'module.{key}': value for key, value in state.items()},
    'compiled': lambda state: {f'_orig_mod.{key}': value for key, value in state.items()},
    'both': lambda state: {'state_dict': {f'module._orig_mod.{key}': value for key, value in state.items()}},
}


@pytest.mark.parametrize('wrapping', WRAPPINGS)
def test_wrapped_state_dicts_are_unwrapped(tmp_path, wrapping):
    model = random_model()
    state = model.state_dict()
    torch.save(WRAPPINGS[wrapping](state), tmp_path / 'm.pth')
    read = read_state_dict(tmp_path / 'm.pth')
    assert read.keys() == state.keys()
    other = MiniSegNet()
    load_encoder_weights(other, str(tmp_path / 'm.pth'))
    assert torch.equal(other.encoder.conv1.weight, model.encoder.conv1.weight)


@pytest.mark.parametrize('wrapping', ['state_dict', 'module', 'both'])
def test_a_model_with_a_record_beside_wrapped_weights_is_opened(tmp_path, wrapping):
    content = WRAPPINGS[wrapping](random_model().state_dict())
    content = content if 'state_dict' in content else {'model': content}
    torch.save({**content, 'record': ModelRecord(SOCCER).to_metadata()}, tmp_path / 'm.ckpt')
    assert load_checkpoint(tmp_path / 'm.ckpt')[1].classes == SOCCER


def test_a_message_names_only_a_few_missing_tensors(tmp_path):
    state = random_model().state_dict()
    wrong = {f'wrong.{key}': value for key, value in state.items()}
    torch.save({'model': wrong, 'record': ModelRecord(SOCCER).to_metadata()}, tmp_path / 'm.ckpt')
    text = refused(tmp_path / 'm.ckpt')
    assert 'it lacks encoder.conv1.weight, ' in text
    assert text.count(' more') == 2


@pytest.mark.parametrize('content', [{}, [1, 2], 5, {'record': 5}, {1: 2}, {'model': {'a': [1]}}, {'model': 'x'}])
@pytest.mark.parametrize('read', [load_checkpoint, read_state_dict])
def test_files_of_pytorch_that_hold_something_else_are_refused(tmp_path, content, read):
    torch.save(content, tmp_path / 'm.ckpt')
    with pytest.raises(ModelError, match=r'm\.ckpt'):
        read(tmp_path / 'm.ckpt')


def test_half_precision_that_overflows_is_noticed_on_loading(tmp_path):
    model = random_model()
    with torch.no_grad():
        model.head[2].weight[0, 0, 0, 0] = 1e6
    save_checkpoint(tmp_path / 'm.safetensors', model, ModelRecord(SOCCER), half=True)
    assert 'NaN or infinite' in refused(tmp_path / 'm.safetensors')
