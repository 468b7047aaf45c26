"""Which engine runs which model file on this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.inference.engine import Engine
from minisegnet_core.resources import models_directory

AUTO = 'auto'
ENGINE_MODULES = {'openvino': 'openvino', 'onnxruntime': 'onnxruntime', 'torch': 'torch'}
"""Engines and the package each needs, the usually fastest first."""

ENGINES_OF_FORMAT = {'.onnx': ('openvino', 'onnxruntime'), '.safetensors': ('torch',), '.ckpt': ('torch',)}
"""Engines that read a file, by its ending, in the order in which ``auto`` tries them."""

SHIPPED = ('minisegnet.onnx', 'minisegnet.safetensors')
"""Files in ``models/`` in the order in which an empty model name tries them."""


def default_threads() -> int:
    """CPU threads where none are asked for: all cores this process may use but one, which is the walking
    controller's.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


def open_engine(path: Path, name: str = AUTO, threads: int = 0) -> Engine:
    """Opens a model file with the named engine, or with the first that works.

    Args:
        path: model file.
        name: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
        threads: CPU threads; 0: :func:`default_threads`.

    Raises:
        ConfigurationError: there is no such engine, or it does not read such files.
        ModelError: the file or the engine's package is missing, or the file is damaged; for ``auto`` the text gives
        each
            engine's reason.
    """
    if name not in (AUTO, *ENGINE_MODULES):
        raise ConfigurationError(f'there is no engine {name!r}; there are: {AUTO}, {", ".join(ENGINE_MODULES)}')
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    readers = ENGINES_OF_FORMAT.get(path.suffix)
    if readers is None:
        raise ModelError(f'{path} is no model file: it must end in {", ".join(ENGINES_OF_FORMAT)}')
    if name != AUTO and name not in readers:
        raise ConfigurationError(f'the engine {name} does not read {path.name}; {" or ".join(readers)} does')
    reasons = []
    for candidate in readers if name == AUTO else (name,):
        if importlib.util.find_spec(ENGINE_MODULES[candidate]) is None:
            reasons.append(f'{candidate}: not installed (pip install {ENGINE_MODULES[candidate]})')
            continue
        try:
            return _OPENERS[candidate](path, threads or default_threads())
        except ImportError as error:
            reasons.append(f'{candidate}: {error}')
        except ModelError as error:
            if name != AUTO:
                raise
            reasons.append(f'{candidate}: {error}')
    raise ModelError(f'no engine can run {path} here: {"; ".join(reasons)}')


def find_model(model: str | Path) -> Path:
    """Path of a model: as given, or the name of a shipped one; empty: the first shipped one that an engine here runs.

    Raises:
        ModelError: there is none; the text lists those that are.
    """
    if model and Path(model).expanduser().is_file():
        return Path(model).expanduser()
    folder = models_directory()
    names = sorted(p.name for p in folder.glob('*') if p.suffix in ENGINES_OF_FORMAT)
    if model:
        if str(model) in names:
            return folder / str(model)
        raise ModelError(f'there is no model file {model}; shipped are: {", ".join(names) or "none"}')
    for name in SHIPPED:
        readers = ENGINES_OF_FORMAT[Path(name).suffix]
        if name in names and any(importlib.util.find_spec(ENGINE_MODULES[r]) for r in readers):
            return folder / name
    raise ModelError(
        f'no shipped model in {folder} can run here: install openvino or onnxruntime '
        f'(files there: {", ".join(names) or "none"})'
    )


def _openvino(path: Path, threads: int) -> Engine:
    from minisegnet_core.inference.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(path, threads)


def _onnxruntime(path: Path, threads: int) -> Engine:
    from minisegnet_core.inference.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, threads)


def _torch(path: Path, threads: int) -> Engine:
    from minisegnet_core.inference.torch_engine import TorchEngine

    return TorchEngine(path, threads)


_OPENERS: dict[str, Callable[[Path, int], Engine]] = {
    'openvino': _openvino,
    'onnxruntime': _onnxruntime,
    'torch': _torch,
}
