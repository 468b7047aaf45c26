"""Trainings in processes of their own, which can be killed at a chosen moment.

They live here and not in a test module because a child process must be able to import them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import torch

from minisegnet_core.training.config import TrainConfig
from minisegnet_core.training.trainer import Silence, train


def in_child(work) -> int:
    """Runs ``work()`` in a process of its own; its exit status, negative for a signal."""
    child = begin_child(work)
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def begin_child(work) -> multiprocessing.Process:
    """Begins ``work()`` in a process of its own.

    Not a fork of this process: other tests have left threads of several engines in it, which no fork takes along.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['minisegnet_core.training.trainer'])  # PyTorch is imported once
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
    """From now on, this process dies when a file of that name is written but not yet in its place."""
    replace_file = Path.replace

    def replacing(self, target):
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace_file(self, target)

    Path.replace = replacing


def killed_before(name: str, config: TrainConfig) -> None:
    kill_before_file(name)
    train(config, resume=True)
