"""Splits by group, so that validation never sees a near neighbour of a training image.

A group is one recording occasion: a match, a venue, a sequence. The split of a group depends only on its name and
a seed. It stays the same when other groups are added, at every resolution and in every run.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.errors import ConfigurationError, DatasetError, listed

NEIGHBOUR_NS = 1_000_000_000
"""Nanoseconds. Frames of one recording that are closer in time than this look alike."""

MAX_LEAKS = 3
"""Number of leaks that one message lists."""


def split_of(group: str, val_fraction: float, test_fraction: float = 0.0, seed: int = 0) -> str:
    """Return the split of a group: ``train``, ``val`` or ``test``.

    Args:
        group: name of the group, or of the image if it has no group.
        val_fraction, test_fraction: expected fractions of the groups, 0..1; with few groups, the fractions of images
            may be far from them.
        seed: another seed draws other groups.

    Raises:
        ConfigurationError: the fractions are out of range.
    """
    if not (0 <= val_fraction <= 1 and 0 <= test_fraction <= 1 and val_fraction + test_fraction <= 1):
        raise ConfigurationError(
            f'validation fraction {val_fraction:g}, test fraction {test_fraction:g} and their sum must be 0..1'
        )
    # Python's own hash differs from run to run.
    digest = hashlib.sha256(f'{seed}/{group}'.encode()).digest()
    place = int.from_bytes(digest[:8], 'big') / 2**64
    return 'val' if place < val_fraction else 'test' if place < val_fraction + test_fraction else 'train'


def group_of(name: str, pattern: str | None) -> str | None:
    """Return the group that is part of an image's name.

    Args:
        pattern: regular expression whose first parentheses match the group; None if names contain no group.

    Raises:
        ConfigurationError: the pattern is not a regular expression, or has no parentheses.
        DatasetError: the pattern does not match the name.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f'group pattern {pattern!r} is not a regular expression: {error}') from error
    if compiled.groups < 1:
        raise ConfigurationError(f'group pattern {pattern!r} needs parentheses around the part that names the group')
    found = compiled.search(name)
    if found is None or found[1] is None:
        raise DatasetError(f'group pattern {pattern!r} does not match the image name {name!r}')
    return found[1]


def reject_leaks(dataset: Dataset, splits: Iterable[str]) -> None:
    """Reject near neighbours in different splits: images of one group, or frames close in time without a group.

    Raises:
        DatasetError: there are such images; the message names the first ones.
    """
    chosen = {name: dataset.splits.get(name, ()) for name in splits}
    shared = _shared_groups(chosen)
    if shared:
        raise DatasetError(
            f'{dataset.root} has {listed(shared, MAX_LEAKS, "; ")} in several splits, so validation would see training '
            'data; split it by group again with minisegnet import-dataset --format minisegnet'
        )
    near = _near_frames(chosen)
    if near:
        raise DatasetError(
            f'{dataset.root}: {listed(near, MAX_LEAKS, "; ")} are in different splits, less than '
            f'{NEIGHBOUR_NS / 1e9:g} s apart; give the frames of a recording one group in annotations.jsonl'
        )


def _shared_groups(splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    homes: dict[str, set[str]] = {}
    for split, samples in splits.items():
        for sample in samples:
            if sample.group is not None:
                homes.setdefault(sample.group, set()).add(split)
    return [f'group {group!r} ({", ".join(sorted(found))})' for group, found in homes.items() if len(found) > 1]


def _near_frames(splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    frames = sorted(
        (sample.stamp, split, sample.name)
        for split, samples in splits.items()
        for sample in samples
        if sample.stamp is not None and sample.group is None
    )
    return [
        f'{name} ({split}) and {next_name} ({next_split})'
        for (stamp, split, name), (next_stamp, next_split, next_name) in itertools.pairwise(frames)
        if split != next_split and next_stamp - stamp < NEIGHBOUR_NS
    ]
