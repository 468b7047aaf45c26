"""The processor's capabilities, read from the operating system."""

import os

import pytest

from minisegnet_core import processor as processor_module
from minisegnet_core.processor import Processor, available_cores, has_nvidia_gpu, processor


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """Return a function that replaces /proc/cpuinfo and returns the processor it describes."""
    monkeypatch.setattr(processor_module, 'CPUINFO', tmp_path / 'cpuinfo')

    def replace(text):
        (tmp_path / 'cpuinfo').write_text(text)
        processor.cache_clear()
        return processor()

    yield replace
    processor.cache_clear()


def test_an_x86_processor_is_described_by_its_first_core(cpuinfo):
    found = cpuinfo(
        'processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nflags\t\t: fpu avx avx2\n\nprocessor\t: 1\nmodel name\t: B\n'
    )
    assert (found.name, found.features) == ('A CPU @ 3 GHz', {'fpu', 'avx', 'avx2'})
    assert found.cores == available_cores()


def test_an_arm_processor_lists_its_features_under_another_name(cpuinfo):
    found = cpuinfo('processor\t: 0\nFeatures\t: fp asimd asimddp\n')
    assert found.features == {'fp', 'asimd', 'asimddp'}
    assert found.name


def test_a_system_without_cpuinfo_has_a_processor_without_features(monkeypatch, tmp_path):
    monkeypatch.setattr(processor_module, 'CPUINFO', tmp_path / 'none')
    processor.cache_clear()
    assert processor().features == set()
    processor.cache_clear()


@pytest.mark.parametrize(
    ('features', 'int8', 'floats', 'bfloat16'),
    [
        ('', '', '', False),
        ('avx', '', 'AVX', False),
        ('avx avx2', 'AVX2', 'AVX2', False),
        ('avx2 avx_vnni', 'AVX VNNI', 'AVX2', False),
        ('avx2 avx512f avx512_vnni avx512_bf16', 'AVX-512 VNNI', 'AVX-512', True),
        ('avx512f avx512_vnni amx_int8 amx_bf16', 'AMX', 'AVX-512', True),
        ('asimd asimddp', 'ARM dot product', 'NEON', False),
        ('asimd asimddp i8mm bf16', 'ARM i8mm', 'NEON', True),
    ],
)
def test_the_best_instructions_follow_from_the_features(features, int8, floats, bfloat16):
    cpu = Processor('a CPU', 2, frozenset(features.split()))
    assert (cpu.int8_instructions, cpu.float_instructions, cpu.native_bfloat16) == (int8, floats, bfloat16)


def test_only_the_cores_of_this_process_are_available(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {3, 5}, raising=False)
    assert available_cores() == 2


def test_an_nvidia_driver_is_recognized_by_its_files(monkeypatch, tmp_path):
    monkeypatch.setattr(processor_module, 'GPU_FILES', (str(tmp_path / 'version'), str(tmp_path / 'gpu')))
    assert not has_nvidia_gpu()
    (tmp_path / 'gpu').touch()
    assert has_nvidia_gpu()
