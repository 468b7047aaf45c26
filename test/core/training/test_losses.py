"""Losses agree with values computed by hand, and parts of a batch add up to the whole."""

import math

import pytest

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.classes import SOCCER
from minisegnet_core.training.config import LossConfig
from minisegnet_core.training.losses import SegmentationLoss, weights_from_fractions


def logits_of(probabilities) -> torch.Tensor:
    """Return (1, 4, h, w) logits whose softmax is the given (h, w, 4) probabilities."""
    return torch.tensor(probabilities, dtype=torch.float64).permute(2, 0, 1)[None].log().requires_grad_()


def targets_of(rows) -> torch.Tensor:
    return torch.tensor([rows])


PROBABILITIES = [[[0.7, 0.1, 0.1, 0.1], [0.4, 0.2, 0.2, 0.2]], [[0.1, 0.1, 0.2, 0.6], [0.25, 0.25, 0.25, 0.25]]]
TARGETS = [[0, 3], [3, 255]]


def test_cross_entropy_is_the_weighted_mean_over_valid_pixels():
    loss = SegmentationLoss(LossConfig(dice=0.0), SOCCER, [1.0, 3.0, 2.0, 0.5])
    logits = logits_of(PROBABILITIES)
    value = loss.double()(logits, targets_of(TARGETS))
    by_hand = -(1.0 * math.log(0.7) + 0.5 * math.log(0.2) + 0.5 * math.log(0.6)) / (1.0 + 0.5 + 0.5)
    assert value.item() == pytest.approx(by_hand, rel=1e-12)
    value.backward()
    # d/dlogit of -w log p_t / W is w (p - onehot) / W; the ignored pixel has none.
    assert logits.grad[0, :, 0, 0].tolist() == pytest.approx([(0.7 - 1) / 2, 0.1 / 2, 0.1 / 2, 0.1 / 2])
    assert logits.grad[0, :, 1, 1].tolist() == [0, 0, 0, 0]


def test_dice_is_the_mean_over_the_classes_that_an_image_shows():
    loss = SegmentationLoss(LossConfig(cross_entropy=0.0, dice=2.0), SOCCER)
    value = loss(logits_of(PROBABILITIES), targets_of(TARGETS))
    background = 2 * 0.7 / ((0.7 + 0.4 + 0.1) + 1)
    field = 2 * (0.2 + 0.6) / ((0.1 + 0.2 + 0.6) + 2)
    assert value.item() == pytest.approx(2.0 * ((1 - background) + (1 - field)) / 2, rel=1e-6)


def test_dice_of_a_perfect_prediction_is_zero():
    loss = SegmentationLoss(LossConfig(cross_entropy=0.0, dice=1.0), SOCCER)
    targets = torch.randint(0, 4, (2, 5, 6))
    logits = 1000.0 * torch.nn.functional.one_hot(targets, 4).permute(0, 3, 1, 2)
    assert loss(logits, targets).item() == pytest.approx(0, abs=1e-7)


def test_total_variation_counts_valid_neighbours_of_all_classes_except_the_line():
    loss = SegmentationLoss(LossConfig(dice=0.0, total_variation=1.0), SOCCER, [1.0, 1.0, 1.0, 1.0])
    logits, targets = logits_of(PROBABILITIES), targets_of(TARGETS)
    sums, weights = loss.double().sums(logits, targets), loss.weights(targets)
    across = abs(0.7 - 0.4) + abs(0.1 - 0.2) + abs(0.1 - 0.2)  # upper row only: the lower right pixel is ignored
    down = abs(0.7 - 0.1) + abs(0.1 - 0.1) + abs(0.1 - 0.6)
    assert sums[2].item() == pytest.approx(across + down)
    assert weights.tolist() == [3, 2, 2]


def test_parts_of_a_batch_add_up_to_the_whole():
    torch.manual_seed(0)
    loss = SegmentationLoss(LossConfig(1.0, 0.5, 0.25), SOCCER, [1.0, 3.0, 2.0, 1.0])
    logits, targets = torch.randn(5, 4, 6, 7), torch.randint(0, 4, (5, 6, 7))
    targets[torch.rand(targets.shape) < 0.3] = 255
    targets[3] = 255  # an image without valid labels
    weights = sum(loss.weights(part) for part in targets.split([2, 3]))
    parts = sum(
        loss.combine(loss.sums(x, y), weights) for x, y in zip(logits.split([2, 3]), targets.split([2, 3]), strict=True)
    )
    assert parts.item() == pytest.approx(loss(logits, targets).item(), rel=1e-6)
    reference = torch.nn.functional.cross_entropy(logits, targets, torch.tensor([1.0, 3.0, 2.0, 1.0]), ignore_index=255)
    assert loss.combine(loss.sums(logits, targets) * torch.tensor([1.0, 0, 0]), weights).item() == pytest.approx(
        reference.item(), rel=1e-6
    )


def test_a_batch_without_valid_labels_has_no_loss_and_no_gradient():
    loss = SegmentationLoss(LossConfig(1.0, 1.0, 1.0), SOCCER)
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    value = loss(logits, torch.full((1, 3, 3), 255))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


def test_an_absent_class_counts_as_the_class_drawn_in_its_place():
    loss = SegmentationLoss(LossConfig(1.0, 1.0, 0.0), SOCCER, absent={'ball': 'field'})
    targets = torch.full((1, 2, 2), 3)
    values = []
    for ball, field in ((0.0, 0.9), (0.4, 0.5), (0.9, 0.0)):
        logits = torch.tensor([0.05, ball, 0.05, field]).log().view(1, 4, 1, 1).expand(1, 4, 2, 2)
        values.append(loss(logits, targets).item())
    assert values[0] == pytest.approx(-math.log(0.9) + 1 - 2 * 3.6 / (3.6 + 4), rel=1e-5)
    assert values == pytest.approx([values[0]] * 3, rel=1e-5)
    logits = torch.zeros(1, 4, 2, 2, requires_grad=True)
    loss(logits, targets).backward()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(logits.grad[:, 1], logits.grad[:, 3])  # neither of the two is preferred


def test_class_weights_follow_from_class_fractions():
    weights = weights_from_fractions([0.5, 0.0, 0.02, 0.48])
    raw = [1 / math.log(1.52), 0, 1 / math.log(1.04), 1 / math.log(1.5)]
    assert weights == pytest.approx([1.0, 0.0, raw[2] / raw[0], raw[3] / raw[0]])
