"""Balls: patterns on a sphere, their exact outline through the lens, their truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.scenes.camera import Camera
from minisegnet_core.scenes.config import BallSettings
from minisegnet_core.scenes.ground import linear
from minisegnet_core.scenes.light import Light
from minisegnet_core.scenes.shading import turned
from minisegnet_core.scenes.solids import Canvas
from minisegnet_core.scenes.viewport import Viewport

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]
_GOLDEN = (1 + math.sqrt(5)) / 2


def _icosahedron() -> tuple[Floats, Floats]:
    """(12, 3) unit corners and (20, 3) unit face centres: a classic ball's pentagons and hexagons."""
    corners = np.array([p for a in (-1, 1) for b in (-_GOLDEN, _GOLDEN) for p in ((0, a, b), (a, b, 0), (b, 0, a))])
    corners /= np.linalg.norm(corners[0])
    edge = min(float(np.linalg.norm(corners[0] - c)) for c in corners[1:])
    faces = [
        corners[i] + corners[j] + corners[k]
        for i in range(12)
        for j in range(i)
        for k in range(j)
        if max(np.linalg.norm(corners[a] - corners[b]) for a, b in ((i, j), (j, k), (i, k))) < edge * 1.01
    ]
    centers = np.array(faces)
    return corners.astype(np.float32), (centers / np.linalg.norm(centers[0])).astype(np.float32)


_PENTAGONS, _HEXAGONS = _icosahedron()


@dataclass(frozen=True)
class BallLook:
    """A ball's pattern and colours (linear RGB); ``waves`` (n, 4) directions and phases of printed patterns."""

    pattern: str
    base: Floats
    mark: Floats
    third: Floats
    size: float
    gloss: float
    waves: Floats

    def paint(self, n: Floats) -> Floats:
        """(m, 3) colours at (3, m) unit vectors in the ball's frame."""
        count = n.shape[1]
        color: Floats = np.repeat(self.base[None], count, axis=0)
        if self.pattern == 'plain':
            return color
        corners = turned(_PENTAGONS, n)
        near = corners.max(axis=0)
        if self.pattern in ('classic', 'paneled'):
            faces = np.partition(turned(_HEXAGONS, n), 18, axis=0)[-2:]
            pentagon = near * np.float32(self.size) > faces[1]
            seam = np.minimum(faces[1] - faces[0], np.abs(near * np.float32(self.size) - faces[1])) < 0.02
            color[seam] *= np.float32(0.6)
            if self.pattern == 'classic':
                color[pentagon] = self.mark
            else:
                color[pentagon & (corners.argmax(axis=0) % 2 == 0)] = self.mark
            return color
        field = np.zeros(count, np.float32)
        for wave in self.waves:
            field += np.sin(turned(wave[None, :3], n)[0] + wave[3])
        color[field > self.size] = self.mark
        color[field < -1.35 * self.size - 0.6] = self.third
        # Printed balls keep some order: their patches sit around the corners of an icosahedron.
        color[near < 0.80] = self.base
        return color


@dataclass(frozen=True)
class BallBody:
    """A ball in the scene: centre and radius in metres (field frame), its turn (3, 3), its look."""

    center: Vector
    radius: float
    turn: Vector
    look: BallLook


def sample_look(settings: BallSettings, rng: np.random.Generator) -> BallLook:
    """Draws a ball's look."""
    pattern = str(settings.patterns[int(rng.integers(len(settings.patterns)))])
    white = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.1)), float(rng.uniform(0.75, 1.0)))
    dark = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.6)), float(rng.uniform(0.02, 0.3)))
    hue = float(rng.choice([rng.uniform(0, 50), rng.uniform(45, 62), rng.uniform(190, 350)]))
    vivid = linear(hue, float(rng.uniform(0.6, 1)), float(rng.uniform(0.5, 1)))
    base, mark = white, dark
    if pattern in ('plain', 'paneled'):
        base = vivid
        mark = white if rng.random() < 0.5 else dark
    elif rng.random() < 0.2:
        mark = vivid
    return BallLook(
        pattern=pattern,
        base=base,
        mark=mark,
        third=vivid if rng.random() < 0.5 else dark,
        size=float(rng.uniform(0.98, 1.05)) if pattern != 'printed' else float(rng.uniform(0.3, 1.0)),
        gloss=float(rng.uniform(0, 0.4)),
        waves=np.hstack([rng.normal(0, 4.0, (5, 3)), rng.uniform(0, 6.3, (5, 1))]).astype(np.float32),
    )


