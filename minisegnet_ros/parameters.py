"""The node's parameters: one table with type, default, range, unit and description, and the checks that follow from it.

The node declares this table. The documentation and ``config/segment.yaml`` are tested against it, and the reasons for
rejected values come from it.
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
from minisegnet_core.geometry import parse_network_size
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS
from minisegnet_ros.qos import PREFIX as QOS_OVERRIDES
from minisegnet_ros.rclpy_compat import parameter_overrides
from minisegnet_ros.scheduling import parse_cpu_list
from minisegnet_ros.vision import ROTATIONS, View, parse_expected_size

Value = bool | int | float | str | list[int]


class Change(Enum):
    """When a parameter may be set, and what that does."""

    START = 'read-only'
    INACTIVE = 'while not active'
    LIVE = 'live'
    MODEL = 'live: loads a new model beside the running one'


_TYPE_NAMES = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number',
    str: 'text',
    list: 'a list of integers',
}


@dataclass(frozen=True)
class NodeParameter:
    """One parameter.

    Attributes:
        name: name of the parameter.
        default: default value; its type is the parameter's type.
        description: what it does, in one sentence or two.
        change: when it may be set.
        unit: unit of value, minimum and maximum.
        minimum, maximum: inclusive.
        choices: allowed values, if they are few.
    """

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
        """The type of the parameter."""
        return type(self.default)

    def check(self, value: Any) -> Value:
        """Return a value in the parameter's own type.

        Raises:
            ConfigurationError: wrong type, out of range, or not one of the choices; the message says what is allowed.
        """
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)  # `ros2 param set ... 1` and `rate: 10` in YAML are integers to ROS
        if self.kind is list and isinstance(value, (array.array, tuple)):
            value = list(value)
        if type(value) is not self.kind:
            raise ConfigurationError(f'{self.name} must be {_TYPE_NAMES[self.kind]}, not {value!r}')
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
        """Return the descriptor that ``ros2 param describe`` shows."""
        unit = f' [{self.unit}]' if self.unit else ''
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f'{self.description}{unit}',
            additional_constraints=', '.join((*(str(choice) for choice in self.choices), self.change.value)),
            read_only=self.change is Change.START,
            # Accepts integers for floating-point parameters; `check` rejects other types.
            dynamic_typing=self.kind is float,
        )
        if self.minimum is not None and self.maximum is not None and self.kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
        if self.minimum is not None and self.maximum is not None and self.kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)]
        return descriptor


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    'network_size': lambda value: parse_network_size(value, 640, 480),
    'expected_size': parse_expected_size,
    'roi': lambda value: View(0, value),
    'cpu_affinity': parse_cpu_list,
}
"""Checks beyond type, range and choices, by parameter; each raises ConfigurationError."""

PARAMETERS: tuple[NodeParameter, ...] = (
    NodeParameter('autostart', True, 'Whether the node configures and activates itself.', Change.START),
    NodeParameter(
        'model',
        '',
        'Model file, or name of a shipped model. Empty: the shipped model that is fastest on this machine.',
        Change.MODEL,
    ),
    NodeParameter(
        'engine',
        'auto',
        'Inference engine. `auto` selects the fastest installed one.',
        Change.MODEL,
        choices=('auto', 'openvino', 'onnxruntime', 'torch'),
    ),
    NodeParameter(
        'precision',
        'auto',
        'Numeric precision. `auto` selects the fastest precision that was validated for the model.',
        Change.MODEL,
        choices=('auto', *PRECISIONS),
    ),
    NodeParameter(
        'device',
        'auto',
        'Device that runs the network. `auto` selects an NVIDIA GPU if the engine supports it, otherwise the CPU.',
        Change.MODEL,
        choices=DEVICES,
    ),
    NodeParameter(
        'network_size',
        'native',
        'Size at which the network runs: native, half or WIDTHxHEIGHT. Outputs always refer to the received image.',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'expected_size',
        '640x480',
        'WIDTHxHEIGHT of the images. The model is warmed up for this size before activation. Images of another size '
        'are processed too, the first one after a delay of about a second.',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'rotate',
        0,
        'Clockwise rotation of the image before the network sees it. 180 is for a camera that is mounted upside down.',
        Change.MODEL,
        unit='degrees',
        choices=ROTATIONS,
    ),
    NodeParameter(
        'roi',
        [0, 0, 0, 0],
        'Region of the received image that the network sees: x, y, width, height. A width or height of 0 extends to '
        'the border.',
        Change.MODEL,
        unit='pixels',
    ),
    NodeParameter(
        'threads',
        0,
        'CPU threads of the engine. 0: all CPUs of cpu_affinity, or all cores but one if it is empty.',
        Change.MODEL,
        minimum=0,
        maximum=1024,
    ),
    NodeParameter(
        'cpu_affinity',
        '',
        'CPUs that this process may use, such as 0,2-3. Empty: as the process was started.',
        Change.START,
    ),
    NodeParameter(
        'nice',
        0,
        'Added to the niceness of this process. A higher value gives way to other processes; values below 0 need '
        'permission.',
        Change.START,
        minimum=-20,
        maximum=19,
    ),
    NodeParameter(
        'ball_threshold',
        0.5,
        'Ball probability from which a label pixel can belong to a ball.',
        minimum=0.01,
        maximum=1.0,
    ),
    NodeParameter(
        'ball_confidence',
        MINIMUM_CONFIDENCE,
        'Confidence from which a region of such pixels is a ball, in the label image too. A higher value gives fewer '
        'false balls and more missed ones.',
        minimum=0.0,
        maximum=1.0,
    ),
    NodeParameter(
        'image_transport',
        'raw',
        'Type of the images: raw (Image on `image`) or compressed (CompressedImage on `image` + `/compressed`).',
        Change.INACTIVE,
        choices=('raw', 'compressed'),
    ),
    NodeParameter(
        'reliability',
        'auto',
        'Reliability of the image subscription. `auto`: reliable if every publisher offers it, otherwise best effort.',
        Change.INACTIVE,
        choices=('auto', 'reliable', 'best_effort'),
    ),
    NodeParameter(
        'max_image_age',
        0.0,
        'Images with an older stamp are dropped. 0: no limit. Images with a zero or future stamp are never dropped.',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
    ),
    NodeParameter(
        'max_rate',
        0.0,
        'Maximum number of images processed per second. 0: no limit.',
        unit='Hz',
        minimum=0.0,
        maximum=1000.0,
    ),
    NodeParameter('overlay_opacity', 0.5, 'Opacity of the class colours in the overlay.', minimum=0.0, maximum=1.0),
    NodeParameter(
        'diagnostics_period',
        1.0,
        'Period of the messages on /diagnostics.',
        Change.INACTIVE,
        unit='s',
        minimum=0.1,
        maximum=60.0,
    ),
)

BUILT_IN = ('use_sim_time', 'start_type_description_service')
"""Parameters that rclpy declares for every node, in some distributions."""

TABLE: Mapping[str, NodeParameter] = {parameter.name: parameter for parameter in PARAMETERS}


def declare_parameters(node: Node) -> None:
    """Declare the table on a node, and warn about values for unknown parameters.

    Raises:
        ConfigurationError: a value from the command line or a file is of the wrong type or out of range.
    """
    overrides = parameter_overrides(node)
    for parameter in PARAMETERS:
        if parameter.name in overrides:
            parameter.check(overrides[parameter.name].value)
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    for name in overrides:
        if not (node.has_parameter(name) or name.startswith(QOS_OVERRIDES) or name in BUILT_IN):
            near = difflib.get_close_matches(name, TABLE, 1)
            hint = f'; did you mean {near[0]}?' if near else ' (correct if the file serves other nodes too)'
            node.get_logger().warning(f'there is no parameter {name}{hint}')


def values_of(node: Node) -> dict[str, Any]:
    """Return the present values of all parameters by name, each in its own type."""
    return {p.name: p.check(node.get_parameter(p.name).value) for p in PARAMETERS}
