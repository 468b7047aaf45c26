"""The ground: turf, markings, border strip, the floor around. Colour in linear light, labels from geometry."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes import noise
from minisegnet_core.scenes.config import SceneConfig
from minisegnet_core.scenes.fields import FAR, MAP_RESOLUTION, FieldDimensions, line_map
from minisegnet_core.scenes.photos import photo_tile
from minisegnet_core.scenes.viewport import Viewport

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """Look and extent of the ground of one scene. Colours linear RGB, lengths metres."""

    field: FieldDimensions
    border: float
    line_width: float
    line_softness: float
    line_color: Floats
    line_wear: float
    line_shows_turf: float
    turf: Floats
    turf_patch: Floats
    blades: float
    blade_kind: int
    blade_scale: float
    patches: float
    patch_scale: float
    sheen: float
    dirt: float
    dirt_color: Floats
    stripe: tuple[float, float, int]
    seam: tuple[float, float, int]
    floor: Floats
    floor_patches: float
    room: tuple[float, float]
    texture: str
    shift: NDArray[np.float64]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Least x, greatest x, least y, greatest y of the field with its border strip, metres."""
        left = (0.0 if self.field.half else -self.field.length / 2) - self.border
        right = self.field.length / 2 + self.border
        return left, right, -self.field.width / 2 - self.border, self.field.width / 2 + self.border


def linear(hue: float, saturation: float, value: float) -> Floats:
    """Linear RGB of a colour as people name it: hue in degrees, saturation and brightness 0..1."""
    return np.asarray(np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)) ** 2.2, np.float32)


def sample_ground(config: SceneConfig, field: FieldDimensions, free: bool, rng: np.random.Generator) -> Ground:
    """Draws the ground of one scene."""
    turf, lines = config.turf, config.lines
    hue, saturation = rng.uniform(*turf.hue), rng.uniform(*turf.saturation)
    value = rng.uniform(*turf.value)
    other = linear(
        hue + rng.uniform(-1, 1) * turf.patch_hue,
        float(np.clip(saturation * rng.uniform(0.7, 1.15), 0, 1)),
        float(np.clip(value * rng.uniform(0.7, 1.2), 0, 1)),
    )
    own_width = free or field.line_width > 0.1
    border = max(float(rng.uniform(*config.field.border)), field.border)
    distance = [float(rng.uniform(*config.hall.distance)) for _ in range(2)]
    white = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.12)), 1.0)
    floor_hue = float(rng.choice([rng.uniform(20, 45), rng.uniform(200, 240), rng.uniform(0, 360)]))
    return Ground(
        field=field,
        border=border,
        line_width=field.line_width if own_width else float(rng.uniform(*config.field.line_width)),
        line_softness=float(rng.uniform(*lines.softness)),
        line_color=white * np.float32(rng.uniform(*lines.brightness)),
        line_wear=float(rng.uniform(*lines.wear)) * float(rng.random() < 0.7),
        line_shows_turf=float(rng.uniform(0, 0.8)),
        turf=linear(hue, saturation, value),
        turf_patch=other,
        # Mostly short pile of little contrast, now and then a meadow.
        blades=turf.blades[0] + (turf.blades[1] - turf.blades[0]) * float(rng.random()) ** 2,
        blade_kind=int(rng.integers(0, 4)),
        blade_scale=float(np.exp(rng.uniform(np.log(0.25), np.log(1.6)))),
        patches=float(rng.uniform(*turf.patches)),
        patch_scale=float(np.exp(rng.uniform(np.log(1.5), np.log(14)))),
        sheen=float(rng.uniform(0, 0.5)),
        dirt=float(rng.uniform(0.2, 1)) if rng.random() < turf.dirt else 0.0,
        dirt_color=_dirt(linear(hue, saturation, value), rng),
        stripe=(
            (float(rng.uniform(0.06, 0.3)), float(rng.uniform(0.8, 2.5)), int(rng.integers(0, 2)))
            if rng.random() < turf.stripes
            else (0.0, 1.0, 0)
        ),
        seam=(
            (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(1.5, 4.5)), int(rng.integers(0, 2)))
            if rng.random() < turf.seams
            else (0.0, 1.0, 0)
        ),
        floor=linear(floor_hue, float(rng.uniform(0, 0.5)), float(rng.uniform(0.1, 0.8))),
        floor_patches=float(rng.uniform(0, 0.3)),
        room=(field.length / 2 + border + distance[0], field.width / 2 + border + distance[1]),
        texture=turf.textures if turf.textures and rng.random() < turf.texture else '',
        shift=rng.random((6, 2)),
    )


