"""The cache of compiled networks is bounded and shared by processes, and no content of it is an error."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from minisegnet_core.inference.engines.compiled_cache import bound_cache, cache_directory, cache_entry

LONG_AGO = time.time() - 1e6


def make_entry(folder, name, size, age):
    """Make an entry of ``size`` bytes that was last used ``age`` seconds after LONG_AGO."""
    (folder / name).mkdir(parents=True)
    (folder / name / '1.blob').write_bytes(bytes(size))
    os.utime(folder / name, (LONG_AGO + age, LONG_AGO + age))


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_least_recently_used_entries_are_removed_first(tmp_path):
    for age, name in enumerate('abcde'):
        make_entry(tmp_path, name, 100, age)
    os.utime(tmp_path / 'a', (LONG_AGO + 99, LONG_AGO + 99))  # used again
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a', 'd', 'e']
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a', 'd', 'e']


def test_files_of_earlier_versions_are_removed_too(tmp_path):
    """They were in the folder itself."""
    (tmp_path / '123.blob').write_bytes(bytes(500))
    os.utime(tmp_path / '123.blob', (LONG_AGO, LONG_AGO))
    make_entry(tmp_path, 'a', 100, 1)
    bound_cache(tmp_path, limit=300)
    assert names(tmp_path) == ['a']


def test_an_entry_in_use_is_kept_even_if_the_clock_was_set_back(tmp_path):
    make_entry(tmp_path, 'future', 100, 2e6)  # written before the clock was set back
    entry = cache_entry(tmp_path, 'model', 640, 480)
    (entry / '1.blob').write_bytes(bytes(100))
    os.utime(entry)
    bound_cache(tmp_path, limit=150)
    assert names(tmp_path) == [entry.name]


def test_a_use_updates_the_time_of_its_entry_and_other_keys_have_other_entries(tmp_path):
    entry = cache_entry(tmp_path, 'model', (640, 480))
    os.utime(entry, (LONG_AGO, LONG_AGO))
    assert cache_entry(tmp_path, 'model', (640, 480)) == entry
    assert time.time() - entry.stat().st_mtime < 60
    assert cache_entry(tmp_path, 'model', (320, 240)) != entry


def test_missing_folders_and_broken_links_are_no_errors(tmp_path):
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
    assert (outside / 'kept.txt').read_text() == 'kept', 'a link is removed, not its target'


def test_many_threads_can_bound_the_cache_at_once(tmp_path):
    for age in range(200):
        make_entry(tmp_path, f'{age:03}', 10, age)
    errors = []

    def bound():
        try:
            bound_cache(tmp_path, limit=100)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=bound) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    # Each counts the entries that it saw, so together they may remove more than necessary, but never less.
    assert set(names(tmp_path)) <= {f'{age:03}' for age in range(190, 200)}


@pytest.fixture(scope='module')
def model():
    """Return the path of an exported model."""
    pytest.importorskip('openvino')
    pytest.importorskip('torch', reason='the model of these tests is made with PyTorch')
    pytest.importorskip('onnx', reason='export needs onnx')
    from support.exported import exported

    return exported()[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of an empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'minisegnet' / 'openvino'


def run(model):
    """Return the labels of an image and the notes of a new segmenter."""
    from minisegnet_core.inference.segmenter import Segmenter
    from support.exported import random_image

    segmenter = Segmenter(model, engine='openvino', threads=1)
    return segmenter.run(random_image(96, 64)).label_image, segmenter.notes


def test_compiled_networks_are_kept_in_the_users_cache_folder(model, folder):
    assert cache_directory('openvino') == folder
    first, _ = run(model)
    assert list(folder.glob('*/*.blob'))
    np.testing.assert_array_equal(run(model)[0], first)


def test_a_cache_folder_that_cannot_be_made_costs_only_time(model, tmp_path, monkeypatch):
    (tmp_path / 'minisegnet').write_text('a file in place of the folder')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    labels, notes = run(model)
    assert any('not kept' in note for note in notes)
    assert labels.shape == (16, 24)


def test_a_damaged_file_is_compiled_again(model, folder):
    """A power cut leaves files that are empty, truncated, or without their end."""
    expected, _ = run(model)
    (blob,) = folder.glob('*/*.blob')
    whole = blob.read_bytes()
    for damaged in (b'', whole[: len(whole) // 2], whole[:100_000] + bytes(len(whole) - 100_000), b'no network'):
        blob.unlink()
        blob.write_bytes(damaged)
        np.testing.assert_array_equal(run(model)[0], expected)
        # Not to the byte: the file holds names with numbers that OpenVINO counts up.
        assert blob.stat().st_size == pytest.approx(len(whole), abs=1000), 'it is complete again'


def test_the_engine_bounds_its_cache(model, folder, monkeypatch):
    monkeypatch.setattr('minisegnet_core.inference.engines.openvino.bound_cache', lambda f: bound_cache(f, 1))
    make_entry(folder, 'old', 100, 0)
    _, notes = run(model)
    assert not (folder / 'old').exists()
    assert len(names(folder)) == 1, 'the entry in use is kept'
    assert notes == ()


def test_a_cache_that_becomes_unusable_costs_only_time(model, folder, monkeypatch):
    from minisegnet_core.inference.engines import openvino as openvino_engine

    expected, _ = run(model)
    file = folder.parent / 'file'
    file.write_text('a file in place of the folder')
    monkeypatch.setattr(openvino_engine, 'cache_entry', lambda *_: file / 'entry')
    labels, notes = run(model)
    np.testing.assert_array_equal(labels, expected)
    assert 'compiled networks are not kept' in notes[-1]


def test_a_model_file_removed_after_opening_costs_only_the_cache(model, folder, tmp_path):
    from minisegnet_core.inference.engines.openvino import OpenVinoEngine
    from support.exported import random_image

    copy = tmp_path / 'copy.onnx'
    copy.write_bytes(model.read_bytes())
    engine = OpenVinoEngine(copy)
    copy.unlink()
    labels, _ = engine.infer(random_image(96, 64), 'rgb', (96, 64))
    assert labels.shape == (16, 24)
    assert 'compiled networks are not kept' in engine.notes[-1]


def test_openvino_is_loaded_without_its_converter_and_telemetry(model):
    """Importing them would leave files in ~/intel and send a message."""
    code = (
        'import sys\n'
        'from minisegnet_core.inference.engines import openvino as openvino_engine\n'
        'print(sorted(n for n in sys.modules if n.startswith(("openvino_telemetry", "openvino.tools"))))\n'
        'from openvino.tools.ovc import convert_model\n'  # it is still available
        'print(callable(convert_model))\n'
    )
    root = Path(__file__).resolve().parents[4]
    environment = {**os.environ, 'PYTHONPATH': str(root), 'CI': 'true'}  # no telemetry from this test
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split('\n')[:2] == ['[]', 'True'], done.stderr
