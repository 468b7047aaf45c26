"""Select the engine and the model file that run on this machine, and record why others were skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minisegnet_core.classes import SOCCER, ClassSet
from minisegnet_core.errors import ConfigurationError, ModelError, listed, shortened
from minisegnet_core.inference.engines.base import (
    AUTO,
    Device,
    Engine,
    Precision,
    parse_device,
    parse_precision,
    unknown_choice,
)
from minisegnet_core.inference.engines.onnx_metadata import classes_of, record_of
from minisegnet_core.inference.engines.registry import ENGINES, MODEL_SUFFIXES
from minisegnet_core.model_files import require_model_file
from minisegnet_core.processor import Processor, available_cores, has_nvidia_gpu, processor
from minisegnet_core.resources import models_directory

INT8, FLOAT, CHECKPOINT = 'minisegnet_int8.onnx', 'minisegnet.onnx', 'minisegnet.safetensors'
SHIPPED = (INT8, FLOAT, CHECKPOINT)
"""Names of the shipped models, which are in ``models/``."""

ONNX_SUFFIX = '.onnx'

MAX_REASONS, REASON_LENGTH = 2, 90
"""Number of engines whose reasons a message gives, and characters of each; a message has at most 300."""


@dataclass(frozen=True)
class Candidate:
    """An engine with a model file.

    Attributes:
        engine: name of the engine.
        file: path of the model file, or name of a shipped one.
        only_gpu: whether to skip the candidate if the engine falls back to the CPU.
    """

    engine: str
    file: str | Path
    only_gpu: bool = False


@dataclass(frozen=True)
class Selection:
    """An open engine.

    Attributes:
        engine: the open engine.
        path: its model file.
        reasons: why other candidates were skipped, in the order in which they were tried.
    """

    engine: Engine
    path: Path
    reasons: tuple[str, ...]


def default_threads() -> int:
    """Return the default number of CPU threads: all cores but one, which is left to the walking controller."""
    return max(1, available_cores() - 1)


def shipped_order(machine: Processor, nvidia: bool, device: Device = 'auto') -> tuple[Candidate, ...]:
    """Return the engines with shipped model files, the fastest first for this machine.

    The order follows the measurements in the documentation of inference. An NVIDIA GPU is fastest. On CPUs with
    instructions for int8, OpenVINO with int8 is fastest. ONNX Runtime gains little from int8, so the more accurate
    float file precedes the int8 file there.

    Args:
        machine: this machine's CPU.
        nvidia: whether there is an NVIDIA GPU.
        device: requested device.
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
    """Open a model with the fastest engine that works.

    Args:
        model: path of a model file, name of a shipped model, or empty for the shipped model that is fastest here.
        engine: ``auto`` or the name of an engine.
        threads: CPU threads; 0 uses :func:`default_threads`.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8``.
        device: ``auto``, ``cpu``, ``gpu`` or ``npu``.

    Raises:
        ConfigurationError: a name is unknown, or the engine does not read such files.
        ModelError: there is no such file, or no engine can run it here; the text gives the reason of each engine.
    """
    wanted_precision, wanted_device = parse_precision(precision), parse_device(device)
    check_engine(engine)
    if model:
        path = find_model(model)
        candidates: Sequence[Candidate] = [Candidate(name, path) for name in readers_of(path, engine)]
        if path.suffix == ONNX_SUFFIX:
            record_of(path)  # a fault of the file is reported as such, and not once for each engine
        requested = shortened(str(path))
    else:
        candidates = _shipped_candidates(engine, wanted_precision, wanted_device)
        requested = f'a shipped model in {shortened(str(models_directory()), 40)}'
    reasons: list[str] = []
    for candidate in candidates:
        path, entry = Path(candidate.file), ENGINES[candidate.engine]
        label = f'{entry.name} with {path.name}'
        if not entry.is_installed():
            reason = f'{entry.name}: not installed (pip install {entry.package})'
            if reason not in reasons:  # once, although the engine may read several of the files
                reasons.append(reason)
            continue
        try:
            opened = entry.open(path, threads or default_threads(), wanted_precision, wanted_device)
        except ImportError as error:
            reasons.append(f'{label}: {error}')
            continue
        except ModelError as error:
            if model and len(candidates) == 1:
                raise
            # The label names the file; its folder would leave no room for the cause.
            reasons.append(f'{label}: {str(error).replace(str(path), path.name)}')
            continue
        if candidate.only_gpu and opened.device == 'CPU':
            reasons.append(f'{label}: it finds no usable GPU')
            continue
        return Selection(opened, path, tuple(reasons))
    shown = listed((shortened(reason, REASON_LENGTH) for reason in reasons), MAX_REASONS, '; ')
    raise ModelError(f'no engine can run {requested} here: {shown or "no file fits these settings"}')


