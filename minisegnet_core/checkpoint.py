"""Model files for PyTorch: weights with classes, preprocessing and training record. Reading executes no code.

A checkpoint is a safetensors file with the record as JSON in its metadata. The state of a training, ``last.ckpt``, has
PyTorch's format and is read with ``weights_only=True``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import ConfigurationError, ModelError, shortened
from minisegnet_core.files import write_atomically
from minisegnet_core.model import MiniSegNet
from minisegnet_core.preprocessing import FORMAT, Preprocessing


@dataclass(frozen=True)
class ModelRecord:
    """What belongs to a model besides its weights.

    Attributes:
        classes: in the order of the network's output channels.
        preprocessing: normalization of the input.
        training: schedule, data and metrics of its training, as JSON values, for reports. Model files contain only the
            last component of paths in it, since models are passed on and paths reveal people and machines.
        width_mult: width multiplier of the network.
    """

    classes: ClassSet
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    training: dict[str, Any] = field(default_factory=dict)
    width_mult: float = 1.0

    def to_metadata(self) -> dict[str, str]:
        """Return the record as text values, the form in which safetensors and ONNX files hold it."""
        return {
            'format': FORMAT,
            'classes': json.dumps(self.classes.to_list()),
            'preprocessing': json.dumps(self.preprocessing.to_dict()),
            'training': json.dumps(_without_folders(self.training)),
            'width_mult': f'{self.width_mult:g}',
        }


PATH_SETTINGS = ('data', 'output', 'init_from', 'encoder_weights')
"""Settings of a training that may be paths."""


def _without_folders(training: Mapping[str, Any]) -> dict[str, Any]:
    config = training.get('config')
    if not isinstance(config, Mapping):
        return dict(training)
    names = {key: Path(config[key]).name for key in PATH_SETTINGS if isinstance(config.get(key), str)}
    return {**training, 'config': {**config, **names}}


def record_from_metadata(metadata: Mapping[str, str], path: Path) -> ModelRecord:
    """Return the record that :meth:`ModelRecord.to_metadata` wrote.

    Args:
        path: of the file, for messages.

    Raises:
        ModelError: the metadata is damaged, of another program, or of another version.
    """
    if metadata.get('format') != FORMAT:
        raise ModelError(
            f'{path} is not a model of this version: its format is {metadata.get("format")!r}, expected {FORMAT!r}; '
            'make one with `minisegnet train`'
        )
    try:
        return ModelRecord(
            ClassSet.from_list(json.loads(metadata['classes'])),
            Preprocessing.from_dict(json.loads(metadata['preprocessing'])),
            json.loads(metadata['training']),
            float(metadata.get('width_mult', 1)),  # absent in files from before there were widths
        )
    except (KeyError, ValueError, ConfigurationError) as error:
        raise ModelError(f'the metadata of {path} is damaged: {shortened(str(error), 120)}') from error


def save_checkpoint(path: Path, model: MiniSegNet, record: ModelRecord, *, half: bool = False) -> None:
    """Write weights and record as safetensors, atomically.

    Args:
        record: its ``width_mult`` is replaced by the model's.
        half: store weights as float16, in half the size. Norms and biases stay float32: they are small, and a variance
            may lie outside the range of float16.

    Raises:
        OutputError: the file cannot be written; an existing file is unchanged.
    """
    state = {
        key: (value.half() if half and value.is_floating_point() and value.dim() > 1 else value)
        .detach()
        .cpu()
        .contiguous()
        for key, value in model.state_dict().items()
    }
    # Not save_file, which makes files that only their owner can read, whatever the umask.
    metadata = replace(record, width_mult=model.width_mult).to_metadata()
    write_atomically(path, save(state, metadata), durable=True)


def save_training_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training as ``.ckpt``, atomically. Raises as :func:`save_checkpoint`."""
    write_atomically(path, lambda file: torch.save(dict(state), file), durable=True)


def load_checkpoint(path: Path | str) -> tuple[MiniSegNet, ModelRecord]:
    """Return the network (float32, evaluation mode) and record of a checkpoint, or of a training's ``last.ckpt``.

    Raises:
        ModelError: the file is missing, damaged, or of another format.
    """
    path = Path(path)
    metadata = _read_metadata(path)
    record = record_from_metadata(metadata, path)
    try:
        model = MiniSegNet(len(record.classes), record.width_mult)
    except ConfigurationError as error:
        raise ModelError(f'the metadata of {path} is damaged: {shortened(str(error), 120)}') from error
    try:
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in read_state_dict(path).items()})
    except RuntimeError as error:
        reason = shortened(' '.join(str(error).split()), 120)
        raise ModelError(f'the weights of {path} do not fit the network: {reason}') from error
    return model.eval(), record


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, of ``last.ckpt``, or of a PyTorch ``.pth``, without executing code.

    Raises:
        ModelError: the file is missing, damaged, or of another format.
    """
    _require_file(path)
    if path.suffix == '.safetensors':
        try:
            with safe_open(path, 'pt') as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f'{path} is damaged or not a safetensors file: {error}') from error
    content = read_training_state(path)
    state = content.get('model', content)
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f'{path} does not hold a state dict of tensors')
    return dict(state)


def read_training_state(path: Path) -> dict[str, Any]:
    """Return the content of a ``.ckpt`` or ``.pth`` file, read with ``weights_only=True``.

    Raises:
        ModelError: the file is missing, damaged, of another format, or would execute code.
    """
    _require_file(path)
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f'{path} is damaged, not a PyTorch file, or holds more than tensors: {shortened(reason, 120)}'
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f'{path} does not hold a dictionary')
    return content


def _read_metadata(path: Path) -> Mapping[str, str]:
    _require_file(path)
    if path.suffix != '.safetensors':
        metadata = read_training_state(path).get('record', {})
        return metadata if isinstance(metadata, dict) else {}
    try:
        with safe_open(path, 'pt') as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(f'{path} is damaged or not a safetensors file: {error}') from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
