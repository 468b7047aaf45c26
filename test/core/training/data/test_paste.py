"""Balls pasted into training images: place, size and brightness, and the cases without a ball."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip('torch', reason='training needs PyTorch')

from minisegnet_core.ball import BallTruth
from minisegnet_core.classes import SOCCER, ClassSet, SegmentationClass
from minisegnet_core.data.dataset import open_dataset
from minisegnet_core.data.writer import DatasetWriter
from minisegnet_core.training.config import AugmentConfig
from minisegnet_core.training.data import paste as pasting
from minisegnet_core.training.data.loader import SegmentationDataset
from minisegnet_core.training.data.paste import RADIUS, BallPaste
from minisegnet_core.training.data.reader import SampleReader

TURF, BALL = np.array([40, 120, 60]), np.array([180, 60, 20])
WIDTH, HEIGHT = 320, 240


def field(level=1.0):
    """Return image and labels: background above, turf below."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[80:] = 3
    image = np.where((labels == 3)[..., None], TURF * level, 10).astype(np.uint8)
    return image, labels


def with_ball(draw=lambda labels: cv2.circle(labels, (150, 150), 16, 1, -1)):
    image, labels = field()
    draw(labels)
    image[labels == 1] = BALL
    return image, labels


def data_of(path, *images, balls=None):
    with DatasetWriter(path) as writer:
        for index, (image, labels) in enumerate(images):
            writer.add(f'{index:02}', image, labels, split='train', extension='png', balls=balls)
    return open_dataset(path).split('train')


@pytest.fixture(scope='module')
def donors(tmp_path_factory):
    return data_of(tmp_path_factory.mktemp('paste') / 'one', with_ball())


@pytest.fixture(autouse=True, scope='module')
def all_on_the_ground():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pasting, 'ALOFT', 0.0)
        yield


def paste(samples, image_and_labels, seed=0, classes=SOCCER, resolution='full', probability=1.0):
    torch.manual_seed(seed)
    return BallPaste(samples, classes, SampleReader(resolution), probability)(*image_and_labels)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_ball_stands_on_the_ground(donors, seed):
    before, labels_before = field()
    image, labels = paste(donors, (before, labels_before), seed)
    ball = labels == 1
    radius = math.sqrt(ball.sum() / math.pi)
    rows, columns = np.nonzero(ball)
    whole = columns.min() > 0 and columns.max() < WIDTH - 1 and rows.max() < HEIGHT - 1
    if whole and radius > 3:
        assert RADIUS[0] * WIDTH - 1 < radius < RADIUS[1] * WIDTH + 1
        assert labels_before[round(rows.mean() + 0.8 * radius), round(columns.mean())] == 3
        assert rows.max() - rows.min() + 1 == pytest.approx(2 * radius, abs=1 + 0.15 * radius)
    np.testing.assert_array_equal(labels[~ball], labels_before[~ball])  # the shadow is labelled as ground
    far = cv2.distanceTransform((~ball).astype(np.uint8), cv2.DIST_L2, 5) > 2.5 * radius + 6
    np.testing.assert_array_equal(image[far], before[far])
    np.testing.assert_array_equal(field()[0], before)  # the input is unchanged


