"""The canvas: solids drawn in one batch are exactly what single rays hit."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings

from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.surfaces import Surface
from minisegnet_core.scenes.objects.solids import Box, Capsule, Ellipsoid
from support.scenes import QUICK, SEEDS, blank, random_view

GREY = Surface(np.full(3, 0.5, np.float32))
LAMP = Light(np.ones(3, np.float32), np.ones(3, np.float32), np.array([0.0, 0.0, 1.0]))


def random_solids(rng, count):
    """Return capsules, boxes and ellipsoids of all shapes around the camera, none of which contains it."""
    solids = []
    for number in range(count):
        away = rng.normal(0, 1, 3)
        center = np.array([0, 0, 1.0]) + away / np.linalg.norm(away) * rng.uniform(1.3, 5)
        half = np.exp(rng.uniform(math.log(0.03), math.log(0.5), 3))
        axes, _ = np.linalg.qr(rng.normal(0, 1, (3, 3)))
        if number % 3 == 0:
            reach = axes[0] * half[0]
            solids.append(Capsule(center - reach, center + reach, float(half[1] / 3), GREY))
        elif number % 3 == 1:
            solids.append(Box(center, half, axes, GREY))
        else:
            solids.append(Ellipsoid(center, half, GREY))
    return solids


def inside(solid, points):
    """Return which points (3, n) are in a solid, by its definition."""
    if isinstance(solid, Capsule):
        axis = solid.end - solid.start
        from_start = points - solid.start[:, None]
        along = np.clip(axis @ from_start / (axis @ axis), 0, 1)
        return np.linalg.norm(from_start - axis[:, None] * along, axis=0) <= solid.radius
    relative = points - solid.center[:, None]
    if isinstance(solid, Box):
        return (np.abs(solid.axes @ relative) <= solid.half[:, None]).all(axis=0)
    return np.square(relative / solid.half[:, None]).sum(axis=0) <= 1


@given(SEEDS)
@settings(QUICK, max_examples=8)
def test_depth_is_where_the_ray_enters_the_nearest_solid(seed):
    rng = np.random.default_rng(seed)
    view, solids, canvas = random_view(rng), random_solids(rng, 12), blank()
    canvas.draw(solids, np.ones((12, 3), np.float32), view, LAMP)
    rays = view.rays.reshape(3, -1).astype(np.float64)
    eye = view.camera.position[:, None]
    depth = canvas.depth.reshape(-1).astype(np.float64)
    hit = canvas.solid.reshape(-1).astype(bool)
    # A solid is just behind the surface and none just in front of it. Rays without a hit pass no solid at all.
    for step, tolerance in ((2e-3, 0.02), (-2e-3, 0.0)):
        within = np.any([inside(s, eye + rays[:, hit] * (depth[hit] + step)) for s in solids], axis=0)
        wrong = within.sum() if step < 0 else (~within).sum()
        assert wrong <= 2 + tolerance * hit.sum()  # rays that graze an edge leave again within 2 mm
    free = rays[:, ~hit][:, ::5]
    for distance in np.arange(0.05, 7, 0.07):
        points = eye + free * distance
        assert sum(int(inside(s, points).sum()) for s in solids) <= 1


def test_the_order_of_solids_does_not_matter():
    rng = np.random.default_rng(4)
    view, solids = random_view(rng), random_solids(rng, 30)
    first, second = blank(), blank()
    levels = rng.uniform(0.5, 1, (30, 3)).astype(np.float32)
    first.draw(solids, levels, view, LAMP)
    second.draw(solids[::-1], levels[::-1], view, LAMP)
    assert first.solid.sum() > 300
    assert np.array_equal(first.depth, second.depth) and np.array_equal(first.light, second.light)
