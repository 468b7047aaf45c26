"""What this machine's processor can do, read from the operating system; nothing is measured here."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CPUINFO = Path('/proc/cpuinfo')
GPU_FILES = ('/proc/driver/nvidia/version', '/dev/nvhost-gpu')
"""One of these is there where an NVIDIA driver runs: desktops and servers, Jetsons."""


@dataclass(frozen=True)
class Processor:
    """A CPU. name: as its maker calls it; cores: that this process may use; features: the system's names of them."""

    name: str
    cores: int
    features: frozenset[str]

    @property
    def native_bfloat16(self) -> bool:
        """Whether it multiplies in bfloat16, so that bfloat16 is faster than float32; elsewhere it is emulated."""
        return not self.features.isdisjoint(('amx_bf16', 'avx512_bf16', 'bf16'))

    @property
    def int8_instructions(self) -> str:
        """The best instructions it has for products of bytes; empty where int8 is not known to be faster.

        AMX, VNNI and ARM's dot product accumulate four products at once. AVX2's pairs do so in two steps, still twice
        as fast as its float32.
        """
        for feature, name in (
            ('amx_int8', 'AMX'),
            ('avx512_vnni', 'AVX-512 VNNI'),
            ('avx_vnni', 'AVX VNNI'),
            ('avx2', 'AVX2'),
            ('i8mm', 'ARM i8mm'),
            ('asimddp', 'ARM dot product'),
        ):
            if feature in self.features:
                return name
        return ''

    @property
    def float_instructions(self) -> str:
        """The widest instructions it has for float32."""
        for feature, name in (('avx512f', 'AVX-512'), ('avx2', 'AVX2'), ('avx', 'AVX'), ('asimd', 'NEON')):
            if feature in self.features:
                return name
        return ''


@lru_cache(maxsize=1)
def processor() -> Processor:
    """This machine's."""
    text = CPUINFO.read_text(errors='replace') if CPUINFO.is_file() else ''
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(':')
        fields.setdefault(key.strip().lower(), value.strip())
    words = fields.get('flags') or fields.get('features') or ''
    name = fields.get('model name') or platform.processor() or platform.machine()
    return Processor(name, available_cores(), frozenset(words.split()))


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver runs here. Asked before a package that needs seconds to load is asked the same."""
    return any(Path(name).exists() for name in GPU_FILES)
