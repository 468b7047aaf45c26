"""Goals and nets. A net hides only the fraction of a pixel that its threads cover."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance.surfaces import Surface, linear_rgb
from minisegnet_core.scenes.config.settings import FieldDimensions, ThingSettings
from minisegnet_core.scenes.geometry.viewport import Viewport, Window, products
from minisegnet_core.scenes.objects.canvas import Canvas
from minisegnet_core.scenes.objects.solids import Capsule

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Net:
    """A parallelogram of net. Lengths are in metres.

    Attributes:
        corner: (3,) a corner in the field frame.
        along, up: (3,) edge vectors in the field frame.
        mesh, thread: width of a mesh and of a thread.
        diagonal: whether the threads run at 45 degrees to the edges.
        sag: amplitude by which the threads deviate from straight lines.
        color: (3,) linear RGB reflectance.
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
        """Return centre (3,) and radius of a sphere that contains the net."""
        radius = max(math.hypot(*(self.along + self.up)), math.hypot(*(self.along - self.up))) / 2
        return self.corner + (self.along + self.up) / 2, radius

    def draw(self, canvas: Canvas, view: Viewport, level: Floats, hidden: Floats) -> None:
        """Draw the net where nothing nearer was drawn.

        Args:
            canvas: drawn into.
            view: of the camera.
            level: (3,) linear RGB light on the ground around the net.
            hidden: (H, W) float32 fraction of each pixel that threads cover; updated in place.
        """
        window = view.window(*self.bounds())
        if window is not None:
            self.draw_in(window, canvas, view, level, hidden)

    def draw_in(self, around: Window, canvas: Canvas, view: Viewport, level: Floats, hidden: Floats) -> None:
        """Draw the net as :meth:`draw` does; ``around`` is a window that contains it."""
        square = np.cross(self.along, self.up)
        length = math.hypot(*square)
        if length < 1e-9:
            return
        normal = (square / length).astype(np.float32)
        offset = self.corner - view.camera.position
        lift = np.float32(normal @ offset)
        wide, high = math.hypot(*self.along), math.hypot(*self.up)
        # The edges of side nets are not perpendicular, so both coordinates are solved for at once.
        gram = np.array([[self.along @ self.along, self.along @ self.up], [self.along @ self.up, self.up @ self.up]])
        weights = (np.linalg.inv(gram) @ np.stack([self.along, self.up])).astype(np.float32)
        start = weights @ offset.astype(np.float32)

        def meets(nodes: Floats, angle: float) -> NDArray[np.bool_]:
            flat, s, t = products(nodes, normal, *weights)
            with np.errstate(divide='ignore', invalid='ignore'):
                distance = lift / flat
            s, t = s * distance - start[0], t * distance - start[1]
            # The angle between nodes spans more metres where the net is seen obliquely.
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
        if float(size.min()) > 1.5 * self.mesh:  # too far to resolve the meshes
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
        covered = hidden.reshape(-1)
        covered[pixels] = 1 - (1 - covered[pixels]) * (1 - cover)

    def _threads(self, position: Floats, size: Floats) -> Floats:
        """Return the fraction (n,) of n pixels that threads cover, from positions and pixel sizes in metres."""
        mesh, half = np.float32(self.mesh), np.float32(self.thread / 2)
        away = np.abs(position - mesh * np.round(position / mesh))
        cover = np.minimum(half, away + size / 2) - np.maximum(-half, away - size / 2)
        return np.asarray(np.clip(cover / size, 0, 1), np.float32)


