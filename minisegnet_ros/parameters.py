"""The node's parameters: one table with type, default, range, unit and meaning, and the checks that follow from it.

The table is what the node declares, what ``docs/node.md`` and ``config/segment.yaml`` are tested against, and where a
rejected value's reason comes from.
"""

from __future__ import annotations

import array
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from minisegnet_core.ball import MINIMUM_CONFIDENCE
from minisegnet_core.errors import ConfigurationError
from minisegnet_core.geometry import MINIMUM_NETWORK_SIZE, parse_network_size
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS
from minisegnet_ros.scheduling import cpus_of
from minisegnet_ros.view import ROTATIONS, View

Value = bool | int | float | str | list[int]


class Change(Enum):
    """When a parameter may be set, and what that does."""

    START = 'read-only'
    INACTIVE = 'while not active'
    LIVE = 'live'
    MODEL = 'live: loads the model anew beside the running one'


LARGEST_SIDE = 16384
"""Pixels: an image of an expected size is allocated at the start."""


def size_of(text: str) -> tuple[int, int]:
    """(width, height) in pixels of ``WIDTHxHEIGHT``.

    Raises:
        ConfigurationError: it is none, or out of range.
    """
    try:
        width, height = (int(part) for part in text.split('x'))
    except ValueError:
        width = height = 0
    if not MINIMUM_NETWORK_SIZE <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
        raise ConfigurationError(
            f'expected_size must be WIDTHxHEIGHT, both {MINIMUM_NETWORK_SIZE} to {LARGEST_SIDE} pixels, not {text!r}'
        )
    return width, height


