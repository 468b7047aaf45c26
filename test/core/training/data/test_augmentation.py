"""Augmentation: image and labels move together, labels stay valid, and photometry agrees with torchvision."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip('torch', reason='training needs PyTorch')
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from minisegnet_core.classes import IGNORE
from minisegnet_core.training.config import AugmentConfig
from minisegnet_core.training.data.augmentation import (
    YIQ,
    RandomDarkness,
    RandomLight,
    RandomView,
    light_matrix,
    training_transform,
)

OFF = {'flip': 0.0, 'geometry': 0.0, 'photometric': 0.0, 'blur': 0.0, 'noise': 0.0, 'darkness': 0.0}


def only(**settings):
    return AugmentConfig(**{**OFF, **settings})


def image_of(pixels):
    return tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))


def apply(transform, pixels, labels, seed):
    torch.manual_seed(seed)
    image, mask = transform(image_of(pixels), tv_tensors.Mask(torch.from_numpy(labels)))
    return image.permute(1, 2, 0).numpy(), mask.numpy()


@pytest.fixture(scope='module')
def photo():
    """Return an image of many colours, smooth enough that rounding does not matter."""
    ys, xs = np.mgrid[0:48, 0:64]
    return np.stack([40 + 3 * xs, 30 + 4 * ys, 200 - 2 * xs - ys], -1).clip(0, 255).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 2]), st.integers(30, 70), st.integers(30, 70))
def test_labels_keep_their_ids_or_become_ignore(seed, ratio, height, width):
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([0, 1, 3, 250], np.uint8), (height * ratio, width * ratio))
    pixels = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    image, moved = apply(training_transform(AugmentConfig()), pixels, labels, seed)
    assert set(np.unique(moved)) <= {0, 1, 3, 250, IGNORE}
    assert (image.shape, moved.shape) == (pixels.shape, labels.shape)
    assert image.dtype == moved.dtype == np.uint8


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    ratio=st.sampled_from([1, 2]),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
    flip=st.sampled_from([0.0, 1.0]),
)
def test_a_disk_moves_with_its_label(seed, ratio, x, y, flip):
    # A white disk on black, drawn at the image's and at the labels' resolution.
    height, width = 72, 96
    disks = []
    for scale in (1, ratio):
        ys, xs = np.mgrid[0 : height * scale, 0 : width * scale] + 0.5
        disks.append(np.hypot(xs / scale - x * width, ys / scale - y * height) < 9)
    pixels = np.repeat(disks[0][..., None] * np.uint8(255), 3, axis=2)
    config = only(flip=flip, geometry=1.0, rotation=25.0, translation=0.05)
    image, labels = apply(training_transform(config), pixels, disks[1].astype(np.uint8), seed)
    seen, labelled = np.argwhere(image[..., 0] > 127), np.argwhere(labels == 1)
    assert len(seen) == pytest.approx(len(labelled) / ratio**2, rel=0.15, abs=8)
    if len(seen) > 60:  # in pixels of the image, measured from its corner
        np.testing.assert_allclose(seen.mean(axis=0) + 0.5, (labelled.mean(axis=0) + 0.5) / ratio, atol=0.5)


def test_zero_probabilities_change_nothing(photo):
    labels = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
    for seed in range(20):
        image, moved = apply(training_transform(only()), photo, labels, seed)
        np.testing.assert_array_equal(image, photo)
        np.testing.assert_array_equal(moved, labels)


def test_a_mirror_image_is_exact_at_odd_sizes(photo):
    labels = np.arange(47 * 63, dtype=np.uint32).reshape(47, 63).astype(np.uint8)
    image, moved = apply(training_transform(only(flip=1.0)), photo[:47, :63], labels, 0)
    np.testing.assert_array_equal(image, photo[:47, :63][:, ::-1])
    np.testing.assert_array_equal(moved, labels[:, ::-1])


def test_the_affine_map_agrees_with_torchvision(photo):
    labels = np.random.default_rng(0).integers(0, 4, (96, 128)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    view = RandomView(only(geometry=1.0, rotation=20.0, scale=[0.6, 1.8], translation=0.2))
    image, mask = image_of(cv2.resize(photo, (512, 384))), tv_tensors.Mask(torch.from_numpy(labels))
    for seed in range(6):
        torch.manual_seed(seed)
        params = view.make_params([image, mask])
        scale = math.sqrt(np.linalg.det(params['linear']))
        angle = math.degrees(math.atan2(params['linear'][1, 0], params['linear'][0, 0]))
        shift = (params['shift'] * (512, 384)).tolist()
        moved = view.transform(mask, params).numpy()
        expected = reference.affine(mask, angle, shift, scale, [0, 0], InterpolationMode.NEAREST, fill=IGNORE).numpy()
        assert (moved == expected).mean() > 0.99  # ties are rounded differently
        seen = view.transform(image, params).numpy().astype(int)
        linear = reference.affine(
            image, angle, shift, scale, [0, 0], InterpolationMode.BILINEAR, fill=list(params['fill'])
        ).numpy()
        assert np.percentile(np.abs(seen - linear), 98) <= 3


def test_pixels_from_outside_have_the_mean_colour_and_are_ignored(photo):
    config = only(geometry=1.0, scale=[0.5, 0.5], rotation=0.0, translation=0.0)
    image, labels = apply(training_transform(config), photo, np.ones((48, 64), np.uint8), 0)
    np.testing.assert_allclose(image[0, 0], photo.mean(axis=(0, 1)), atol=3)
    assert (labels[:11] == IGNORE).all()
    assert (labels[13:35, 17:47] == 1).all()


def test_a_magnified_image_is_a_crop_from_anywhere():
    # Magnified twice and never shifted beyond the image: nothing is ignored, and every quarter appears.
    quarters = np.kron(np.array([[0, 1], [2, 3]], np.uint8), np.ones((24, 32), np.uint8))
    transform = training_transform(only(geometry=1.0, scale=[2.0, 2.0], rotation=0.0, translation=0.0))
    whole = set()
    for seed in range(60):
        _, labels = apply(transform, np.zeros((48, 64, 3), np.uint8), quarters, seed)
        assert (labels != IGNORE).all()
        fractions = np.bincount(labels.ravel(), minlength=4) / labels.size
        whole |= set(np.nonzero(fractions > 0.8)[0].tolist())
    assert whole == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ('name', 'factor'), [('brightness', 0.6), ('brightness', 1.4), ('contrast', 0.7), ('saturation', 0.5)]
)
def test_factors_agree_with_torchvision(photo, name, factor):
    settings = {'brightness': 1.0, 'contrast': 1.0, 'saturation': 1.0, 'hue': 0.0, 'gamma': 1.0, name: factor}
    image = image_of(photo)
    actual = RandomLight(only()).transform(image, settings).numpy().astype(int)
    expected = getattr(reference, f'adjust_{name}')(image, factor).numpy()
    assert np.abs(actual - expected).max() <= 2  # intermediate results are rounded differently


@pytest.mark.parametrize('gamma', [0.6, 1.5])
def test_gamma_agrees_with_torchvision(photo, gamma):
    settings = {'brightness': 1.0, 'contrast': 1.0, 'saturation': 1.0, 'hue': 0.0, 'gamma': gamma}
    actual = RandomLight(only()).transform(image_of(photo), settings).numpy().astype(int)
    assert np.abs(actual - reference.adjust_gamma(image_of(photo), gamma).numpy()).max() <= 1


def test_hue_and_saturation_preserve_grey_and_luma():
    matrix = light_matrix(np.full(3, 99.0), brightness=1, contrast=1, saturation=1.3, hue=0.4)
    np.testing.assert_allclose(matrix @ [80, 80, 80, 1], [80, 80, 80], atol=0.05)
    assert YIQ[0] @ (matrix @ [200, 90, 30, 1]) == pytest.approx(YIQ[0] @ [200, 90, 30], abs=0.05)
    back = light_matrix(np.full(3, 99.0), brightness=1, contrast=1, saturation=1 / 1.3, hue=-0.4)
    np.testing.assert_allclose(back[:, :3] @ matrix[:, :3], np.eye(3), atol=1e-9)


def test_photometric_changes_do_not_change_labels(photo):
    labels = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
    config = only(photometric=1.0, blur=1.0, noise=1.0, darkness=1.0)
    image, moved = apply(training_transform(config), photo, labels, 3)
    assert (image != photo).mean() > 0.5
    np.testing.assert_array_equal(moved, labels)


def test_darkness_is_a_factor_on_the_light_plus_noise(photo):
    photo = cv2.resize(photo, (320, 240))
    image, factor = image_of(photo), 0.1
    torch.manual_seed(0)
    dark = RandomDarkness(1.0).transform(image, {'light': factor, 'sigma': 2.0}).permute(1, 2, 0).numpy()
    error = dark - factor * photo.astype(float)
    assert error.mean() == pytest.approx(0, abs=0.05)  # rounded, not truncated
    assert error.std() == pytest.approx(math.hypot(2, math.sqrt(1 / 12)), abs=0.1)  # noise and rounding
    # Averaged over 16 px, the noise preserves differences in light that rounding alone would remove.
    patches = cv2.resize(error, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
    assert np.abs(patches).max() < 4.5 * 2.1 / 16


def test_the_mean_grey_of_dark_images_is_log_uniform_within_its_limits():
    darkness, grey = RandomDarkness(1.0), image_of(np.full((48, 64, 3), 120, np.uint8))
    greys = []
    for seed in range(200):
        torch.manual_seed(seed)
        greys.append(120 * darkness.make_params([grey])['light'])
    assert 6 <= min(greys) < 7
    assert 45 < max(greys) <= 50
    assert np.median(greys) == pytest.approx(math.sqrt(6 * 50), rel=0.15)  # log-uniform
    night = image_of(np.full((48, 64, 3), 5, np.uint8))
    assert darkness.make_params([night])['light'] == 1


def test_each_change_has_its_configured_probability():
    photo = np.random.default_rng(0).integers(0, 256, (24, 320, 3)).astype(np.uint8)
    labels = np.zeros((24, 320), np.uint8)
    for name in ('flip', 'geometry', 'photometric', 'blur', 'noise', 'darkness'):
        transform = training_transform(only(**{name: 0.3}))
        changed = [(apply(transform, photo, labels, seed)[0] != photo).any() for seed in range(120)]
        assert 0.17 < np.mean(changed) < 0.43, name  # 3 standard deviations


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), ratio=st.sampled_from([1, 2]), magnification=st.floats(0.5, 2))
def test_a_crop_shows_a_part_of_the_image_with_its_labels(seed, ratio, magnification):
    # Colours and labels both encode the position, so they must agree wherever there is a label.
    ys, xs = np.mgrid[0:96, 0:128]
    pixels = np.stack([2 * xs, 2 * ys, 0 * xs], -1).astype(np.uint8)
    ys, xs = np.mgrid[0 : 96 * ratio, 0 : 128 * ratio] // ratio
    labels = (16 * (ys // 12) + xs // 8).astype(np.uint8)  # 8 rows of 16 columns
    config = only(geometry=1.0, rotation=0.0, translation=0.0, scale=[magnification] * 2, crop=[64, 68])
    image, moved = apply(training_transform(config), pixels, labels, seed)
    assert image.shape == (68, 64, 3)
    assert moved.shape == (68 * ratio, 64 * ratio)
    moved = moved[::ratio, ::ratio]
    seen = moved != IGNORE
    shown_x, shown_y = min(1, 128 * magnification / 64), min(1, 96 * magnification / 68)
    assert seen.mean() == pytest.approx(shown_x * shown_y, abs=0.06)
    # Interpolation mixes the fill colour into the rim.
    seen = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) == 1
    # With interpolation and label blocks, a position is known to 1.5 pixels of the original.
    assert np.all(np.abs((image[..., 0] / 2 - (moved % 16) * 8 - 3.5)[seen]) <= 4 + 1.5 + 1 / magnification)
    assert np.all(np.abs((image[..., 1] / 2 - (moved // 16) * 12 - 5.5)[seen]) <= 6 + 1.5 + 1 / magnification)


def test_a_crop_does_not_need_geometric_changes():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    labels = pixels[..., 0] % 4
    for seed in range(10):
        image, moved = apply(training_transform(only(crop=[64, 64])), pixels, labels, seed)
        # Labels are not interpolated, so the crop is a window of the original labels.
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(labels, 11, constant_values=IGNORE), (64, 64))
        assert (windows == moved).all((2, 3)).any()
        assert image.shape == (64, 64, 3)


def test_foreground_classes_are_shown_with_equal_probability():
    labels = np.full((240, 320), 3, np.uint8)
    labels[:120] = 0
    labels[150:154, 40:44] = 1  # 16 of 76,800 pixels
    labels[:, -4:] = IGNORE
    pixels = np.zeros((240, 320, 3), np.uint8)
    seen = {}
    for probability in (0.0, 1.0):
        transform = training_transform(
            only(geometry=1.0, scale=[1.0, 1.0], rotation=0.0, crop=[64, 64], foreground=probability)
        )
        masks = [apply(transform, pixels, labels, seed)[1] for seed in range(200)]
        seen[probability] = np.mean([(mask == 1).any() for mask in masks])
    # Half of the crops aim at class 1, the other half at a random pixel of class 3, which is rarely near it.
    assert seen[0.0] < 0.15
    assert 0.45 < seen[1.0] < 0.7


def test_an_image_without_foreground_is_cropped_too():
    labels = np.zeros((100, 100), np.uint8)
    pixels = np.zeros((100, 100, 3), np.uint8)
    image, moved = apply(training_transform(only(crop=[64, 64], foreground=1.0)), pixels, labels, 0)
    assert image.shape[:2] == moved.shape == (64, 64)
