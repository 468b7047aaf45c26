"""Keeps the folder of compiled networks small: entries that were not used for the longest go first.

An engine's own cache only grows: each image size, precision and version adds a file of the network's size. Here every
compiled network gets a folder of its own, whose time says when it was last used. Several processes may share the cache
and start at once; nothing in it is ever an error, since it can be compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

LIMIT_BYTES = 512_000_000
"""Of all compiled networks of one engine together; a float32 network is 50 MB, an int8 one a quarter of that."""

IN_USE_SECONDS = 60.0
"""An entry is not removed so soon after its last use: a process may just be reading or writing it."""


def writable_folder(folder: Path) -> Path:
    """The folder, made if needed.

    Raises:
        OSError: it cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f'{folder} cannot be written')
    return folder


def cache_entry(folder: Path, *key: object) -> Path:
    """Folder of one compiled network, made if needed and marked as used now.

    Args:
        folder: of the engine.
        key: all that the compiled network depends on.

    Raises:
        OSError: it cannot be made or written.
    """
    entry = writable_folder(folder / hashlib.sha256(repr(key).encode()).hexdigest()[:24])
    os.utime(entry)
    return entry


def bound_cache(folder: Path, limit: int = LIMIT_BYTES) -> None:
    """Removes entries of the folder, the longest unused first, until the rest has at most ``limit`` bytes.

    Never raises: what another process removes at the same time, or what may not be removed, is passed over.
    """
    entries = []
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                entries.append((entry.lstat().st_mtime, entry, _size(entry)))
    total = sum(size for _, _, size in entries)
    newest_to_go = time.time() - IN_USE_SECONDS
    for used, entry, size in sorted(entries):
        if total <= limit:
            break
        if newest_to_go < used < newest_to_go + 2 * IN_USE_SECONDS:
            continue  # not the end: a robot without a clock battery starts in the past, and older entries lie ahead
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                entry.unlink()
        total -= size


def _size(entry: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if entry.is_symlink() or not entry.is_dir():
        return entry.lstat().st_size
    return sum(file.lstat().st_size for file in entry.rglob('*') if file.is_file())