def test_balls_in_the_air_are_anywhere_and_have_no_shadow(donors, monkeypatch):
    monkeypatch.setattr(pasting, 'ALOFT', 1.0)
    wall = np.full((HEIGHT, WIDTH, 3), 100, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    heights = []
    for seed in range(30):
        image, labels = paste(donors, wall, seed)
        near = cv2.dilate((labels == 1).astype(np.uint8), np.ones((7, 7)))
        np.testing.assert_array_equal(image[near == 0], 100)
        heights += [np.nonzero(labels == 1)[0].mean()] if (labels == 1).any() else []
    assert min(heights) < HEIGHT / 4
    assert max(heights) > HEIGHT * 3 / 4


@pytest.mark.parametrize('level', [1.0, 0.5])
def test_the_brightness_of_a_ball_follows_that_of_the_ground(donors, level):
    for seed in range(8):
        image, labels = paste(donors, field(level), seed)
        inside = cv2.erode((labels == 1).astype(np.uint8), np.ones((5, 5))) > 0
        if not inside.any():
            continue
        gains = np.median(image[inside], 0) / BALL
        np.testing.assert_allclose(gains, gains.mean(), atol=0.03)  # the hue is unchanged
        assert 0.78 * level < gains.mean() < 1.27 * level


def test_image_and_labels_agree_at_half_resolution(donors):
    image, labels = field()
    small = np.asarray(cv2.resize(image, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA), np.uint8)
    compared = 0
    for seed in range(10):
        pasted, moved = paste(donors, (small, labels), seed, resolution='half')
        assert pasted.shape == small.shape
        red = (pasted[..., 0].astype(int) - pasted[..., 1] > 10).astype(float)
        if (moved == 1).sum() < 150:
            continue
        rows, columns = np.nonzero(moved == 1)
        seen = np.array([np.average(axis, weights=red) for axis in np.indices(red.shape)])
        np.testing.assert_allclose((seen + 0.5) * 2 - 0.5, [rows.mean(), columns.mean()], atol=0.7)
        assert red.sum() * 4 == pytest.approx(len(rows), rel=0.25)
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize(
    'draw',
    [
        lambda labels: None,
        lambda labels: cv2.circle(labels, (150, 150), 3, 1, -1),
        lambda labels: cv2.circle(labels, (0, 150), 16, 1, -1),
        lambda labels: cv2.ellipse(labels, (150, 150), (16, 16), 0, 0, 180, 1, -1),
    ],
    ids=['none', 'tiny', 'cut off by the border', 'half hidden'],
)
def test_only_whole_balls_are_cut_out(tmp_path, draw):
    samples = data_of(tmp_path / 'data', with_ball(draw))
    before = field()
    for seed in range(5):
        image, labels = paste(samples, before, seed)
        assert image is before[0]
        assert labels is before[1]


def test_nothing_is_pasted_without_ground_ball_class_probability_or_balls(donors, tmp_path):
    before = field()
    assert paste(donors, before, probability=0.0)[0] is before[0]
    pets = ClassSet(tuple(SegmentationClass(name, (index, 0, 0)) for index, name in enumerate('abcd')))
    assert paste(donors, before, classes=pets)[0] is before[0]
    wall = before[0], np.zeros_like(before[1])
    assert paste(donors, wall)[0] is wall[0]
    empty = data_of(tmp_path / 'empty', with_ball(), balls=[])
    assert paste(empty, before)[0] is before[0]


def test_no_ball_covers_another(donors):
    image, labels = with_ball(lambda labels: cv2.rectangle(labels, (0, 60), (WIDTH, 200), 1, -1))
    for seed in range(20):
        pasted, moved = paste(donors, (image, labels), seed)
        if pasted is image:
            continue
        new = (moved == 1) & (labels != 1)
        assert cv2.connectedComponents(new.astype(np.uint8))[0] == 2
        np.testing.assert_array_equal(pasted[labels == 1][:10], image[labels == 1][:10])


def test_balls_are_pasted_with_the_configured_probability_and_reproducibly(tmp_path):
    balls = [BallTruth(150, 150, 16, 1, 150, 150)]
    samples = data_of(tmp_path / 'data', *[field()] * 40, balls=[])
    samples += data_of(tmp_path / 'donor', with_ball(), balls=balls)
    still = AugmentConfig(flip=0, geometry=0, photometric=0, blur=0, noise=0, paste=0.5)
    data = SegmentationDataset(samples, SOCCER, augment=still, seed=3)
    shown = [bool((data.view(index)[1] == 1).any()) for index in range(40)]
    assert 12 <= sum(shown) <= 28
    assert shown == [bool((data.view(index)[1] == 1).any()) for index in range(40)]
    data.epoch = 1
    assert shown != [bool((data.view(index)[1] == 1).any()) for index in range(40)]
