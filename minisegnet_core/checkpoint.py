"""Model files for PyTorch: weights with classes, preprocessing and training record. Reading executes no code.

A checkpoint is a safetensors file with the record as JSON in its metadata. The state of a training, ``last.ckpt``, has
PyTorch's format and is read with ``weights_only=True``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from minisegnet_core.errors import ModelError, listed, shortened
from minisegnet_core.files import write_atomically
from minisegnet_core.model import MiniSegNet
from minisegnet_core.model_files import (
    GET_AGAIN,
    ModelRecord,
    check_network,
    record_from_metadata,
    require_model_file,
)

__all__ = [
    'ModelRecord',
    'load_checkpoint',
    'load_weights',
    'read_state_dict',
    'read_training_state',
    'save_checkpoint',
    'save_training_state',
]

WRAPPERS = ('model', 'state_dict', 'model_state_dict')
"""Keys under which training programs store a state dict beside other values, in the order of preference."""

PREFIXES = ('module.', '_orig_mod.')
"""Prefixes that DistributedDataParallel and torch.compile give to all names of a state dict."""


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
        ModelError: the file is missing, damaged, of another format, or contradicts itself.
    """
    path = Path(path)
    record = record_from_metadata(_read_metadata(path), path)
    state = {key: value.float() if value.is_floating_point() else value for key, value in read_state_dict(path).items()}
    stem, head = (state.get(f'{name}.weight') for name in ('encoder.conv1', 'head.2'))
    if stem is not None and head is not None and stem.dim() == head.dim() == 4:
        broken = tuple(key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all())
        check_network(path, record, outputs=head.shape[0], stem=stem.shape[0], not_finite=broken)
    model = MiniSegNet(len(record.classes), record.width_mult)
    load_weights(model, state, path)
    return model.eval(), record


def load_weights(module: nn.Module, state: Mapping[str, Tensor], path: Path | str, what: str = 'the network') -> None:
    """Load weights into a module.

    Args:
        state: a tensor for every name of the module's state dict, and no others.
        path: of their file, for messages.
        what: the module, for messages.

    Raises:
        ModelError: tensors are missing, unknown, or of another shape; the message gives the first few names.
    """
    own = module.state_dict()
    faults = {
        'lacks': [key for key in own if key not in state],
        'has unknown': [key for key in state if key not in own],
        'has other shapes of': [key for key in own if key in state and own[key].shape != state[key].shape],
    }
    problems = [f'{verb} {shortened(listed(keys, 2), 100)}' for verb, keys in faults.items() if keys]
    if problems:
        raise ModelError(f'{path} does not hold the weights of {what}: it {"; ".join(problems)}')
    module.load_state_dict(dict(state))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, of ``last.ckpt``, or of a PyTorch ``.pth``, without executing code.

    A state dict beside other values (``{'state_dict': ...}``) and names with the prefix of a wrapper (``module.``) are
    unwrapped.

    Raises:
        ModelError: the file is missing, damaged, or of another format.
    """
    require_model_file(path)
    if path.suffix == '.safetensors':
        _, tensors = _read_safetensors(path, with_tensors=True)
        return _without_prefixes(tensors)
    state: Any = read_training_state(path)
    for _ in WRAPPERS:  # wrappers may be nested
        inner = next((state[key] for key in WRAPPERS if isinstance(state.get(key), dict)), None)
        if inner is None:
            break
        state = inner
    others = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if others or not state:
        found = f'it holds {shortened(listed(map(repr, others), 3))}' if others else 'it is empty'
        raise ModelError(f'{path} does not hold a state dict of tensors: {found}')
    return _without_prefixes(state)


def _without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES * 2:  # they may be combined in either order
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def read_training_state(path: Path) -> dict[str, Any]:
    """Return the content of a ``.ckpt`` or ``.pth`` file, read with ``weights_only=True``.

    Raises:
        ModelError: the file is missing, damaged, of another format, or would execute code.
    """
    require_model_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about the pickle protocols of damaged files
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # damaged files raise errors of a dozen types, such as KeyError and struct.error
        reason = (str(error).strip().splitlines() or [''])[0]
        raise ModelError(
            f'{path} is damaged, not a PyTorch file, or holds more than tensors '
            f'({type(error).__name__}: {shortened(reason, 80)}); {GET_AGAIN}'
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f'{path} holds {type(content).__name__}, expected a dictionary of tensors')
    return content


def _read_metadata(path: Path) -> Mapping[str, Any]:
    require_model_file(path)
    if path.suffix == '.safetensors':
        return _read_safetensors(path, with_tensors=False)[0]
    metadata = read_training_state(path).get('record', {})
    return metadata if isinstance(metadata, dict) else {}


def _read_safetensors(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return metadata and, if wanted, tensors of a safetensors file."""
    try:
        with safe_open(path, 'pt') as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()} if with_tensors else {}  # noqa: SIM118
            return dict(file.metadata() or {}), tensors
    except Exception as error:  # of safetensors, or of PyTorch for shapes and types that it does not know
        reason = shortened(' '.join(str(error).split()), 80)
        raise ModelError(f'{path} is damaged or not a safetensors file ({reason}); {GET_AGAIN}') from error
