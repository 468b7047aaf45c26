"""The cache of decoded pixels: identical to decoding, made once, updated when sources change, never an obstacle."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip('PIL', reason='sizes are read from headers by Pillow, which comes with torchvision')

from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import DatasetError, ImageError
from minisegnet_core.imaging import write_image
from minisegnet_core.training.data import cache
from minisegnet_core.training.data.cache import cache_folder, open_cache
from minisegnet_core.training.data.reader import SampleReader


@pytest.fixture
def samples(tmp_path):
    random = np.random.default_rng(1)
    with DatasetWriter(tmp_path / 'data') as writer:
        for index, size in enumerate([(30, 41), (30, 41), (24, 32), (17, 19)]):
            image = random.integers(0, 256, (*size, 3)).astype(np.uint8)
            labels = random.integers(0, 4, size).astype(np.uint8)
            writer.add(f'n{index}', image, labels, split='train', extension='jpg' if index else 'png')
    return open_dataset(tmp_path / 'data').split('train')


class Watch:
    """Records which samples are decoded into the cache, and the messages."""

    def __init__(self):
        self.made, self.messages = [], []

    def open(self, samples, resolution, folder, limit_gb=1.0):
        self.made, self.messages = [], []
        return open_cache(
            samples, resolution, folder, limit_gb=limit_gb, progress=self.progress, message=self.messages.append
        )

    def progress(self, samples):
        self.made = [s.name for s in samples]
        return samples


@pytest.fixture
def watch():
    return Watch()


def the_file(folder, kind):
    """Return the only file of a kind."""
    (file,) = folder.glob(f'{kind}-*.bin')
    return file


def same_as_decoded(reader, samples):
    plain = SampleReader(reader.resolution)
    for sample in samples:
        np.testing.assert_array_equal(reader.image(sample), plain.image(sample))
        np.testing.assert_array_equal(reader.labels(sample), plain.labels(sample))
    return True


@pytest.mark.parametrize('resolution', ['half', 'full'])
def test_samples_are_cached_once_and_equal_to_decoding(samples, tmp_path, watch, resolution):
    reader = watch.open(samples, resolution, tmp_path / 'cache')
    assert watch.made == ['n0', 'n1', 'n2', 'n3']
    assert reader.cached == 4
    assert same_as_decoded(reader, samples)
    again = watch.open(samples, resolution, tmp_path / 'cache')
    assert (watch.made, watch.messages) == ([], [])
    assert same_as_decoded(pickle.loads(pickle.dumps(again)), samples)


def test_half_resolution_is_rounded_up_to_match_the_label_grid(samples, tmp_path, watch):
    reader = watch.open(samples, 'half', tmp_path / 'cache')
    assert reader.image(samples[0]).shape == (15, 21, 3)
    assert reader.labels(samples[0]).shape == (30, 41)  # labels are never shrunk
    assert reader.block == 8


def test_both_resolutions_share_the_labels(samples, tmp_path, watch):
    watch.open(samples, 'half', tmp_path / 'cache')
    before = the_file(tmp_path / 'cache', 'labels').stat().st_size
    reader = watch.open(samples, 'full', tmp_path / 'cache')
    assert watch.made == ['n0', 'n1', 'n2', 'n3']
    assert the_file(tmp_path / 'cache', 'labels').stat().st_size == before == 2 * 30 * 41 + 24 * 32 + 17 * 19
    assert same_as_decoded(reader, samples)


@pytest.mark.parametrize('which', ['image', 'label'])
def test_a_changed_source_is_cached_again(samples, tmp_path, watch, which):
    watch.open(samples, 'half', tmp_path / 'cache')
    if which == 'image':
        write_image(samples[1].image_path, np.zeros((20, 24, 3), np.uint8))
    cv2.imwrite(str(samples[1].label_path), np.ones((20, 24) if which == 'image' else (30, 41), np.uint8))
    os.utime(samples[1].label_path, ns=(1, 1))
    reader = watch.open(samples, 'half', tmp_path / 'cache')
    assert watch.made == ['n1']
    assert same_as_decoded(reader, samples)
    assert (reader.labels(samples[1]) == 1).all()


def test_outdated_pixels_do_not_accumulate(samples, tmp_path, watch):
    for time in range(8):
        for sample in samples:
            os.utime(sample.image_path, ns=(time + 1, time + 1))
        assert same_as_decoded(watch.open(samples, 'full', tmp_path / 'cache'), samples)
    pixels = 3 * (2 * 30 * 41 + 24 * 32 + 17 * 19)
    assert the_file(tmp_path / 'cache', 'full').stat().st_size <= 2 * pixels


@pytest.mark.parametrize('damage', ['half', 'labels', 'manifest', 'cut', 'line'])
def test_lost_and_damaged_files_are_replaced(samples, tmp_path, watch, damage):
    folder = tmp_path / 'cache'
    watch.open(samples, 'half', folder)
    if damage == 'cut':
        os.truncate(the_file(folder, 'half'), 100)
    elif damage == 'line':
        with (folder / 'manifest.jsonl').open('a') as file:
            file.write('["half", "n0", [1')
    elif damage == 'manifest':
        (folder / 'manifest.jsonl').unlink()
    else:
        the_file(folder, damage).unlink()
    reader = watch.open(samples, 'half', folder)
    assert bool(watch.made) is (damage != 'line')
    assert reader.cached == 4
    assert same_as_decoded(reader, samples)


def test_files_deleted_while_in_use_are_decoded_instead(samples, tmp_path, watch):
    reader = watch.open(samples, 'full', tmp_path / 'cache')
    os.truncate(the_file(tmp_path / 'cache', 'full'), 10)
    assert same_as_decoded(reader, samples)
    the_file(tmp_path / 'cache', 'labels').unlink()
    assert same_as_decoded(pickle.loads(pickle.dumps(reader)), samples)


@pytest.mark.parametrize('damage', ['folder', 'manifest', 'cut', 'changed'])
def test_another_run_never_replaces_the_pixels_that_this_one_reads(samples, tmp_path, watch, damage):
    """A worker that is forked later opens the files by name, and could read another image of the same size."""
    folder = tmp_path / 'cache'
    reader = watch.open(samples, 'full', folder)
    expected_images = [SampleReader('full').image(sample) for sample in samples]
    if damage == 'folder':
        shutil.rmtree(folder)
    elif damage == 'manifest':
        (folder / 'manifest.jsonl').unlink()
    elif damage == 'cut':
        os.truncate(the_file(folder, 'full'), 10)
    else:
        for sample in samples:
            os.utime(sample.image_path, ns=(1, 1))
    again = watch.open(samples[::-1], 'full', folder)
    assert again.cached == 4
    late = pickle.loads(pickle.dumps(reader))  # has no open file, like a new worker
    for sample, expected in zip(samples, expected_images, strict=True):
        np.testing.assert_array_equal(late.image(sample), expected)
    assert same_as_decoded(again, samples)
    assert len(list(folder.glob('*.bin'))) == 2


def test_an_interrupted_update_continues(samples, tmp_path, watch):
    def interrupted(samples):
        for index, sample in enumerate(samples):
            if index == 2:
                raise KeyboardInterrupt
            yield sample

    with pytest.raises(KeyboardInterrupt):
        open_cache(samples, 'half', tmp_path / 'cache', limit_gb=1, progress=interrupted)
    reader = watch.open(samples, 'half', tmp_path / 'cache')
    assert watch.made == ['n2', 'n3']
    assert same_as_decoded(reader, samples)


def test_a_limit_of_zero_caches_nothing(samples, tmp_path, watch):
    reader = watch.open(samples, 'half', tmp_path / 'cache', limit_gb=0)
    assert not (tmp_path / 'cache').exists()
    assert reader.cached == 0
    assert reader.image(samples[0]).shape == (15, 21, 3)


def test_samples_beyond_the_limit_are_decoded_and_reported(samples, tmp_path, watch):
    limit = (2 * 4 * 30 * 41 + 10) / 1e9  # two of the larger samples
    reader = watch.open(samples, 'full', tmp_path / 'cache', limit_gb=limit)
    assert watch.made == ['n0', 'n1']
    assert any('2 images are decoded each time' in text and 'the limit is' in text for text in watch.messages)
    assert same_as_decoded(reader, samples)


def test_too_little_disk_space_is_reported_before_anything_is_written(samples, tmp_path, watch, monkeypatch):
    monkeypatch.setattr(cache.shutil, 'disk_usage', lambda folder: type('usage', (), {'free': cache.RESERVE + 6000}))
    reader = watch.open(samples, 'full', tmp_path / 'cache')
    assert watch.made == ['n0']  # 4920 bytes
    assert any('the disk has too little space' in text for text in watch.messages)
    assert same_as_decoded(reader, samples)


def test_a_full_disk_is_reported_and_samples_are_decoded(samples, tmp_path, watch, monkeypatch):
    write, count = cache._write_at, [0]

    def full_after_two(*arguments):
        count[0] += 1
        if count[0] > 2:
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(*arguments)

    monkeypatch.setattr(cache, '_write_at', full_after_two)
    monkeypatch.setattr('minisegnet_core.parallel.available_cores', lambda: 1)  # one thread, so that the order is known
    reader = watch.open(samples, 'full', tmp_path / 'cache')
    assert any('is full' in text for text in watch.messages)
    assert reader.cached == 1
    assert same_as_decoded(reader, samples)


def test_a_folder_that_cannot_be_created_is_reported(samples, tmp_path, watch):
    (tmp_path / 'file').write_text('')
    reader = watch.open(samples, 'half', tmp_path / 'file' / 'cache')
    assert 'cannot cache images in' in watch.messages[0]
    assert same_as_decoded(reader, samples)


@pytest.mark.parametrize(
    ('damage', 'error', 'message'),
    [
        (lambda s: s.image_path.write_bytes(b'no image'), ImageError, r'n1\.jpg'),
        (lambda s: s.label_path.unlink(), DatasetError, r'n1\.png: No such file'),
        (lambda s: cv2.imwrite(str(s.label_path), np.zeros((5, 5), np.uint8)), DatasetError, r'n1\.png is 5x5'),
    ],
)
def test_damaged_sources_are_reported_by_name(samples, tmp_path, damage, error, message):
    damage(samples[1])
    with pytest.raises(error, match=message):
        open_cache(samples, 'half', tmp_path / 'cache', limit_gb=1)


def test_the_cache_is_beside_the_data_or_in_the_fallback(tmp_path, monkeypatch):
    assert cache_folder(tmp_path, tmp_path / 'run') == tmp_path / 'cache'
    monkeypatch.setattr(cache.os, 'access', lambda path, mode: False)
    assert cache_folder(tmp_path, tmp_path / 'run') == tmp_path / 'run'


def _open_and_count(samples, folder, results):
    made = []
    reader = open_cache(samples, 'full', folder, limit_gb=1, progress=lambda s: (made.extend(s), s)[1])
    results.put((len(made), same_as_decoded(reader, samples)))


def test_one_of_several_processes_decodes_for_all(samples, tmp_path):
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    processes = [context.Process(target=_open_and_count, args=(samples, tmp_path / 'cache', results)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = sorted(results.get(timeout=30)[0] for _ in processes)
    for process in processes:
        process.join()
    assert counts == [0, 0, 4]
    lines = [json.loads(line) for line in (tmp_path / 'cache/manifest.jsonl').read_text().splitlines()]
    assert len(lines) == 8
