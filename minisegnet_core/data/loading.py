"""Batches for training and validation: images at the stage's resolution with their truth on the label grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import tv_tensors

from minisegnet_core.classes import IGNORE, ClassSet
from minisegnet_core.data.dataset import Sample, read_image, read_labels
from minisegnet_core.data.reduction import reduce_labels
from minisegnet_core.data.transforms import training_transform
from minisegnet_core.geometry import STRIDE

Batch = tuple[Tensor, Tensor, Tensor]
"""images (N, 3, H, W) uint8; targets (N, h, w) int64, 255 = ignore; indices (N,) int64 into the samples."""


class SegmentationDataset(Dataset[Batch]):
    """Samples as tensors, at one resolution.

    Args:
        samples: what to read.
        classes: of the label ids.
        half_images: paths of the half-resolution images by name; None: full resolution.
        augment: apply :func:`training_transform`.
        seed: of the augmentation, with :attr:`epoch` and the sample's index: neither order nor number of workers
        matters.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: ClassSet,
        half_images: Mapping[str, Path] | None = None,
        *,
        augment: bool = False,
        seed: int = 0,
    ) -> None:
        self.samples = samples
        self.classes = classes
        self.half_images = half_images
        self.transform = training_transform() if augment else None
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        if self.half_images is None:
            image, labels = sample.read()
            block = STRIDE
        else:
            image = read_image(self.half_images[sample.name])
            labels = read_labels(sample.label_path)
            block = 2 * STRIDE
        pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        mask = tv_tensors.Mask(torch.from_numpy(labels))
        if self.transform is not None:
            # A random state of its own, so that resuming or another number of workers repeats it exactly.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(((self.seed * 100_003 + self.epoch) * 1_000_003 + index) % 2**63)
                pixels, mask = self.transform(pixels, mask)
        target = reduce_labels(mask.numpy(), self.classes, block)
        return pixels.as_subclass(Tensor), torch.from_numpy(target).long(), torch.tensor(index)


def collate(batch: Sequence[Batch]) -> Batch:
    """Stacks samples; smaller ones are padded at right and bottom, their targets with ignore."""
    height = max(image.shape[1] for image, _, _ in batch)
    width = max(image.shape[2] for image, _, _ in batch)
    grid = -(-height // STRIDE), -(-width // STRIDE)
    images = [functional.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i, _, _ in batch]
    targets = [functional.pad(t, (0, grid[1] - t.shape[1], 0, grid[0] - t.shape[0]), value=IGNORE) for _, t, _ in batch]
    return torch.stack(images), torch.stack(targets), torch.stack([index for _, _, index in batch])


def training_loader(
    dataset: SegmentationDataset, batch_size: int, workers: int, epoch: int, images: int = 0
) -> DataLoader[Batch]:
    """Shuffled batches of one epoch; the order follows from the data set's seed and the epoch alone.

    The last, smaller batch is dropped: batch norm of a single small image says little.

    Args:
        images: how many are drawn for this epoch, none twice; 0: all.
    """
    dataset.epoch = epoch
    generator = torch.Generator().manual_seed(dataset.seed * 100_003 + epoch)
    count = min(images or len(dataset), len(dataset))
    return DataLoader(
        dataset,
        batch_size=min(batch_size, count),
        sampler=RandomSampler(dataset, num_samples=count, generator=generator),
        drop_last=True,
        num_workers=workers,
        collate_fn=collate,
        generator=generator,
        pin_memory=torch.cuda.is_available(),
    )


def validation_loader(dataset: SegmentationDataset, batch_size: int, workers: int) -> DataLoader[Batch]:
    """All samples, in their order, unchanged."""
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, collate_fn=collate)
