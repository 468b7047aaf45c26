"""Trainings in child processes, which can be killed at a chosen moment.

This is not a test module, because a child process must be able to import it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch

from minisegnet_core.commands.train import main
from minisegnet_core.training import allocator, hardware
from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.reporting import Silence
from minisegnet_core.training.trainer import train

BLOCK = 64 * 2**20


def in_child(work) -> int:
    """Run ``work()`` in a child process and return its exit status, negative for a signal."""
    child = start_child(work)
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def start_child(work) -> multiprocessing.Process:
    """Start ``work()`` in a child process.

    It is not forked from this process, in which other tests have left threads that a fork does not copy.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['minisegnet_core.training.trainer'])  # imports PyTorch once for all children
    child = context.Process(target=on_one_thread, args=(work,))
    child.start()
    return child


def on_one_thread(work) -> None:
    torch.set_num_threads(1)
    work()


class KillInStep(Silence):
    """Kills its own process in the middle of an epoch."""

    def __init__(self, step):
        self.step = step

    def epoch(self, name, steps):
        listener = self

        class Watch:
            def __enter__(self):
                def on_step(loss, rate):
                    listener.step -= 1
                    if listener.step < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

                return on_step

            def __exit__(self, *_):
                return False

        return Watch()


def kill_before_file(name: str) -> None:
    """Make this process die when a file of that name is written completely but does not have its name yet."""
    replace_file = Path.replace

    def replacing(self, target):
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace_file(self, target)

    Path.replace = replacing


def killed_before(name: str, config: TrainConfig) -> None:
    """Train, and die as :func:`kill_before_file` does."""
    kill_before_file(name)
    train(config, resume=True)


def train_by_command(arguments: list[str]) -> None:
    """Run ``minisegnet train`` and exit with its exit code."""
    sys.exit(main(arguments, 'train'))


def train_without_keeping_memory(config: TrainConfig) -> None:
    """Train with the C library's default handling of freed memory."""
    hardware.keep_freed_memory = lambda: False
    train(config)


def keep_and_return_memory() -> None:
    """Check that freed memory stays with this process until it is returned to the kernel."""
    assert allocator.keep_freed_memory()
    before = _resident_memory()
    block = torch.ones(BLOCK, dtype=torch.uint8)
    del block
    assert _resident_memory() - before > 0.9 * BLOCK
    allocator.give_freed_memory_back()
    assert _resident_memory() - before < 0.1 * BLOCK


def _resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096
