"""Paints the ground as a camera sees it: turf, markings, the floor around; and labels it from the same geometry."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise
from minisegnet_core.scenes.appearance.ground import Ground
from minisegnet_core.scenes.appearance.photos import photo_tile
from minisegnet_core.scenes.geometry.fields import FAR, MAP_RESOLUTION, line_map
from minisegnet_core.scenes.geometry.viewport import STEP, Viewport, lookup

Floats = NDArray[np.float32]
Window = tuple[slice, slice]
FARTHEST = 12.0
"""Metres; lines of other sports are not painted beyond, where they would alias."""


@dataclass(frozen=True)
class GroundImage:
    """light (H, W, 3) linear; field, line, room: (H, W) bool, at pixel centres, not yet occluded."""

    light: Floats
    field: NDArray[np.bool_]
    line: NDArray[np.bool_]
    room: NDArray[np.bool_]


def paint(ground: Ground, view: Viewport, falling: Floats) -> GroundImage:
    """The ground as seen, lit by ``falling``: (h, w, 3) light on the view's coarse grid."""
    x, y = view.x, view.y
    left, right, _, top = ground.extent
    on_field = np.abs(x - np.float32((left + right) / 2)) <= np.float32((right - left) / 2)
    on_field &= np.abs(y) <= np.float32(top)
    room = np.abs(x) <= ground.room[0]
    room &= np.abs(y) <= ground.room[1]
    if on_field.all():
        light = _turf(ground, view, falling, (slice(0, x.shape[0]), slice(0, x.shape[1])))
    else:
        light = _floor(ground, view, falling, on_field)
        rows, columns = (np.flatnonzero(on_field.any(axis=axis)) for axis in (1, 0))
        if rows.size:
            window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
            turf = _turf(ground, view, falling, window)
            cv2.copyTo(turf, on_field[window].view(np.uint8), light[window])
    line = _paint_lines(ground, view, light, falling, on_field)
    return GroundImage(light, on_field, line, room)


def _floor(ground: Ground, view: Viewport, falling: Floats, on_field: NDArray[np.bool_]) -> Floats:
    cloud = noise.sample(noise.tile(5, 1.0), view.coarse_x, view.coarse_y, 6.0, ground.shift[4])
    factor = np.clip(1 + np.float32(ground.floor_patches) * cloud, 0.3, 2)
    if ground.floor_boards:
        boards = view.coarse_x if ground.stripe[2] else view.coarse_y
        boards = np.floor(boards * np.float32(1 / ground.floor_boards)) * np.float32(0.618)
        factor *= np.float32(0.85) + np.float32(0.3) * (boards - np.floor(boards))
    light = view.refine((factor[..., None] * ground.floor * falling).astype(np.float32))
    width, gap, along_x = ground.floor_lines
    if width:
        pixels = np.flatnonzero(~on_field & (view.distance < FARTHEST))
        across = (view.y if along_x else view.x).reshape(-1)[pixels] * np.float32(1 / gap)
        across -= np.floor(across)
        pixels = pixels[across < width / gap]
        light.reshape(-1, 3)[pixels] = ground.floor_line_color * view.pick(falling, pixels)
    return light


def _footprint(view: Viewport) -> Floats:
    """(h, w, 2) on the coarse grid: square of the metres that one pixel covers along x and along y on the ground."""
    squares = []
    for position in (view.coarse_x, view.coarse_y):
        along_u = cv2.Sobel(position, cv2.CV_32F, 1, 0, ksize=1, scale=1 / 8)
        along_v = cv2.Sobel(position, cv2.CV_32F, 0, 1, ksize=1, scale=1 / 8)
        squares.append(np.minimum(along_u * along_u + along_v * along_v, 1e4))
    return np.stack(squares, axis=-1)


