"""What every model file has in common, whatever its format: the record beside its weights, and the checks on loading.

All readers of model files use these checks, so a file is accepted or refused by every engine alike. PyTorch is not
needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minisegnet_core.classes import ClassSet
from minisegnet_core.errors import MinisegnetError, ModelError, listed, shortened
from minisegnet_core.limits import WIDTH_MULT_RANGE, scaled_channels
from minisegnet_core.preprocessing import FORMAT, Preprocessing

HEAD_BYTES = 512
"""Bytes from the beginning of a file that show its kind."""

STEM_CHANNELS = 64
"""Output channels of the network's first convolution at width multiplier 1."""

GET_AGAIN = 'export or download it again'

TEXT_BYTES = frozenset(range(0x20, 0x7F)) | frozenset(b'\t\r\n')


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


def record_from_metadata(metadata: Mapping[str, Any], path: Path) -> ModelRecord:
    """Return the record that :meth:`ModelRecord.to_metadata` wrote.

    Args:
        path: of the file, for messages.

    Raises:
        ModelError: the metadata is damaged, of another program, or of another version.
    """
    if 'format' not in metadata:
        raise ModelError(
            f'{path} is not a model of minisegnet: it holds no classes and no preprocessing; make one with '
            '`minisegnet train`, or use plain weights with --encoder-weights'
        )
    if metadata['format'] != FORMAT:
        raise ModelError(
            f'{path} is not a model of this version: its format is {shortened(repr(metadata["format"]))}, expected '
            f'{FORMAT!r}; make one with `minisegnet train` or `minisegnet export`'
        )
    try:
        training = json.loads(metadata.get('training', '{}'))
        record = ModelRecord(
            ClassSet.from_list(json.loads(metadata['classes'])),
            Preprocessing.from_dict(json.loads(metadata['preprocessing'])),
            training if isinstance(training, dict) else {},
            float(metadata.get('width_mult', 1)),  # absent in files from before there were widths
        )
        low, high = WIDTH_MULT_RANGE
        if not low <= record.width_mult <= high:
            raise ValueError(f'width_mult is {record.width_mult!r}; it must be {low} to {high:g}')
    except KeyError as error:
        raise ModelError(f'the metadata of {path} is damaged: there is no {error.args[0]}; {GET_AGAIN}') from error
    # A value may have any type and depth, and integers of any length.
    except (TypeError, ValueError, AttributeError, RecursionError, OverflowError, MinisegnetError) as error:
        raise ModelError(f'the metadata of {path} is damaged: {shortened(str(error), 160)}; {GET_AGAIN}') from error
    return record


def require_model_file(path: Path) -> None:
    """Check that a path is a file that can hold a model, and name what it is instead.

    Raises:
        ModelError: the file is missing or empty, or is a folder, a Git LFS pointer, a web page, or text.
    """
    if path.is_dir():
        raise ModelError(f'{path} is a folder; give a model file in it')
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    try:
        with path.open('rb') as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f'cannot read {path}: {error.strerror or error}') from error
    if not head:
        raise ModelError(f'{path} is empty; {GET_AGAIN}')
    if head.startswith(b'version https://git-lfs'):
        raise ModelError(f'{path} is a Git LFS pointer, not the model itself; run `git lfs pull` in its repository')
    beginning = head.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if beginning.startswith((b'<!doctype html', b'<html', b'<?xml', b'<head', b'<!--')):
        raise ModelError(f'{path} is a web page, not a model; download the file itself')
    if TEXT_BYTES.issuperset(head):
        start = shortened(repr(head[:40].decode()), 50)
        raise ModelError(f'{path} is a text file that begins with {start}, not a model; {GET_AGAIN}')


def check_network(
    path: Path,
    record: ModelRecord,
    *,
    outputs: int | None,
    stem: int | None = None,
    not_finite: tuple[str, ...] = (),
) -> None:
    """Check that a network and the record in its file agree, and that its weights are numbers.

    Args:
        outputs: number of the network's output channels; None if the file leaves it open.
        stem: output channels of the first convolution, which show the width; None if unknown.
        not_finite: names of tensors that hold NaN or infinity.

    Raises:
        ModelError: the file contradicts itself; the message gives both sides.
    """
    classes, names = len(record.classes), listed(record.classes.names, 4)
    if outputs != classes:
        count = 'an unknown number of' if outputs is None else str(outputs)
        raise ModelError(
            f'{path} contradicts itself: its network has {count} output channels, but its metadata names {classes} '
            f'classes ({names}); {GET_AGAIN}'
        )
    if stem is not None and stem != scaled_channels(STEM_CHANNELS, record.width_mult):
        raise ModelError(
            f'{path} contradicts itself: its first layer has {stem} channels, but width_mult {record.width_mult:g} '
            f'in its metadata means {scaled_channels(STEM_CHANNELS, record.width_mult)}; {GET_AGAIN}'
        )
    if not_finite:
        raise ModelError(
            f'{path} holds weights that are NaN or infinite ({listed(not_finite, 3)}); train the model again with a '
            'lower learning rate, or download it again'
        )
