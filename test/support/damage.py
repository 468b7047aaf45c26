"""Damaged inputs: valid files of every kind that minisegnet reads, and mutations of them drawn from a seed.

A mutation keeps most of a file intact, so that it gets past the first check and reaches the code behind it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

EXTREME_NUMBERS = ('NaN', 'Infinity', '-Infinity', '1e999', '-1', '0', '9' * 400, '1.5', '2147483648', '.inf', '-0.0')
EXTREME_VALUES = ('null', 'true', '""', '"x"', '[]', '{}', '[[[]]]', '[1, "a"]', '!!int ""', '*a', '"\\u0000"')
DEEP = 100_000
"""Levels of nesting that no reader can follow by recursion."""


def mutate_text(text: str, random: np.random.Generator) -> bytes:
    """Return a text with one to three faults: extreme numbers, other types, lost lines, odd encodings, deep nesting."""
    for _ in range(int(random.integers(1, 4))):
        kind = int(random.integers(0, 9))
        numbers = list(re.finditer(r'(?<![\w.])-?\d+(\.\d+)?', text))
        if kind <= 2 and numbers:
            match = numbers[int(random.integers(len(numbers)))]
            pool = EXTREME_NUMBERS if kind else EXTREME_VALUES
            text = text[: match.start()] + pool[int(random.integers(len(pool)))] + text[match.end() :]
        elif kind == 3:  # a value, whatever it was
            values = list(re.finditer(r'(?<=[:,\[])\s*[^,:\[\]{}\n]+', text))
            if values:
                match = values[int(random.integers(len(values)))]
                value = EXTREME_VALUES[int(random.integers(len(EXTREME_VALUES)))]
                text = f'{text[: match.start()]} {value}{text[match.end() :]}'
        elif kind == 4 and text:
            text = text[: int(random.integers(len(text)))]
        elif kind == 5:
            lines = text.splitlines(keepends=True)
            if lines:
                del lines[int(random.integers(len(lines)))]
            text = ''.join(lines)
        elif kind == 6:
            lines = text.splitlines(keepends=True)
            text = ''.join(line * int(random.integers(1, 3)) for line in lines)
        elif kind == 7 and text:
            at = int(random.integers(len(text)))
            text = text[:at] + '[{"'[int(random.integers(3))] * int(random.choice([1, 3, DEEP])) + text[at:]
        elif text:
            at = int(random.integers(len(text)))
            text = (
                text[:at]
                + str(random.choice(['ö', '\x00', '\t', '}', ']', ':', ',', '\u2028', '&a [*a, *a]']))
                + text[at + 1 :]
            )
    codec = str(random.choice(['utf-8'] * 6 + ['utf-8-sig', 'utf-16', 'latin-1']))
    return text.encode(codec, errors='replace')


def mutate_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Return bytes with one fault: cut off, flipped, a header field changed, a piece doubled or removed."""
    content = bytearray(data)
    kind = int(random.integers(0, 6))
    if kind == 0:
        return bytes(content[: int(random.integers(len(content)))])
    head = min(len(content), 256)
    if kind == 1:
        for _ in range(int(random.integers(1, 6))):
            content[int(random.integers(head))] = int(random.integers(256))
    elif kind == 2:
        for _ in range(int(random.integers(1, 20))):
            content[int(random.integers(len(content)))] = int(random.integers(256))
    elif kind == 3 and head > 8:  # a 4-byte number of the header becomes huge
        at = int(random.integers(head - 4))
        content[at : at + 4] = struct.pack(
            str(random.choice(['>I', '<I'])), int(random.choice([0, 70_000, 2**31, 2**32 - 1]))
        )
    elif kind == 4:
        at, length = int(random.integers(len(content))), int(random.integers(1, 64))
        del content[at : at + length]
    else:
        at, length = int(random.integers(len(content))), int(random.integers(1, 64))
        content[at:at] = content[at : at + length]
    return bytes(content)


def replace_png_size(data: bytes, width: int, height: int) -> bytes:
    """Return a PNG whose header claims another size, with a valid checksum."""
    header = data[12:16] + struct.pack('>II', width, height) + data[24:29]
    return data[:12] + header + struct.pack('>I', zlib.crc32(header)) + data[33:]


