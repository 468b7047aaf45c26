"""Nets: patches of a plane covered with threads; only the pixels that threads cover are hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.geometry.solids import Canvas
from minisegnet_core.scenes.geometry.viewport import Viewport, products

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Net:
    """A parallelogram of net: ``corner`` and the edge vectors ``along`` and ``up``, metres in the field frame.

    mesh, thread: width of a mesh and of a thread, metres; diagonal: threads at 45 degrees; sag: metres by which
    threads wander.
    """

    corner: Vector
    along: Vector
    up: Vector
    mesh: float
    thread: float
    diagonal: bool
    sag: float
    color: Floats

    def bounds(self) -> tuple[Vector, float]:
        """Centre and radius of a sphere around it."""
        radius = max(math.hypot(*(self.along + self.up)), math.hypot(*(self.along - self.up))) / 2
        return self.corner + (self.along + self.up) / 2, radius

    def draw(self, canvas: Canvas, view: Viewport, level: Floats, hidden: Floats) -> None:
        """Lays the net over the image where nothing nearer stands; ``hidden`` (H, W) keeps the share of each pixel
        that threads cover."""
        window = view.window(*self.bounds())
        if window is not None:
            self.draw_in(window, canvas, view, level, hidden)

    def draw_in(
        self, around: tuple[slice, slice], canvas: Canvas, view: Viewport, level: Floats, hidden: Floats
    ) -> None:
        """As :meth:`draw`, within a window that holds the net."""
        square = np.cross(self.along, self.up)
        length = math.hypot(*square)
        if length < 1e-9:
            return
        normal = (square / length).astype(np.float32)
        offset = self.corner - view.camera.position
        lift = np.float32(normal @ offset)
        wide, high = math.hypot(*self.along), math.hypot(*self.up)
        # Edges may not be square to each other (side nets lean): solve for both coordinates at once.
        gram = np.array([[self.along @ self.along, self.along @ self.up], [self.along @ self.up, self.up @ self.up]])
        weights = (np.linalg.inv(gram) @ np.stack([self.along, self.up])).astype(np.float32)
        start = weights @ offset.astype(np.float32)

        def meets(nodes: Floats, angle: float) -> NDArray[np.bool_]:
            flat, s, t = products(nodes, normal, *weights)
            with np.errstate(divide='ignore', invalid='ignore'):
                distance = lift / flat
            s, t = s * distance - start[0], t * distance - start[1]
            # One node's angle makes more metres where the net is seen aslant.
            margin = 2 * angle * np.abs(distance) / np.maximum(np.abs(flat), 0.05)
            margin_s, margin_t = margin / np.float32(wide), margin / np.float32(high)
            inside = (s > -margin_s) & (s < 1 + margin_s) & (t > -margin_t) & (t < 1 + margin_t)
            return np.asarray(inside & (distance > 0) | (np.abs(flat) < 0.02))

        window = view.tighten(around, meets)
        if window is None:
            return
        flat, s, t = products(view.rays[:, window[0], window[1]], normal, *weights)
        with np.errstate(divide='ignore', invalid='ignore'):
            distance = lift / flat
            s *= distance
            s -= start[0]
            t *= distance
            t -= start[1]
        hit = (distance > 0.03) & (distance < canvas.depth[window]) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
        inside = np.flatnonzero(hit)
        if inside.size == 0:
            return
        at, slope, s, t = (plane.reshape(-1)[inside] for plane in (distance, np.abs(flat), s, t))
        u, v = s * np.float32(wide), t * np.float32(high)
        size = at * np.float32(view.pixel) / np.maximum(np.sqrt(slope), 0.2)
        if float(size.min()) > 1.5 * self.mesh:  # far: a veil
            cover = np.full(size.size, 1 - (1 - self.thread / self.mesh) ** 2, np.float32)
        else:
            if self.sag:
                wave = np.float32(self.sag)
                u, v = u + wave * np.sin(v * 5 + u), v + wave * np.sin(u * 4)
            if self.diagonal:
                u, v = (u + v) * np.float32(0.7071), (u - v) * np.float32(0.7071)
            cover = 1 - (1 - self._threads(u, size)) * (1 - self._threads(v, size))
        columns = window[1].stop - window[1].start
        pixels = (window[0].start + inside // columns) * canvas.depth.shape[1] + window[1].start + inside % columns
        color = canvas.light.reshape(-1, 3)
        before = color[pixels]
        color[pixels] = before + cover[:, None] * (self.color * level - before)
        share = hidden.reshape(-1)
        share[pixels] = 1 - (1 - share[pixels]) * (1 - cover)

    def _threads(self, position: Floats, size: Floats) -> Floats:
        mesh, half = np.float32(self.mesh), np.float32(self.thread / 2)
        away = np.abs(position - mesh * np.round(position / mesh))
        cover = np.minimum(half, away + size / 2) - np.maximum(-half, away - size / 2)
        return np.asarray(np.clip(cover / size, 0, 1), np.float32)
