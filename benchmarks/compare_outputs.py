"""Comparison of two folders of outputs, for `compare_revisions.py`.

Files are compared by content. Two files of equal bytes are equal. Otherwise the suffix decides: JSON, JSON lines and
CSV files are compared without times and texts for people. Checkpoints are compared tensor by tensor, ONNX files by
their outputs on images of odd sizes, bags message by message, archives member by member. Every other file must have
equal bytes.
"""

from __future__ import annotations

import csv
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Measured times, texts for people, and records that contain them.
IGNORED_KEYS = {
    'latency_ms',
    'latency_ms_p50',
    'latency_ms_p95',
    'latency_ms_p99',
    'throughput',
    'train_seconds',
    'val_seconds',
    'warnings',
    'sentence',
}
# The settings with which a checkpoint was trained: the jobs give both revisions the same ones.
IGNORED_CHECKPOINT_KEYS = {'config', 'record'}
COMPARED_METADATA = ('format', 'classes', 'preprocessing', 'width_mult')
# Files whose content is drawn or written for people, and folders that only save time.
IGNORED_FILES = {'report.html', 'worst.png', 'preview.png', 'settings.yaml', 'metadata.yaml', 'lr_range_stage1.png'}
IGNORED_FOLDERS = {'cache', 'tensorboard'}
# Keys of JSON files that a revision renamed, old name to new name.
RENAMED_KEYS = {
    'val_share': 'val_fraction',
    'class_shares': 'class_fractions',
    'share_of_engine': 'fraction_of_engine',
}
# Width and height of the images that both ONNX files segment.
ONNX_SIZES = ((64, 64), (101, 77), (322, 241))


def compare_folders(before: Path, after: Path) -> tuple[int, list[str]]:
    """Compare all files below two folders.

    Returns:
        The number of compared files, and one line per difference.
    """
    names = {folder: {str(path.relative_to(folder)) for path in _files(folder)} for folder in (before, after)}
    differences = [f'{name} is only in before' for name in sorted(names[before] - names[after])]
    differences += [f'{name} is only in after' for name in sorted(names[after] - names[before])]
    common = sorted(names[before] & names[after])
    for name in common:
        difference = compare_files(before / name, after / name)
        if difference:
            differences.append(f'{name}: {difference}')
    return len(common), differences


def compare_files(before: Path, after: Path) -> str:
    """Compare two files and return what differs, or '' if they are equal."""
    if before.read_bytes() == after.read_bytes():
        return ''
    compare = COMPARISONS.get(before.suffix)
    return compare(before, after) if compare else 'bytes differ'