def _dirt(turf: Floats, rng: np.random.Generator) -> Floats:
    """The colour of worn spots: earth, rubber crumbs or bleached pile, mixed with the turf's own."""
    earth = linear(float(rng.uniform(20, 70)), float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.6)))
    return np.asarray(turf + np.float32(rng.uniform(0.2, 0.75)) * (earth - turf), np.float32)


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
    middle_x, half_x = np.float32((left + right) / 2), np.float32((right - left) / 2)
    on_field = np.abs(x - middle_x) <= half_x
    on_field &= np.abs(y) <= np.float32(top)
    room = np.abs(x) <= ground.room[0]
    room &= np.abs(y) <= ground.room[1]
    distance, normal = _line_distance(ground, view)
    light = _turf(ground, view, falling)
    _paint_lines(ground, view, light, falling, distance, normal)
    line = distance <= np.float32(ground.line_width / 2)
    line &= on_field
    if not on_field.all():
        cloud = noise.sample(noise.tile(5, 1.0), view.coarse_x, view.coarse_y, 6.0, ground.shift[4])
        floor = np.clip(1 + np.float32(ground.floor_patches) * cloud, 0.3, 2)[..., None] * ground.floor * falling
        cv2.copyTo(view.refine(floor.astype(np.float32)), (~on_field).view(np.uint8), light)
    return GroundImage(light, on_field, line, room)


def _line_distance(ground: Ground, view: Viewport) -> tuple[Floats, Floats]:
    """Distance on the ground to the nearest centre line, and the share of that line's normal along x."""
    lines = line_map(ground.field)
    scale = np.float32(1 / MAP_RESOLUTION)
    u = view.x * scale
    u -= np.float32(lines.left) * scale
    v = view.y * scale
    v -= np.float32(lines.bottom) * scale
    values = cv2.remap(
        lines.values, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(FAR, 0.5, 0, 0)
    )
    distance, normal = cv2.split(values)
    return np.asarray(distance, np.float32), np.asarray(normal, np.float32)


def _footprint(view: Viewport) -> Floats:
    """(h, w, 2) on the coarse grid: square of the metres that one pixel covers along x and along y on the ground."""
    squares = []
    for position in (view.coarse_x, view.coarse_y):
        along_u = cv2.Sobel(position, cv2.CV_32F, 1, 0, ksize=1, scale=1 / 8)
        along_v = cv2.Sobel(position, cv2.CV_32F, 0, 1, ksize=1, scale=1 / 8)
        squares.append(np.minimum(along_u * along_u + along_v * along_v, 1e4))
    return np.stack(squares, axis=-1)


