"""Fine-tuning that forgets less: the weights that count lie between those before the training and those after it.

Averaging the two, tensor by tensor, keeps much of what was won and most of what would have been lost elsewhere:
Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (arXiv 2109.01903, section 3, WiSE-FT).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from minisegnet_core.model import MiniSegNet

State = dict[str, Tensor]


class Blend:
    """The weights of a network at its start, and their share in what is validated and kept.

    Args:
        model: as the training starts from it, unless ``start`` is given.
        keep: share of the starting weights, 0 (none: the trained weights as they are) to below 1.
        start: the starting weights of a resumed training.

    Attributes:
        start: for the training's state; empty where ``keep`` is 0.
    """

    def __init__(self, model: MiniSegNet, keep: float, start: State | None = None) -> None:
        self.model, self.keep = model, keep
        weights = start if start is not None else model.state_dict()
        self.start: State = {name: value.detach().cpu().clone() for name, value in weights.items()} if keep else {}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the blended weights and batch statistics; afterwards the trained ones, to the bit."""
        if not self.keep:
            yield
            return
        trained = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict({name: self._between(name, value) for name, value in trained.items()})
        try:
            yield
        finally:
            self.model.load_state_dict(trained)

    def _between(self, name: str, trained: Tensor) -> Tensor:
        if not trained.is_floating_point():  # counters of batches
            return trained
        return torch.lerp(trained, self.start[name].to(trained.device, trained.dtype), self.keep)
