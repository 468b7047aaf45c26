"""Batches for training and validation: images at the stage's resolution with their truth on the label grid."""

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
from minisegnet_core.training.data.paste import BallPaste
from minisegnet_core.training.data.reading import SampleReader
from minisegnet_core.training.data.transforms import training_transform

Batch = tuple[Tensor, Tensor, Tensor]
"""images (N, 3, H, W) uint8, channels last in memory; targets (N, h, w) int64, 255 = ignore; indices (N,) int64."""

FULL = SampleReader('full')


class SegmentationDataset(Dataset[Batch]):
    """Samples as tensors, at one resolution.

    Args:
        samples: what to read.
        classes: of the label ids.
        reader: reads them at its resolution, from a cache where it has one.
        augment: random changes of each image with its labels, see :func:`training_transform`; None: none.
        seed: of the augmentation, with :attr:`epoch` and the sample's index: neither order nor number of workers
        matters.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: ClassSet,
        reader: SampleReader = FULL,
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
        """One sample: image (3, H, W), target (h, w), index ().

        Raises:
            ImageError, DatasetError: a file cannot be read, or holds ids that are no class's; the text names it.
        """
        image, labels = self.view(index)
        try:
            target = reduce_labels(labels.numpy(), self.classes, self.reader.block)
        except DatasetError as error:
            raise DatasetError(f'{self.samples[index].label_path}: {error}') from error
        return image, torch.from_numpy(target).long(), torch.tensor(index)

    def view(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) uint8 and labels (H', W') uint8 at full size, as the network is to see them this epoch."""
        sample = self.samples[index]
        image, labels = self.reader.image(sample), self.reader.labels(sample)
        if self.transform is None:
            return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)
        # A random state of its own, so that resuming or another number of workers repeats it exactly.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(((self.seed * 100_003 + self.epoch) * 1_000_003 + index) % 2**63)
            if self.paste is not None:
                image, labels = self.paste(image, labels)
            given = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels)
            changed, moved = self.transform(tv_tensors.Image(given[0]), tv_tensors.Mask(given[1]))
        return changed.as_subclass(Tensor), moved.as_subclass(Tensor)


def collate(batch: Sequence[Batch]) -> Batch:
    """Stacks samples; smaller ones are padded at right and bottom, their targets with ignore."""
    height = max(image.shape[1] for image, _, _ in batch)
    width = max(image.shape[2] for image, _, _ in batch)
    grid = -(-height // STRIDE), -(-width // STRIDE)
    # Channels last, as images come: then stacking moves whole rows, and the network need not reorder them.
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
    """Shuffled batches of one epoch; the order follows from the data set's seed and the epoch alone.

    The last, smaller batch is dropped: batch norm of a single small image says little.

    Args:
        batch_size: images of one step, of all processes together.
        images: how many are drawn for this epoch, none twice; 0: all.
        rank, world_size: this process, and how many there are. Each takes every ``world_size``-th image of each batch,
            so the processes together see the batches of one.

    Raises:
        ConfigurationError: there are more processes than images in a batch.
    """
    dataset.epoch = epoch
    generator = torch.Generator().manual_seed(dataset.seed * 100_003 + epoch)
    count = min(images or len(dataset), len(dataset))
    size = min(batch_size, count)
    if size < world_size:
        raise ConfigurationError(f'{world_size} processes cannot share a batch of {size} images; raise batch_size')
    order = torch.randperm(len(dataset), generator=generator)[:count].tolist()
    batches = [order[start : start + size][rank::world_size] for start in range(0, count - size + 1, size)]
    return _loader(dataset, batches, workers, generator)


def validation_loader(
    dataset: SegmentationDataset, batch_size: int, workers: int, *, rank: int = 0, world_size: int = 1
) -> DataLoader[Batch]:
    """All samples, unchanged, in their order but for their sizes: a batch has images of one size, as padding would
    count in what is judged, and differ with the neighbours.

    Args:
        rank, world_size: this process takes every ``world_size``-th sample, from ``rank`` on.
    """
    of_size: dict[tuple[int, int], list[int]] = {}
    for index in range(rank, len(dataset), world_size):
        of_size.setdefault(dataset.reader.size(dataset.samples[index]), []).append(index)
    batches = [
        same[start : start + batch_size] for same in of_size.values() for start in range(0, len(same), batch_size)
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
        generator=generator,  # else the loader would draw from, and so change, the global random state
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_one_thread,
    )


def _one_thread(worker: int) -> None:
    """The workers are the parallel part already. 1 instead of 0 would make OpenCV wait for ever for the threads of the
    parent process, if that had used any before the fork.
    """
    cv2.setNumThreads(0)
