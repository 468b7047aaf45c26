"""Who may import whom: the core knows no ROS, imports point one way, running a model needs no PyTorch."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / 'minisegnet_core'
ROS = ('rclpy', 'sensor_msgs', 'std_msgs', 'geometry_msgs', 'diagnostic_msgs', 'cv_bridge', 'launch', 'minisegnet_ros')
TORCH = ('torch', 'torchvision', 'onnx', 'safetensors')
FORBIDDEN = {
    # room: what of ours it must not import
    'classes': ['model', 'inference', 'training', 'scenes', 'data', 'evaluation', 'metrics', 'ball'],
    'geometry': ['inference', 'training', 'scenes', 'data', 'evaluation', 'ball', 'metrics'],
    'ball': ['inference', 'training', 'scenes', 'data', 'evaluation'],
    'metrics': ['inference', 'training', 'scenes', 'data', 'evaluation'],
    'model': ['inference', 'training', 'scenes', 'data', 'evaluation'],
    'data': ['inference', 'training', 'evaluation', 'scenes'],
    'scenes': ['inference', 'training', 'evaluation', 'model'],
    'frames': ['inference', 'training', 'evaluation', 'scenes', 'model'],
    'inference': ['training', 'evaluation'],
    'training': ['evaluation', 'inference'],
    'evaluation': ['training'],
}
MAY_USE_TORCH = (
    'model.py',
    'checkpoint.py',
    'data/loading.py',
    'data/paste.py',
    'data/pixels.py',
    'data/transforms.py',
    'data/view.py',
    'inference/export.py',
    'inference/torch_engine.py',
    'training/blending.py',
    'training/encoder_weights.py',
    'training/hardware.py',
    'training/loop.py',
    'training/losses.py',
    'training/lr_range_test.py',
    'training/run_folder.py',
    'training/setup.py',
    'training/trainer.py',
    'training/validation.py',
)


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
    return names


FILES = sorted(CORE.rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_core_file(path):
    relative = path.relative_to(CORE)
    names = imports_of(path)
    assert not {n for n in names if n.split('.')[0] in ROS}, 'the core must not know ROS'
    room = relative.parts[0].removesuffix('.py')
    for other in FORBIDDEN.get(room, ()):
        # A smoke test or an export check may render its own pictures: late, inside a function, not as a dependency.
        reached = {n for n in imports_of(path, top_level_only=True) if f'{n}.'.startswith(f'minisegnet_core.{other}.')}
        assert not reached, f'{room} must not import {other}'
    if str(relative) not in MAY_USE_TORCH:
        top = imports_of(path, top_level_only=True)
        assert not {n for n in top if n.split('.')[0] in TORCH}, 'this file must be importable without PyTorch'


def test_no_file_needs_itself():
    """Late imports count too: whoever reads one file of a circle must read all of them."""
    modules = {'.'.join(p.relative_to(ROOT).with_suffix('').parts): p for p in FILES}
    TopologicalSorter({name: imports_of(path) & modules.keys() for name, path in modules.items()}).prepare()


def test_files_stay_small():
    long = {
        str(p.relative_to(ROOT)): count
        for folder in ('minisegnet_core', 'minisegnet_ros', 'test')
        for p in (ROOT / folder).rglob('*.py')
        if (count := len(p.read_text().splitlines())) > 320
    }
    assert not long, f'two rooms each, perhaps: {long}'
