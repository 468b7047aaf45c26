"""Capsules, boxes and ellipsoids: where rays hit them, and the normals there.

For each kind of solid a class holds the coefficients of n solids as the columns of a table. Its static methods ``cast``
and ``normal`` take a table (k, n) with one column for each of n rays, or (k,) for one solid that all rays share.
Distances are NaN or negative for rays that miss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.surfaces import Surface

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Capsule:
    """A cylinder with round ends: (3,) end points of its axis and radius, in metres in the field frame."""

    start: Vector
    end: Vector
    radius: float
    surface: Surface


@dataclass(frozen=True)
class Box:
    """A box: (3,) centre and half edge lengths in metres; the rows of ``axes`` (3, 3) are its unit edges."""

    center: Vector
    half: Vector
    axes: Vector
    surface: Surface


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid along the field's axes: (3,) centre and half axes in metres."""

    center: Vector
    half: Vector
    surface: Surface


Solid = Capsule | Box | Ellipsoid


def dot(x: Any, y: Any, z: Any, a: Any, b: Any, c: Any) -> Any:
    """Return the scalar products of (x, y, z) and (a, b, c)."""
    result = x * a
    result += y * b
    result += z * c
    return result


def _spheres(
    middle: Vector, reach: Vector, long: Vector, step: Vector, radius: Callable[[Vector], Vector]
) -> tuple[Vector, Vector, NDArray[np.intp]]:
    """Cover n elongated solids by rows of spheres.

    Args:
        middle, reach: (n, 3) centre of each solid and the vector from there to its end.
        long: (n,) lengths of ``reach``.
        step: (n,) approximate half length that one sphere covers.
        radius: returns the radii of spheres from the half length that each covers.

    Returns:
        The spheres' centres (m, 3) and radii (m,), and the number of spheres of each solid (n,).
    """
    counts = np.clip(long / np.maximum(step, 1e-6), 1, 24).astype(np.intp)
    index = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    along = (2 * index + 1) / np.repeat(counts, counts) - 1
    centers = np.repeat(middle, counts, axis=0) + along[:, None] * np.repeat(reach, counts, axis=0)
    return centers, np.repeat(radius(long / counts), counts), counts


