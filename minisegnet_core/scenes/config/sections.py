"""The sections of the scenes' configuration: every range from which something is drawn, with its limits and meaning.

Each number is drawn evenly between the two ends of its range unless its meaning says otherwise. Lengths in metres,
angles in degrees, image lengths in pixels of a 640 pixels wide image (they grow with the width), light in linear units.
"""

# ruff: noqa: RUF009 - span, number and the rest make dataclass fields, they are no default values
from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from minisegnet_core.scenes.config.settings import Range, chance, choice, choices, number, span, text
from minisegnet_core.scenes.geometry.fields import FREE_FIELD, FieldDimensions

FIELD_NAMES = ('kid', 'adult', 'humanoid2018', 'spl', 'msl', 'free')
PATTERNS = ('classic', 'printed', 'plain', 'paneled', 'white')
LABEL_CHOICES = ('background', 'field', 'ignore')


@dataclass(frozen=True)
class ImageSettings:
    """The image."""

    width: int = number(640, (64, 4096), 'px', 'width of the image')
    height: int = number(480, (64, 4096), 'px', 'height of the image')


@dataclass(frozen=True)
class FieldSettings:
    """Which field is played on."""

    kinds: tuple[str, ...] = choices(('kid', 'adult', 'humanoid2018', 'spl'), FIELD_NAMES, 'fields drawn from')
    border: Range = span(0.7, 2.5, (0, 20), 'm', 'border strip beyond the outer lines; at least what the rules say')
    line_width: Range = span(0.045, 0.07, (0.01, 0.3), 'm', 'width of lines; not used for msl and free')
    free: FieldDimensions = dataclasses.field(default_factory=lambda: FREE_FIELD)


@dataclass(frozen=True)
class CameraSettings:
    """Where the camera is and through which lens it looks."""

    height: Range = span(0.4, 1.4, (0.05, 10), 'm', 'height over ground')
    pitch: Range = span(-12, 60, (-60, 89), 'deg', 'tilt below the horizontal of the optical axis')
    level: float = chance(0.25, 'share of scenes that look up: pitch from the lowest quarter of its range')
    roll: Range = span(-12, 12, (-90, 90), 'deg', 'roll while walking')
    tumble: float = chance(0.06, 'share of scenes where the robot stumbles: pitch up to 85, roll up to 45 degrees')
    field_of_view: Range = span(55, 110, (20, 180), 'deg', 'horizontal, of radial-tangential lenses')
    fisheye: float = chance(0.35, 'share of equidistant fisheye lenses')
    fisheye_field_of_view: Range = span(90, 180, (40, 220), 'deg', 'horizontal, of fisheye lenses')
    barrel: Range = span(
        -0.34, 0.04, (-0.6, 0.3), '1', 'k1 of radial-tangential lenses; eased until it can be inverted'
    )
    tangential: Range = span(-0.004, 0.004, (-0.05, 0.05), '1', 'p1 and p2')
    off_center: float = number(0.04, (0, 0.3), 'share of width', 'largest shift of the principal point, each axis')
    image_circle: float = chance(0.6, 'share of fisheye lenses whose image circle may end inside the image')
    circle: Range = span(0.45, 1.2, (0.1, 3), '1', 'radius of that circle, as a share of half the field of view')


@dataclass(frozen=True)
class TurfSettings:
    """The playing surface and what lies around it."""

    hue: Range = span(68, 172, (0, 360), 'deg', 'hue: 70 yellow-green, 120 green, 165 blue-green; mostly the middle')
    saturation: Range = span(0.25, 0.92, (0, 1), 'share', 'saturation; mostly the middle')
    value: Range = span(0.2, 0.75, (0.02, 1), 'share', 'brightness before light')
    odd: float = chance(0.12, 'share of fields of another colour: nearly grey, brownish, bluish, very dark or bleached')
    blades: Range = span(0.03, 0.6, (0, 2), 'share', 'contrast of blades and pile; small ones more often')
    lean: Range = span(0.0, 0.5, (0, 0.95), 'share', 'how much brighter pile is that leans away from the eye')
    marks: Range = span(0.0, 0.12, (0, 1), 'share', 'contrast of scuffs, footprints and unevenness')
    patches: Range = span(0.0, 0.3, (0, 2), 'share', 'contrast of large patches')
    patch_hue: float = number(18.0, (0, 90), 'deg', 'how far the patches may differ in hue')
    stripes: float = chance(0.2, 'share of fields with mown stripes or lanes of carpet')
    seams: float = chance(0.35, 'share of fields with seams')
    dirt: float = chance(0.4, 'share of fields with worn and dirty spots')
    texture: float = chance(0.5, "share of fields that take a photo's texture where a folder of textures is given")
    textures: str = text('', 'folder of photos of turf; empty: procedural only')