def outline(body: BallBody, camera: Camera, corners: int = 720) -> Vector | None:
    """(corners, 2) pixel coordinates of the whole ball's projected outline; None where the lens cannot see all of
    it, or the camera is inside the ball."""
    offset = body.center - camera.position
    distance = float(np.linalg.norm(offset))
    if distance <= body.radius * 1.001:
        return None
    axis = offset / distance
    helper = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    sine = body.radius / distance
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)[:, None]
    rays = math.sqrt(1 - sine * sine) * axis + sine * (np.cos(angle) * first + np.sin(angle) * second)
    points = camera.project(camera.position + rays)
    return points if np.isfinite(points).all() else None


def _area_and_centroid(polygon: Vector) -> tuple[float, float, float]:
    middle = polygon.mean(axis=0)
    x, y = (polygon - middle).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    cx = ((x + np.roll(x, -1)) * cross).sum() / (6 * area)
    cy = ((y + np.roll(y, -1)) * cross).sum() / (6 * area)
    return abs(float(area)), float(cx + middle[0]), float(cy + middle[1])


@dataclass(frozen=True)
class DrawnBall:
    """A ball as drawn: its window, the share of every pixel that it covers and nothing nearer hides, and where its
    pixel centres are (both (h, w)); ``depth`` metres along the ray, huge beside the ball."""

    body: BallBody
    window: tuple[slice, slice]
    share: Floats
    centers: NDArray[np.bool_]
    depth: Floats


