"""Which engine runs which model file on this machine, and why."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.errors import ConfigurationError, ModelError
from minisegnet_core.inference.engines.base import Device, Engine, Precision, check_choices
from minisegnet_core.inference.engines.onnx_metadata import classes_of
from minisegnet_core.processor import Processor, available_cores, has_nvidia_gpu, processor
from minisegnet_core.resources import models_directory

AUTO = 'auto'
ENGINE_MODULES = {'openvino': 'openvino', 'onnxruntime': 'onnxruntime', 'torch': 'torch'}
"""Engines and the package each needs, the usually fastest first."""

ENGINES_OF_FORMAT = {'.onnx': ('openvino', 'onnxruntime'), '.safetensors': ('torch',), '.ckpt': ('torch',)}
"""Engines that read a file, by its ending, in the order in which ``auto`` tries them."""

INT8, FLOAT, CHECKPOINT = 'minisegnet_int8.onnx', 'minisegnet.onnx', 'minisegnet.safetensors'
SHIPPED = (INT8, FLOAT, CHECKPOINT)
"""Files in ``models/``."""


@dataclass(frozen=True)
class Candidate:
    """An engine with a model file. only_gpu: not to be taken where that engine falls back to the CPU."""

    engine: str
    file: str | Path
    only_gpu: bool = False


@dataclass(frozen=True)
class Selection:
    """An open engine with its file. reasons: why not another, a sentence each, in the order they were tried."""

    engine: Engine
    path: Path
    reasons: tuple[str, ...]


def default_threads() -> int:
    """CPU threads where none are asked for: all cores this process may use but one, which is the walking
    controller's.
    """
    return max(1, available_cores() - 1)


def shipped_order(machine: Processor, nvidia: bool, device: Device = 'auto') -> tuple[Candidate, ...]:
    """Engines with shipped files, the fastest first, by what the machine has; docs/inference.md has the times behind
    it.

    An NVIDIA GPU comes first. On CPUs int8 is the fastest with OpenVINO wherever there are instructions for it; ONNX
    Runtime gains little by it, so the file with float weights, which is more exact, stands before it there.
    """
    gpu = (Candidate('onnxruntime', FLOAT, True), Candidate('torch', CHECKPOINT, True))
    int8 = (Candidate('openvino', INT8),)
    others = (
        Candidate('openvino', FLOAT),
        Candidate('onnxruntime', FLOAT),
        Candidate('onnxruntime', INT8),
        Candidate('torch', CHECKPOINT),
    )
    cpu = int8 + others if machine.int8_instructions else others + int8
    return gpu + cpu if nvidia and device in ('auto', 'gpu') else cpu


def open_model(
    model: str | Path = '',
    engine: str = AUTO,
    threads: int = 0,
    precision: str = AUTO,
    device: str = AUTO,
) -> Selection:
    """Opens a model with the fastest engine that works.

    Args:
        model: model file, name of a shipped one, or empty for the shipped one that is fastest here.
        engine: ``auto``, ``openvino``, ``onnxruntime`` or ``torch``.
        threads: CPU threads; 0: :func:`default_threads`.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8``.
        device: ``auto``, ``cpu``, ``gpu`` or ``npu``.

    Raises:
        ConfigurationError: a word is none of these, or the engine does not read such files.
        ModelError: there is no such file, or nothing runs it here; the text gives each engine's reason.
    """
    exact, where = check_choices(precision, device)
    if engine not in (AUTO, *ENGINE_MODULES):
        raise ConfigurationError(f'there is no engine {engine!r}; there are: {AUTO}, {", ".join(ENGINE_MODULES)}')
    if model:
        path = find_model(model)
        candidates: Sequence[Candidate] = [Candidate(name, path) for name in readers_of(path, engine)]
        asked = str(path)
    else:
        candidates = _shipped_candidates(engine, exact, where)
        asked = f'a shipped model ({_shipped_names()} in {models_directory()})'
    reasons: list[str] = []
    for candidate in candidates:
        path, label = Path(candidate.file), f'{candidate.engine} with {Path(candidate.file).name}'
        package = ENGINE_MODULES[candidate.engine]
        if importlib.util.find_spec(package) is None:
            reasons.append(f'{label}: not installed (pip install {package})')
            continue
        try:
            opened = _OPENERS[candidate.engine](path, threads or default_threads(), exact, where)
        except ImportError as error:
            reasons.append(f'{label}: {error}')
            continue
        except ModelError as error:
            if engine != AUTO and len(candidates) == 1:
                raise
            reasons.append(f'{label}: {error}')
            continue
        if candidate.only_gpu and opened.device == 'CPU':
            reasons.append(f'{label}: it finds no GPU it can use')
            continue
        return Selection(opened, path, tuple(reasons))
    raise ModelError(f'no engine can run {asked} here: {"; ".join(reasons) or "none of the files fits"}')


def _shipped_candidates(engine: str, precision: Precision | None, device: Device) -> list[Candidate]:
    """Of :func:`shipped_order`, those whose file is there and that fit what is asked for."""
    folder = models_directory()
    return [
        Candidate(candidate.engine, folder / candidate.file, candidate.only_gpu)
        for candidate in shipped_order(processor(), has_nvidia_gpu(), device)
        if engine in (AUTO, candidate.engine)
        and (folder / candidate.file).is_file()
        and (precision is None or (candidate.file == INT8) == (precision == 'int8'))
    ]


def open_engine(path: Path, name: str = AUTO, threads: int = 0, precision: str = AUTO, device: str = AUTO) -> Engine:
    """Opens a model file with the named engine, or with the first that works; see :func:`open_model`."""
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    return open_model(path, name, threads, precision, device).engine


def readers_of(path: Path, engine: str = AUTO) -> tuple[str, ...]:
    """Engines that read such a file, of those that are asked for.

    Raises:
        ModelError: it is no model file by its ending.
        ConfigurationError: the engine asked for does not read it.
    """
    readers = ENGINES_OF_FORMAT.get(path.suffix)
    if readers is None:
        raise ModelError(f'{path} is no model file: it must end in {", ".join(ENGINES_OF_FORMAT)}')
    if engine == AUTO:
        return readers
    if engine not in readers:
        raise ConfigurationError(f'the engine {engine} does not read {path.name}; {" or ".join(readers)} does')
    return (engine,)


def find_model(model: str | Path) -> Path:
    """Path of a model: as given, or the name of a shipped one.

    Raises:
        ModelError: there is none; the text lists those that are.
    """
    path = Path(model).expanduser()
    if path.is_file():
        return path
    shipped = models_directory() / str(model)
    if shipped.name == str(model) and shipped.suffix in ENGINES_OF_FORMAT and shipped.is_file():
        return shipped
    raise ModelError(f'there is no model file {model}; shipped are: {_shipped_names()}')


def classes_of_model(model: str | Path) -> ClassSet:
    """The classes that a model speaks of, without loading it into an engine; empty: those of the shipped ones.

    Raises:
        ModelError: there is no such model, or its file is damaged.
    """
    if not model:
        return SOCCER
    path = find_model(model)
    if path.suffix == '.onnx':
        return classes_of(path)
    from minisegnet_core.checkpoint import load_checkpoint  # late: it takes PyTorch

    return load_checkpoint(path)[1].classes


def _shipped_names() -> str:
    names = sorted(p.name for p in models_directory().glob('*') if p.suffix in ENGINES_OF_FORMAT)
    return ', '.join(names) or 'none'


def _openvino(path: Path, threads: int, precision: Precision | None, device: Device) -> Engine:
    from minisegnet_core.inference.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(path, threads, precision, device)


def _onnxruntime(path: Path, threads: int, precision: Precision | None, device: Device) -> Engine:
    from minisegnet_core.inference.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, threads, precision, device)


def _torch(path: Path, threads: int, precision: Precision | None, device: Device) -> Engine:
    from minisegnet_core.inference.engines.torch import TorchEngine

    return TorchEngine(path, threads, precision, device)


_OPENERS: dict[str, Callable[[Path, int, Precision | None, Device], Engine]] = {
    'openvino': _openvino,
    'onnxruntime': _onnxruntime,
    'torch': _torch,
}
