"""Which package may import which: the core knows no ROS, imports point one way, running a model needs no PyTorch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / 'minisegnet_core'
ROS = (
    'rclpy', 'sensor_msgs', 'std_msgs', 'geometry_msgs', 'diagnostic_msgs', 'vision_msgs', 'cv_bridge', 'launch',
    'minisegnet_ros',
)  # fmt: skip
TORCH = ('torch', 'torchvision', 'lightning_fabric', 'onnx', 'safetensors')
MAY_IMPORT_TORCH = ('model.py', 'checkpoint.py', 'training', 'export', 'inference/engines/torch.py')
"""Whole packages and modules that need PyTorch; every other file can be imported without it."""

LAYERS = (
    # Each line may import the lines above it, not those below. Within a line, packages do not import each other unless
    # SAME_LAYER says so.
    ('errors', 'limits', 'processor'),
    ('files', 'classes', 'parallel'),
    ('imaging', 'resources', 'preprocessing', 'geometry', 'settings'),
    ('encodings', 'ball', 'video', 'model_files'),
    ('visualization', 'metrics', 'model', 'frames'),
    ('checkpoint', 'data'),
    ('scenes',),
    ('inference',),
    ('training', 'export', 'benchmark', 'evaluation'),
    ('commands',),
    ('cli',),
)
SAME_LAYER: set[tuple[str, str]] = set()
EXCEPTIONS = {
    ('commands', 'cli'): 'commands are decorated with cli.command; cli itself imports commands.parser alone',
}


def layer_of(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    if top_level_only:
        nodes = tree.body
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f'{node.module}.{alias.name}' for alias in node.names}
    return names


FILES = sorted(CORE.rglob('*.py'))


def name(path: Path) -> str:
    return str(path.relative_to(CORE))


@pytest.mark.parametrize('path', FILES, ids=name)
def test_the_core_does_not_import_ros(path):
    assert not {n for n in imports_of(path) if n.split('.')[0] in ROS}


@pytest.mark.parametrize('path', [p for p in FILES if p.name != '__init__.py' or p.parent != CORE], ids=name)
def test_imports_point_down_the_layers(path):
    package = path.relative_to(CORE).parts[0].removesuffix('.py')
    for imported in imports_of(path, top_level_only=True):
        if not imported.startswith('minisegnet_core.'):
            continue
        other = imported.split('.')[1]
        if other == package or not any(other in names for names in LAYERS) or (package, other) in EXCEPTIONS:
            continue
        if package == 'cli' and imported.startswith('minisegnet_core.commands.parser'):
            continue
        assert (package, other) in SAME_LAYER or layer_of(other) < layer_of(package), f'{package} imports {imported}'


@pytest.mark.parametrize('path', FILES, ids=name)
def test_only_the_packages_named_here_import_pytorch(path):
    relative = name(path)
    if not any(relative == place or relative.startswith(f'{place}/') for place in MAY_IMPORT_TORCH):
        assert not {n for n in imports_of(path, top_level_only=True) if n.split('.')[0] in TORCH}


def test_every_other_module_can_be_imported_without_pytorch():
    """The imports of imports count: one process imports all modules while PyTorch cannot be imported."""
    free = [
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in FILES
        if path.stem != '__init__' and not any(f'{name(path)}/'.startswith(f'{place}/') for place in MAY_IMPORT_TORCH)
    ]
    free += ['minisegnet_core.training.config', 'minisegnet_core.training.reporting']  # for --help and TrainConfig
    code = (
        f'import sys; sys.modules.update(dict.fromkeys({TORCH}))\n'
        f'from importlib import import_module\nfor module in {free}: import_module(module)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_every_package_has_a_layer():
    there = {path.relative_to(CORE).parts[0].removesuffix('.py') for path in FILES} - {'__init__'}
    assert there == {name for names in LAYERS for name in names}


def test_no_module_imports_itself_through_others():
    """Imports inside functions count too, because the modules of a cycle cannot be understood separately."""
    modules = {
        '.'.join(p.relative_to(ROOT).with_suffix('').parts): p
        for p in FILES
        if p.parent != CORE or p.stem != '__init__'
    }
    TopologicalSorter({name: imports_of(path) & modules.keys() for name, path in modules.items()}).prepare()


def test_importing_the_package_loads_no_heavy_library():
    heavy = {'torch', 'cv2', 'openvino', 'numpy'}
    code = f'import sys, minisegnet_core as m; dir(m); print(sorted({heavy} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_the_public_names_can_be_imported():
    pytest.importorskip('torch', reason='train needs PyTorch')
    import minisegnet_core

    for public in minisegnet_core.__all__:
        assert getattr(minisegnet_core, public).__name__ == public
    with pytest.raises(AttributeError, match='no attribute'):
        minisegnet_core.nothing  # noqa: B018


def test_files_hold_one_concept():
    long = {
        str(p.relative_to(ROOT)): count
        for folder in ('minisegnet_core', 'minisegnet_ros', 'test')
        for p in (ROOT / folder).rglob('*.py')
        if (count := len(p.read_text().splitlines())) > 500
    }
    assert not long, f'perhaps two concepts each: {long}'
