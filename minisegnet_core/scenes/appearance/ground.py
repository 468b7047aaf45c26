"""The ground: turf, markings, border strip and the floor around; how it is drawn at random, painted and labelled.

Colours and light are linear RGB. Image and labels come from the same geometry.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.appearance import noise
from minisegnet_core.scenes.appearance.photos import photo_tile
from minisegnet_core.scenes.appearance.surfaces import linear_rgb
from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.config.settings import FieldDimensions
from minisegnet_core.scenes.geometry.fields import FAR, MAP_RESOLUTION, line_map
from minisegnet_core.scenes.geometry.viewport import STEP, Viewport, Window, lookup

Floats = NDArray[np.float32]

MAX_FLOOR_LINE_DISTANCE = 12.0
"""Metres; beyond, the lines of other sports are not painted, since they would alias."""


@dataclass(frozen=True)
class Ground:
    """Look and extent of the ground of one scene. Colours are linear RGB (3,), lengths are in metres.

    Attributes:
        field: sizes of the field.
        border: width of the border strip.
        line_width, line_softness: width of the lines and of their soft edges.
        line_color, line_wear: colour of the lines, and the fraction that is worn off in blotches.
        line_cover: fraction of the turf that fresh paint covers.
        line_fuzz: length by which blades fray the lines' edges.
        line_speckle: contrast between painted and unpainted blades.
        line_shows_turf: fraction of the turf's contrast that shows through the paint.
        turf, turf_patch: colours of the turf and of its patches.
        blades, blade_kind, blade_scale: contrast, look and repetition length of the pile.
        patches, patch_scale: contrast and repetition length of large patches.
        sheen: relative brightening of distant turf.
        haze: fraction of its colour that distant turf loses.
        lean: relative brightening of turf that is seen along x and along y.
        marks, mark_kind, mark_scale: contrast, look and repetition length of scuffs and unevenness.
        dirt, dirt_color: maximum strength of worn spots, and their colour.
        stripe, seam: strength (0: none), period, and the axis along which they repeat (1: x, 0: y).
        floor, floor_patches: colour of the floor around the field, and the contrast of its patches.
        floor_boards: width of floor boards, 0 for none.
        floor_lines: width (0: none) and spacing of the lines of other sports, and whether they run along x.
        floor_line_color: colour of these lines.
        room: half the room's length and width.
        texture: folder of turf photos, or ''.
        shift: (6, 2) random shifts of the noise tiles, in tiles.
    """

    field: FieldDimensions
    border: float
    line_width: float
    line_softness: float
    line_color: Floats
    line_wear: float
    line_cover: float
    line_fuzz: float
    line_speckle: float
    line_shows_turf: float
    turf: Floats
    turf_patch: Floats
    blades: float
    blade_kind: int
    blade_scale: float
    patches: float
    patch_scale: float
    sheen: float
    haze: float
    lean: tuple[float, float]
    marks: float
    mark_kind: int
    mark_scale: float
    dirt: float
    dirt_color: Floats
    stripe: tuple[float, float, int]
    seam: tuple[float, float, int]
    floor: Floats
    floor_patches: float
    floor_boards: float
    floor_lines: tuple[float, float, bool]
    floor_line_color: Floats
    room: tuple[float, float]
    texture: str
    shift: NDArray[np.float64]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the field with its border strip, in metres in the field frame."""
        left = (0.0 if self.field.half else -self.field.length / 2) - self.border
        right = self.field.length / 2 + self.border
        return left, right, -self.field.width / 2 - self.border, self.field.width / 2 + self.border


