"""The learning rate as a pure function of the step (L. N. Smith, "Cyclical Learning Rates", sections 3.1 and 3.3)."""

from __future__ import annotations

from minisegnet_core.training.config import StageConfig

ONE_CYCLE_RISE = 0.3
"""Fraction of a one-cycle stage in which the rate rises."""


def learning_rate(stage: StageConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of an optimizer step.

    Args:
        stage: gives policy, lr, base_lr, epochs and cycle_epochs; lr must be a number.
        step: counted from 0 within the stage.
        steps_per_epoch: optimizer steps of one epoch, at least 1.
    """
    assert stage.lr != 'auto', 'a range test has replaced auto'
    if stage.policy == 'fixed':
        return stage.lr
    if stage.policy == 'triangular':
        cycle = stage.cycle_epochs * steps_per_epoch
        position = step % cycle / cycle  # 0 to 1 within the cycle
        height = 1 - abs(2 * position - 1)  # 0 at both ends, 1 in the middle
        return stage.base_lr + (stage.lr - stage.base_lr) * height
    position = step / max(1, stage.epochs * steps_per_epoch - 1)  # 0 to 1 within the stage
    if position < ONE_CYCLE_RISE:
        return stage.base_lr + (stage.lr - stage.base_lr) * position / ONE_CYCLE_RISE
    last = stage.base_lr / 10
    return stage.lr + (last - stage.lr) * (position - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE)
