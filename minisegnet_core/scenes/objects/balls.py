"""Balls: patterns, exact outlines through the lens, light and shadow, and ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.sensor import streak
from minisegnet_core.scenes.appearance.surfaces import linear_rgb
from minisegnet_core.scenes.config.settings import BallSettings
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.viewport import Viewport, Window
from minisegnet_core.scenes.objects.canvas import Canvas

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]
_GOLDEN = (1 + math.sqrt(5)) / 2


def _icosahedron() -> tuple[Floats, Floats]:
    """Return the unit corners (12, 3) and face centres (20, 3): the pentagons and hexagons of a classic ball."""
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


def turned(matrix: Floats, vectors: Floats) -> Floats:
    """Return the product (m, n) of a matrix (m, 3) and vectors (3, n).

    BLAS is avoided: its threads would compete with the other workers, and results could depend on their number.
    """
    result: Floats = matrix[:, :1] * vectors[0]
    result += matrix[:, 1:2] * vectors[1]
    result += matrix[:, 2:] * vectors[2]
    return result


@dataclass(frozen=True)
class BallLook:
    """Pattern and colours of a ball.

    Attributes:
        pattern: a name of PATTERNS.
        base, mark, third: (3,) linear RGB colours.
        size: size of the pentagons, or the threshold of printed patches.
        gloss: strength of the highlight.
        waves: (n, 4) float32 wave vectors and phases of printed patterns.
    """

    pattern: str
    base: Floats
    mark: Floats
    third: Floats
    size: float
    gloss: float
    waves: Floats

    def paint(self, n: Floats) -> Floats:
        """Return the linear RGB colours (m, 3) at unit vectors (3, m) in the ball's frame."""
        count = n.shape[1]
        color: Floats = np.repeat(self.base[None], count, axis=0)
        if self.pattern == 'plain':
            return color
        corners = turned(_PENTAGONS, n)
        near = corners.max(axis=0)
        if self.pattern == 'white':  # with one or two small marks
            spots = self.waves[:2, :3] / np.linalg.norm(self.waves[:2, :3], axis=1)[:, None]
            color[turned(spots, n).max(axis=0) > 0.93] = self.mark
            color[np.abs(corners[0]) < 0.012] *= np.float32(0.7)
            return color
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
        # Printed balls are regular too: their patches are around the corners of an icosahedron.
        color[near < 0.80] = self.base
        return color


def sample_look(settings: BallSettings, rng: np.random.Generator) -> BallLook:
    """Sample the look of a ball."""
    pattern = str(settings.patterns[int(rng.integers(len(settings.patterns)))])
    white = linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.1)), float(rng.uniform(0.75, 1.0)))
    dark = linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.6)), float(rng.uniform(0.02, 0.3)))
    hue = float(rng.choice([rng.uniform(0, 50), rng.uniform(45, 62), rng.uniform(190, 350)]))
    vivid = linear_rgb(hue, float(rng.uniform(0.6, 1)), float(rng.uniform(0.5, 1)))
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


@dataclass(frozen=True)
class BallBody:
    """A ball in the scene.

    Attributes:
        center: (3,) in metres in the field frame.
        radius: in metres.
        turn: (3, 3) rotation from the field frame to the ball's frame.
        look: pattern and colours.
        blur: length, in radii of the ball, and angle (radians) of its motion blur in the image.
    """

    center: Vector
    radius: float
    turn: Vector
    look: BallLook
    blur: tuple[float, float] = (0.0, 0.0)


def outline(body: BallBody, camera: Camera, corners: int = 720) -> Vector | None:
    """Return the projected outline of the whole ball as a polygon (corners, 2) in pixels.

    Returns:
        None if a part of it is outside the lens's view, or the camera is inside the ball.
    """
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
    """Return the area in square pixels and the centroid (x, y) of a polygon (n, 2)."""
    middle = polygon.mean(axis=0)
    x, y = (polygon - middle).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    cx = ((x + np.roll(x, -1)) * cross).sum() / (6 * area)
    cy = ((y + np.roll(y, -1)) * cross).sum() / (6 * area)
    return abs(float(area)), float(cx + middle[0]), float(cy + middle[1])