def sample_ground(config: SceneConfig, field: FieldDimensions, free: bool, rng: np.random.Generator) -> Ground:
    """Sample the ground of one scene.

    Args:
        config: all ranges.
        field: sizes of the field.
        free: the field is ``field.free`` of the configuration, whose line width is used as it is.
        rng: random generator.
    """
    turf, lines = config.turf, config.lines
    hue = turf.hue[0] + (turf.hue[1] - turf.hue[0]) * rng.beta(1.5, 1.6)
    saturation = turf.saturation[0] + (turf.saturation[1] - turf.saturation[0]) * rng.beta(2.2, 2)
    value = rng.uniform(*turf.value)
    if rng.random() < turf.odd:  # old, sun-bleached, bluish or nearly grey carpets
        hue, saturation = rng.uniform(40, 200), rng.uniform(0.06, 0.5)
        value = np.exp(rng.uniform(np.log(0.1), np.log(0.8)))
    other = linear_rgb(
        hue + rng.uniform(-1, 1) * turf.patch_hue,
        float(np.clip(saturation * rng.uniform(0.7, 1.15), 0, 1)),
        float(np.clip(value * rng.uniform(0.7, 1.2), 0, 1)),
    )
    own_width = free or field.line_width > 0.1
    border = max(float(rng.uniform(*config.field.border)), field.border)
    distance = [float(rng.uniform(*config.hall.distance)) for _ in range(2)]
    white = linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.12)), 1.0)
    worn = rng.random() < lines.faint
    lean, way = rng.uniform(*turf.lean) * float(rng.random() < 0.6), rng.uniform(0, 2 * np.pi)
    blade_scale = float(np.exp(rng.uniform(np.log(0.25), np.log(1.6))))
    # Short pile of low contrast is frequent, long grass is rare.
    blades = turf.blades[0] + (turf.blades[1] - turf.blades[0]) * float(rng.random()) ** 2
    floor_hue = float(rng.choice([rng.uniform(20, 45), rng.uniform(200, 240), rng.uniform(185, 410)]))
    return Ground(
        field=field,
        border=border,
        line_width=field.line_width if own_width else float(rng.uniform(*config.field.line_width)),
        line_softness=float(rng.uniform(*lines.softness)),
        line_color=white * np.float32(rng.uniform(*lines.brightness)),
        line_wear=float(rng.uniform(*lines.wear)) * float(rng.random() < 0.7),
        line_cover=float(rng.uniform(*lines.cover)) if worn else 1.0,
        line_fuzz=float(rng.uniform(*lines.fuzz)) * float(rng.random() < 0.6),
        line_speckle=float(rng.uniform(*lines.speckle)) * float(rng.random() < 0.7),
        line_shows_turf=float(rng.uniform(0, 1.0)),
        turf=linear_rgb(hue, saturation, value),
        turf_patch=other,
        blades=blades,
        blade_kind=int(rng.integers(0, 4)),
        blade_scale=blade_scale,
        patches=float(rng.uniform(*turf.patches)),
        patch_scale=float(np.exp(rng.uniform(np.log(1.5), np.log(14)))),
        sheen=float(rng.uniform(0, 0.5)),
        haze=float(rng.uniform(0, 0.5)) * float(rng.random() < 0.5),
        lean=(float(lean * np.cos(way)), float(lean * np.sin(way))),
        marks=0.1 * blades + float(rng.uniform(*turf.marks)) * float(rng.random() < 0.6),
        mark_kind=int(rng.integers(0, 4)),
        mark_scale=float(np.exp(rng.uniform(np.log(1.0), np.log(6.0)))),
        dirt=float(rng.uniform(0.2, 1)) if rng.random() < turf.dirt else 0.0,
        dirt_color=_dirt(linear_rgb(hue, saturation, value), rng),
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
        floor=linear_rgb(floor_hue, float(rng.uniform(0, 0.5)), float(rng.uniform(0.1, 0.8))),
        floor_patches=float(rng.uniform(0, 0.3)),
        floor_boards=float(rng.uniform(0.1, 1.5)) if rng.random() < 0.4 else 0.0,
        floor_lines=(
            (float(rng.uniform(0.03, 0.12)), float(rng.uniform(0.6, 4)), bool(rng.random() < 0.5))
            if rng.random() < 0.25
            else (0.0, 1.0, False)
        ),
        floor_line_color=linear_rgb(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.9)), float(rng.uniform(0.4, 1))),
        room=(field.length / 2 + border + distance[0], field.width / 2 + border + distance[1]),
        texture=turf.textures if turf.textures and rng.random() < turf.texture else '',
        shift=rng.random((6, 2)),
    )


def _dirt(turf: Floats, rng: np.random.Generator) -> Floats:
    """Sample the colour of worn spots: earth, rubber granules or bleached pile, mixed with the turf's colour."""
    earth = linear_rgb(float(rng.uniform(20, 70)), float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.6)))
    return np.asarray(turf + np.float32(rng.uniform(0.2, 0.75)) * (earth - turf), np.float32)


@dataclass(frozen=True)
class GroundImage:
    """The ground as the camera sees it, before anything stands on it.

    Attributes:
        light: (H, W, 3) float32 linear light.
        field, line, room: (H, W) bool, whether a pixel's centre shows the field with its border strip, a marking, or
            the inside of the room.
    """

    light: Floats
    field: NDArray[np.bool_]
    line: NDArray[np.bool_]
    room: NDArray[np.bool_]


def paint_ground(ground: Ground, view: Viewport, falling: Floats) -> GroundImage:
    """Paint the ground.

    Args:
        ground: look of the ground.
        view: of the camera.
        falling: (h, w, 3) linear light that falls on the ground, on the view's coarse grid.
    """
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
        pixels = np.flatnonzero(~on_field & (view.distance < MAX_FLOOR_LINE_DISTANCE))
        across = (view.y if along_x else view.x).reshape(-1)[pixels] * np.float32(1 / gap)
        across -= np.floor(across)
        pixels = pixels[across < width / gap]
        light.reshape(-1, 3)[pixels] = ground.floor_line_color * view.pick(falling, pixels)
    return light


def _footprint(view: Viewport) -> Floats:
    """Return (h, w, 2) on the coarse grid: the squared lengths in metres along x and y that one pixel covers."""
    squares = []
    for position in (view.coarse_x, view.coarse_y):
        along_u = cv2.Sobel(position, cv2.CV_32F, 1, 0, ksize=1, scale=1 / 8)
        along_v = cv2.Sobel(position, cv2.CV_32F, 0, 1, ksize=1, scale=1 / 8)
        squares.append(np.minimum(along_u * along_u + along_v * along_v, 1e4))
    return np.stack(squares, axis=-1)