def _near_lines(ground: Ground, view: Viewport, footprint: Floats, on_field: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Flat indices of the pixels on the field that may show some of a line: found on the coarse grid, since the
    distance to a line grows no faster than one walks."""
    lines = line_map(ground.field)
    scale = np.float32(1 / MAP_RESOLUTION)
    u, v = (view.coarse_x - np.float32(lines.left)) * scale, (view.coarse_y - np.float32(lines.bottom)) * scale
    away = cv2.remap(
        lines.values, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(FAR, 0.5, 0, 0)
    )[..., 0]
    stride = np.zeros_like(away)
    for position in (view.coarse_x, view.coarse_y):
        for axis in (0, 1):
            step = np.abs(np.diff(position, axis=axis))
            first, second = (stride[1:], stride[:-1]) if axis == 0 else (stride[:, 1:], stride[:, :-1])
            np.maximum(first, step, out=first)
            np.maximum(second, step, out=second)
    # Pixels lie up to half a stride off their node along each of both image axes.
    reach = np.minimum(1.45 * cv2.dilate(stride, np.ones((3, 3), np.uint8)), 2 * FAR)
    reach += np.sqrt(footprint.max(axis=-1))
    near = away < reach + np.float32(
        ground.line_width / 2 + ground.line_softness + ground.line_fuzz + 2 * MAP_RESOLUTION
    )
    height, width = on_field.shape
    blocks = near[1:, 1:].view(np.uint8)
    size = (blocks.shape[1] * STEP, blocks.shape[0] * STEP)
    fine = cv2.resize(blocks, size, interpolation=cv2.INTER_NEAREST)[:height, :width]
    return np.flatnonzero(fine & on_field.view(np.uint8))


def _paint_lines(
    ground: Ground, view: Viewport, light: Floats, falling: Floats, on_field: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Paints the markings; (H, W): pixels whose centre lies on one."""
    line = np.zeros(on_field.shape, np.bool_)
    footprint = _footprint(view)
    pixels = _near_lines(ground, view, footprint, on_field)
    if pixels.size == 0:
        return line
    lines = line_map(ground.field)
    scale = np.float32(1 / MAP_RESOLUTION)
    x, y = view.x.reshape(-1)[pixels], view.y.reshape(-1)[pixels]
    u, v = (x - np.float32(lines.left)) * scale, (y - np.float32(lines.bottom)) * scale
    away, across = lookup(lines.values, u, v, (FAR, 0.5, 0, 0)).T
    half = np.float32(ground.line_width / 2)
    line.reshape(-1)[pixels] = away <= half
    squares = view.pick(footprint, pixels)
    size = np.sqrt(squares[:, 0] * across + squares[:, 1] * (1 - across))
    # Far away a pixel covers more than lines lie apart; what is beyond 2 m would not show.
    shown = np.flatnonzero(away < np.minimum(size, 2) + (half + np.float32(ground.line_softness + ground.line_fuzz)))
    pixels, away, size, x, y = pixels[shown], away[shown], size[shown], x[shown], y[shown]
    fine = noise.sample(noise.tile(7, 0.2), x, y, 0.5, ground.shift[3])
    if ground.line_fuzz:  # blades hide and spread the edge; what is finer than a pixel averages out
        away = away + fine * (np.float32(ground.line_fuzz) / (1 + size * 100))
    size += np.float32(2 * ground.line_softness + 1e-4)
    # Share of the pixel's extent across the line that lies on the line: right for lines thinner than a pixel, too.
    share = np.minimum(half, away + size / 2)
    share -= np.maximum(-half, away - size / 2)
    share /= size
    np.clip(share, 0, 1, out=share)
    if ground.line_cover < 1 or ground.line_speckle:
        cover = fine * (np.float32(ground.line_speckle) / (1 + size * 60)) + 1
        cover *= np.float32(ground.line_cover)
        share *= np.clip(cover, 0, 1, out=cover)
    if ground.line_wear:
        blotch = noise.sample(noise.tile(6, 0.8), x, y, 1.7, ground.shift[2])
        share *= 1 - np.float32(ground.line_wear) * np.clip(0.5 + 0.5 * blotch + 0.35 * fine, 0, 1)
    lit = view.pick(falling, pixels)
    flat = light.reshape(-1, 3)
    below = flat[pixels]
    through = below[:, 1] / np.maximum(lit[:, 1] * ground.turf[1], 1e-4)
    through = 1 + np.float32(ground.line_shows_turf) * (np.clip(through, 0.3, 1.7) - 1)
    for channel in range(3):
        before = below[:, channel]
        flat[pixels, channel] = before + share * (ground.line_color[channel] * through * lit[:, channel] - before)
    return line


def _turf_color(ground: Ground, view: Viewport, falling: Floats, far: Floats) -> Floats:
    """(h, w, 3) light from the turf on the coarse grid, on which colours and light vary slowly enough."""
    coarse = noise.sample(noise.tile(1, 1.2), view.coarse_x, view.coarse_y, ground.patch_scale, ground.shift[1])
    patch = np.clip(0.5 + np.float32(1.2 * ground.patches) * coarse, 0, 1)
    level = np.clip(1 + np.float32(0.5 * ground.patches) * coarse, 0.1, 3)
    level *= 1 + np.float32(ground.sheen) * np.clip(far, 0, 1)
    if ground.lean[0] or ground.lean[1]:
        # Pile that leans away from the eye looks brighter than pile that shows its tips.
        lean = view.coarse[0] * np.float32(ground.lean[0]) + view.coarse[1] * np.float32(ground.lean[1])
        level *= 1 + lean
    share: Floats | None = None
    if ground.dirt:
        spots = noise.sample(noise.tile(9, 1.1), view.coarse_x, view.coarse_y, 5.0, ground.shift[3])
        share = np.clip((spots - 1.1) * 1.5, 0, 1) * np.float32(ground.dirt)
    grazing = np.clip(far, 0, 1) * np.float32(ground.haze)
    planes = []
    for channel in range(3):
        color = ground.turf[channel] + patch * (ground.turf_patch[channel] - ground.turf[channel])
        color *= level
        if share is not None:
            color += share * (ground.dirt_color[channel] - color)
        color += grazing * (ground.turf.mean() - color)
        color *= falling[..., channel]
        planes.append(color)
    return np.asarray(cv2.merge(planes), np.float32)


def _turf(ground: Ground, view: Viewport, falling: Floats, window: Window) -> Floats:
    """Light from the turf in a window, (h, w, 3)."""
    x, y = np.ascontiguousarray(view.x[window]), np.ascontiguousarray(view.y[window])
    far = view.coarse_distance * np.float32(view.pixel * 40)
    light = view.refine(_turf_color(ground, view, falling, far), window)
    # Grain finer than a pixel averages out: its contrast falls with the size of a pixel on the ground.
    contrast = ground.blades
    if ground.texture:  # the photo's own contrast, in grey: the colour stays the drawn one
        tile, contrast = photo_tile(ground.texture, int(ground.shift[2, 0] * 1e6), noise.TILE), 1.0
    else:
        tile = noise.blades(ground.blade_kind)
    detail = noise.sample(tile, x, y, ground.blade_scale, ground.shift[0])
    detail *= view.refine(np.float32(contrast) / (1 + far * np.float32(1.5 / ground.blade_scale)), window)
    marks = noise.sample(noise.marks(ground.mark_kind), x, y, ground.mark_scale, ground.shift[5])
    marks *= view.refine(np.float32(ground.marks) / (1 + far * np.float32(0.6 / ground.mark_scale)), window)
    detail += marks
    for (strength, period, axis), is_seam in ((ground.stripe, False), (ground.seam, True)):
        if strength:
            along = (x if axis else y) * np.float32(1 / period)
            along -= np.floor(along)
            if is_seam:
                along *= np.float32(period)
                along /= view.distance[window] * np.float32(view.pixel) + np.float32(0.012)
                detail -= np.float32(strength) * np.clip(1 - along, 0, 1)
            else:
                detail += np.float32(strength) * np.sign(along - np.float32(0.5))
    detail += 1
    np.clip(detail, 0.08, 3, out=detail)
    light *= cv2.merge([detail, detail, detail])
    return light