@dataclass(frozen=True)
class DrawnBall:
    """A ball as drawn.

    Attributes:
        body: the ball.
        window: rows and columns that contain it.
        cover: (h, w) float32 fraction of each pixel in the window that it covers and no nearer solid hides.
        centers: (h, w) bool, whether it is visible at the pixel's centre.
        polygon: (n, 2) outline in pixels; None if a part of it is outside the lens's view.
    """

    body: BallBody
    window: Window
    cover: Floats
    centers: NDArray[np.bool_]
    polygon: Vector | None


def draw_ball(body: BallBody, canvas: Canvas, view: Viewport, light: Light, level: Floats) -> DrawnBall | None:
    """Draw a ball where nothing nearer was drawn.

    Args:
        body: the ball.
        canvas: drawn into.
        view: of the camera.
        light: of the scene.
        level: (3,) linear RGB light on the ground around the ball.

    Returns:
        None if the ball is not in the image.
    """
    polygon = outline(body, view.camera)
    window = view.window(body.center, body.radius) if polygon is None else _window(polygon, view)
    if window is None:
        return None
    height, width = (side.stop - side.start for side in window)
    factor = 5 if height * width < 1000 else 3 if height * width < 5000 else 1
    centers, inward = _hit(body, view, view.rays[:, window[0], window[1]])
    if factor == 1:
        rays, hit, cover = view.rays[:, window[0], window[1]], *_analytic(body, centers, inward)
    else:
        rays = view.oversampled(window, factor)
        rays /= np.sqrt((rays * rays).sum(axis=0))
        hit, inward = _hit(body, view, rays)
        cover = cv2.resize(hit.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    if not hit.any():
        return None
    offset = (body.center - view.camera.position).astype(np.float32)
    radius = np.float32(body.radius)
    inside = np.flatnonzero(hit)
    directions = np.stack([plane.reshape(-1)[inside] for plane in rays])
    toward = turned(offset[None], directions)[0]
    distance = toward - np.sqrt(np.maximum(radius * radius - inward.reshape(-1)[inside], 0))
    normals = (directions * distance - offset[:, None]) / radius
    color = body.look.paint(turned(body.turn.astype(np.float32), normals))
    color *= _lit(body.look, normals, directions, light, level)
    mean = np.zeros((*hit.shape, 3), np.float32)
    mean.reshape(-1, 3)[inside] = color
    if factor > 1:  # sub-pixels outside the ball are black, so the mean is already weighted by the cover
        mean = np.asarray(cv2.resize(mean, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    else:
        mean *= cv2.merge([cover, cover, cover])
    depth = np.float32(np.linalg.norm(offset))
    clear = canvas.depth[window] > depth - radius * np.float32(0.5)
    visible = np.where(clear, cover, 0).astype(np.float32)
    _composite(canvas.light, window, visible, mean * clear[..., None], body.blur)
    centers &= clear
    canvas.depth[window][centers] = depth
    return DrawnBall(body, window, visible, centers, polygon)


def _composite(light: Floats, window: Window, cover: Floats, color: Floats, blur: tuple[float, float]) -> None:
    """Blend colours, already multiplied by the cover, over the light, blurred along a streak."""
    length = blur[0] * min(cover.shape) / 2
    if length > 1:
        kernel = streak(min(length, 40.0), blur[1])
        margin = kernel.shape[0] // 2
        top, left = (min(margin, side.start) for side in window)
        bottom, right = (min(margin, size - side.stop) for side, size in zip(window, light.shape, strict=False))
        cover, color = (
            cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT) for part in (cover, color)
        )
        cover, color = (cv2.filter2D(part, -1, kernel, borderType=cv2.BORDER_CONSTANT) for part in (cover, color))
        window = (
            slice(window[0].start - top, window[0].stop + bottom),
            slice(window[1].start - left, window[1].stop + right),
        )
    target = light[window]
    rest = 1 - cover
    target *= cv2.merge([rest, rest, rest])
    target += color


def _window(polygon: Vector, view: Viewport) -> Window | None:
    """Return the rows and columns of an outline with a margin of one pixel; None if it is outside the image."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    height, width = view.camera.height, view.camera.width
    rows = slice(max(math.floor(top) - 1, 0), min(math.ceil(bottom) + 2, height))
    columns = slice(max(math.floor(left) - 1, 0), min(math.ceil(right) + 2, width))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _analytic(body: BallBody, centers: NDArray[np.bool_], inward: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return which pixels a large ball covers in part, and the fraction; within a pixel its edge counts as straight."""
    away = np.sqrt(inward)
    across = cv2.Sobel(away, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    along = cv2.Sobel(away, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    slope = np.maximum(np.sqrt(across * across + along * along), 1e-7)
    cover = np.clip((np.float32(body.radius) - away) / slope + np.float32(0.5), 0, 1)
    cover[~centers & (away < np.float32(0.5 * body.radius))] = 0  # behind the camera
    return cover > 0, cover


def _hit(body: BallBody, view: Viewport, rays: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return which rays hit the ball, and the squared distance of each ray from its centre in square metres.

    The distance is computed from the perpendicular vector, since a difference of squared lengths would lose all digits
    far away.
    """
    x, y, z = (body.center - view.camera.position).astype(np.float32)
    toward = rays[0] * x + rays[1] * y + rays[2] * z
    square = (rays[0] * toward - x) ** 2 + (rays[1] * toward - y) ** 2 + (rays[2] * toward - z) ** 2
    return (square <= np.float32(body.radius**2)) & (toward > 0), square


def _lit(look: BallLook, normals: Floats, directions: Floats, light: Light, level: Floats) -> Floats:
    """Return the linear RGB light (m, 3) at m points of the ball."""
    facing = np.maximum(turned(light.direction.astype(np.float32)[None], normals)[0], 0)
    up = normals[2]
    # The ground shades the lower side and reflects a little light onto it.
    result = (0.48 + 0.30 * up)[:, None] * level + (0.7 * facing)[:, None] * light.key
    if look.gloss:
        mirrored = directions - 2 * (normals * directions).sum(axis=0) * normals
        spot = np.maximum(turned(light.direction.astype(np.float32)[None], mirrored)[0], 0) ** 24
        result += np.float32(look.gloss * 2) * spot[:, None] * (light.key + level)
    return np.asarray(result, np.float32)


def ground_shadow(body: BallBody, view: Viewport, light: Light, canvas: Floats) -> None:
    """Darken the image of the ground (H, W, 3) below the ball and where its shadow falls."""
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
    """Multiply (h, w, 3) by (h, w) in place; NumPy alone is slow along a last axis of three elements."""
    light *= cv2.merge([factor, factor, factor])


def ground_truth(drawn: DrawnBall, hidden: Floats) -> BallTruth | None:
    """Return the ground truth of a drawn ball.

    Args:
        drawn: the ball.
        hidden: (H, W) float32 fraction of each pixel that nets cover in front of it.

    Returns:
        None if nothing of it is visible, or a part of its outline is outside the lens's view.
    """
    if drawn.polygon is None:
        return None
    area, x, y = _area_and_centroid(drawn.polygon)
    rows, columns = drawn.window
    visible = drawn.cover * (1 - hidden[drawn.window])
    seen = float(visible.sum())
    if seen <= 0.02 or area <= 0:
        return None
    cx = float((visible.sum(axis=0) * np.arange(columns.start, columns.stop)).sum()) / seen
    cy = float((visible.sum(axis=1) * np.arange(rows.start, rows.stop)).sum()) / seen
    return BallTruth(x, y, math.sqrt(area / math.pi), min(seen / area, 1.0), cx, cy)