def _near_lines(ground: Ground, view: Viewport, footprint: Floats, on_field: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the flat indices of pixels on the field that may show a line.

    The coarse grid suffices to find them, because the distance to a line changes by no more than the distance walked.
    """
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
    # Pixels are up to half a stride away from their node along both image axes.
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
    """Paint the markings into ``light`` and return (H, W) bool: pixels whose centre is on one."""
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
    # Distant pixels cover more ground than the spacing of lines; a line 2 m away would not show.
    shown = np.flatnonzero(away < np.minimum(size, 2) + (half + np.float32(ground.line_softness + ground.line_fuzz)))
    pixels, away, size, x, y = pixels[shown], away[shown], size[shown], x[shown], y[shown]
    fine = noise.sample(noise.tile(7, 0.2), x, y, 0.5, ground.shift[3])
    if ground.line_fuzz:  # blades fray the edge; structure finer than a pixel averages out
        away = away + fine * (np.float32(ground.line_fuzz) / (1 + size * 100))
    size += np.float32(2 * ground.line_softness + 1e-4)
    # Fraction of the pixel's extent across the line that is on the line; also exact for lines thinner than a pixel.
    cover = np.minimum(half, away + size / 2)
    cover -= np.maximum(-half, away - size / 2)
    cover /= size
    np.clip(cover, 0, 1, out=cover)
    if ground.line_cover < 1 or ground.line_speckle:
        paint = fine * (np.float32(ground.line_speckle) / (1 + size * 60)) + 1
        paint *= np.float32(ground.line_cover)
        cover *= np.clip(paint, 0, 1, out=paint)
    if ground.line_wear:
        blotch = noise.sample(noise.tile(6, 0.8), x, y, 1.7, ground.shift[2])
        cover *= 1 - np.float32(ground.line_wear) * np.clip(0.5 + 0.5 * blotch + 0.35 * fine, 0, 1)
    lit = view.pick(falling, pixels)
    flat = light.reshape(-1, 3)
    below = flat[pixels]
    through = below[:, 1] / np.maximum(lit[:, 1] * ground.turf[1], 1e-4)
    through = 1 + np.float32(ground.line_shows_turf) * (np.clip(through, 0.3, 1.7) - 1)
    for channel in range(3):
        before = below[:, channel]
        flat[pixels, channel] = before + cover * (ground.line_color[channel] * through * lit[:, channel] - before)
    return line


def _turf_color(ground: Ground, view: Viewport, falling: Floats, far: Floats) -> Floats:
    """Return the light (h, w, 3) from the turf on the coarse grid, which resolves its colours and its light."""
    coarse = noise.sample(noise.tile(1, 1.2), view.coarse_x, view.coarse_y, ground.patch_scale, ground.shift[1])
    patch = np.clip(0.5 + np.float32(1.2 * ground.patches) * coarse, 0, 1)
    level = np.clip(1 + np.float32(0.5 * ground.patches) * coarse, 0.1, 3)
    level *= 1 + np.float32(ground.sheen) * np.clip(far, 0, 1)
    if ground.lean[0] or ground.lean[1]:
        # Pile that leans away from the camera looks brighter than pile that shows its tips.
        lean = view.coarse[0] * np.float32(ground.lean[0]) + view.coarse[1] * np.float32(ground.lean[1])
        level *= 1 + lean
    worn: Floats | None = None
    if ground.dirt:
        spots = noise.sample(noise.tile(9, 1.1), view.coarse_x, view.coarse_y, 5.0, ground.shift[3])
        worn = np.clip((spots - 1.1) * 1.5, 0, 1) * np.float32(ground.dirt)
    grazing = np.clip(far, 0, 1) * np.float32(ground.haze)
    planes = []
    for channel in range(3):
        color = ground.turf[channel] + patch * (ground.turf_patch[channel] - ground.turf[channel])
        color *= level
        if worn is not None:
            color += worn * (ground.dirt_color[channel] - color)
        color += grazing * (ground.turf.mean() - color)
        color *= falling[..., channel]
        planes.append(color)
    return np.asarray(cv2.merge(planes), np.float32)


def _turf(ground: Ground, view: Viewport, falling: Floats, window: Window) -> Floats:
    """Return the light (h, w, 3) from the turf in a window."""
    x, y = np.ascontiguousarray(view.x[window]), np.ascontiguousarray(view.y[window])
    far = view.coarse_distance * np.float32(view.pixel * 40)
    light = view.refine(_turf_color(ground, view, falling, far), window)
    # Grain finer than a pixel averages out, so its contrast falls with the size of a pixel on the ground.
    contrast = ground.blades
    if ground.texture:  # the photo gives the contrast, in grey; the colour stays as drawn
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