def _paint_lines(
    ground: Ground, view: Viewport, light: Floats, falling: Floats, distance: Floats, normal: Floats
) -> None:
    footprint = _footprint(view)
    half = np.float32(ground.line_width / 2)
    reach = np.sqrt(footprint.max(axis=-1)) / 2 + (half + np.float32(ground.line_softness + 1e-4))
    # Far away a pixel covers more than lines lie apart; what is beyond 2 m would not show.
    rows, columns = np.nonzero(distance < view.refine(np.minimum(reach, 2)))
    if rows.size == 0:
        return
    away, across = distance[rows, columns], normal[rows, columns]
    squares = view.pick(footprint, rows, columns)
    size = np.sqrt(squares[:, 0] * across + squares[:, 1] * (1 - across))
    size += np.float32(2 * ground.line_softness + 1e-4)
    # Share of the pixel's extent across the line that lies on the line: right for lines thinner than a pixel, too.
    share = np.minimum(half, away + size / 2)
    share -= np.maximum(-half, away - size / 2)
    share /= size
    np.clip(share, 0, 1, out=share)
    x, y = view.x[rows, columns], view.y[rows, columns]
    if ground.line_wear:
        blotch = noise.sample(noise.tile(6, 0.8), x, y, 1.7, ground.shift[2])
        fine = noise.sample(noise.tile(7, 0.2), x, y, 0.5, ground.shift[3])
        share *= 1 - np.float32(ground.line_wear) * np.clip(0.5 + 0.5 * blotch + 0.35 * fine, 0, 1)
    below = light[rows, columns]
    lit = view.pick(falling, rows, columns)
    brightness = below[:, 1:2] / np.maximum(lit[:, 1:2] * ground.turf[1], 1e-4)
    through = 1 + np.float32(ground.line_shows_turf) * (np.clip(brightness, 0.3, 1.7) - 1)
    light[rows, columns] = below + share[:, None] * (ground.line_color * through * lit - below)


def _turf(ground: Ground, view: Viewport, falling: Floats) -> Floats:
    """Light from the turf, (H, W, 3): colours and light vary slowly and are made on the coarse grid."""
    x, y = view.x, view.y
    coarse = noise.sample(noise.tile(1, 1.2), view.coarse_x, view.coarse_y, ground.patch_scale, ground.shift[1])
    patch = np.clip(0.5 + np.float32(1.2 * ground.patches) * coarse, 0, 1)[..., None]
    color = ground.turf + patch * (ground.turf_patch - ground.turf)
    color *= np.clip(1 + np.float32(0.5 * ground.patches) * coarse, 0.1, 3)[..., None]
    far = view.coarse_distance * np.float32(view.pixel * 40)
    color *= (1 + np.float32(ground.sheen) * np.clip(far, 0, 1))[..., None]
    if ground.dirt:
        spots = noise.sample(noise.tile(9, 1.1), view.coarse_x, view.coarse_y, 5.0, ground.shift[3])
        share = np.clip((spots - 1.1) * 1.5, 0, 1)[..., None] * np.float32(ground.dirt)
        color += share * (ground.dirt_color - color)
    color *= falling
    light = view.refine(color.astype(np.float32, copy=False))
    # Grain finer than a pixel averages out: its contrast falls with the size of a pixel on the ground.
    pixel = view.distance * np.float32(view.pixel)
    contrast = ground.blades
    if ground.texture:  # the photo's own contrast, in grey: the colour stays the drawn one
        tile, contrast = photo_tile(ground.texture, int(ground.shift[2, 0] * 1e6), noise.TILE), 1.0
    else:
        tile = noise.blades(ground.blade_kind)
    detail = noise.sample(tile, x, y, ground.blade_scale, ground.shift[0])
    detail *= view.refine(np.float32(contrast) / (1 + far * np.float32(1.5 / ground.blade_scale)))
    middle = noise.sample(noise.tile(8, 0.5), x, y, 3.1 * ground.blade_scale, ground.shift[5])
    middle *= view.refine(np.float32(0.2 * ground.blades) / (1 + far * np.float32(0.2 / ground.blade_scale)))
    detail += middle
    for (strength, period, axis), is_seam in ((ground.stripe, False), (ground.seam, True)):
        if strength:
            along = np.mod(x if axis else y, np.float32(period))
            if is_seam:
                detail -= np.float32(strength) * np.clip(1 - along / (0.012 + pixel), 0, 1)
            else:
                detail += np.float32(strength) * np.sign(along - np.float32(period / 2))
    detail += 1
    np.clip(detail, 0.08, 3, out=detail)
    light *= cv2.merge([detail, detail, detail])
    return light
