"""Batches for training and validation: images at the stage's resolution, ground truth on the label grid."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.errors import ConfigurationError, DatasetError
from minisegnet_core.geometry import STRIDE
from minisegnet_core.training.config import AugmentConfig
from minisegnet_core.training.data.augmentation import training_transform
from minisegnet_core.training.data.paste import BallPaste
from minisegnet_core.training.data.reader import SampleReader

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (N, 3, H, W) uint8, channels last in memory; targets (N, h, w) int64, 255 = ignore; indices (N,) int64."""

FULL_RESOLUTION = SampleReader('full')


class SegmentationDataset(Dataset[Batch]):
    """Samples as tensors, at one resolution.

    Args:
        samples: images of the data set; an index into them identifies an image of a batch.
        classes: of the label ids.
        reader: reads the samples at its resolution.
        augment: random changes of images and labels; None: none.
        seed: of the augmentation.

    Attributes:
        epoch: seeds the augmentation together with ``seed`` and the sample's index, so that neither the order of
            samples nor the number of workers matters.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: ClassSet,
        reader: SampleReader = FULL_RESOLUTION,
        *,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.samples = samples
        self.classes = classes
        self.reader = reader
        changes = augment if augment is not None and augment.enabled else None
        self.transform = training_transform(changes) if changes else None
        self.paste = BallPaste(samples, classes, reader, changes.paste) if changes and changes.paste else None
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample: image (3, H, W) uint8, target (h, w) int64, index () int64.

        Raises:
            ImageError, DatasetError: a file cannot be read, or holds ids that belong to no class.
        """
        image, labels = self.view(index)
        try:
            target = reduce_labels(labels.numpy(), self.classes, self.reader.block)
        except DatasetError as error:
            raise DatasetError(f'{self.samples[index].label_path}: {error}') from error
        return image, torch.from_numpy(target).long(), torch.tensor(index)

    def file_name(self, index: int) -> str:
        """Return the file name of an image, for messages."""
        return self.samples[index].image_path.name

    def view(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the augmented image (3, H, W) uint8 and its labels (H', W') uint8 at full size, for this epoch."""
        sample = self.samples[index]
        image, labels = self.reader.image(sample), self.reader.labels(sample)
        if self.transform is None:
            return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)
        # A random state for each sample and epoch: resuming, or another number of workers, repeats it exactly.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(((self.seed * 100_003 + self.epoch) * 1_000_003 + index) % 2**63)
            if self.paste is not None:
                image, labels = self.paste(image, labels)
            given = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)
            changed, moved = self.transform(tv_tensors.Image(given[0]), tv_tensors.Mask(given[1]))
        return changed.as_subclass(Tensor), moved.as_subclass(Tensor)


def collate(batch: Sequence[Batch]) -> Batch:
    """Stack samples to a batch. Smaller images are padded at right and bottom, their targets with ignore."""
    height = max(image.shape[1] for image, _, _ in batch)
    width = max(image.shape[2] for image, _, _ in batch)
    grid = -(-height // STRIDE), -(-width // STRIDE)
    # Images are decoded channels last; stacking them so copies whole rows, and the network need not reorder them.
    images = torch.stack(
        [
            functional.pad(image.permute(1, 2, 0), (0, 0, 0, width - image.shape[2], 0, height - image.shape[1]))
            for image, _, _ in batch
        ]
    )
    targets = [functional.pad(t, (0, grid[1] - t.shape[1], 0, grid[0] - t.shape[0]), value=IGNORE) for _, t, _ in batch]
    return images.permute(0, 3, 1, 2), torch.stack(targets), torch.stack([index for _, _, index in batch])


def training_loader(
    dataset: SegmentationDataset,
    batch_size: int,
    workers: int,
    epoch: int,
    images: int = 0,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Return shuffled batches of one epoch. The order depends on the data set's seed and the epoch alone.

    The last batch is dropped if it is smaller: the statistics of batch norm would be poor.

    Args:
        batch_size: images per optimizer step, summed over all processes.
        images: number of images drawn for this epoch without repetition; 0: all.
        rank, world_size: number of this process, number of processes. A process takes every ``world_size``-th image of
            each batch, so together they see the batches that a single process would see.

    Raises:
        ConfigurationError: there are more processes than images in a batch.
    """
    dataset.epoch = epoch
    generator = torch.Generator().manual_seed(dataset.seed * 100_003 + epoch)
    count = min(images or len(dataset), len(dataset))
    size = min(batch_size, count)
    if size < world_size:
        raise ConfigurationError(
            f'a batch of {size} images is too small for {world_size} processes; increase batch_size'
        )
    order = torch.randperm(len(dataset), generator=generator)[:count].tolist()
    batches = [order[start : start + size][rank::world_size] for start in range(0, count - size + 1, size)]
    return _loader(dataset, batches, workers, generator)


def validation_loader(
    dataset: SegmentationDataset, batch_size: int, workers: int, *, rank: int = 0, world_size: int = 1
) -> DataLoader[Batch]:
    """Return batches of all samples, unchanged, each batch with images of one size.

    Padding would change the scores, and depend on which images share a batch.

    Args:
        rank, world_size: this process takes every ``world_size``-th sample, starting with ``rank``.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for index in range(rank, len(dataset), world_size):
        by_size.setdefault(dataset.reader.size(dataset.samples[index]), []).append(index)
    batches = [
        same[start : start + batch_size] for same in by_size.values() for start in range(0, len(same), batch_size)
    ]
    return _loader(dataset, batches, workers, torch.Generator().manual_seed(0))


def _loader(
    dataset: SegmentationDataset, batches: list[list[int]], workers: int, generator: torch.Generator
) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        generator=generator,  # otherwise the loader draws from the global random state and so changes it
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_one_thread,
    )


def _one_thread(worker: int) -> None:
    """Make OpenCV work in one thread: the workers are parallel already.

    With 1 instead of 0, OpenCV would wait forever for threads that the parent process used before the fork.
    """
    cv2.setNumThreads(0)
