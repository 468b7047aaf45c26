"""Checkpoints hold everything that belongs to a model, and reading them executes no code."""

import pickle

import pytest

torch = pytest.importorskip('torch', reason='checkpoints need PyTorch')

from minisegnet_core.checkpoint import ModelRecord, load_checkpoint, read_state_dict, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ModelError
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import Preprocessing


def test_a_saved_checkpoint_is_loaded_unchanged(tmp_path):
    classes = ClassSet((*SOCCER, SegmentationClass('robot', (1, 2, 3))))
    record = ModelRecord(classes, Preprocessing(mean=(0.1, 0.2, 0.3)), {'epochs': 3, 'note': 'ä'})
    model = MiniSegNet(5).eval()
    save_checkpoint(tmp_path / 'm.safetensors', model, record)
    loaded, loaded_record = load_checkpoint(tmp_path / 'm.safetensors')
    assert loaded_record == record
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(image), model(image))
    assert not loaded.training


def test_a_checkpoint_contains_no_paths_of_the_training_machine(tmp_path):
    config = {
        'data': '/home/ann/scenes',
        'output': 'runs/a',
        'init_from': None,
        'encoder_weights': 'imagenet',
        'seed': 2,
    }
    record = ModelRecord(SOCCER, training={'config': config, 'epochs': 3})
    save_checkpoint(tmp_path / 'm.safetensors', MiniSegNet(), record)
    kept = load_checkpoint(tmp_path / 'm.safetensors')[1].training
    assert kept == {'config': {**config, 'data': 'scenes', 'output': 'a'}, 'epochs': 3}


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path):
    model = MiniSegNet()
    for half in (False, True):
        save_checkpoint(tmp_path / f'{half}.safetensors', model, ModelRecord(SOCCER), half=half)
    sizes = [(tmp_path / f'{half}.safetensors').stat().st_size for half in (False, True)]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.01)
    loaded = load_checkpoint(tmp_path / 'True.safetensors')[0]
    assert loaded.head[2].weight.dtype == torch.float32
    assert torch.equal(loaded.head[2].weight, model.head[2].weight.half().float())


def test_half_precision_keeps_norms_exactly(tmp_path):
    """The variance of a dead channel may be smaller than float16 can represent."""
    model = MiniSegNet()
    model.head[0].running_var[:] = 1e-9
    save_checkpoint(tmp_path / 'm.safetensors', model, ModelRecord(SOCCER), half=True)
    assert torch.equal(load_checkpoint(tmp_path / 'm.safetensors')[0].head[0].running_var, model.head[0].running_var)


class Bomb:
    def __reduce__(self):
        return (print, ('this file ran code',))


def test_code_in_a_file_is_refused_and_not_executed(tmp_path, capsys):
    torch.save({'model': {}, 'record': Bomb()}, tmp_path / 'bomb.ckpt')
    with pytest.raises(ModelError, match='holds more than tensors'):
        load_checkpoint(tmp_path / 'bomb.ckpt')
    (tmp_path / 'bomb.pth').write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=r'damaged, not a PyTorch file'):
        read_state_dict(tmp_path / 'bomb.pth')
    assert 'ran code' not in capsys.readouterr().out


@pytest.mark.parametrize('content', [b'', b'not a model at all', b'\x08\x00\x00\x00\x00\x00\x00\x00{}      '])
def test_files_of_other_formats_are_reported_by_name(tmp_path, content):
    path = tmp_path / 'm.safetensors'
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r'm\.safetensors'):
        load_checkpoint(path)


def test_a_missing_file_is_reported_by_name(tmp_path):
    with pytest.raises(ModelError, match=r'there is no model file .*gone\.safetensors'):
        load_checkpoint(tmp_path / 'gone.safetensors')


def test_the_width_is_saved_with_the_model(tmp_path):
    path = tmp_path / 'm.safetensors'
    save_checkpoint(path, MiniSegNet(4, 0.5), ModelRecord(SOCCER))  # the record has the default width
    model, record = load_checkpoint(path)
    assert (model.width_mult, record.width_mult) == (0.5, 0.5)
    assert record.to_metadata()['width_mult'] == '0.5'
    assert model.head[2].weight.shape == (4, 128, 3, 3)


def test_files_without_a_width_have_width_one(tmp_path):
    metadata = ModelRecord(SOCCER).to_metadata()
    del metadata['width_mult']
    torch.save({'model': MiniSegNet().state_dict(), 'record': metadata}, tmp_path / 'last.ckpt')
    assert load_checkpoint(tmp_path / 'last.ckpt')[1] == ModelRecord(SOCCER)
    metadata['width_mult'] = 'wide'
    torch.save({'model': {}, 'record': metadata}, tmp_path / 'odd.ckpt')
    with pytest.raises(ModelError, match=r'metadata of .* is damaged'):
        load_checkpoint(tmp_path / 'odd.ckpt')
