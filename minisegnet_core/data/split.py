"""Splits by group, so that no near neighbour of a training image is validated on.

A group is what was seen in one go: a match, a venue, a sequence. Which split a group falls into depends on its name and
a seed alone, so it stays there when other groups are added, at every resolution and in every run.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from minisegnet_core.data.dataset import Dataset, Sample
from minisegnet_core.errors import ConfigurationError, DatasetError

NEIGHBOUR_NS = 1_000_000_000
"""Frames of one recording that are closer in time than this look alike."""


def split_of(group: str, val_share: float, test_share: float = 0.0, seed: int = 0) -> str:
    """The split of a group: ``train``, ``val`` or ``test``.

    Args:
        group: its name; of an image without a group, the image's.
        val_share, test_share: of the groups, 0..1 each; with few groups, the images' shares may be far from it.

    Raises:
        ConfigurationError: the shares are out of range.
    """
    if not (0 <= val_share <= 1 and 0 <= test_share <= 1 and val_share + test_share <= 1):
        raise ConfigurationError(f'val share {val_share} and test share {test_share} must be 0..1, and so their sum')
    # Python's own hash differs from run to run.
    digest = hashlib.sha256(f'{seed}/{group}'.encode()).digest()
    place = int.from_bytes(digest[:8], 'big') / 2**64
    return 'val' if place < val_share else 'test' if place < val_share + test_share else 'train'


def group_of(name: str, pattern: str | None) -> str | None:
    """The group that an image's name carries.

    Args:
        pattern: regular expression with one group in parentheses, searched in the name; None: names carry none.

    Raises:
        ConfigurationError: the pattern is none, or has no parentheses.
        DatasetError: it does not fit the name.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f'group pattern {pattern!r} is no regular expression: {error}') from error
    if compiled.groups < 1:
        raise ConfigurationError(f'group pattern {pattern!r} needs parentheses around the part that names the group')
    found = compiled.search(name)
    if found is None or found[1] is None:
        raise DatasetError(f'group pattern {pattern!r} does not fit the image name {name!r}')
    return found[1]


def reject_leaks(dataset: Dataset, splits: Iterable[str]) -> None:
    """Looks for near neighbours in different splits: images of one group, or frames close in time without any group.

    Raises:
        DatasetError: there are some; the text names them.
    """
    chosen = {name: dataset.splits.get(name, ()) for name in splits}
    shared = _shared_groups(chosen)
    if shared:
        raise DatasetError(
            f'{dataset.root}: {_listed(shared)} on both sides of the split, so validation would see what was trained '
            'on; give each group to one split: minisegnet import-dataset --format minisegnet splits anew'
        )
    near = _near_frames(chosen)
    if near:
        raise DatasetError(
            f'{dataset.root}: {_listed(near)} lie within {NEIGHBOUR_NS / 1e9:g} s of each other in different splits '
            'and look alike; give the frames of a recording a group (annotations.jsonl), and the group to one split'
        )


def _shared_groups(splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    homes: dict[str, set[str]] = {}
    for split, samples in splits.items():
        for sample in samples:
            if sample.group is not None:
                homes.setdefault(sample.group, set()).add(split)
    return [f'group {group!r} ({", ".join(sorted(where))})' for group, where in homes.items() if len(where) > 1]


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


def _listed(entries: Sequence[str], most: int = 3) -> str:
    rest = f' and {len(entries) - most} more' if len(entries) > most else ''
    return '; '.join(entries[:most]) + rest