def first_difference(before: Any, after: Any, place: str = '') -> str:
    """Return the first place at which two nested values differ, with both values, or '' if they are equal.

    Dictionaries, sequences, arrays and tensors are compared element by element. NaN equals NaN, and 1 equals 1.0, as in
    JSON. Values under a key in IGNORED_KEYS are not compared.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        before, after = _comparable(before), _comparable(after)
        if before.keys() != after.keys():
            keys = sorted(map(str, before.keys() ^ after.keys()))
            return f'{place or "top level"}: only one has {", ".join(keys[:5])}'
        pairs = ((f'{place}.{key}' if place else str(key), before[key], after[key]) for key in before)
    elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        if len(before) != len(after):
            return f'{place}: {len(before)} and {len(after)} elements'
        pairs = ((f'{place}[{number}]', *values) for number, values in enumerate(zip(before, after, strict=True)))
    else:
        return '' if _equal(before, after) else f'{place}: {_described(before)} and {_described(after)}'
    return next(filter(None, (first_difference(old, new, where) for where, old, new in pairs)), '')


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob('*'):
        relative = path.relative_to(folder)
        if path.is_file() and path.name not in IGNORED_FILES and not IGNORED_FOLDERS & set(relative.parts):
            yield path


def _comparable(values: dict[Any, Any]) -> dict[Any, Any]:
    return {RENAMED_KEYS.get(key, key): value for key, value in values.items() if key not in IGNORED_KEYS}


def _equal(before: Any, after: Any) -> bool:
    if hasattr(before, 'shape') and hasattr(after, 'shape'):
        one, other = np.asarray(before), np.asarray(after)
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after):
        return True
    numbers = not isinstance(before, bool) and isinstance(before, (int, float)) and isinstance(after, (int, float))
    return (numbers or type(before) is type(after)) and bool(before == after)


def _described(value: Any) -> str:
    if hasattr(value, 'shape'):
        array = np.asarray(value, np.float64)
        return f'{value.dtype} array of shape {tuple(value.shape)} and sum {array.sum():.9g}'
    return f'{len(value)} bytes' if isinstance(value, bytes) else str(value)[:60]


def _compare_json(before: Path, after: Path) -> str:
    return first_difference(*(json.loads(path.read_text(encoding='utf-8')) for path in (before, after)))


def _compare_json_lines(before: Path, after: Path) -> str:
    return first_difference(
        *([json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()] for path in (before, after)),
        'line',
    )


def _compare_csv(before: Path, after: Path) -> str:
    """Compare tables without ignored columns, and without rows whose first cell names an ignored key."""
    tables = []
    for path in (before, after):
        with path.open(newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        first = next(iter(rows[0]), '') if rows else ''
        tables.append([row for row in rows if not IGNORED_KEYS & set(row[first].split('.'))])
    return first_difference(*tables, 'row')


def _compare_safetensors(before: Path, after: Path) -> str:
    from safetensors import safe_open

    contents = []
    for path in (before, after):
        with safe_open(path, framework='numpy') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        contents.append({'tensors': tensors, 'metadata': {key: metadata.get(key) for key in COMPARED_METADATA}})
    return first_difference(*contents)


def _compare_checkpoints(before: Path, after: Path) -> str:
    import torch

    states = [torch.load(path, map_location='cpu', weights_only=True) for path in (before, after)]
    return first_difference(
        *({key: value for key, value in state.items() if key not in IGNORED_CHECKPOINT_KEYS} for state in states)
    )


def _compare_onnx(before: Path, after: Path) -> str:
    """Compare the outputs of two exported models on noise images. The files may differ in names and metadata."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3  # errors only
    sessions = [onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider']) for path in (before, after)]
    random = np.random.default_rng(0)
    for width, height in ONNX_SIZES:
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        outputs = [
            dict(
                zip(
                    (output.name for output in session.get_outputs()),
                    session.run(None, {session.get_inputs()[0].name: image}),
                    strict=True,
                )
            )
            for session in sessions
        ]
        difference = first_difference(*outputs)
        if difference:
            return f'outputs of a {width}x{height} image, {difference}'
    return ''


def _compare_bags(before: Path, after: Path) -> str:
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    bags = []
    for path in (before, after):
        # A bag of sqlite3 lies in a folder with its metadata.yaml; the folder is what the reader opens.
        with AnyReader([path.parent], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            bags.append(
                [
                    (connection.topic, connection.msgtype, stamp, bytes(data))
                    for connection, stamp, data in reader.messages()
                ]
            )
    return first_difference(*bags, 'message')


def _compare_archives(before: Path, after: Path) -> str:
    contents = []
    for path in (before, after):
        with zipfile.ZipFile(path) as archive:
            contents.append({name: archive.read(name) for name in sorted(archive.namelist())})
    return first_difference(*contents)


COMPARISONS: dict[str, Callable[[Path, Path], str]] = {
    '.json': _compare_json,
    '.jsonl': _compare_json_lines,
    '.csv': _compare_csv,
    '.safetensors': _compare_safetensors,
    '.ckpt': _compare_checkpoints,
    '.onnx': _compare_onnx,
    '.mcap': _compare_bags,
    '.db3': _compare_bags,
    '.zip': _compare_archives,
}
