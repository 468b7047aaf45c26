"""A bounded cache of compiled networks on disk; the least recently used entries are removed first.

An engine's own cache only grows: each image size, precision and version adds a file of the network's size. Here every
compiled network has a folder whose modification time is its last use. Several processes may share the cache and start
at the same time. No state of the cache is an error, because a network can always be compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

LIMIT_BYTES = 512_000_000
"""Size of all compiled networks of one engine. A float32 network takes 50 MB, an int8 network a quarter of that."""

IN_USE_SECONDS = 60.0
"""Time after its last use in which an entry is kept, because a process may be reading or writing it."""


def cache_directory(engine: str) -> Path:
    """Return the folder where an engine keeps compiled networks.

    It is ``minisegnet/<engine>`` in the user's cache folder, as the XDG base directory specification defines it. It may
    be deleted at any time.
    """
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'minisegnet' / engine


def writable_folder(folder: Path) -> Path:
    """Return the folder after creating it if necessary.

    Raises:
        OSError: it cannot be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f'{folder} cannot be written')
    return folder


def cache_entry(folder: Path, *key: object) -> Path:
    """Return the folder of one compiled network, created if necessary and marked as used now.

    Args:
        folder: cache of the engine.
        key: everything that the compiled network depends on.

    Raises:
        OSError: it cannot be created or written.
    """
    entry = writable_folder(folder / hashlib.sha256(repr(key).encode()).hexdigest()[:24])
    os.utime(entry)
    return entry


def bound_cache(folder: Path, limit: int = LIMIT_BYTES) -> None:
    """Remove the least recently used entries until at most ``limit`` bytes remain.

    Never raises. Entries that another process removes at the same time, or that cannot be removed, are skipped.
    """
    entries = []
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                entries.append((entry.lstat().st_mtime, entry, _size(entry)))
    total = sum(size for _, _, size in entries)
    in_use_since = time.time() - IN_USE_SECONDS
    for used, entry, size in sorted(entries):
        if total <= limit:
            break
        if in_use_since < used < in_use_since + 2 * IN_USE_SECONDS:
            # Later entries may still be removable: on a robot without a clock battery, old entries have future times.
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                entry.unlink()
        total -= size


def _size(entry: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if entry.is_symlink() or not entry.is_dir():
        return entry.lstat().st_size
    return sum(file.lstat().st_size for file in entry.rglob('*') if file.is_file())