def draw_ball(body: BallBody, canvas: Canvas, view: Viewport, light: Light, level: Floats) -> DrawnBall | None:
    """Draws a ball where nothing nearer stands; None where the image does not reach it."""
    window = view.window(body.center, body.radius)
    if window is None:
        return None
    height, width = (side.stop - side.start for side in window)
    factor = 5 if height * width < 1500 else 3 if height * width < 8000 else 2 if height * width < 50000 else 1
    rays = view.oversampled(window, factor)
    rays /= np.sqrt((rays * rays).sum(axis=0))
    hit, inward = _hit(body, view, rays)
    cover = cv2.resize(hit.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    if not hit.any():
        return None
    offset = (body.center - view.camera.position).astype(np.float32)
    radius = np.float32(body.radius)
    directions = rays[:, hit]
    toward = turned(offset[None], directions)[0]
    distance = toward - np.sqrt(np.maximum(radius * radius - inward[hit], 0))
    normals = (directions * distance - offset[:, None]) / radius
    color = body.look.paint(turned(body.turn.astype(np.float32), normals))
    color *= _lit(body.look, normals, directions, light, level)
    full = np.zeros((*hit.shape, 3), np.float32)
    full[hit] = color
    # Mean over the covered sub-pixels, brought back from the mean over all.
    mean = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
    depth = np.where(cover > 0, np.float32(np.linalg.norm(offset)), np.inf).astype(np.float32)
    clear = canvas.depth[window] > depth - radius * np.float32(0.5)
    share = np.where(clear, cover, 0).astype(np.float32)
    target = canvas.light[window]
    target *= (1 - share)[..., None]
    target += mean * clear[..., None]
    centers, _ = _hit(body, view, view.rays[:, window[0], window[1]])
    centers &= clear
    canvas.depth[window][centers] = depth[centers]
    return DrawnBall(body, window, share, centers, depth)


def _hit(body: BallBody, view: Viewport, rays: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Which rays meet the ball, and the square of each ray's distance from the centre, m^2.

    From the vector square to the ray: differences of squared lengths would lose all digits far away.
    """
    x, y, z = (body.center - view.camera.position).astype(np.float32)
    toward = rays[0] * x + rays[1] * y + rays[2] * z
    square = (rays[0] * toward - x) ** 2 + (rays[1] * toward - y) ** 2 + (rays[2] * toward - z) ** 2
    return (square <= np.float32(body.radius**2)) & (toward > 0), square


def _lit(look: BallLook, normals: Floats, directions: Floats, light: Light, level: Floats) -> Floats:
    facing = np.maximum(turned(light.direction.astype(np.float32)[None], normals)[0], 0)
    up = normals[2]
    # The lower side is darkened by the contact with the ground and lit a little by its colour.
    result = (0.48 + 0.30 * up)[:, None] * level + (0.7 * facing)[:, None] * light.key
    if look.gloss:
        mirrored = directions - 2 * (normals * directions).sum(axis=0) * normals
        spot = np.maximum(turned(light.direction.astype(np.float32)[None], mirrored)[0], 0) ** 24
        result += np.float32(look.gloss * 2) * spot[:, None] * (light.key + level)
    return np.asarray(result, np.float32)


def ground_shadow(body: BallBody, view: Viewport, light: Light, canvas: Floats) -> None:
    """Darkens the ground (H, W, 3) around where the ball touches it, and where its shadow falls."""
    lift = float(body.center[2]) - body.radius
    slant = light.direction[:2] / light.direction[2]
    reach = body.radius * 3 + float(np.abs(slant).max()) * float(body.center[2])
    window = view.window(np.array([body.center[0], body.center[1], 0.0]), reach)
    if window is None:
        return
    x = view.x[window] - np.float32(body.center[0])
    y = view.y[window] - np.float32(body.center[1])
    size = np.float32(body.radius)
    if lift < 0.02:
        near = np.exp(-(x * x + y * y) / (size * size * np.float32(0.45)))
        _darken(canvas[window], 1 - np.float32(0.75) * near)
    x += np.float32(slant[0] * body.center[2])
    y += np.float32(slant[1] * body.center[2])
    along = light.direction[:2] / max(float(np.hypot(*light.direction[:2])), 1e-6)
    u = (x * np.float32(along[0]) + y * np.float32(along[1])) * np.float32(light.direction[2])
    v = x * np.float32(along[1]) - y * np.float32(along[0])
    cast = np.clip((1.15 - np.sqrt(u * u + v * v) / size) * 3, 0, 1) * np.float32(light.shadow_strength * 0.6)
    _darken(canvas[window], 1 - cast)


def _darken(light: Floats, factor: Floats) -> None:
    """Multiplies (h, w, 3) by (h, w) in place; NumPy alone is slow along a last axis of three."""
    light *= cv2.merge([factor, factor, factor])


def truth(drawn: DrawnBall, hidden: Floats, camera: Camera) -> BallTruth | None:
    """The truth of a drawn ball; ``hidden`` (H, W): share of each pixel that nets cover in front of it.

    None where none of it is visible, or the lens does not see its whole outline.
    """
    polygon = outline(drawn.body, camera)
    if polygon is None:
        return None
    area, x, y = _area_and_centroid(polygon)
    rows, columns = drawn.window
    share = drawn.share * (1 - hidden[drawn.window])
    seen = float(share.sum())
    if seen <= 0.02 or area <= 0:
        return None
    cx = float((share.sum(axis=0) * np.arange(columns.start, columns.stop)).sum()) / seen
    cy = float((share.sum(axis=1) * np.arange(rows.start, rows.stop)).sum()) / seen
    return BallTruth(x, y, math.sqrt(area / math.pi), min(seen / area, 1.0), cx, cy)
