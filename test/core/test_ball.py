"""Detection of balls in probability maps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet_core.ball import Ball, find_balls, relabel_stray_balls


def coverage(x, y, radius, size=(60, 80), samples=8):
    """Return the (h, w) fraction of each label pixel's 4x4 block that a disc covers; the disc is in received pixels."""
    h, w = size
    offsets = (np.arange(4 * samples) + 0.5) / samples - 0.5
    xs = (4 * np.arange(w)[:, None] + offsets).ravel()
    ys = (4 * np.arange(h)[:, None] + offsets).ravel()
    inside = (xs[None] - x) ** 2 + (ys[:, None] - y) ** 2 <= radius**2
    return inside.reshape(h, 4 * samples, w, 4 * samples).mean((1, 3)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.floats(60, 250), st.floats(60, 170), st.floats(6, 40))
def test_a_disc_is_found_to_a_fraction_of_a_label_pixel(x, y, radius):
    (ball,) = find_balls(coverage(x, y, radius))
    assert math.hypot(ball.x - x, ball.y - y) < 0.35
    assert ball.radius == pytest.approx(radius, rel=0.04)
    area = math.pi * (radius / 4) ** 2
    assert ball.confidence * (area + 2) / area == pytest.approx(1, abs=7 / radius**2)  # the grid blurs small balls


def test_the_centroid_radius_and_confidence_follow_the_definition():
    probability = np.zeros((10, 10), np.float32)
    probability[4, 4:6] = 0.75, 0.25
    (ball,) = find_balls(probability, minimum_confidence=0)
    # The second pixel is below the threshold, but in the rim: label x is 4.25, and 4 * 4.25 + 1.5 = 18.5.
    assert (ball.x, ball.y) == (18.5, 17.5)
    assert ball.radius == pytest.approx(4 / math.sqrt(math.pi))
    # The highest probability is 0.75. The area 1 has a mean square distance of 0.75 * 0.25, and a size factor of 1/3.
    assert ball.confidence == pytest.approx(0.75 / (2 * math.pi * 0.1875) / 3)


def test_lines_half_discs_and_faint_clouds_are_less_round_than_discs():
    line = np.zeros((20, 20), np.float32)
    line[10, 4:14] = 1
    (found,) = find_balls(line, minimum_confidence=0)
    assert found.confidence == pytest.approx(10 / (2 * math.pi * (10 * 10 - 1) / 12) * 10 / 12)
    assert find_balls(line) == ()
    half = coverage(160, 120, 40)
    half[:30] = 0
    (found,) = find_balls(half)
    expected = 0.25 / (0.5 - (4 / (3 * math.pi)) ** 2) * half.sum() / (half.sum() + 2)
    assert found.confidence == pytest.approx(expected, abs=0.02)
    cloud = np.full((20, 20), 0.55, np.float32)  # a square's roundness is 3 / pi
    (found,) = find_balls(cloud, minimum_confidence=0)
    assert found.confidence == pytest.approx(0.55 * 0.55 * 3 / math.pi * 220 / 222, rel=0.01)
    assert find_balls(cloud) == ()


def test_a_round_blob_comes_before_a_larger_angular_one():
    probability = coverage(60, 60, 20)
    probability[30:50, 40:70] = 0.99
    first, second = find_balls(probability)
    assert (first.x, first.y) == pytest.approx((60, 60), abs=0.5) and second.radius > 2 * first.radius


def test_the_best_blob_comes_first_and_specks_are_left_out():
    probability = np.zeros((40, 40), np.float32)
    probability[5:8, 5:8] = 0.9
    probability[20:30, 20:30] = 0.8
    probability[35, 2] = 0.95
    balls = find_balls(probability)
    # A square of n pixels has a mean square distance of (n - 1) / 6: 9 * 0.9 / (2 pi 8 / 6) and 80 / (2 pi 99 / 6). The
    # third blob, of one pixel, has a confidence of 0.95 * 0.95 / 2.95.
    assert [b.confidence for b in balls] == pytest.approx(
        [0.9 * 0.96688 * 8.1 / 10.1, 0.8 * 0.77167 * 80 / 82], rel=1e-4
    )
    assert len(find_balls(probability, max_balls=1)) == 1


def test_a_blob_below_the_minimum_confidence_is_not_a_ball():
    probability = np.zeros((40, 40), np.float32)
    probability[5:8, 5:8] = 0.9
    (ball,) = find_balls(probability)
    assert find_balls(probability, minimum_confidence=ball.confidence - 1e-6) == (ball,)
    assert find_balls(probability, minimum_confidence=ball.confidence + 1e-6) == ()


def test_a_neighbouring_blob_does_not_move_the_centroid():
    probability = np.zeros((20, 20), np.float32)
    probability[5:9, 5:9] = 1
    alone = find_balls(probability)[0]
    probability[5:9, 10:12] = 1
    assert find_balls(probability)[0] == alone


