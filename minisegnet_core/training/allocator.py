"""Reuse of freed memory by the C library, for training on a CPU.

Each step frees its activations and allocates the same sizes again. By default glibc maps every large block from the
kernel and returns it when it is freed, so each step pays for the page faults and the zeroing of gigabytes. With the
settings below, the speed of stage 1 rises from 8.4 to 10.2 images/s, of stage 2 from 3.4 to 4.4, of stage 3 from 0.84
to 1.15. Peak resident memory rises from 2.96 to 3.65 GB. Results are bit-identical. (Two cores of an AMD EPYC with
AVX2, 640x480 scenes, batches of 16, 16 and 8, steps without loading, 2026-11-23.)

Sources: mallopt(3), malloc_trim(3), and "Malloc Tunable Parameters" in the GNU C Library manual.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8

SETTINGS = {
    M_MMAP_MAX: 0,  # take large blocks from the heap, where they can be reused
    M_TRIM_THRESHOLD: -1,  # never return the end of the heap automatically
    M_ARENA_MAX: 1,  # heaps of other threads are too small for tensors and would hold memory of their own
}


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for reuse. Call it before the first large allocation.

    The settings hold for the whole process until it ends; forked processes inherit them.

    Returns:
        Whether the settings were made: False unless the C library is glibc.
    """
    libc = _glibc()
    return libc is not None and all(libc.mallopt(*setting) == 1 for setting in SETTINGS.items())


def give_freed_memory_back() -> None:
    """Return to the kernel the freed memory that :func:`keep_freed_memory` made this process keep.

    Call it before other processes are forked. They share their parent's memory until one of them writes to it.
    Free pages would be copied as soon as the parent reuses them, and the old pages would stay as long as the children
    live. The call costs the page faults of one step. Without glibc it does nothing.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith('linux'):
        return None
    try:
        libc = ctypes.CDLL(None)
    except OSError:
        return None
    # The mallopt of other C libraries may have other parameters.
    if not hasattr(libc, 'gnu_get_libc_version'):
        return None
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    return libc