@dataclass(frozen=True)
class LineSettings:
    """The markings."""

    brightness: Range = span(0.35, 1.0, (0.05, 2), '1', 'reflectance of the lines')
    wear: Range = span(0.0, 0.65, (0, 1), 'share', 'how much of the colour is gone, in blotches')
    faint: float = chance(0.35, 'share of fields whose lines hide only a part of the turf, everywhere')
    cover: Range = span(0.25, 0.9, (0.05, 1), 'share', 'how much of the turf faint lines hide')
    softness: Range = span(0.0, 0.014, (0, 0.1), 'm', 'soft edge of chalk and paint')
    speckle: Range = span(0.0, 0.9, (0, 3), 'share', 'how unevenly single blades carry the colour, seen from near')
    fuzz: Range = span(0.0, 0.01, (0, 0.05), 'm', "by how much blades fray the lines' edges")


@dataclass(frozen=True)
class LightSettings:
    """Lamps, sun, shadows."""

    ambient: Range = span(0.25, 0.8, (0.01, 2), '1', 'light from everywhere')
    spots: Range = span(0, 6, (0, 40), 'count', 'lamps that light a part of the field more')
    spot_strength: Range = span(0.1, 1.0, (0, 10), '1', 'strength of a lamp')
    sun: float = chance(0.16, 'share of scenes with sunlight through windows: bright patches with hard edges')
    sun_strength: Range = span(1.0, 4.0, (0, 20), '1', 'strength of the sun')
    shade: float = chance(0.25, 'share of scenes with large shadows')
    gloss: float = chance(0.35, 'share of scenes whose floor mirrors lamps')
    tint: float = number(0.2, (0, 1), 'share', 'how coloured lamps may be')
    falloff: float = chance(0.2, 'share of scenes whose light falls off strongly to one side')


@dataclass(frozen=True)
class BallSettings:
    """The balls in play."""

    diameter: Range = span(0.0, 0.0, (0, 0.6), 'm', "diameter; 0, 0: by the field's rules")
    none: float = chance(0.08, 'share of scenes without a ball')
    more: float = chance(0.15, 'share of scenes with two or three balls')
    distance: Range = span(0.25, 9.0, (0.05, 40), 'm', 'distance on the ground, drawn evenly in its logarithm')
    patterns: tuple[str, ...] = choices(
        ('classic', 'classic', 'printed', 'printed', 'white', 'plain', 'paneled'), PATTERNS, 'looks drawn from'
    )
    blurred: float = chance(0.08, 'share of balls blurred by their own motion')
    hidden: float = chance(0.15, 'share of balls that something stands before')
    lifted: float = chance(0.05, 'share of balls in the air, up to .5 m')


@dataclass(frozen=True)
class ThingSettings:
    """Goals, robots, people, the own robot, clutter. Counts are drawn evenly between the ends, both included."""

    goals: float = chance(0.85, 'share of scenes with goals')
    nets: float = chance(0.75, 'share of goals with nets')
    near_net: float = chance(0.06, 'share of scenes seen through a net close to the lens')
    colored_posts: float = chance(0.12, 'share of goals that are not white')
    robots: Range = span(0, 5, (0, 40), 'count', 'robots on the field')
    people: Range = span(0, 3, (0, 40), 'count', 'referees and handlers on or beside the field')
    bystanders: Range = span(0, 6, (0, 80), 'count', 'people, robots and furniture beside the field')
    close_actor: float = chance(0.15, 'share of scenes with a robot or a leg within 1.2 m')
    at_ball: float = chance(0.25, 'share of balls at which a robot or a person stands')
    own_robot: float = chance(0.35, "share of scenes with parts of the camera's own robot in view")
    held: float = chance(0.12, 'share of scenes with a telephone, a tool and a hand close to the lens')
    distractors: Range = span(0, 5, (0, 80), 'count', 'white, round, ball- and line-coloured things off the field')


