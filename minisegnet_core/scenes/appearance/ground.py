"""The ground of a scene: turf, markings, border strip, the floor around; how they look, in linear light."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minisegnet_core.scenes.config.scene import SceneConfig
from minisegnet_core.scenes.geometry.fields import FieldDimensions

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """Look and extent of the ground of one scene. Colours linear RGB, lengths metres.

    line_cover: share of the turf that fresh paint hides; line_fuzz: metres by which blades fray the lines' edges;
    line_speckle: how unevenly blades carry the colour; haze: how far distant turf loses its colour; lean: how much
    brighter turf is that is seen along x, along y; marks, mark_kind, mark_scale: contrast, look and metres of one
    repetition of scuffs and unevenness; floor_boards: metres, 0 for none; floor_lines: width and distance of other
    sports' lines on the floor around, metres, and whether they run along x.
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
    hue = turf.hue[0] + (turf.hue[1] - turf.hue[0]) * rng.beta(1.5, 1.6)
    saturation = turf.saturation[0] + (turf.saturation[1] - turf.saturation[0]) * rng.beta(2.2, 2)
    value = rng.uniform(*turf.value)
    if rng.random() < turf.odd:  # old, sun-bleached, bluish or nearly grey carpets
        hue, saturation = rng.uniform(40, 200), rng.uniform(0.06, 0.5)
        value = np.exp(rng.uniform(np.log(0.1), np.log(0.8)))
    other = linear(
        hue + rng.uniform(-1, 1) * turf.patch_hue,
        float(np.clip(saturation * rng.uniform(0.7, 1.15), 0, 1)),
        float(np.clip(value * rng.uniform(0.7, 1.2), 0, 1)),
    )
    own_width = free or field.line_width > 0.1
    border = max(float(rng.uniform(*config.field.border)), field.border)
    distance = [float(rng.uniform(*config.hall.distance)) for _ in range(2)]
    white = linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.12)), 1.0)
    worn = rng.random() < lines.faint
    lean, way = rng.uniform(*turf.lean) * float(rng.random() < 0.6), rng.uniform(0, 2 * np.pi)
    blade_scale = float(np.exp(rng.uniform(np.log(0.25), np.log(1.6))))
    # Mostly short pile of little contrast, now and then a meadow.
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
        turf=linear(hue, saturation, value),
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
        floor_boards=float(rng.uniform(0.1, 1.5)) if rng.random() < 0.4 else 0.0,
        floor_lines=(
            (float(rng.uniform(0.03, 0.12)), float(rng.uniform(0.6, 4)), bool(rng.random() < 0.5))
            if rng.random() < 0.25
            else (0.0, 1.0, False)
        ),
        floor_line_color=linear(float(rng.uniform(0, 360)), float(rng.uniform(0, 0.9)), float(rng.uniform(0.4, 1))),
        room=(field.length / 2 + border + distance[0], field.width / 2 + border + distance[1]),
        texture=turf.textures if turf.textures and rng.random() < turf.texture else '',
        shift=rng.random((6, 2)),
    )


def _dirt(turf: Floats, rng: np.random.Generator) -> Floats:
    """The colour of worn spots: earth, rubber crumbs or bleached pile, mixed with the turf's own."""
    earth = linear(float(rng.uniform(20, 70)), float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.6)))
    return np.asarray(turf + np.float32(rng.uniform(0.2, 0.75)) * (earth - turf), np.float32)
