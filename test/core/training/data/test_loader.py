"""Batches do not depend on workers and processes; targets are reduced from augmented full-size labels."""

from dataclasses import replace
from itertools import chain

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.classes import SOCCER
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.imaging import write_image
from minisegnet_core.training.config import AugmentConfig
from minisegnet_core.training.data.cache import open_cache
from minisegnet_core.training.data.loader import SegmentationDataset, training_loader, validation_loader
from minisegnet_core.training.data.reader import SampleReader
from minisegnet_core.training.data.sample_sheet import augmented_samples_sheet


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp('loading')
    random = np.random.default_rng(0)
    with DatasetWriter(path) as writer:
        for index in range(11):
            labels = random.integers(0, 4, (9, 12)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            image = random.integers(0, 256, (72, 96, 3)).astype(np.uint8)
            writer.add(f'{index:02}', image, labels, split='train', extension='png')
    return path


@pytest.fixture(scope='module')
def samples(root):
    return open_dataset(root).split('train')


def dataset(samples, resolution='half', **settings):
    return SegmentationDataset(samples, SOCCER, SampleReader(resolution), **settings)


def indices(loader):
    return [batch[2].tolist() for batch in loader]


@pytest.mark.parametrize(('resolution', 'shape', 'block'), [('half', (3, 36, 48), 8), ('full', (3, 72, 96), 4)])
def test_targets_are_reduced_from_augmented_full_size_labels(samples, resolution, shape, block):
    data = dataset(samples, resolution, augment=AugmentConfig(geometry=1.0), seed=4)
    for index in range(4):
        image, target, number = data[index]
        _, labels = data.view(index)
        assert image.shape == shape
        assert labels.shape == (72, 96)
        np.testing.assert_array_equal(target.numpy(), reduce_labels(labels.numpy(), block=block))
        assert target.shape == (shape[1] // 4, shape[2] // 4)
        assert number == index


def test_batches_do_not_depend_on_the_number_of_workers(samples):
    batches = []
    for workers in (0, 1, 2):
        data = dataset(samples, augment=AugmentConfig(), seed=1)
        batches.append(list(training_loader(data, 4, workers, epoch=3)))
    for other in batches[1:]:
        for first, second in zip(batches[0], other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_workers_start_after_opencv_used_its_threads(samples):
    # cv2.setNumThreads(1) in a forked worker would wait forever for the threads of the parent.
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.GaussianBlur(np.zeros((1080, 1920, 3), np.uint8), (0, 0), 3)
        loader = training_loader(dataset(samples, augment=AugmentConfig()), 4, 1, 0)
        loader.timeout = 30
        assert len(list(loader)) == 2
    finally:
        cv2.setNumThreads(threads)


def test_epochs_and_seeds_differ_and_are_reproducible(samples):
    def images(seed, epoch):
        data = dataset(samples, augment=AugmentConfig(), seed=seed)
        return torch.cat([batch[0] for batch in training_loader(data, 4, 0, epoch)])

    assert torch.equal(images(0, 0), images(0, 0))
    assert not torch.equal(images(0, 0), images(0, 1))
    assert not torch.equal(images(0, 0), images(1, 0))


def test_the_cache_does_not_change_batches(samples, tmp_path):
    reader = open_cache(samples, 'half', tmp_path, limit_gb=1)
    cached = SegmentationDataset(samples, SOCCER, reader, seed=1)
    plain = dataset(samples, seed=1)
    for first, second in zip(training_loader(cached, 3, 0, 0), training_loader(plain, 3, 0, 0), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize('world_size', [2, 3])
def test_processes_share_each_global_batch(samples, world_size):
    whole = indices(training_loader(dataset(samples, seed=5), 5, 0, 2))
    parts = [
        indices(training_loader(dataset(samples, seed=5), 5, 0, 2, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len(whole) == 2  # of 11 images, the last is dropped
    for step, batch in enumerate(whole):
        for rank in range(world_size):
            assert parts[rank][step] == batch[rank::world_size]


def test_more_processes_than_images_in_a_batch_are_refused(samples):
    with pytest.raises(ConfigurationError, match='a batch of 3 images is too small for 4 processes'):
        training_loader(dataset(samples), 3, 0, 0, world_size=4)


def test_each_epoch_draws_other_images_without_repetition(samples):
    data = dataset(samples)
    drawn = [[*chain(*indices(training_loader(data, 3, 0, epoch, images=6)))] for epoch in range(4)]
    assert all(len(set(epoch)) == 6 for epoch in drawn)
    assert len({tuple(sorted(epoch)) for epoch in drawn}) > 1


def test_validation_uses_all_images_in_order_and_unchanged(samples):
    data = dataset(samples)
    assert indices(validation_loader(data, 4, 0)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert indices(validation_loader(data, 4, 0, rank=1, world_size=2)) == [[1, 3, 5, 7], [9]]
    image, _, _ = data[2]
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), SampleReader('half').image(samples[2]))


@pytest.mark.parametrize('resolution', ['half', 'full'])
@pytest.mark.parametrize('cached', [False, True])
def test_validation_batches_have_images_of_one_size(tmp_path, resolution, cached):
    sizes = [(64, 80), (66, 72), (64, 80), (66, 72), (64, 80), (80, 64)]
    with DatasetWriter(tmp_path / 'data') as writer:
        for index, size in enumerate(sizes):
            writer.add(f'{index}', np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), split='val')
    mixed = open_dataset(tmp_path / 'data').split('val')
    reader = SampleReader(resolution)
    if cached:
        reader = open_cache(mixed, resolution, tmp_path / 'cache', limit_gb=1)
    data = SegmentationDataset(mixed, SOCCER, reader)
    batches = list(validation_loader(data, 2, 0))
    assert [indices.tolist() for _, _, indices in batches] == [[0, 2], [4], [1, 3], [5]]
    scale = 2 if resolution == 'half' else 1
    for images, _, numbers in batches:
        assert all(images.shape[2:] == tuple(side // scale for side in sizes[n]) for n in numbers.tolist())


def test_the_global_random_state_does_not_change(samples):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    list(training_loader(dataset(samples, augment=AugmentConfig()), 4, 0, 0))
    list(training_loader(dataset(samples, augment=AugmentConfig()), 4, 1, 0))
    list(validation_loader(dataset(samples), 4, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_channels_last_and_padded_with_ignore(tmp_path):
    with DatasetWriter(tmp_path) as writer:
        for name, (height, width) in {'a': (64, 80), 'b': (66, 72)}.items():
            image = np.full((height, width, 3), 9, np.uint8)
            writer.add(name, image, np.full((height, width), 3, np.uint8), split='train', extension='png')
    data = dataset(open_dataset(tmp_path).split('train'), 'full')
    images, targets, order = next(iter(training_loader(data, 2, 0, 0)))
    first = order.argsort()
    images, targets = images[first].contiguous(memory_format=torch.channels_last), targets[first]
    assert images.shape == (2, 3, 66, 80)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert targets.shape == (2, 17, 20)
    assert (images[1, :, :, 72:] == 0).all()
    assert (targets[1, :, 18:] == 255).all()
    assert (targets[0, 16] == 255).all()
    assert (targets[0, :16] == 3).all()


def test_unknown_label_ids_are_reported_with_the_file(root, tmp_path, samples):
    bad = tmp_path / 'bad.png'
    write_image(bad, np.full((72, 96), 9, np.uint8))
    with pytest.raises(DatasetError, match=r'bad\.png: label ids \[9\]'):
        dataset([replace(samples[0], label_path=bad)])[0]


def test_the_sample_sheet_shows_rows_of_variants_and_does_not_change_the_data_set(samples):
    data = dataset(samples, augment=AugmentConfig(), seed=2)
    data.epoch = 7
    sheet = augmented_samples_sheet(data, data.classes, 3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (3 * (180 + 18 + 4) + 4, 5 * (480 + 4) + 4, 3)
    assert data.epoch == 7
    assert data.transform is not None
    np.testing.assert_array_equal(sheet, augmented_samples_sheet(data, data.classes, 3))
