"""The settings of scenes: every range from which something is drawn, with its limits, unit and meaning.

Unless its meaning says otherwise, a value is drawn uniformly between the two ends of its range. Lengths in the image
are in pixels of an image 640 pixels wide and grow with the width. Light is linear; 1 is white in full light. A fraction
of scenes is the probability that one scene has the property.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from minisegnet_core.settings import settings_class

Range = tuple[float, float]
"""Lower and upper end. In YAML a single number stands for both."""

FieldName = Literal['kid', 'adult', 'humanoid2018', 'spl', 'msl', 'free']
BallPattern = Literal['classic', 'printed', 'plain', 'paneled', 'white']
ObjectLabel = Literal['background', 'field', 'ignore']


@dataclass(frozen=True)
class Limits:
    """Annotation of a number, or of a range whose ends both lie within the limits.

    Attributes:
        lower, upper: limits, both included.
        unit: empty for pure numbers.
        meaning: what the number is.
    """

    lower: float
    upper: float
    unit: str
    meaning: str

    @property
    def allowed(self) -> str:
        """The limits with their unit."""
        return f'{self.lower:g} to {self.upper:g} {self.unit}'.strip()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        check = self._check_range if source == Range else partial(self._check_number, whole=source is int)
        return no_info_before_validator_function(check, handler(source))

    def _fits(self, value: Any, whole: bool = False) -> bool:
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        return is_number and self.lower <= value <= self.upper

    def _check_number(self, value: Any, whole: bool) -> Any:
        if not self._fits(value, whole):
            raise ValueError(f'a {"whole " * whole}number from {self.allowed}')
        return value

    def _check_range(self, value: Any) -> Any:
        ends = (value, value) if isinstance(value, (int, float)) else value
        if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(map(self._fits, ends)) or ends[0] > ends[1]:
            raise ValueError(f'a number, or two numbers in rising order, from {self.allowed}')
        return ends


def fraction(meaning: str) -> Limits:
    """Return the annotation of a fraction, 0 to 1; ``meaning`` says of what."""
    return Limits(0, 1, '', f'fraction of {meaning}')


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMore = BeforeValidator(_as_list)
"""Annotation of a list of names from which one is drawn. A name may be repeated; in YAML one name needs no list."""


@settings_class
class ImageSettings:
    """The image."""

    width: Annotated[int, Limits(64, 4096, 'px', 'width of the image')] = 640
    height: Annotated[int, Limits(64, 4096, 'px', 'height of the image')] = 480


@settings_class
class FieldDimensions:
    """Sizes of a field, between the centre lines of markings. A size of 0 leaves the marking out."""

    length: Annotated[float, Limits(1, 60, 'm', 'distance between the goal lines')] = 9.0
    width: Annotated[float, Limits(1, 60, 'm', 'distance between the touch lines')] = 6.0
    goal_width: Annotated[float, Limits(0, 10, 'm', 'distance between the goal posts; 0: no goals')] = 2.6
    goal_height: Annotated[float, Limits(0.1, 5, 'm', 'height of the crossbar above the ground')] = 1.2
    goal_depth: Annotated[float, Limits(0.05, 5, 'm', 'depth of the goal')] = 0.6
    goal_area_length: Annotated[float, Limits(0, 20, 'm', 'goal area along x')] = 1.0
    goal_area_width: Annotated[float, Limits(0, 40, 'm', 'goal area along y')] = 3.0
    penalty_area_length: Annotated[float, Limits(0, 20, 'm', 'penalty area along x')] = 2.0
    penalty_area_width: Annotated[float, Limits(0, 40, 'm', 'penalty area along y')] = 5.0
    penalty_mark: Annotated[float, Limits(0, 20, 'm', 'distance of the penalty mark from the goal line')] = 1.5
    circle_diameter: Annotated[float, Limits(0, 20, 'm', 'diameter of the centre circle')] = 1.5
    corner_radius: Annotated[float, Limits(0, 5, 'm', 'radius of the corner arcs')] = 0.0
    mark_size: Annotated[float, Limits(0, 1, 'm', 'stroke length of the penalty and centre marks')] = 0.1
    border: Annotated[float, Limits(0, 20, 'm', 'minimum width of the border strip')] = 1.0
    line_width: Annotated[float, Limits(0.01, 0.5, 'm', 'width of the lines')] = 0.05
    ball_diameter: Annotated[Range, Limits(0.03, 0.6, 'm', 'diameter of the ball')] = (0.13, 0.155)
    half: Annotated[int, Limits(0, 1, '', '1 keeps only the half with x >= 0, as in a lab')] = 0


FREE_FIELD = FieldDimensions(6.0, 4.0, 1.5, 0.8, 0.4, 0.6, 2.2, 0.0, 0.0, 1.3, 1.0, border=0.5, half=1)
"""Half a field, as a lab has it."""


@settings_class
class FieldSettings:
    """The field of play."""

    kinds: Annotated[
        tuple[FieldName, ...], Field(min_length=1, description='fields to draw from; a name may be repeated'), OneOrMore
    ] = (
        'kid', 'adult', 'humanoid2018', 'spl',
    )  # fmt: skip
    border: Annotated[Range, Limits(0, 20, 'm', 'border strip outside the lines; never less than the rules ask')] = (
        0.7, 2.5,
    )  # fmt: skip
    line_width: Annotated[Range, Limits(0.01, 0.3, 'm', 'width of the lines; not used for msl and free')] = (
        0.045,
        0.07,
    )
    free: FieldDimensions = dataclasses.field(default_factory=lambda: FREE_FIELD)


@settings_class
class CameraSettings:
    """Position, direction and lens of the camera."""

    height: Annotated[Range, Limits(0.05, 10, 'm', 'height above the ground')] = (0.4, 1.4)
    pitch: Annotated[Range, Limits(-60, 89, 'deg', 'angle of the optical axis below the horizontal')] = (-12, 60)
    level: Annotated[float, fraction('scenes that look up: pitch from the lowest quarter of its range')] = 0.25
    roll: Annotated[Range, Limits(-90, 90, 'deg', 'roll while walking')] = (-12, 12)
    tumble: Annotated[float, fraction('scenes in which the robot stumbles: pitch up to 85, roll up to 45 deg')] = 0.06
    field_of_view: Annotated[Range, Limits(20, 180, 'deg', 'horizontal, of radial-tangential lenses')] = (55, 110)
    fisheye: Annotated[float, fraction('equidistant fisheye lenses')] = 0.35
    fisheye_field_of_view: Annotated[Range, Limits(40, 220, 'deg', 'horizontal, of fisheye lenses')] = (90, 180)
    barrel: Annotated[
        Range, Limits(-0.6, 0.3, '', 'k1 of radial-tangential lenses; reduced until the model can be inverted')
    ] = (-0.34, 0.04)
    tangential: Annotated[Range, Limits(-0.05, 0.05, '', 'p1 and p2 of radial-tangential lenses')] = (-0.004, 0.004)
    off_center: Annotated[
        float, Limits(0, 0.3, '', 'maximum shift of the principal point along each axis, as a fraction of the width')
    ] = 0.04
    image_circle: Annotated[float, fraction('fisheye lenses whose image circle may end inside the image')] = 0.6
    circle: Annotated[
        Range, Limits(0.1, 3, '', 'angular radius of the image circle, as a fraction of half the field of view')
    ] = (0.45, 1.2)


@settings_class
class TurfSettings:
    """The playing surface."""

    hue: Annotated[
        Range, Limits(0, 360, 'deg', 'hue: 70 yellow-green, 120 green, 165 blue-green; the middle is more frequent')
    ] = (68, 172)
    saturation: Annotated[Range, Limits(0, 1, '', 'saturation; the middle is more frequent')] = (0.25, 0.92)
    value: Annotated[Range, Limits(0.02, 1, '', 'brightness of the colour, before lighting')] = (0.2, 0.75)
    odd: Annotated[
        float, fraction('fields of an unusual colour: nearly grey, brownish, bluish, very dark or bleached')
    ] = 0.12
    blades: Annotated[Range, Limits(0, 2, '', 'contrast of blades and pile; low values are more frequent')] = (
        0.03,
        0.6,
    )
    lean: Annotated[Range, Limits(0, 0.95, '', 'relative brightening of pile that leans away from the camera')] = (
        0,
        0.5,
    )
    marks: Annotated[Range, Limits(0, 1, '', 'contrast of scuffs, footprints and unevenness')] = (0, 0.12)
    patches: Annotated[Range, Limits(0, 2, '', 'contrast of large patches')] = (0, 0.3)
    patch_hue: Annotated[float, Limits(0, 90, 'deg', 'maximum hue difference of the patches')] = 18.0
    stripes: Annotated[float, fraction('fields with mown stripes or carpet lanes')] = 0.2
    seams: Annotated[float, fraction('fields with seams')] = 0.35
    dirt: Annotated[float, fraction('fields with worn and dirty spots')] = 0.4
    texture: Annotated[float, fraction("fields that use a photo's texture, if `textures` is set")] = 0.5
    textures: Annotated[str, Field(description='folder of turf photos; empty: procedural turf only')] = ''


@settings_class
class LineSettings:
    """The markings."""

    brightness: Annotated[Range, Limits(0.05, 2, '', 'reflectance of the lines')] = (0.35, 1.0)
    wear: Annotated[Range, Limits(0, 1, '', 'fraction of the paint that is worn off, in blotches')] = (0, 0.65)
    faint: Annotated[float, fraction('fields whose lines cover the turf only in part, everywhere')] = 0.35
    cover: Annotated[Range, Limits(0.05, 1, '', 'fraction of the turf that faint lines cover')] = (0.25, 0.9)
    softness: Annotated[Range, Limits(0, 0.1, 'm', 'width of the soft edge of chalk and paint')] = (0, 0.014)
    speckle: Annotated[Range, Limits(0, 3, '', 'contrast between painted and unpainted blades')] = (0, 0.9)
    fuzz: Annotated[Range, Limits(0, 0.05, 'm', "distance by which blades fray the lines' edges")] = (0, 0.01)


@settings_class
class LightSettings:
    """Lamps, sun and shadows."""

    ambient: Annotated[Range, Limits(0.01, 2, '', 'ambient light')] = (0.25, 0.8)
    spots: Annotated[Range, Limits(0, 40, 'lamps', 'lamps that each light a part of the field')] = (0, 6)
    spot_strength: Annotated[Range, Limits(0, 10, '', 'strength of such a lamp')] = (0.1, 1.0)
    sun: Annotated[float, fraction('scenes with sunlight through windows: bright patches with sharp edges')] = 0.16
    sun_strength: Annotated[Range, Limits(0, 20, '', 'strength of the sun')] = (1.0, 4.0)
    shade: Annotated[float, fraction('scenes with large shadows')] = 0.25
    gloss: Annotated[float, fraction('scenes whose floor reflects lamps')] = 0.35
    tint: Annotated[float, Limits(0, 1, '', 'maximum colour cast of lamps')] = 0.2
    falloff: Annotated[float, fraction('scenes whose light falls off strongly to one side')] = 0.2


@settings_class
class BallSettings:
    """The balls in play."""

    diameter: Annotated[Range, Limits(0, 0.6, 'm', "diameter; [0, 0]: as the field's rules ask")] = (0, 0)
    none: Annotated[float, fraction('scenes without a ball')] = 0.08
    more: Annotated[float, fraction('scenes with two or three balls')] = 0.15
    distance: Annotated[Range, Limits(0.05, 40, 'm', 'distance along the ground, drawn log-uniformly')] = (0.25, 9.0)
    patterns: Annotated[
        tuple[BallPattern, ...],
        Field(min_length=1, description='patterns to draw from; a name may be repeated'),
        OneOrMore,
    ] = (
        'classic', 'classic', 'printed', 'printed', 'white', 'plain', 'paneled',
    )  # fmt: skip
    blurred: Annotated[float, fraction('balls blurred by their own motion')] = 0.08
    hidden: Annotated[float, fraction('balls with an object between them and the camera')] = 0.15
    lifted: Annotated[float, fraction('balls in the air, up to 0.5 m')] = 0.05


@settings_class
class ThingSettings:
    """Goals, robots, people, the own robot and clutter. Counts are whole numbers; both ends are included."""

    goals: Annotated[float, fraction('scenes with goals')] = 0.85
    nets: Annotated[float, fraction('goals with nets')] = 0.75
    near_net: Annotated[float, fraction('scenes seen through a net close to the camera')] = 0.06
    colored_posts: Annotated[float, fraction('goals that are not white')] = 0.12
    robots: Annotated[Range, Limits(0, 40, 'robots', 'robots on the field')] = (0, 5)
    people: Annotated[Range, Limits(0, 40, 'people', 'referees and handlers on or beside the field')] = (0, 3)
    bystanders: Annotated[Range, Limits(0, 80, 'objects', 'people, robots and furniture beside the field')] = (0, 6)
    close_actor: Annotated[float, fraction('scenes with a robot or a person within 1.2 m of the camera')] = 0.15
    at_ball: Annotated[float, fraction('balls with a robot or a person next to them')] = 0.25
    own_robot: Annotated[float, fraction("scenes with parts of the camera's own robot in view")] = 0.35
    held: Annotated[float, fraction('scenes with a phone or tool held close to the camera')] = 0.12
    distractors: Annotated[
        Range, Limits(0, 80, 'objects', 'white, round, ball-coloured and line-coloured objects beside the field')
    ] = (0, 5)


@settings_class
class HallSettings:
    """The surroundings of the field."""

    boards: Annotated[float, fraction('scenes with boards around the field')] = 0.5
    distance: Annotated[Range, Limits(0, 60, 'm', 'distance from the border strip to the walls')] = (0.3, 9)
    photo: Annotated[float, fraction('halls taken from a photo, if `backgrounds` is set')] = 0.5
    backgrounds: Annotated[str, Field(description='folder of hall photos; empty: procedural halls only')] = ''
    brightness: Annotated[
        Range, Limits(0, 5, '', 'light in the hall relative to the field, drawn log-uniformly')
    ] = (0.08, 1.4)  # fmt: skip
    lamps: Annotated[float, fraction('halls with lamps in view')] = 0.6


@settings_class
class SensorSettings:
    """From light to pixel values."""

    brightness: Annotated[
        Range, Limits(0.001, 2, '', "exposed mean of the field, linear, drawn log-uniformly")
    ] = (0.10, 0.42)  # fmt: skip
    dark: Annotated[float, fraction('very dark images')] = 0.26
    dark_brightness: Annotated[Range, Limits(0.0005, 1, '', 'exposed mean of the field, very dark images')] = (
        0.005, 0.035,
    )  # fmt: skip
    burnt: Annotated[float, fraction('overexposed images')] = 0.07
    burnt_brightness: Annotated[Range, Limits(0.1, 5, '', 'exposed mean of the field, overexposed images')] = (0.5, 1.0)
    white_balance: Annotated[Range, Limits(-2, 2, 'stops', 'error of the red and of the blue gain')] = (-0.3, 0.3)
    cast: Annotated[float, fraction('images with a strong colour cast: three times the error')] = 0.15
    saturation: Annotated[Range, Limits(0, 3, '', 'saturation factor of the colour processing')] = (0.55, 1.25)
    gamma: Annotated[Range, Limits(1, 4, '', 'exponent of the tone curve')] = (1.7, 2.5)
    rim: Annotated[
        float, Limits(0.7, 400, 'px', "maximum width of the dark gradient at the rim of the lens's image circle")
    ] = 40.0
    veil: Annotated[
        Range, Limits(-1, 5, '', "uniform flare relative to the field's mean; below 0: black level")
    ] = (-0.25, 0.35)  # fmt: skip
    glare: Annotated[float, fraction('images with halos around overexposed areas')] = 0.2
    vignetting: Annotated[Range, Limits(0, 1, '', 'fraction of the light lost in the corners')] = (0, 0.6)
    focus: Annotated[Range, Limits(0, 10, 'px', "standard deviation of the lens's blur")] = (0.35, 1.1)
    defocus: Annotated[float, fraction('images out of focus: up to four times the blur')] = 0.12
    motion: Annotated[float, fraction('images with motion blur')] = 0.3
    motion_length: Annotated[Range, Limits(0, 100, 'px', 'length of the motion blur, drawn log-uniformly')] = (1.5, 16)
    noise: Annotated[
        Range, Limits(0, 0.5, '', 'standard deviation of a dark pixel, linear, drawn log-uniformly')
    ] = (0.002, 0.012)  # fmt: skip
    jpeg: Annotated[float, fraction('images compressed as JPEG')] = 0.7
    jpeg_quality: Annotated[Range, Limits(5, 100, '%', 'JPEG quality')] = (35, 95)


@settings_class
class MotionSettings:
    """Motion of the robot, its head and the ball in sequences."""

    speed: Annotated[Range, Limits(0, 5, 'm/s', 'walking speed')] = (0.0, 0.5)
    step_rate: Annotated[Range, Limits(0.1, 10, 'Hz', 'steps per second')] = (1.2, 2.4)
    bob: Annotated[Range, Limits(0, 0.2, 'm', 'vertical amplitude of the camera at each step')] = (0.003, 0.02)
    sway: Annotated[Range, Limits(0, 30, 'deg', 'roll amplitude at each step')] = (0.5, 4)
    look: Annotated[Range, Limits(0, 180, 'deg', 'yaw amplitude of the head')] = (10, 45)
    look_rate: Annotated[Range, Limits(0, 5, 'Hz', 'head turns per second')] = (0.05, 0.3)
    ball_speed: Annotated[Range, Limits(0, 10, 'm/s', 'initial speed of the ball')] = (0.0, 2.0)
    ball_friction: Annotated[Range, Limits(0, 10, 'm/s^2', 'deceleration of the ball')] = (0.2, 0.6)


@settings_class
class LabelSettings:
    """Labels of objects that data sets annotate differently."""

    things: Annotated[ObjectLabel, Field(description='label of robots, people and goals in front of the field')] = (
        'background'
    )
