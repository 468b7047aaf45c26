"""Balls: their exact outline through the lens, their light, their truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.ball import BallTruth
from minisegnet_core.scenes.appearance.light import Light
from minisegnet_core.scenes.appearance.patterns import BallLook, turned
from minisegnet_core.scenes.appearance.sensor import streak
from minisegnet_core.scenes.geometry.camera import Camera
from minisegnet_core.scenes.geometry.solids import Canvas
from minisegnet_core.scenes.geometry.viewport import Viewport

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class BallBody:
    """A ball in the scene: centre and radius in metres (field frame), its turn (3, 3), its look; blur: length, in its
    own radii, and angle of the streak that its motion leaves in the image."""

    center: Vector
    radius: float
    turn: Vector
    look: BallLook
    blur: tuple[float, float] = (0.0, 0.0)


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
    pixel centres are (both (h, w)); ``polygon``: of its outline, None where the lens does not see all of it."""

    body: BallBody
    window: tuple[slice, slice]
    share: Floats
    centers: NDArray[np.bool_]
    polygon: Vector | None


def draw_ball(body: BallBody, canvas: Canvas, view: Viewport, light: Light, level: Floats) -> DrawnBall | None:
    """Draws a ball where nothing nearer stands; None where the image does not reach it."""
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
    if factor > 1:  # over all sub-pixels, those beside the ball count as black
        mean = np.asarray(cv2.resize(mean, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    else:
        mean *= cv2.merge([cover, cover, cover])
    depth = np.float32(np.linalg.norm(offset))
    clear = canvas.depth[window] > depth - radius * np.float32(0.5)
    share = np.where(clear, cover, 0).astype(np.float32)
    _composite(canvas.light, window, share, mean * clear[..., None], body.blur)
    centers &= clear
    canvas.depth[window][centers] = depth
    return DrawnBall(body, window, share, centers, polygon)


def _composite(
    light: Floats, window: tuple[slice, slice], share: Floats, color: Floats, blur: tuple[float, float]
) -> None:
    """Lays colours, multiplied with their share of each pixel, over the light; smeared along a streak."""
    length = blur[0] * min(share.shape) / 2
    if length > 1:
        kernel = streak(min(length, 40.0), blur[1])
        margin = kernel.shape[0] // 2
        top, left = (min(margin, side.start) for side in window)
        bottom, right = (min(margin, most - side.stop) for side, most in zip(window, light.shape, strict=False))
        share, color = (
            cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT) for part in (share, color)
        )
        share, color = (cv2.filter2D(part, -1, kernel, borderType=cv2.BORDER_CONSTANT) for part in (share, color))
        window = (
            slice(window[0].start - top, window[0].stop + bottom),
            slice(window[1].start - left, window[1].stop + right),
        )
    target = light[window]
    rest = 1 - share
    target *= cv2.merge([rest, rest, rest])
    target += color


def _window(polygon: Vector, view: Viewport) -> tuple[slice, slice] | None:
    """The rows and columns that an outline reaches, and one more."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    height, width = view.camera.height, view.camera.width
    rows = slice(max(math.floor(top) - 1, 0), min(math.ceil(bottom) + 2, height))
    columns = slice(max(math.floor(left) - 1, 0), min(math.ceil(right) + 2, width))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _analytic(body: BallBody, centers: NDArray[np.bool_], inward: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Where a large ball covers some of a pixel, and how much: its edge is straight within one."""
    away = np.sqrt(inward)
    across = cv2.Sobel(away, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    along = cv2.Sobel(away, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
    slope = np.maximum(np.sqrt(across * across + along * along), 1e-7)
    cover = np.clip((np.float32(body.radius) - away) / slope + np.float32(0.5), 0, 1)
    cover[~centers & (away < np.float32(0.5 * body.radius))] = 0  # behind the eye
    return cover > 0, cover


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


def truth(drawn: DrawnBall, hidden: Floats) -> BallTruth | None:
    """The truth of a drawn ball; ``hidden`` (H, W): share of each pixel that nets cover in front of it.

    None where none of it is visible, or the lens does not see its whole outline.
    """
    if drawn.polygon is None:
        return None
    area, x, y = _area_and_centroid(drawn.polygon)
    rows, columns = drawn.window
    share = drawn.share * (1 - hidden[drawn.window])
    seen = float(share.sum())
    if seen <= 0.02 or area <= 0:
        return None
    cx = float((share.sum(axis=0) * np.arange(columns.start, columns.stop)).sum()) / seen
    cy = float((share.sum(axis=1) * np.arange(rows.start, rows.stop)).sum()) / seen
    return BallTruth(x, y, math.sqrt(area / math.pi), min(seen / area, 1.0), cx, cy)
