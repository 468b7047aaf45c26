"""Actors: groups of solids that stand on the ground, such as robots, people and furniture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.surfaces import Surface
from minisegnet_core.scenes.objects.solids import Box, Capsule, Ellipsoid, Solid

Vector = NDArray[np.float64]
Point = tuple[float, float, float]


class Builder:
    """Build solids in a local frame: x forward, y left, z up, in metres.

    Args:
        x, y: origin of the local frame on the ground, in metres in the field frame.
        turn: rotation about z in radians.
    """

    def __init__(self, x: float, y: float, turn: float) -> None:
        cosine, sine = np.cos(turn), np.sin(turn)
        self.axes = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self.origin = np.array([x, y, 0.0])
        self.solids: list[Solid] = []

    def at(self, x: float, y: float, z: float) -> Vector:
        """Return a local point in the field frame (3,)."""
        point: Vector = self.origin + x * self.axes[0] + y * self.axes[1] + z * self.axes[2]
        return point

    def capsule(self, a: Point, b: Point, radius: float, surface: Surface) -> None:
        """Add a capsule between two local points."""
        self.solids.append(Capsule(self.at(*a), self.at(*b), radius, surface))

    def box(self, center: Point, half: Point, surface: Surface, tilt: float = 0.0, turn: float = 0.0) -> None:
        """Add a box, tilted forward by ``tilt`` radians and then turned about z by ``turn`` radians."""
        cosine, sine = np.cos(tilt), np.sin(tilt)
        c, s = np.cos(turn), np.sin(turn)
        forward, left, up = c * self.axes[0] + s * self.axes[1], c * self.axes[1] - s * self.axes[0], self.axes[2]
        axes = np.stack([cosine * forward - sine * up, left, sine * forward + cosine * up])
        self.solids.append(Box(self.at(*center), np.array(half), axes, surface))

    def beam(self, a: Point, b: Point, width: float, depth: float, surface: Surface) -> None:
        """Add a box between two local points, ``width`` to each side and ``depth`` to front and back."""
        start, end = self.at(*a), self.at(*b)
        along = end - start
        length = max(float(np.sqrt((along * along).sum())), 1e-6)
        up = along / length
        left = self.axes[1] - up * float((self.axes[1] * up).sum())
        size = float(np.sqrt((left * left).sum()))
        left = left / size if size > 0.1 else self.axes[2] - up * float((self.axes[2] * up).sum())
        left = left / max(float(np.sqrt((left * left).sum())), 1e-6)
        forward = np.array(
            [
                left[1] * up[2] - left[2] * up[1],
                left[2] * up[0] - left[0] * up[2],
                left[0] * up[1] - left[1] * up[0],
            ]
        )
        half = np.array([depth, width, length / 2])
        self.solids.append(Box((start + end) / 2, half, np.stack([forward, left, up]), surface))

    def ellipsoid(self, center: Point, half: Point, surface: Surface) -> None:
        """Add an ellipsoid along the field's axes."""
        self.solids.append(Ellipsoid(self.at(*center), np.array(half), surface))


@dataclass(frozen=True)
class Actor:
    """A group of solids on the ground.

    The solids are built on first use, since most actors are out of view. They depend on the actor's own seed alone.

    Attributes:
        x, y: position in metres in the field frame.
        size: radius of the shadow on the ground, in metres.
        seed: of the solids.
        make: builds the solids.
    """

    x: float
    y: float
    size: float
    seed: int
    make: Callable[[Builder, np.random.Generator], None]

    @cached_property
    def solids(self) -> tuple[Solid, ...]:
        """All solids of the actor, in a random direction about z."""
        rng = np.random.default_rng(self.seed)
        builder = Builder(self.x, self.y, float(rng.uniform(0, 2 * np.pi)))
        self.make(builder, rng)
        return tuple(builder.solids)


def actor(
    x: float, y: float, size: float, rng: np.random.Generator, make: Callable[[Builder, np.random.Generator], None]
) -> Actor:
    """Return an actor with a seed drawn from ``rng``."""
    return Actor(x, y, size, int(rng.integers(2**31)), make)
