"""The subpackages of scenes import one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import minisegnet_core.scenes

ORDER = (
    'config', 'geometry', 'appearance', 'objects', 'layout', 'renderer', 'sequence', 'series', 'bags',
)  # fmt: skip
"""Each may import itself and those before it."""
ROOT = Path(minisegnet_core.scenes.__file__).parent
PREFIX = 'minisegnet_core.scenes.'
FILES = sorted(path for path in ROOT.rglob('*.py') if path.stem != '__init__')


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_towards_the_configuration(path):
    own = ORDER.index(path.relative_to(ROOT).parts[0].removesuffix('.py'))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(PREFIX):
            assert ORDER.index(node.module.removeprefix(PREFIX).split('.')[0]) <= own, node.module
