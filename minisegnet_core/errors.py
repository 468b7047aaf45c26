"""Typed errors of the core.

Every message states what is wrong with which file or setting, and how to fix it. The core raises them. Only the
commands and the node print or log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_SHOWN = 60
"""Characters of a wrong value that a message shows."""


class MinisegnetError(Exception):
    """Base class of all errors that a user of the package can cause and fix."""


class ConfigurationError(MinisegnetError):
    """A setting is unknown, out of range, or contradicts another one."""


class ImageError(MinisegnetError):
    """An image is empty or truncated, or has an unknown encoding or the wrong shape or type."""


class EncodingError(ImageError):
    """The encoding of an image message is unknown, or holds no colour or brightness, such as depth."""


class ModelError(MinisegnetError):
    """A model file is missing, damaged, of another format, or cannot run on this machine."""


class SourceError(MinisegnetError):
    """A frame source (folder, video, bag) is missing, unreadable, or holds no images."""


class DamagedBagError(SourceError):
    """A bag is damaged, cut off, or has no index. ``reason`` is the report of its reader."""

    reason = ''


class DatasetError(MinisegnetError):
    """A data set on disk is incomplete or contradicts itself."""


class TrainingError(MinisegnetError):
    """A training cannot continue, for example because its loss is not finite. Files written so far are kept."""


class OutputError(MinisegnetError):
    """A file or folder cannot be written. What was there before is unchanged."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` if a known word is similar, else an empty text."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean {near[0]}?' if near else ''


def shortened(text: str, limit: int = MAX_SHOWN) -> str:
    """Return a text of at most ``limit`` characters, shortened in the middle if it is longer."""
    if len(text) <= limit:
        return text
    head = (limit - 3) // 2
    return f'{text[:head]}...{text[len(text) - (limit - 3 - head) :]}'


def listed(entries: Iterable[object], maximum: int = 5, separator: str = ', ') -> str:
    """Return the first ``maximum`` entries as a text, followed by the number of the others."""
    texts = [str(entry) for entry in entries]
    rest = f' and {len(texts) - maximum} more' if len(texts) > maximum else ''
    return separator.join(texts[:maximum]) + rest
