"""Private parts of rclpy: used in one module only, and working with the installed version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from rclpy.parameter import Parameter

from minisegnet_ros import rclpy_compat
from minisegnet_ros.rclpy_compat import RCLError, lifecycle_state, parameter_overrides
from minisegnet_ros.segment_node import SegmentNode

ROOT = Path(__file__).resolve().parents[2]
OTHERS = sorted(
    path
    for folder in ('minisegnet_ros', 'launch', 'benchmarks')
    for path in (ROOT / folder).rglob('*.py')
    if path.name != 'rclpy_compat.py' and ('rclpy' in path.read_text() or folder != 'benchmarks')
)
OBJECTS = {'self', 'cls'}
"""Names whose private attributes a module may use, since they are its own."""

NAMED_TUPLE = {'_asdict', '_replace'}
"""Public methods of named tuples, in spite of their names."""

HANDLES = {'handle', 'take_message', 'event_handlers', 'add_to_wait_set'}


def private_uses(path: Path) -> list[str]:
    """Return the uses of rclpy's private modules, of handles, and of private attributes of other objects in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and re.search(r'rclpy\.(impl|_)', node.module or ''):
            found.append(f'line {node.lineno}: {node.module}')
        if isinstance(node, ast.Attribute):
            private = node.attr.startswith('_') and not node.attr.startswith('__') and node.attr not in NAMED_TUPLE
            own = isinstance(node.value, ast.Name) and node.value.id in OBJECTS
            if (private and not own) or node.attr in HANDLES:
                found.append(f'line {node.lineno}: {ast.unparse(node)}')
    return found


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_uses_private_parts_of_rclpy(path):
    assert private_uses(path) == []


def test_each_use_states_its_reason_and_when_it_can_be_removed():
    source = Path(rclpy_compat.__file__).read_text()
    documented = [
        ast.get_docstring(node)
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith('_')
    ]
    assert len(documented) >= 6
    for documentation in documented:
        text = ' '.join(documentation.split())
        assert 'Reason:' in text or 'see :func:' in text, documentation
        assert 'emove' in text or 'Afterwards' in text or 'see :func:' in text, documentation


def test_overrides_are_known_before_their_declaration(fake):
    overrides = [Parameter('autostart', value=False), Parameter('unknown', value=3)]
    node = SegmentNode(fake, parameter_overrides=overrides)
    assert {name: parameter.value for name, parameter in parameter_overrides(node).items()} == {
        'autostart': False,
        'unknown': 3,
    }
    node.destroy_node()


def test_the_state_follows_the_transitions(fake):
    node = SegmentNode(fake, parameter_overrides=[Parameter('autostart', value=False)])
    states = [lifecycle_state(node)]
    for transition in (node.trigger_configure, node.trigger_activate, node.trigger_shutdown):
        transition()
        states.append(lifecycle_state(node))
    assert states == ['unconfigured', 'inactive', 'active', 'finalized']
    node.destroy_node()


def test_an_impossible_transition_is_refused_without_an_error(fake):
    node = SegmentNode(fake, parameter_overrides=[Parameter('autostart', value=False)])
    try:
        node.trigger_activate()
    except RCLError as error:
        pytest.fail(f'the transition raised {error}')
    assert node.state == 'unconfigured'
    node.destroy_node()