class Capsules:
    """Coefficients of n capsules, for rays that start at ``eye`` (3,), in metres in the field frame.

    Attributes:
        cast_rows, normal_rows: tables for :meth:`cast` and :meth:`normal`.
        middle: (n, 3) centres in metres in the field frame.
        cover: spheres that contain the solids: centres (m, 3), radii (m,), and their number for each solid (n,).
    """

    def __init__(self, solids: Sequence[Capsule], eye: Vector) -> None:
        starts, ends = np.array([s.start for s in solids]), np.array([s.end for s in solids])
        radius = np.array([s.radius for s in solids])
        axis = ends - starts
        start, end = eye - starts, eye - ends
        length, axial = np.square(axis).sum(axis=1), (axis * start).sum(axis=1)
        near = np.square(start).sum(axis=1) - radius**2
        far = np.square(end).sum(axis=1) - radius**2
        rows = [*axis.T, *start.T, length, axial, near, far, length * near - axial**2]
        self.cast_rows: Floats = np.array(rows, np.float32)
        self.middle = (starts + ends) / 2
        half = axis / 2
        self.cover = _spheres(self.middle, half, np.sqrt(length) / 2, 1.5 * radius, lambda part: part + radius)
        square = np.maximum(np.square(half).sum(axis=1), 1e-12)
        # A direction perpendicular to the axis, horizontal if possible.
        side = np.stack([-half[:, 1], half[:, 0], 1e-4 * np.ones(len(solids))], axis=1)
        side /= np.sqrt(np.square(side).sum(axis=1, keepdims=True))
        self.normal_rows: Floats = np.array([*half.T, 1 / square, np.sqrt(square), 1 / radius, *side.T], np.float32)

    @staticmethod
    def cast(table: Any, dx: Floats, dy: Floats, dz: Floats) -> Floats:
        """Return the distances (n,) along unit rays."""
        ax, ay, az, sx, sy, sz, length, axial, near, far, rest = table
        along, toward = dot(dx, dy, dz, ax, ay, az), dot(dx, dy, dz, sx, sy, sz)
        cap = np.fmin(_sphere(toward, near), _sphere(toward - along, far))
        a = length - along * along
        b = length * toward
        b -= axial * along
        root = b * b
        root -= a * rest
        np.sqrt(root, out=root)
        root += b
        root /= a
        body = np.negative(root, out=root)
        height = body * along
        height += axial
        return np.asarray(np.where((height > 0) & (height < length), body, cap), np.float32)

    @staticmethod
    def normal(table: Any, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return unit normals (3, n) at points relative to the middle, and metres across and along the axis (n,)."""
        hx, hy, hz, inverse, reach, thin, tx, ty, tz = table
        along = dot(x, y, z, hx, hy, hz)
        along *= inverse
        clipped = np.clip(along, -1, 1)
        normals = np.stack([(x - clipped * hx) * thin, (y - clipped * hy) * thin, (z - clipped * hz) * thin])
        return normals, dot(x, y, z, tx, ty, tz), along * reach


def _sphere(toward: Floats, rest: Any) -> Floats:
    """Return distances to a sphere; ``rest`` is its squared distance from the eye minus its squared radius."""
    root = toward * toward
    root -= rest
    np.sqrt(root, out=root)
    root += toward
    return np.asarray(np.negative(root, out=root), np.float32)


class Boxes:
    """Coefficients of n boxes; see :class:`Capsules`."""

    def __init__(self, solids: Sequence[Box], eye: Vector) -> None:
        axes, half = np.array([s.axes for s in solids]), np.array([s.half for s in solids])
        self.middle = np.array([s.center for s in solids])
        offset = eye - self.middle
        scaled = axes / half[:, :, None]
        start = (scaled * offset[:, None, :]).sum(axis=2)
        self.cast_rows: Floats = np.array([*scaled.reshape(-1, 9).T, *start.T], np.float32)
        rows = np.arange(len(solids))
        longest = half.argmax(axis=1)
        long = half[rows, longest]
        thick = np.sqrt(np.maximum(np.square(half).sum(axis=1) - long**2, 0))
        reach = axes[rows, longest] * long[:, None]
        self.cover = _spheres(self.middle, reach, long, 1.2 * thick, lambda part: np.hypot(part, thick))
        self.normal_rows: Floats = np.array([*axes.reshape(-1, 9).T, *half.T], np.float32)

    @staticmethod
    def cast(table: Any, dx: Floats, dy: Floats, dz: Floats) -> Floats:
        """Return the distances (n,) along unit rays."""
        near: Any = None
        far: Any = None
        for axis in range(3):
            inverse = np.reciprocal(dot(dx, dy, dz, *table[3 * axis : 3 * axis + 3]))
            middle = inverse * -table[9 + axis]
            reach = np.abs(inverse, out=inverse)
            first, last = middle - reach, middle + reach
            near = first if near is None else np.fmax(near, first, out=near)
            far = last if far is None else np.fmin(far, last, out=far)
        return np.asarray(np.where(near < far, near, np.float32(-1)), np.float32)

    @staticmethod
    def normal(table: Any, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return unit normals (3, n) at points relative to the middle, and metres across and up the face (n,)."""
        first, second, third = (dot(x, y, z, *table[3 * axis : 3 * axis + 3]) for axis in range(3))
        ratios = np.abs(np.stack([first / table[9], second / table[10], third / table[11]]))
        side = ratios.argmax(axis=0)
        local = np.stack([first, second, third])
        sign = np.sign(np.take_along_axis(local, side[None], axis=0))[0]
        rows = np.arange(side.size)
        columns = table.reshape(table.shape[0], -1)
        at = rows if columns.shape[1] > 1 else np.zeros_like(rows)
        normals = np.stack([columns[3 * side + component, at] * sign for component in range(3)])
        across = np.where(side == 1, first, second * np.where(side == 0, sign, 1))
        return normals.astype(np.float32), across.astype(np.float32), np.where(side == 2, first, third)


class Ellipsoids:
    """Coefficients of n ellipsoids; see :class:`Capsules`."""

    def __init__(self, solids: Sequence[Ellipsoid], eye: Vector) -> None:
        half = np.array([s.half for s in solids])
        self.middle = np.array([s.center for s in solids])
        start = (eye - self.middle) / half
        rest = np.square(start).sum(axis=1) - 1
        self.cast_rows: Floats = np.array([*(1 / half).T, *start.T, rest], np.float32)
        self.normal_rows: Floats = np.array([*(1 / half**2).T], np.float32)
        self.cover = self.middle, half.max(axis=1), np.ones(len(solids), np.intp)

    @staticmethod
    def cast(table: Any, dx: Floats, dy: Floats, dz: Floats) -> Floats:
        """Return the distances (n,) along unit rays."""
        ix, iy, iz, sx, sy, sz, rest = table
        x, y, z = dx * ix, dy * iy, dz * iz
        b = dot(x, y, z, sx, sy, sz)
        a = dot(x, y, z, x, y, z)
        root = b * b
        root -= a * rest
        np.sqrt(root, out=root)
        root += b
        root /= a
        return np.asarray(np.negative(root, out=root), np.float32)

    @staticmethod
    def normal(table: Any, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return unit normals (3, n) at points relative to the middle, and metres sideways and up (n,)."""
        nx, ny, nz = x * table[0], y * table[1], z * table[2]
        length = np.sqrt(dot(nx, ny, nz, nx, ny, nz))
        return np.stack([nx / length, ny / length, nz / length]), y, z