@dataclass(frozen=True)
class Target:
    """One kind of file, and the command that reads it.

    Attributes:
        file: path of the file that is damaged, below the folder that :attr:`build` fills.
        text: whether the file is text.
        build: fills a folder with a valid input.
        argv: command line whose input is that folder; the first word is the command.
    """

    name: str
    file: str
    text: bool
    build: Callable[[Path], None]
    argv: Callable[[Path], list[str]]


def _image() -> np.ndarray:
    y, x = np.mgrid[:64, :80]
    return np.stack([x * 3, y * 4, 255 - x * 2], axis=-1).astype(np.uint8)


def _labels() -> np.ndarray:
    labels = np.full((64, 80), 3, np.uint8)
    labels[:20] = 0
    labels[30:34] = 2
    labels[40:50, 30:40] = 1
    return labels


def _write_photo(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / 'a.png'), _image())
    cv2.imwrite(str(folder / 'b.jpg'), _image())


def _photos(folder: Path) -> None:
    _write_photo(folder / 'images')


def _masks(folder: Path) -> None:
    for name in ('images', 'masks'):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / 'images' / 'a.jpg'), _image())
    colors = np.array([(0, 0, 0), (0, 64, 255), (255, 255, 255), (0, 160, 0)], np.uint8)
    cv2.imwrite(str(folder / 'masks' / 'a.png'), colors[_labels()])
    rows = [
        '# label:color_rgb:parts:actions',
        'background:0,0,0::',
        'ball:255,64,0::',
        'line:255,255,255::',
        'field:0,160,0::',
    ]
    (folder / 'labelmap.txt').write_text('\n'.join(rows) + '\n')


def _dataset(folder: Path) -> None:
    from minisegnet_core.ball import BallTruth
    from minisegnet_core.data.writer import DatasetWriter

    with DatasetWriter(folder) as writer:
        for index, split in enumerate(('train', 'train', 'val')):
            ball = BallTruth(35.0, 45.0, 6.0, 1.0, 35.0, 45.0)
            writer.add(f'{index:03}', _image(), _labels(), split=split, balls=[ball], group=f'g{index}', stamp=index)


def _torso(folder: Path) -> None:
    part = folder / 'train'
    _write_photo(part / 'images')
    (part / 'segmentations').mkdir()
    grey = np.array([0, 0, 127, 255], np.uint8)[_labels()]
    for name in ('a', 'b'):
        cv2.imwrite(str(part / 'segmentations' / f'{name}.png'), grey)
    objects = [
        '{type: ball, in_image: true, concealed: false, vector: [[30, 40], [39, 49]]}',
        '{type: robot, in_image: true, vector: [[50, 10], [70, 60]]}',
        '{type: goalpost, in_image: true, vector: [[5, 5], [8, 5], [8, 40], [5, 40]]}',
    ]
    lines = ['images:']
    for name in ('a.png', 'b.jpg'):
        lines += [f'  {name}:', '    annotations:', *(f'    - {entry}' for entry in objects)]
    (part / 'annotations.yaml').write_text('\n'.join(lines) + '\n')


def _coco(folder: Path) -> None:
    _write_photo(folder / 'images')
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 80, 'height': 64}],
        'categories': [{'id': 7, 'name': 'ball'}, {'id': 8, 'name': 'line'}],
        'annotations': [
            {
                'id': 1, 'image_id': 1, 'category_id': 7, 'iscrowd': 0,
                'segmentation': [[10, 10, 20, 10, 20, 20, 10, 20]],
            },
            {
                'id': 2, 'image_id': 1, 'category_id': 8, 'iscrowd': 1,
                'segmentation': {'size': [64, 80], 'counts': [100, 50, 4970]},
            },
        ],
    }  # fmt: skip
    (folder / 'c.json').write_text(json.dumps(content))


def _yolo(folder: Path) -> None:
    _write_photo(folder / 'images')
    (folder / 'a.txt').write_text('0 0.5 0.5 0.1 0.125\n')
    (folder / 'b.txt').write_text('0 0.25 0.5 0.1 0.125\n0 0.75 0.5 0.05 0.1\n')


