"""Viewports: unit rays, and windows that contain what they are asked for."""

from __future__ import annotations

import numpy as np

from support.scenes import random_view


def test_rays_are_unit_vectors_between_the_nodes():
    """Rays that interpolation shortens by 5e-5 cost posts at 5 m a quarter of their width."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        np.testing.assert_allclose(np.square(random_view(rng).rays).sum(axis=0), 1, atol=1e-6)


def test_windows_contain_every_pixel_that_shows_the_sphere():
    rng = np.random.default_rng(8)
    for _ in range(12):
        view = random_view(rng)
        centers, radii = np.array([0, 0, 1.0]) + rng.normal(0, 2, (20, 3)), rng.uniform(0.02, 0.9, 20)
        for center, radius, (top, bottom, left, right) in zip(
            centers, radii, view.windows(centers, radii), strict=True
        ):
            offset = (center - view.camera.position)[:, None, None].astype(np.float32)
            toward = (view.rays * offset).sum(axis=0)
            hit = (np.square(view.rays * toward - offset).sum(axis=0) < radius**2) & (toward > 0)
            if view.rim is not None:
                hit &= view.rim > 0
            hit[top:bottom, left:right] = False
            assert not hit.any()
