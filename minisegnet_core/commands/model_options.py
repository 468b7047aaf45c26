"""The options by which every command that runs a model chooses it, said once."""

from __future__ import annotations

import argparse
from typing import Any

from minisegnet_core.ball import MINIMUM_CONFIDENCE
from minisegnet_core.inference.engines.base import DEVICES, PRECISIONS
from minisegnet_core.inference.segmenter import Segmenter
from minisegnet_core.inference.selection import AUTO, ENGINE_MODULES

SETTINGS = ('engine', 'network_size', 'threads', 'ball_threshold', 'ball_confidence', 'precision', 'device')
"""Options that are arguments of :class:`Segmenter` by the same name."""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --model and, by their names, ``SETTINGS``."""
    group = parser.add_argument_group('model')
    group.add_argument(
        '--model',
        default='',
        help='model file (.onnx, .safetensors, .ckpt) or name of a shipped one (default: what runs best here)',
    )
    group.add_argument('--engine', default=AUTO, choices=(AUTO, *ENGINE_MODULES), help='what runs it (default: auto)')
    group.add_argument(
        '--network-size',
        default='native',
        help='size at which the network runs: native, half or WIDTHxHEIGHT; results always refer to the received image '
        '(default: native)',
    )
    group.add_argument('--threads', type=int, default=0, help='CPU threads (default: 0, all cores but one)')
    group.add_argument(
        '--precision',
        default=AUTO,
        choices=(AUTO, *PRECISIONS),
        help='of the arithmetic (default: auto: int8 where the file is, else bfloat16 where the CPU multiplies in it, '
        'else float32)',
    )
    group.add_argument(
        '--device',
        default=AUTO,
        choices=DEVICES,
        help='what the engine runs on (default: auto, an NVIDIA GPU or the CPU)',
    )
    group.add_argument(
        '--ball-threshold', type=float, default=0.5, help='probability that makes a pixel ball, 0..1 (default: 0.5)'
    )
    group.add_argument(
        '--ball-confidence',
        type=float,
        default=MINIMUM_CONFIDENCE,
        help='confidence from which a blob of such pixels is a ball, 0..1: higher, fewer false ones and more missed '
        f'(default: {MINIMUM_CONFIDENCE:g})',
    )


def segmenter_of(arguments: Any) -> Segmenter:
    """The segmenter that the parsed options of :func:`add_model_arguments` ask for."""
    return Segmenter(arguments.model, **{name: getattr(arguments, name) for name in SETTINGS})