def _balls(folder: Path) -> None:
    _write_photo(folder / 'images')
    lines = [{'name': 'a', 'balls': [{'x': 35.0, 'y': 45.0, 'radius': 6.0}]}, {'name': 'b', 'balls': []}]
    (folder / 'balls.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))


def _settings(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / 'train.yaml').write_text(
        'seed: 3\nclass_weights: [1, 3, 2, 1]\nstage1: {epochs: 2, lr: 0.001, base_lr: 0.0001}\n'
    )


def _scene_settings(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / 'scenes.yaml').write_text(
        'preset: mixed\ncount: 2\nballs: {distance: [0.6, 16.0]}\nsensor: {dark: 0.3}\n'
    )


def _model(suffix: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        from support.exported import exported

        _write_photo(folder / 'images')
        checkpoint, onnx = exported()
        (folder / f'm{suffix}').write_bytes((onnx if suffix == '.onnx' else checkpoint).read_bytes())

    return build


def _state(folder: Path) -> None:
    import torch

    from minisegnet_core.checkpoint import load_checkpoint
    from support.exported import exported

    _write_photo(folder / 'images')
    model, record = load_checkpoint(exported()[0])
    torch.save({'model': model.state_dict(), 'record': record.to_metadata(), 'epoch': 3}, folder / 'm.ckpt')


def _import(fmt: str, source: str = '.', *options: str) -> Callable[[Path], list[str]]:
    return lambda folder: [
        'import-dataset', str(folder / source), '--format', fmt, '--output', str(folder / 'out'), '--dry-run',
        '--val-fraction', '0', *options,
    ]  # fmt: skip


def _evaluate_balls(folder: Path) -> list[str]:
    balls = folder / 'balls.jsonl'
    return [
        'evaluate', str(folder / 'images'), '--balls', str(balls if balls.is_file() else folder), '--worst', '0',
        '--threads', '1', '--output', str(folder / 'out'),
    ]  # fmt: skip


def _predict(model: str = '') -> Callable[[Path], list[str]]:
    return lambda folder: [
        'predict', str(folder / 'images'), '--threads', '1', '--output', str(folder / 'out'),
        *(['--model', str(folder / model)] if model else []),
    ]  # fmt: skip


def _train(folder: Path) -> list[str]:
    return [
        'train',
        '--config',
        str(folder / 'train.yaml'),
        '--data',
        str(folder / 'nothing'),
        '--output',
        str(folder / 'run'),
    ]


def _show_samples(folder: Path) -> list[str]:
    return ['train', '--data', str(folder), '--output', str(folder / 'run'), '--show-samples', str(folder / 's.png')]


def _synthesize(folder: Path) -> list[str]:
    return ['synthesize', '--config', str(folder / 'scenes.yaml'), '--print-config']


TARGETS = (
    Target('mask image', 'masks/a.png', False, _masks, _import('masks')),
    Target('photo beside a mask', 'images/a.jpg', False, _masks, _import('masks')),
    Target('labelmap.txt', 'labelmap.txt', True, _masks, _import('masks')),
    Target('dataset.yaml', 'dataset.yaml', True, _dataset, _show_samples),
    Target('annotations.jsonl', 'annotations.jsonl', True, _dataset, _import('minisegnet')),
    Target('label image', 'labels/000.png', False, _dataset, _import('minisegnet')),
    Target('COCO file', 'c.json', True, _coco, _import('coco', 'c.json')),
    Target('TORSO-21 annotations', 'train/annotations.yaml', True, _torso, _import('torso21')),
    Target('YOLO boxes', 'a.txt', True, _yolo, _evaluate_balls),
    Target('balls.jsonl', 'balls.jsonl', True, _balls, _evaluate_balls),
    Target('PNG', 'images/a.png', False, _photos, _predict()),
    Target('JPEG', 'images/b.jpg', False, _photos, _predict()),
    Target('train.yaml', 'train.yaml', True, _settings, _train),
    Target('scenes.yaml', 'scenes.yaml', True, _scene_settings, _synthesize),
    Target('ONNX file', 'm.onnx', False, _model('.onnx'), _predict('m.onnx')),
    Target('safetensors file', 'm.safetensors', False, _model('.safetensors'), _predict('m.safetensors')),
    Target('training state', 'm.ckpt', False, _state, _predict('m.ckpt')),
)


def damaged(target: Target, count: int, folder: Path, seed: int = 0) -> Iterator[Path]:
    """Yield the folder ``count`` times, each time with another mutation of the target's file."""
    random = np.random.default_rng([seed, sum(map(ord, target.name))])
    target.build(folder)
    file = folder / target.file
    valid = file.read_bytes()
    for _ in range(count):
        file.write_bytes(mutate_text(valid.decode(), random) if target.text else mutate_bytes(valid, random))
        yield folder