def test_ball_labels_without_a_ball_take_the_next_class():
    probabilities = np.zeros((4, 30, 40), np.float32)
    probabilities[1] = coverage(60, 60, 16, (30, 40))  # round: a ball
    probabilities[1, 25, 5:25] = 0.9  # long: not a ball
    probabilities[1, 2, 30] = 0.45  # most probable, but below the threshold
    probabilities[1, 15, 19] = 0.4  # touches the ball and belongs to it, below the threshold
    probabilities[2, 25, 5:15], probabilities[3, 25, 15:25] = 0.06, 0.07
    probabilities[3, 2, 30] = 0.3
    probabilities[2, 15, 19] = 0.3
    probabilities[0] = np.clip(1 - probabilities[1:].sum(0), 0, 0.35)
    probabilities[0, 25] = 0
    labels = probabilities.argmax(0).astype(np.uint8)
    ball = labels[8:21, 8:22].copy()
    assert (labels[25, 5:25] == 1).all() and labels[2, 30] == 1 and labels[15, 19] == 1
    blobs = np.zeros((30, 40), bool)
    (found,) = find_balls(probabilities[1], blobs=blobs)
    assert found.x == pytest.approx(60, abs=1)
    assert (blobs == (probabilities[1] >= 0.5) & (np.arange(30) < 25)[:, None]).all()
    relabel_stray_balls(labels, probabilities, 1, blobs)
    assert (labels[8:21, 8:22] == ball).all()
    assert (labels[25, 5:15] == 2).all() and (labels[25, 15:25] == 3).all() and labels[2, 30] == 3
    assert ((labels == 1).sum(), labels[15, 19]) == ((ball == 1).sum(), 1)


def test_balls_beyond_the_maximum_keep_their_labels():
    probability = np.maximum(coverage(60, 60, 16), coverage(200, 60, 12))
    blobs = np.zeros(probability.shape, bool)
    assert len(find_balls(probability, max_balls=1, blobs=blobs)) == 1
    assert (blobs == (probability >= 0.5)).all()


def test_a_map_below_the_threshold_holds_no_ball():
    assert find_balls(np.zeros((10, 10), np.float32)) == ()
    assert find_balls(np.full((10, 10), 0.49, np.float32)) == ()


def test_scaling_keeps_pixel_centres_at_integers():
    # Pixel 0 of a half-size image covers pixels 0 and 1, whose common centre is 0.5.
    assert Ball(0, 0, 3, 1).scaled(2) == Ball(0.5, 0.5, 6, 1)
    assert Ball(10, 4, 2, 0.5).scaled(4, 1) == Ball(41.5, 4, 4, 0.5)


def find_balls_plainly(probability, threshold, minimum_confidence):
    """Restate `find_balls` pixel by pixel, as its docstring describes it."""
    mask, seen, found = probability >= threshold, set(), []
    height, width = probability.shape

    def around(y, x):
        return [(j, i) for j in range(y - 1, y + 2) for i in range(x - 1, x + 2) if 0 <= j < height and 0 <= i < width]

    for start in zip(*np.nonzero(mask), strict=True):
        if start in seen:
            continue
        blob, waiting = {start}, [start]
        while waiting:
            fresh = [p for p in around(*waiting.pop()) if mask[p] and p not in blob]
            blob.update(fresh)
            waiting.extend(fresh)
        seen |= blob
        whole = blob | {p for q in blob for p in around(*q) if not mask[p]}
        total = sum(float(probability[p]) for p in whole)
        x, y = (sum(float(probability[p]) * p[axis] for p in whole) / total for axis in (1, 0))
        distance = sum(float(probability[p]) * ((p[1] - x) ** 2 + (p[0] - y) ** 2) for p in whole) / total
        roundness = min(1, total / (2 * math.pi * max(distance, 1e-9)))
        confidence = max(float(probability[p]) for p in blob) * roundness * total / (total + 2)
        if confidence >= minimum_confidence:
            found.append((4 * x + 1.5, 4 * y + 1.5, 4 * math.sqrt(total / math.pi), confidence))
    return sorted(found, key=lambda ball: -ball[3])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 0.99), st.integers(1, 14), st.integers(1, 17))
def test_detection_equals_a_plain_restatement(seed, threshold, height, width):
    probability = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    expected = find_balls_plainly(probability, threshold, 0.2)
    balls = find_balls(probability, threshold=threshold, minimum_confidence=0.2, max_balls=99)
    got = [(b.x, b.y, b.radius, b.confidence) for b in balls]
    np.testing.assert_allclose(np.reshape(got, (-1, 4)), np.reshape(expected, (-1, 4)), rtol=1e-5)