def sample_goals(
    field: FieldDimensions, settings: ThingSettings, rng: np.random.Generator
) -> tuple[list[Capsule], list[Net]]:
    """Sample the goals of a field: posts and bars, and nets."""
    if not field.goal_width or rng.random() >= settings.goals:
        return [], []
    white = rng.random() >= settings.colored_posts
    saturation = float(rng.uniform(0, 0.08) if white else rng.uniform(0.6, 1))
    color = linear_rgb(float(rng.uniform(0, 360)), saturation, float(rng.uniform(0.6, 1)))
    look = Surface(color, gloss=float(rng.uniform(0, 0.3)), detail=0.06)
    thin = Surface(color if rng.random() < 0.6 else linear_rgb(0, 0, 0.2), detail=0.06)
    radius = float(rng.uniform(0.04, 0.06))
    has_net = rng.random() < settings.nets
    solids: list[Capsule] = []
    nets: list[Net] = []
    net_color = linear_rgb(0, 0, float(rng.choice([rng.uniform(0.7, 1.0), rng.uniform(0.1, 0.4)])))
    mesh, thread = float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.0015, 0.005))
    diagonal, sag = bool(rng.random() < 0.5), float(rng.uniform(0, 0.03))
    slope = float(rng.uniform(0.15, 1.0))
    for end in (1,) if field.half else (-1, 1):
        x, back = end * field.length / 2, end * (field.length / 2 + field.goal_depth)
        top_back = end * (field.length / 2 + field.goal_depth * slope)
        height, half = field.goal_height, field.goal_width / 2 + radius
        left, right = (np.array([x, side * half, 0.0]) for side in (-1, 1))
        up = np.array([0.0, 0.0, height + radius])
        solids += [Capsule(left, left + up, radius, look), Capsule(right, right + up, radius, look)]
        solids.append(Capsule(left + up, right + up, radius, look))
        for side in (-1, 1):
            low, high = np.array([back, side * half, 0.02]), np.array([top_back, side * half, height])
            front = np.array([x, side * half, 0.02])
            solids += [Capsule(front, low, radius * 0.5, thin), Capsule(low, high, radius * 0.4, thin)]
            solids.append(Capsule(front + up, high, radius * 0.4, thin))
            if has_net:
                nets.append(Net(front, low - front, up, mesh, thread, diagonal, sag, net_color))
        across = np.array([0.0, 2 * half, 0.0])
        low, high = np.array([back, -half, 0.02]), np.array([top_back, -half, height])
        solids.append(Capsule(low, low + across, radius * 0.5, thin))
        if has_net:
            nets.append(Net(low, across, high - low, mesh, thread, diagonal, sag, net_color))
            nets.append(Net(left + up, across, high - left - up, mesh, thread, diagonal, sag, net_color))
    return solids, nets


def sample_near_net(position: Vector, forward: Vector, rng: np.random.Generator) -> Net:
    """Sample a net that hangs upright 0.1 to 0.7 m in front of the camera.

    Args:
        position: (3,) of the camera, in metres in the field frame.
        forward: (3,) optical axis in the field frame.
        rng: random generator.
    """
    away = forward[:2] / max(float(np.hypot(*forward[:2])), 1e-6)
    turn = float(rng.normal(0, 0.4))
    cosine, sine = np.cos(turn), np.sin(turn)
    away = np.array([cosine * away[0] - sine * away[1], sine * away[0] + cosine * away[1]])
    across = np.array([-away[1], away[0], 0.0])
    foot = np.array([*(position[:2] + float(rng.uniform(0.1, 0.7)) * away), 0.0])
    wide, low = float(rng.uniform(1.5, 3)), float(rng.choice([0.0, rng.uniform(0, 0.4)]))
    corner = foot - across * wide * float(rng.uniform(0.3, 0.7)) + np.array([0, 0, low])
    color = linear_rgb(0, 0, float(rng.choice([rng.uniform(0.6, 1.0), rng.uniform(0.1, 0.5)])))
    return Net(
        corner,
        across * wide,
        np.array([0, 0, float(rng.uniform(0.8, 2))]),
        float(rng.uniform(0.03, 0.12)),
        float(rng.uniform(0.0015, 0.006)),
        bool(rng.random() < 0.5),
        float(rng.uniform(0, 0.03)),
        color,
    )
