"""The cache of compiled networks: bounded, shared by processes, and never an error whatever lies in it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minisegnet_core.inference.engines.compiled_cache import bound_cache, cache_entry

LONG_AGO = time.time() - 1e6


def make_entry(folder, name, size, age):
    """An entry of this many bytes, last used ``age`` seconds after LONG_AGO."""
    (folder / name).mkdir(parents=True)
    (folder / name / '1.blob').write_bytes(bytes(size))
    os.utime(folder / name, (LONG_AGO + age, LONG_AGO + age))


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_longest_unused_go_first(tmp_path):
    for age, name in enumerate('abcde'):
        make_entry(tmp_path, name, 100, age)
    os.utime(tmp_path / 'a', (LONG_AGO + 99, LONG_AGO + 99))  # used again
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a', 'd', 'e']
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a', 'd', 'e']


def test_files_of_earlier_versions_go_too(tmp_path):
    """They lay in the folder itself."""
    (tmp_path / '123.blob').write_bytes(bytes(500))
    os.utime(tmp_path / '123.blob', (LONG_AGO, LONG_AGO))
    make_entry(tmp_path, 'a', 100, 1)
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a']


def test_what_is_in_use_stays_also_when_the_clock_was_wrong_before(tmp_path):
    make_entry(tmp_path, 'future', 100, 2e6)  # written before the clock was set back
    entry = cache_entry(tmp_path, 'model', 640, 480)
    (entry / '1.blob').write_bytes(bytes(100))
    os.utime(entry)
    bound_cache(tmp_path, limit=150)
    assert names(tmp_path) == [entry.name]


def test_a_use_is_marked_and_keys_are_told_apart(tmp_path):
    entry = cache_entry(tmp_path, 'model', (640, 480))
    os.utime(entry, (LONG_AGO, LONG_AGO))
    assert cache_entry(tmp_path, 'model', (640, 480)) == entry
    assert time.time() - entry.stat().st_mtime < 60
    assert cache_entry(tmp_path, 'model', (320, 240)) != entry


def test_a_folder_that_is_not_there_or_a_link_that_leads_nowhere_are_no_error(tmp_path):
    bound_cache(tmp_path / 'gone', limit=0)
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'kept.txt').write_text('kept')
    cache = tmp_path / 'cache'
    cache.mkdir()
    (cache / 'broken').symlink_to(tmp_path / 'nowhere')
    (cache / 'link').symlink_to(outside)
    make_entry(cache, 'a', 100, 0)
    for link in ('broken', 'link'):
        os.utime(cache / link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    bound_cache(cache, limit=0)
    assert names(cache) == []
    assert (outside / 'kept.txt').read_text() == 'kept', 'a link goes, not what it leads to'


def test_many_at_once_do_not_hinder_each_other(tmp_path):
    for age in range(200):
        make_entry(tmp_path, f'{age:03}', 10, age)
    errors = []

    def work():
        try:
            bound_cache(tmp_path, limit=100)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    # Each counts what it saw, so that together they may remove more than needed, never less.
    assert set(names(tmp_path)) <= {f'{age:03}' for age in range(190, 200)}


@pytest.fixture(scope='module')
def model():
    pytest.importorskip('openvino')
    pytest.importorskip('torch', reason='the model of these tests is made with PyTorch')
    pytest.importorskip('onnx', reason='export needs onnx')
    from support.exported import exported

    return exported()[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'minisegnet' / 'openvino'


def labels_of(model, **settings):
    from minisegnet_core.inference.segmenter import Segmenter
    from support.exported import picture

    segmenter = Segmenter(model, engine='openvino', threads=1, **settings)
    return segmenter.run(picture(96, 64)).label_image, segmenter._engine


def test_a_damaged_file_is_compiled_anew(model, folder):
    """As a power cut leaves them: empty, cut short, the end never written."""
    expected, _ = labels_of(model)
    (blob,) = folder.glob('*/*.blob')
    whole = blob.read_bytes()
    for damaged in (b'', whole[: len(whole) // 2], whole[:100_000] + bytes(len(whole) - 100_000), b'no network'):
        blob.unlink()
        blob.write_bytes(damaged)
        np.testing.assert_array_equal(labels_of(model)[0], expected)
        assert blob.stat().st_size == len(whole), 'and is whole again'


def test_the_engine_keeps_its_cache_bounded(model, folder, monkeypatch):
    monkeypatch.setattr('minisegnet_core.inference.engines.openvino.bound_cache', lambda f: bound_cache(f, 1))
    make_entry(folder, 'old', 100, 0)
    _, engine = labels_of(model)
    assert not (folder / 'old').exists()
    assert len(names(folder)) == 1, 'the one in use stays'
    assert engine.notes == ()


def test_a_cache_that_becomes_unusable_costs_only_time(model, folder, monkeypatch):
    from minisegnet_core.inference.engines import openvino as openvino_engine

    expected, _ = labels_of(model)
    file = folder.parent / 'file'
    file.write_text('no folder')
    monkeypatch.setattr(openvino_engine, 'cache_entry', lambda *_: file / 'entry')
    labels, engine = labels_of(model)
    np.testing.assert_array_equal(labels, expected)
    assert 'compiled networks are not kept' in engine.notes[-1]


def test_a_model_file_that_is_gone_by_then_costs_only_the_cache(model, folder, tmp_path):
    from minisegnet_core.inference.engines.openvino import OpenVinoEngine
    from support.exported import picture

    copy = tmp_path / 'copy.onnx'
    copy.write_bytes(model.read_bytes())
    engine = OpenVinoEngine(copy)
    copy.unlink()
    labels, _ = engine.infer(picture(96, 64), 'rgb', (96, 64))
    assert labels.shape == (16, 24)
    assert 'compiled networks are not kept' in engine.notes[-1]


def test_openvino_is_loaded_without_its_converter_and_telemetry(model):
    """The import would leave files in ~/intel and send a message."""
    code = (
        'import sys\n'
        'from minisegnet_core.inference.engines import openvino as openvino_engine\n'
        'print(sorted(n for n in sys.modules if n.startswith(("openvino_telemetry", "openvino.tools"))))\n'
        'from openvino.tools.ovc import convert_model\n'  # who wants it still gets it
        'print(callable(convert_model))\n'
    )
    root = Path(__file__).resolve().parents[4]
    environment = {**os.environ, 'PYTHONPATH': str(root), 'CI': 'true'}  # and this test sends none either
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split('\n')[:2] == ['[]', 'True'], done.stderr
