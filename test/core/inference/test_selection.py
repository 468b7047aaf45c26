"""Selection: which engine and file are used on which machine, and which reasons are given for the others."""

import pytest

pytest.importorskip('torch', reason='the models of these tests are made with PyTorch')
pytest.importorskip('onnx', reason='export needs onnx')

from minisegnet_core.checkpoint import ModelRecord, save_checkpoint
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.errors import ModelError
from minisegnet_core.inference import selection
from minisegnet_core.inference.engines.registry import ENGINES, EngineEntry
from minisegnet_core.inference.selection import CHECKPOINT, FLOAT, INT8
from minisegnet_core.model import MiniSegNet
from minisegnet_core.processor import Processor
from support.exported import exported

AVX2 = Processor('a CPU', 2, frozenset({'avx', 'avx2'}))
AMX = Processor('a server', 2, frozenset({'avx2', 'avx512f', 'avx512_vnni', 'amx_int8', 'amx_bf16'}))
OLD = Processor('an old one', 2, frozenset({'sse4_1'}))


def test_int8_is_first_on_cpus_with_instructions_for_it():
    pairs = [(c.engine, c.file) for c in selection.shipped_order(AVX2, nvidia=False)]
    assert pairs == [('openvino', INT8), ('openvino', FLOAT), ('onnxruntime', FLOAT), ('onnxruntime', INT8),
                     ('torch', CHECKPOINT)]  # fmt: skip
    assert next((c.engine, c.file) for c in selection.shipped_order(OLD, nvidia=False)) == ('openvino', FLOAT)


def test_a_gpu_is_first_unless_the_cpu_is_requested():
    first = selection.shipped_order(AMX, nvidia=True)[0]
    assert (first.engine, first.file, first.only_gpu) == ('onnxruntime', FLOAT, True)
    assert not any(c.only_gpu for c in selection.shipped_order(AMX, nvidia=True, device='cpu'))


def test_every_engine_of_the_order_is_registered_for_its_file():
    for candidate in selection.shipped_order(AMX, nvidia=True):
        assert '.' + candidate.file.rpartition('.')[2] in ENGINES[candidate.engine].suffixes


class FakeEngine:
    def __init__(self, name, device='CPU'):
        self.name, self.device, self.precision, self.notes = name, device, 'float32', ()


class FakeEntry(EngineEntry):
    """An engine that is installed and opens any file."""

    installed, device, error = True, 'CPU', ''

    def is_installed(self):
        return self.installed

    def open(self, path, threads, precision, device):
        if self.error:
            raise ModelError(f'{path.name} {self.error}')
        return FakeEngine(self.name, self.device)


@pytest.fixture
def fakes(monkeypatch):
    """Replace all engines by fakes; return the class of each, whose attributes a test may change."""
    classes = {}
    for name, entry in ENGINES.items():
        classes[name] = type(f'Fake_{name}', (FakeEntry,), {})
        fake = classes[name](entry.name, entry.package, entry.opener, entry.suffixes, entry.precisions)
        monkeypatch.setitem(ENGINES, name, fake)
    return classes


@pytest.fixture
def shipped(tmp_path, monkeypatch, fakes):
    """Make three empty model files the shipped ones, on a machine with AVX2 and without a GPU."""
    for name in (INT8, FLOAT, CHECKPOINT):
        (tmp_path / name).write_bytes(b'')
    monkeypatch.setattr(selection, 'models_directory', lambda: tmp_path)
    monkeypatch.setattr(selection, 'processor', lambda: AVX2)
    monkeypatch.setattr(selection, 'has_nvidia_gpu', lambda: False)
    return tmp_path


def test_the_first_engine_that_works_is_used_and_the_others_give_their_reason(shipped, fakes):
    fakes['openvino'].error = 'cannot be read'
    chosen = selection.open_model()
    assert (chosen.engine.name, chosen.path.name) == ('onnxruntime', FLOAT)
    assert chosen.reasons == (
        f'openvino with {INT8}: {INT8} cannot be read',
        f'openvino with {FLOAT}: {FLOAT} cannot be read',
    )


def test_a_missing_package_is_a_reason(shipped, fakes):
    fakes['openvino'].installed = False
    chosen = selection.open_model()
    assert chosen.engine.name == 'onnxruntime'
    assert chosen.reasons == ('openvino: not installed (pip install openvino)',)


def test_an_engine_selected_for_its_gpu_is_skipped_if_it_finds_none(shipped, fakes, monkeypatch):
    monkeypatch.setattr(selection, 'has_nvidia_gpu', lambda: True)
    chosen = selection.open_model()
    assert (chosen.engine.name, chosen.path.name) == ('openvino', INT8)
    assert 'it finds no usable GPU' in chosen.reasons[0]
    fakes['onnxruntime'].device = 'CUDA'
    assert selection.open_model().engine.device == 'CUDA'


def test_the_requested_engine_gets_a_shipped_file_that_it_reads(shipped):
    assert selection.open_model(engine='torch').path.name == CHECKPOINT
    assert selection.open_model(engine='openvino', precision='float32').path.name == FLOAT
    assert selection.open_model(precision='int8').path.name == INT8


def test_a_folder_without_models_is_reported(shipped):
    for path in shipped.iterdir():
        path.unlink()
    with pytest.raises(ModelError, match='no engine can run a shipped model'):
        selection.open_model()
    with pytest.raises(ModelError, match='holds no model; give one with --model'):
        selection.shipped_models()


def test_shipped_models_are_found_by_name(shipped):
    assert selection.find_model(FLOAT) == shipped / FLOAT
    assert [path.name for path in selection.shipped_models()] == [INT8, FLOAT, CHECKPOINT]


def test_the_classes_of_a_model_are_read_without_an_engine(tmp_path):
    others = ClassSet((SOCCER.classes[0], SegmentationClass('goal', (1, 2, 3))))
    assert selection.classes_of_model('') == SOCCER
    assert selection.classes_of_model(exported()[1]) == SOCCER
    assert selection.classes_of_model(str(exported()[0])) == SOCCER
    save_checkpoint(tmp_path / 'goal.safetensors', MiniSegNet(2, 0.25), ModelRecord(others))
    assert selection.classes_of_model(tmp_path / 'goal.safetensors') == others
    with pytest.raises(ModelError, match='there is no model file nosuch'):
        selection.classes_of_model('nosuch.onnx')