def _shipped_candidates(engine: str, precision: Precision | None, device: Device) -> list[Candidate]:
    """Return the candidates of :func:`shipped_order` whose file exists and that fit the requested settings."""
    folder = models_directory()
    return [
        Candidate(candidate.engine, folder / candidate.file, candidate.only_gpu)
        for candidate in shipped_order(processor(), has_nvidia_gpu(), device)
        if engine in (AUTO, candidate.engine)
        and (folder / candidate.file).is_file()
        and (precision is None or (candidate.file == INT8) == (precision == 'int8'))
    ]


def check_engine(name: str) -> None:
    """Check the name of an engine.

    Raises:
        ConfigurationError: it is neither ``auto`` nor in the registry.
    """
    if name not in (AUTO, *ENGINES):
        raise unknown_choice('engine', name, (AUTO, *ENGINES))


def readers_of(path: Path, engine: str = AUTO) -> tuple[str, ...]:
    """Return the names of the requested engines that read a model file, judged by its suffix.

    Raises:
        ModelError: no engine reads files with this suffix.
        ConfigurationError: the requested engine does not read them.
    """
    readers = tuple(name for name, entry in ENGINES.items() if path.suffix in entry.suffixes)
    if not readers:
        raise ModelError(f'{path} is not a model file; its name must end in {", ".join(MODEL_SUFFIXES)}')
    if engine == AUTO:
        return readers
    if engine not in readers:
        raise ConfigurationError(f'the engine {engine} does not read {path.name}; use {" or ".join(readers)}')
    return (engine,)


def find_model(model: str | Path) -> Path:
    """Return the path of a model file, or of the shipped model with this name.

    Raises:
        ModelError: there is neither, and the text lists the shipped models; or the file holds no model.
    """
    path = Path(model).expanduser()
    if path.exists():
        require_model_file(path)
        return path
    shipped = models_directory() / str(model)
    if shipped.name == str(model) and shipped.suffix in MODEL_SUFFIXES and shipped.is_file():
        return shipped
    raise ModelError(f'there is no model file {shortened(str(model))}; shipped models: {_shipped_names()}')


def shipped_models() -> list[Path]:
    """Return the paths of the shipped models.

    Raises:
        ModelError: the folder of models holds none.
    """
    folder = models_directory()
    models = [folder / name for name in SHIPPED if (folder / name).is_file()]
    if not models:
        raise ModelError(f'{folder} holds no model; give one with --model')
    return models


def classes_of_model(model: str | Path) -> ClassSet:
    """Return the classes of a model without opening an engine; an empty name means the shipped models.

    Raises:
        ModelError: there is no such model, or its file is damaged.
    """
    if not model:
        return SOCCER
    path = find_model(model)
    if path.suffix == ONNX_SUFFIX:
        return classes_of(path)
    from minisegnet_core.checkpoint import load_checkpoint  # only checkpoints need PyTorch

    return load_checkpoint(path)[1].classes


def _shipped_names() -> str:
    names = sorted(p.name for p in models_directory().glob('*') if p.suffix in MODEL_SUFFIXES)
    return ', '.join(names) or 'none'
