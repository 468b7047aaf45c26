"""Freed memory is kept while training, with identical results; other C libraries are not touched."""

import ctypes
import platform
import sys
from functools import partial

import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.checkpoint import read_training_state
from minisegnet_core.training import hardware
from minisegnet_core.training.config import StageConfig
from minisegnet_core.training.trainer import train
from support.processes import in_child, keep_and_return_memory, train_without_keeping_memory
from support.shapes import tiny_training

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='needs glibc')


def test_keeping_memory_does_not_change_the_result(shapes_dataset, tmp_path):
    off = StageConfig(epochs=0)
    kept, plain = (tiny_training(shapes_dataset, tmp_path / n, stage1=off, stage3=off) for n in ('kept', 'plain'))
    assert in_child(partial(train, kept)) == 0
    assert in_child(partial(train_without_keeping_memory, plain)) == 0
    one, two = (read_training_state(tmp_path / name / 'last.ckpt') for name in ('kept', 'plain'))
    assert one['rows'][0]['train_loss'] == two['rows'][0]['train_loss']
    assert all(torch.equal(one['model'][key], two['model'][key]) for key in one['model'])


@needs_glibc
def test_freed_memory_is_kept_until_it_is_returned():
    assert in_child(keep_and_return_memory) == 0


class OtherLibrary:
    """A C library whose mallopt has other parameters."""

    def mallopt(self, *arguments):
        raise AssertionError('must not be called')

    malloc_trim = mallopt


@pytest.mark.parametrize('system', ['darwin', 'musl', 'no library'])
def test_other_c_libraries_are_not_touched(monkeypatch, system):
    def library(name):
        if system == 'no library':
            raise OSError('cannot be loaded')
        return OtherLibrary()

    monkeypatch.setattr(ctypes, 'CDLL', library)
    if system == 'darwin':
        monkeypatch.setattr(sys, 'platform', 'darwin')
    assert hardware.keep_freed_memory() is False
    hardware.give_freed_memory_back()
