"""Capabilities of this machine's processor, as the operating system reports them; nothing is measured here."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CPUINFO = Path('/proc/cpuinfo')
GPU_FILES = ('/proc/driver/nvidia/version', '/dev/nvhost-gpu')
"""At least one exists where an NVIDIA driver is loaded: the first on desktops and servers, the second on Jetsons."""

BFLOAT16_FEATURES = ('amx_bf16', 'avx512_bf16', 'bf16')

INT8_INSTRUCTIONS = {
    'amx_int8': 'AMX',
    'avx512_vnni': 'AVX-512 VNNI',
    'avx_vnni': 'AVX VNNI',
    'avx2': 'AVX2',
    'i8mm': 'ARM i8mm',
    'asimddp': 'ARM dot product',
}
"""CPU feature to instruction set for 8-bit products, the fastest first.

AMX, VNNI and ARM's dot product accumulate four products in one step. AVX2 takes two steps, and is still twice as fast
as its own float32.
"""

FLOAT_INSTRUCTIONS = {'avx512f': 'AVX-512', 'avx2': 'AVX2', 'avx': 'AVX', 'asimd': 'NEON'}
"""CPU feature to instruction set for float32, the widest first."""


@dataclass(frozen=True)
class Processor:
    """A CPU.

    Attributes:
        name: the vendor's name.
        cores: number of cores that this process may use.
        features: feature flags, under the operating system's names.
    """

    name: str
    cores: int
    features: frozenset[str]

    @property
    def native_bfloat16(self) -> bool:
        """Whether the CPU multiplies in bfloat16, which is then faster than float32; elsewhere it is emulated."""
        return not self.features.isdisjoint(BFLOAT16_FEATURES)

    @property
    def int8_instructions(self) -> str:
        """Fastest instruction set for 8-bit products; empty where int8 is not known to be faster than float32."""
        return self._first(INT8_INSTRUCTIONS)

    @property
    def float_instructions(self) -> str:
        """Widest instruction set for float32; empty where none is known."""
        return self._first(FLOAT_INSTRUCTIONS)

    def _first(self, instructions: dict[str, str]) -> str:
        return next((name for feature, name in instructions.items() if feature in self.features), '')


@lru_cache(maxsize=1)
def processor() -> Processor:
    """Return this machine's processor."""
    text = CPUINFO.read_text(errors='replace') if CPUINFO.is_file() else ''
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(':')
        fields.setdefault(key.strip().lower(), value.strip())
    features = fields.get('flags') or fields.get('features') or ''
    name = fields.get('model name') or platform.processor() or platform.machine()
    return Processor(name, available_cores(), frozenset(features.split()))


def available_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def has_nvidia_gpu() -> bool:
    """Return whether an NVIDIA driver is loaded. The check is instant; importing a GPU package takes seconds."""
    return any(Path(name).exists() for name in GPU_FILES)