@dataclass(frozen=True)
class HallSettings:
    """What stands around the field."""

    boards: float = chance(0.5, 'share of scenes with boards around the field')
    distance: Range = span(0.3, 9, (0, 60), 'm', 'from the border strip to the walls')
    photo: float = chance(0.5, 'share of halls from a photo where a folder is given')
    backgrounds: str = text('', 'folder of photos of halls; empty: procedural only')
    brightness: Range = span(0.08, 1.4, (0, 5), '1', 'light on the hall, relative to the field; drawn in its logarithm')
    lamps: float = chance(0.6, 'share of halls with lamps in view')


@dataclass(frozen=True)
class SensorSettings:
    """From light to bytes."""

    brightness: Range = span(0.10, 0.42, (0.001, 2), '1', "where exposure puts the field's mean, linear; in logarithm")
    dark: float = chance(0.26, 'share of very dark images')
    dark_brightness: Range = span(0.005, 0.035, (0.0005, 1), '1', "the field's mean in very dark images")
    burnt: float = chance(0.07, 'share of burnt-out images')
    burnt_brightness: Range = span(0.5, 1.0, (0.1, 5), '1', "the field's mean in burnt-out images")
    white_balance: Range = span(-0.3, 0.3, (-2, 2), 'log2', 'error of the red and blue gain, each')
    cast: float = chance(0.15, 'share of images with a strong cast: three times the error')
    saturation: Range = span(0.55, 1.25, (0, 3), '1', 'colour processing')
    gamma: Range = span(1.7, 2.5, (1, 4), '1', 'of the tone curve')
    rim: float = number(40.0, (0.7, 400), 'px', "most over which light fades at the rim of the lens's image circle")
    veil: Range = span(-0.25, 0.35, (-1, 5), 'share', "flare added to all, of the field's mean; below 0: black level")
    glare: float = chance(0.2, 'share of images with halos around what is burnt out')
    vignetting: Range = span(0.0, 0.6, (0, 1), 'share', 'light lost in the corners')
    focus: Range = span(0.35, 1.1, (0, 10), 'px', "sigma of the lens's blur")
    defocus: float = chance(0.12, 'share of images out of focus: up to four times as much')
    motion: float = chance(0.3, 'share of images with motion blur')
    motion_length: Range = span(1.5, 16, (0, 100), 'px', 'length of the blur, in logarithm')
    noise: Range = span(0.002, 0.012, (0, 0.5), '1', 'noise of a dark pixel, linear, at gain 1; in logarithm')
    jpeg: float = chance(0.7, 'share of images that went through JPEG')
    jpeg_quality: Range = span(35, 95, (5, 100), '%', 'quality')


@dataclass(frozen=True)
class MotionSettings:
    """How robot, head and ball move in sequences."""

    speed: Range = span(0.0, 0.5, (0, 5), 'm/s', 'walking speed')
    step_rate: Range = span(1.2, 2.4, (0.1, 10), 'Hz', 'steps a second')
    bob: Range = span(0.003, 0.02, (0, 0.2), 'm', 'rise and fall of the camera at each step')
    sway: Range = span(0.5, 4, (0, 30), 'deg', 'roll at each step')
    look: Range = span(10, 45, (0, 180), 'deg', 'how far the head turns to each side')
    look_rate: Range = span(0.05, 0.3, (0, 5), 'Hz', 'turns of the head a second')
    ball_speed: Range = span(0.0, 2.0, (0, 10), 'm/s', 'speed of the ball at the start')
    ball_friction: Range = span(0.2, 0.6, (0, 10), 'm/s^2', 'how fast the ball slows down')


@dataclass(frozen=True)
class LabelSettings:
    """What the truth says where data sets differ."""

    things: str = choice('background', LABEL_CHOICES, 'label of robots, people and goals where they cover the field')
