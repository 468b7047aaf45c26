"""The training loss: weighted cross-entropy, soft Dice and total variation, each a mean over the entries it counts.

Every term is a sum over pixels, classes or neighbours, divided by a weight that depends on the ground truth alone. The
weights of a whole optimizer batch are therefore known before its first part is computed. The losses of parts that are
computed in sequence, or by several processes, add up to the loss of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from minisegnet_core.classes import IGNORE, LINE, ClassSet
from minisegnet_core.training.config import LossConfig

ENET_CONSTANT = 1.02
"""Bounds the weights of :func:`weights_from_fractions`: even a class with hardly any pixels weighs at most 50."""


class SegmentationLoss(nn.Module):
    """Weighted sum of the terms of :class:`LossConfig`.

    - Cross-entropy: mean over valid label pixels, weighted by class.
    - Soft Dice (Milletari et al., "V-Net", arXiv 1606.04797, with plain sums in the denominator): one minus
      2 |P T| / (|P| + |T|), mean over the pairs of image and class in which the ground truth shows the class.
    - Total variation: absolute differences of the probabilities of neighbouring label pixels, summed over all classes
      except the line, mean over pairs of valid neighbours. It favours compact regions over speckles; lines are thin, so
      they are left out.

    The ground truth cannot judge classes that it never shows (``absent``). The probability of such a class is added to
    that of the class which is drawn in its place.

    Args:
        config: weight of each term.
        classes: channels of the logits.
        class_weights: one for each class, for the cross-entropy; None: 1 each.
        absent: names of classes that the ground truth never shows, and the classes drawn in their place.
    """

    class_weights: Tensor

    def __init__(
        self,
        config: LossConfig,
        classes: ClassSet,
        class_weights: Sequence[float] | None = None,
        absent: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        weights = torch.tensor(class_weights or [1.0] * len(classes), dtype=torch.float32)
        self.register_buffer('class_weights', weights)
        self.merged = [(classes.names.index(a), classes.names.index(b)) for a, b in (absent or {}).items()]
        self.blobs = [index for index, name in enumerate(classes.names) if name != LINE]

    def weights(self, targets: Tensor) -> Tensor:
        """Return (3,) float64: the divisors of the three sums. The weights of the parts of a batch add up.

        Args:
            targets: (N, h, w) int64 ids, 255 = ignore.
        """
        valid = targets != IGNORE
        counts = torch.bincount(targets[valid], minlength=len(self.class_weights))  # (C,)
        shown = _one_hot(targets, len(self.class_weights)).flatten(2).any(2)  # (N, C)
        across, down = _valid_pairs(valid)
        weighted = counts.double() @ self.class_weights.double()
        return torch.stack((weighted, shown.sum().double(), (across.sum() + down.sum()).double()))

    def sums(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return (3,) sums of cross-entropy, Dice and total variation; zero for terms that are left out.

        Args:
            logits: (N, C, h, w) float.
            targets: (N, h, w) int64 ids, 255 = ignore.
        """
        logits = self._merge_absent(logits)
        zero = logits.new_zeros(())
        cross_entropy = dice = total_variation = zero
        if self.config.cross_entropy:
            cross_entropy = functional.cross_entropy(
                logits, targets, self.class_weights, ignore_index=IGNORE, reduction='sum'
            )
        if self.config.dice or self.config.total_variation:
            probabilities = logits.softmax(1)  # (N, C, h, w)
            if self.config.dice:
                dice = _dice(probabilities, targets)
            if self.config.total_variation:
                total_variation = _total_variation(probabilities[:, self.blobs], targets != IGNORE)
        return torch.stack((cross_entropy, dice, total_variation))

    def combine(self, sums: Tensor, weights: Tensor) -> Tensor:
        """Return the loss, from the (3,) sums and the (3,) weights of the whole optimizer batch."""
        factors = sums.new_tensor([self.config.cross_entropy, self.config.dice, self.config.total_variation])
        # Where no pixel is valid, the sums are zero too.
        return (factors * sums / weights.to(sums.dtype).clamp_min(1e-12)).sum()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch that is the whole optimizer batch."""
        return self.combine(self.sums(logits, targets), self.weights(targets))

    def _merge_absent(self, logits: Tensor) -> Tensor:
        if not self.merged:
            return logits
        channels = list(logits.unbind(1))
        for absent, instead in self.merged:
            channels[instead] = torch.logaddexp(channels[instead], channels[absent])
            channels[absent] = torch.full_like(channels[absent], -math.inf)
        return torch.stack(channels, 1)


def _one_hot(targets: Tensor, classes: int) -> Tensor:
    """Return (N, C, h, w) bool; ignored pixels belong to no class."""
    return targets.unsqueeze(1) == torch.arange(classes, device=targets.device).view(1, -1, 1, 1)


def _dice(probabilities: Tensor, targets: Tensor) -> Tensor:
    truth = _one_hot(targets, probabilities.shape[1])  # (N, C, h, w)
    valid = (targets != IGNORE).unsqueeze(1)
    common = (probabilities * truth).sum((2, 3))  # (N, C)
    both = (probabilities * valid).sum((2, 3)) + truth.sum((2, 3))
    # At least 1 where the ground truth shows the class; elsewhere the clamp keeps 0 / 0 out of the gradient.
    return (1 - 2 * common / both.clamp_min(0.5))[truth.flatten(2).any(2)].sum()


def _total_variation(probabilities: Tensor, valid: Tensor) -> Tensor:
    across, down = _valid_pairs(valid)
    horizontal = (probabilities[..., 1:] - probabilities[..., :-1]).abs().sum(1)  # (N, h, w - 1)
    vertical = (probabilities[..., 1:, :] - probabilities[..., :-1, :]).abs().sum(1)  # (N, h - 1, w)
    return (horizontal * across).sum() + (vertical * down).sum()


def _valid_pairs(valid: Tensor) -> tuple[Tensor, Tensor]:
    return valid[:, :, 1:] & valid[:, :, :-1], valid[:, 1:] & valid[:, :-1]


def weights_from_fractions(fractions: Sequence[float]) -> list[float]:
    """Return class weights from the classes' fractions of the ground truth, scaled so that the smallest is 1.

    The weight is 1 / ln(1.02 + fraction), as in Paszke et al., "ENet" (arXiv 1606.02147, section 5.1). Unlike median
    frequency balancing it stays moderate for the ball, which covers few pixels. Classes that never occur get 0.
    """
    raw = [1 / math.log(ENET_CONSTANT + fraction) if fraction > 0 else 0.0 for fraction in fractions]
    smallest = min((weight for weight in raw if weight), default=1.0)
    return [weight / smallest for weight in raw]
