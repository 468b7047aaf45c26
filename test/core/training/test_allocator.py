"""Freed memory is kept while training: same results, forked processes do not pay, other systems are left alone."""

import ctypes
import platform
import sys
from functools import partial

import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.training import allocator, hardware
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.trainer import train
from support.processes import in_child
from support.shapes import tiny_training

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is another than glibc')
BLOCK = 64 * 2**20


def as_it_comes(config) -> None:
    hardware.keep_freed_memory = lambda: False
    train(config)


def test_a_training_gives_the_same_to_the_bit(shapes_dataset, tmp_path):
    off = StageConfig(epochs=0)
    kept, plain = (tiny_training(shapes_dataset, tmp_path / n, stage1=off, stage3=off) for n in ('kept', 'plain'))
    assert in_child(partial(train, kept)) == 0
    assert in_child(partial(as_it_comes, plain)) == 0
    one, two = (read_training_state(tmp_path / name / 'last.ckpt') for name in ('kept', 'plain'))
    assert one['rows'][0]['train_loss'] == two['rows'][0]['train_loss']
    assert all(torch.equal(one['model'][key], two['model'][key]) for key in one['model'])


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096


def keep_and_give_back() -> None:
    assert allocator.keep_freed_memory()
    before = resident()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    del block
    assert resident() - before > 0.9 * BLOCK  # what is freed stays, for the next one
    allocator.give_freed_memory_back()
    assert resident() - before < 0.1 * BLOCK


@needs_glibc
def test_freed_memory_is_kept_until_it_is_given_back():
    assert in_child(keep_and_give_back) == 0


class OtherLibrary:
    """A C library whose mallopt means something else."""

    def mallopt(self, *arguments):
        raise AssertionError('must not be called')

    malloc_trim = mallopt


@pytest.mark.parametrize('system', ['darwin', 'musl', 'no library'])
def test_elsewhere_nothing_happens(monkeypatch, system):
    def library(name):
        if system == 'no library':
            raise OSError('cannot be loaded')
        return OtherLibrary()

    monkeypatch.setattr(ctypes, 'CDLL', library)
    if system == 'darwin':
        monkeypatch.setattr(sys, 'platform', 'darwin')
    assert allocator.keep_freed_memory() is False
    allocator.give_freed_memory_back()