@dataclass(frozen=True)
class NodeParameter:
    """One parameter. minimum, maximum: inclusive, in ``unit``; choices: the only values of a word."""

    name: str
    default: Value
    description: str
    change: Change = Change.LIVE
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str | int, ...] = ()

    @property
    def kind(self) -> type:
        return type(self.default)

    def check(self, value: Any) -> Value:
        """The value in the parameter's own type.

        Raises:
            ConfigurationError: wrong type, out of range, or not one of the choices; the text says what is allowed.
        """
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)  # `ros2 param set ... 1` and `rate: 10` in YAML are integers to ROS
        if self.kind is list and isinstance(value, (array.array, tuple)):
            value = list(value)
        if type(value) is not self.kind:
            names = {
                bool: 'true or false', int: 'an integer', float: 'a number', str: 'text', list: 'a list of integers',
            }  # fmt: skip
            raise ConfigurationError(f'{self.name} must be {names[self.kind]}, not {value!r}')
        if self.choices and value not in self.choices:
            allowed = ', '.join(str(choice) for choice in self.choices)
            raise ConfigurationError(f'{self.name} must be one of {allowed}, not {value!r}')
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(f'{self.name} must be a finite number, not {value}')
        low, high = self.minimum, self.maximum
        if isinstance(value, (int, float)) and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            unit = f' {self.unit}' if self.unit else ''
            allowed = f'{low:g} to {high:g}' if high is not None else f'at least {low:g}'
            raise ConfigurationError(f'{self.name} must be {allowed}{unit}, not {value}')
        if self.name in _CHECKS:
            _CHECKS[self.name](value)
        return value  # type: ignore[no-any-return]

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows."""
        unit = f' [{self.unit}]' if self.unit else ''
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f'{self.description}{unit}',
            additional_constraints=', '.join((*(str(choice) for choice in self.choices), self.change.value)),
            read_only=self.change is Change.START,
            # A whole number is welcome where a fraction may stand; everything else is checked by `check`.
            dynamic_typing=self.kind is float,
        )
        if self.minimum is not None and self.maximum is not None and self.kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
        if self.minimum is not None and self.maximum is not None and self.kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)]
        return descriptor


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    'network_size': lambda value: parse_network_size(value, 640, 480),
    'expected_size': size_of,
    'roi': lambda value: View(0, value),
    'cpu_affinity': cpus_of,
}
"""Checks beyond type, range and choices, by parameter; each raises ConfigurationError."""

PARAMETERS: tuple[NodeParameter, ...] = (
    NodeParameter('autostart', True, 'whether the node configures and activates itself', Change.START),
    NodeParameter(
        'model', '', 'model file or name of a shipped one; empty: the shipped one that runs best here', Change.MODEL
    ),
    NodeParameter(
        'engine', 'auto', 'what runs the network', Change.MODEL, choices=('auto', 'openvino', 'onnxruntime', 'torch')
    ),
    NodeParameter(
        'precision',
        'auto',
        'of the arithmetic; auto: the fastest that the model was checked in',
        Change.MODEL,
        choices=('auto', *PRECISIONS),
    ),
    NodeParameter(
        'device', 'auto', 'where the network runs; auto: an NVIDIA GPU, else the CPU', Change.MODEL, choices=DEVICES
    ),
    NodeParameter(
        'network_size',
        'native',
        'size at which the network runs: native, half or WIDTHxHEIGHT; outputs always refer to the received image',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'expected_size',
        '640x480',
        'WIDTHxHEIGHT of the images to come: the model is made ready for it before activation; others work too, '
        'the first one after a pause of about a second',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'rotate',
        0,
        'how far the image is turned clockwise before the network sees it: 180 for a camera that hangs upside down',
        Change.MODEL,
        unit='degrees',
        choices=ROTATIONS,
    ),
    NodeParameter(
        'roi',
        [0, 0, 0, 0],
        'what the network sees, as x, y, width, height in the received image; width or height 0: up to its border',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'threads',
        0,
        'CPU threads of the engine; 0: all of cpu_affinity, else all cores but one',
        Change.MODEL,
        minimum=0,
        maximum=1024,
    ),
    NodeParameter(
        'cpu_affinity', '', 'CPUs that this process may use, such as 0,2-3; empty: as it was started', Change.START
    ),
    NodeParameter(
        'nice',
        0,
        'added to the niceness of this process: higher gives way to others; below 0 needs the right to it',
        Change.START,
        minimum=-20,
        maximum=19,
    ),
    NodeParameter(
        'ball_threshold',
        0.5,
        'ball probability from which a label pixel can belong to a ball',
        minimum=0.01,
        maximum=1.0,
    ),
    NodeParameter(
        'ball_confidence',
        MINIMUM_CONFIDENCE,
        'confidence from which a blob of such pixels is a ball, in the label image too: higher, fewer false balls and '
        'more missed ones',
        minimum=0.0,
        maximum=1.0,
    ),
    NodeParameter(
        'image_transport',
        'raw',
        'raw: Image on `image`; compressed: CompressedImage on `image` + `/compressed`',
        Change.INACTIVE,
        choices=('raw', 'compressed'),
    ),
    NodeParameter(
        'reliability',
        'auto',
        'of the image subscription; auto: reliable if every publisher offers it, else best effort',
        Change.INACTIVE,
        choices=('auto', 'reliable', 'best_effort'),
    ),
    NodeParameter(
        'max_image_age',
        0.0,
        'images whose stamp is older are dropped; 0: none; zero and future stamps are never old',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
    ),
    NodeParameter(
        'max_rate', 0.0, 'at most so many images are worked on per second; 0: no limit', unit='Hz', minimum=0.0,
        maximum=1000.0,
    ),
    NodeParameter(
        'overlay_opacity', 0.5, "of the classes' colours in the overlay", minimum=0.0, maximum=1.0
    ),
    NodeParameter(
        'diagnostics_period',
        1.0,
        'between two messages on /diagnostics',
        Change.INACTIVE,
        unit='s',
        minimum=0.1,
        maximum=60.0,
    ),
)  # fmt: skip

RCLPYS_OWN = ('use_sim_time', 'start_type_description_service')
"""Parameters that every node has, in some distributions."""

TABLE: Mapping[str, NodeParameter] = {parameter.name: parameter for parameter in PARAMETERS}


def declare_parameters(node: Node) -> None:
    """Declares the whole table on a node, and warns of values for parameters that it has not.

    Raises:
        ConfigurationError: a value from the command line or a file is of the wrong type or out of range.
    """
    overrides = node._parameter_overrides  # rclpy shows them nowhere else before they are declared
    for parameter in PARAMETERS:
        if parameter.name in overrides:
            parameter.check(overrides[parameter.name].value)
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    for name in overrides:
        if not (node.has_parameter(name) or name.startswith('qos_overrides.') or name in RCLPYS_OWN):
            near = difflib.get_close_matches(name, TABLE, 1)
            meant = f'; is {near[0]} meant?' if near else ' (fine, if a file serves other nodes too)'
            node.get_logger().warning(f'there is no parameter {name}{meant}')


def values_of(node: Node) -> dict[str, Any]:
    """All parameters' present values, each in its own type."""
    return {p.name: p.check(node.get_parameter(p.name).value) for p in PARAMETERS}
